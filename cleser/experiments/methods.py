"""The recipes by name, as the command line and the tables know them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from cleser.experiments.experiment import Experiment, Fitted, Fold, run_experiment
from cleser.experiments.neural import runner
from cleser.recipes.adaptation import Coral, CoralConfig, Dann, DannConfig
from cleser.recipes.attributes import build_erm
from cleser.recipes.classical import Classical, ClassicalConfig
from cleser.recipes.erm import BaselineConfig
from cleser.recipes.layer_anchoring import LayerAnchoring, LayerAnchoringConfig
from cleser.recipes.probe import Probe, ProbeConfig
from cleser.recipes.sapa import SAPA, SAPAConfig
from cleser.recipes.zero_shot import ZeroShot, ZeroShotConfig
from cleser.speech.backbones import Backbone


class Method(NamedTuple):
    """A recipe as the command line knows it.

    Attributes:
        config: Its settings.
        run: Runs an experiment with them.
        build: Makes the network for a task; None where it is no network.
        restore: Makes what is no network of its tensors, as ``Classical.restore``; None for networks.
        tasks: What it can learn, see :class:`cleser.corpora.protocol.Protocol`.
    """

    config: type[Any]
    run: Callable[..., dict[str, Any]]
    build: Callable[..., Any] | None
    restore: Callable[..., Fitted] | None = None
    tasks: tuple[str, ...] = ("emotion",)


def run_classical(
    experiment: Experiment, config: ClassicalConfig, backbone: Backbone
) -> dict[str, Any]:
    """Run the classical row; its seeds differ only in the source speakers they learn from."""

    def fit(fold: Fold) -> Fitted:
        emotions = len(fold.data.vocabulary.emotions)
        return Classical.fit(config, fold.data.learned(fold.parts), emotions)

    return run_experiment(experiment, config, fit, backbone)


def run_probe(experiment: Experiment, config: ProbeConfig, backbone: Backbone) -> dict[str, Any]:
    """Run the linear probe; its seeds differ only in the source speakers they learn from."""

    def fit(fold: Fold) -> Fitted:
        data, heard = fold.data, config.match_prior or config.adapts
        target = data.target.subset(fold.parts.adapt) if heard and len(fold.parts.adapt) else None
        prior = torch.tensor(data.prior, dtype=torch.float64)
        return Probe.fit(config, data.learned(fold.parts), target, prior)

    return run_experiment(experiment, config, fit, backbone)


def _network(config: type[Any], build: Callable[..., Any]) -> Method:
    return Method(config, runner(build), build)


METHODS: dict[str, Method] = {
    "baseline": _network(BaselineConfig, build_erm)._replace(tasks=("emotion", "avd", "both")),
    "coral": _network(CoralConfig, Coral),
    "dann": _network(DannConfig, Dann),
    "sapa": _network(SAPAConfig, SAPA),
    "layer_anchoring": _network(LayerAnchoringConfig, LayerAnchoring),
    "zero_shot": _network(ZeroShotConfig, ZeroShot),
    "classical": Method(ClassicalConfig, run_classical, None, Classical.restore),
    "probe": Method(ProbeConfig, run_probe, None, Probe.restore),
}


def check_task(name: str, task: str) -> None:
    """Refuse a task that a recipe cannot learn, before any work.

    >>> check_task("sapa", "avd")
    Traceback (most recent call last):
    ValueError: sapa learns emotions alone: --task avd needs one of ['baseline']
    """
    if task not in METHODS[name].tasks:
        able = [other for other, method in METHODS.items() if task in method.tasks]
        known = METHODS[name].tasks
        said = "emotions alone" if known == ("emotion",) else f"--task {' and '.join(known)} alone"
        raise ValueError(f"{name} learns {said}: --task {task} needs one of {able}")
