"""The recipes that come with cleser, each as an entry point of the group ``cleser.recipes`` names it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import torch

from cleser.experiments.experiment import Experiment, Repeat, run_experiment
from cleser.experiments.fitted import Fitted
from cleser.experiments.methods import Method
from cleser.experiments.neural import network
from cleser.recipes.adaptation import Coral, CoralConfig, Dann, DannConfig
from cleser.recipes.attributes import build_erm
from cleser.recipes.classical import Classical, ClassicalConfig
from cleser.recipes.erm import ERMConfig
from cleser.recipes.layer_anchoring import LayerAnchoring, LayerAnchoringConfig
from cleser.recipes.probe import Probe, ProbeConfig
from cleser.recipes.sapa import SAPA, SAPAConfig
from cleser.recipes.zero_shot import ZeroShot, ZeroShotConfig
from cleser.speech.backbones import Backbone


def run_classical(
    experiment: Experiment, config: ClassicalConfig, backbone: Backbone
) -> dict[str, Any]:
    """A support-vector machine on utterance statistics; seeds differ only in the source speakers they learn from."""

    def fit(repeat: Repeat) -> Fitted:
        emotions = len(repeat.data.vocabulary.emotions)
        return Classical.fit(config, repeat.data.learned(repeat.parts), emotions)

    return run_experiment(experiment, config, fit, backbone)


def run_probe(experiment: Experiment, config: ProbeConfig, backbone: Backbone) -> dict[str, Any]:
    """Linear probe: logistic regression on statistics of all layers, self-trained if --rounds is given or chosen."""
    whole: dict[tuple[str, ...], Probe] = {}  # by what is heard: seeds often differ in nothing else

    def fit(repeat: Repeat) -> Fitted:
        data, parts, heard = repeat.data, repeat.parts, config.match_prior or config.adapts
        target = data.target.subset(parts.adapt) if heard and len(parts.adapt) else None
        prior = torch.tensor(data.prior, dtype=torch.float64)

        def learn(rows: pd.DataFrame) -> Probe:
            learned = data.learned(replace(parts, train=rows))
            return Probe.fit(config, learned, target, prior, data.vocabulary.attributes)

        if not (config.refit and len(parts.dev)):
            return learn(parts.train)
        every = pd.concat([parts.train, parts.dev], ignore_index=True).sort_values("utterance")
        key = (*every["utterance"], *parts.adapt["utterance"])
        if key not in whole:
            whole[key] = learn(every)
        return whole[key].knowing(learn(parts.train) if experiment.development else None)

    return run_experiment(experiment, config, fit, backbone)


erm = network(ERMConfig, build_erm)._replace(tasks=("emotion", "avd", "both"))
coral = network(CoralConfig, Coral)
dann = network(DannConfig, Dann)
sapa = network(SAPAConfig, SAPA)
layer_anchoring = network(LayerAnchoringConfig, LayerAnchoring)
zero_shot = network(ZeroShotConfig, ZeroShot)
classical = Method(ClassicalConfig, run_classical, None, Classical.restore)
probe = Method(ProbeConfig, run_probe, None, Probe.restore, ("emotion", "avd", "both"))
