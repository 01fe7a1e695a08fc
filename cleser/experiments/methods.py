"""The recipes by name, as the command line and the tables know them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cleser.experiments.neural import runner
from cleser.recipes.adaptation import Coral, CoralConfig, Dann, DannConfig
from cleser.recipes.classical import ClassicalConfig, run_classical
from cleser.recipes.erm import Baseline, BaselineConfig
from cleser.recipes.layer_anchoring import LayerAnchoring, LayerAnchoringConfig
from cleser.recipes.sapa import SAPA, SAPAConfig
from cleser.recipes.zero_shot import ZeroShot, ZeroShotConfig


class Method(NamedTuple):
    """A recipe as the command line knows it.

    Attributes:
        config: Its settings.
        run: Runs an experiment with them.
        build: Makes the network for a task; None where it is no network.
    """

    config: type[Any]
    run: Callable[..., dict[str, Any]]
    build: Callable[..., Any] | None


def _network(config: type[Any], build: Callable[..., Any]) -> Method:
    return Method(config, runner(build), build)


METHODS: dict[str, Method] = {
    "baseline": _network(BaselineConfig, Baseline),
    "coral": _network(CoralConfig, Coral),
    "dann": _network(DannConfig, Dann),
    "sapa": _network(SAPAConfig, SAPA),
    "layer_anchoring": _network(LayerAnchoringConfig, LayerAnchoring),
    "zero_shot": _network(ZeroShotConfig, ZeroShot),
    "classical": Method(ClassicalConfig, run_classical, None),
}
