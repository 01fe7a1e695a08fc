"""Methods, one readable file each, on one shared training engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cleser.recipes.baselines import (
    Baseline,
    BaselineConfig,
    ClassicalConfig,
    run_classical,
)
from cleser.recipes.neural import runner
from cleser.recipes.sapa import SAPA, SAPAConfig


class Method(NamedTuple):
    """A recipe as the command line knows it.

    Attributes:
        config: Its settings.
        run: Runs an experiment with them.
        build: Makes the network for a task; None where a run keeps no network.
    """

    config: type[Any]
    run: Callable[..., dict[str, Any]]
    build: Callable[..., Any] | None


def _network(config: type[Any], build: Callable[..., Any]) -> Method:
    return Method(config, runner(build), build)


METHODS: dict[str, Method] = {
    "baseline": _network(BaselineConfig, Baseline),
    "sapa": _network(SAPAConfig, SAPA),
    "classical": Method(ClassicalConfig, run_classical, None),
}

__all__ = [
    "METHODS",
    "SAPA",
    "Baseline",
    "BaselineConfig",
    "ClassicalConfig",
    "Method",
    "SAPAConfig",
]
