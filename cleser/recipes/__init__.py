"""Methods, one readable file each, on one shared training engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cleser.recipes.baselines import (
    Baseline,
    BaselineConfig,
    ClassicalConfig,
    run_baseline,
    run_classical,
)


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


METHODS: dict[str, Method] = {
    "baseline": Method(BaselineConfig, run_baseline, Baseline),
    "classical": Method(ClassicalConfig, run_classical, None),
}

__all__ = ["METHODS", "Baseline", "BaselineConfig", "ClassicalConfig", "Method"]
