"""Backbones by name."""

from __future__ import annotations

from cleser.speech.backbones.acoustic import AcousticBackbone
from cleser.speech.backbones.base import Backbone
from cleser.speech.backbones.joined import JoinedBackbone
from cleser.speech.backbones.pretrained import parse_spec

BESIDE = "acoustic+"  # stands before a model whose layers descriptors are joined to


def load_backbone(name: str) -> Backbone:
    """The backbone of this name.

    Args:
        name: ``acoustic``, or a model of transformers: ``NAME_OR_PATH``, then if wanted ``,layers=0+6+12``,
            ``,dtype=bfloat16`` and ``,revision=COMMIT``; ``acoustic+`` and such a model for both side by side.

    Raises:
        ValueError: There is none, or it cannot be loaded.

    >>> load_backbone("acoustic").n_layers
    2
    """
    if name == "acoustic":
        return AcousticBackbone().eval()
    if name.startswith(BESIDE):
        return JoinedBackbone([AcousticBackbone(), parse_spec(name.removeprefix(BESIDE))]).eval()
    return parse_spec(name)


def pretrained_part(backbone: Backbone) -> Backbone:
    """The backbone itself, or of several that are joined the pretrained one."""
    return backbone.views[-1]
