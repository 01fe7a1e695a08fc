"""Methods, one readable file each, on one shared training loop."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cleser.experiments.methods import METHODS, Method
    from cleser.recipes.adaptation import Coral, CoralConfig, Dann, DannConfig
    from cleser.recipes.classical import ClassicalConfig
    from cleser.recipes.erm import ERM, ERMConfig
    from cleser.recipes.layer_anchoring import LayerAnchoring, LayerAnchoringConfig
    from cleser.recipes.probe import Probe, ProbeConfig
    from cleser.recipes.sapa import SAPA, SAPAConfig
    from cleser.recipes.zero_shot import ZeroShot, ZeroShotConfig

# Imported when one of their names is asked for; methods by name belong to the room above.
_WHERE = {
    "cleser.experiments.methods": ("METHODS", "Method"),
    "cleser.recipes.adaptation": ("Coral", "CoralConfig", "Dann", "DannConfig"),
    "cleser.recipes.classical": ("ClassicalConfig",),
    "cleser.recipes.erm": ("ERM", "ERMConfig"),
    "cleser.recipes.layer_anchoring": ("LayerAnchoring", "LayerAnchoringConfig"),
    "cleser.recipes.probe": ("Probe", "ProbeConfig"),
    "cleser.recipes.sapa": ("SAPA", "SAPAConfig"),
    "cleser.recipes.zero_shot": ("ZeroShot", "ZeroShotConfig"),
}

__all__ = [
    "ERM",
    "METHODS",
    "SAPA",
    "ClassicalConfig",
    "Coral",
    "CoralConfig",
    "Dann",
    "DannConfig",
    "ERMConfig",
    "LayerAnchoring",
    "LayerAnchoringConfig",
    "Method",
    "Probe",
    "ProbeConfig",
    "SAPAConfig",
    "ZeroShot",
    "ZeroShotConfig",
]


def __getattr__(name: str) -> Any:
    for module, names in _WHERE.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
