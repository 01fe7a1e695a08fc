"""Methods, one readable file each, on one shared training engine."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cleser.recipes.adaptation import Coral, CoralConfig, Dann, DannConfig
    from cleser.recipes.baselines import Baseline, BaselineConfig
    from cleser.recipes.classical import ClassicalConfig
    from cleser.recipes.layer_anchoring import LayerAnchoring, LayerAnchoringConfig
    from cleser.recipes.methods import METHODS, Method
    from cleser.recipes.sapa import SAPA, SAPAConfig
    from cleser.recipes.zero_shot import ZeroShot, ZeroShotConfig

# A recipe's file is also a command (python -m cleser.recipes.sapa): the package must not import it before it is run.
_WHERE = {
    "adaptation": ("Coral", "CoralConfig", "Dann", "DannConfig"),
    "baselines": ("Baseline", "BaselineConfig"),
    "classical": ("ClassicalConfig",),
    "layer_anchoring": ("LayerAnchoring", "LayerAnchoringConfig"),
    "methods": ("METHODS", "Method"),
    "sapa": ("SAPA", "SAPAConfig"),
    "zero_shot": ("ZeroShot", "ZeroShotConfig"),
}

__all__ = [
    "METHODS",
    "SAPA",
    "Baseline",
    "BaselineConfig",
    "ClassicalConfig",
    "Coral",
    "CoralConfig",
    "Dann",
    "DannConfig",
    "LayerAnchoring",
    "LayerAnchoringConfig",
    "Method",
    "SAPAConfig",
    "ZeroShot",
    "ZeroShotConfig",
]


def __getattr__(name: str) -> Any:
    for module, names in _WHERE.items():
        if name in names:
            return getattr(import_module(f"cleser.recipes.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
