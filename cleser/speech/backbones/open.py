"""Backbones by name."""

from __future__ import annotations

from cleser.speech.backbones.acoustic import AcousticBackbone
from cleser.speech.backbones.base import Backbone
from cleser.speech.backbones.pretrained import parse_spec


def load_backbone(name: str) -> Backbone:
    """The backbone of this name.

    Args:
        name: ``acoustic``, or a model of transformers: ``NAME_OR_PATH``, then if wanted ``,layers=0+6+12``,
            ``,dtype=bfloat16`` and ``,revision=COMMIT``.

    Raises:
        ValueError: There is none, or it cannot be loaded.
    """
    return AcousticBackbone().eval() if name == "acoustic" else parse_spec(name)
