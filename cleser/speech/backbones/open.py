"""Backbones by name."""

from __future__ import annotations

import os
from pathlib import Path

from cleser.speech.backbones.acoustic import AcousticBackbone
from cleser.speech.backbones.base import Backbone
from cleser.speech.backbones.joined import JoinedBackbone
from cleser.speech.backbones.pretrained import parse_spec, parts_of

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


def located(name: str) -> str:
    """A backbone's name that means the same wherever a command is given: with a folder's whole path.

    >>> located("microsoft/wavlm-base-plus,layers=middle"), located("acoustic")
    ('microsoft/wavlm-base-plus,layers=middle', 'acoustic')
    """
    beside = BESIDE if name.startswith(BESIDE) else ""
    source, settings = parts_of(name.removeprefix(beside))
    folder = Path(source).expanduser()
    if source == "acoustic" or not folder.is_dir():
        return name
    return beside + ",".join([os.path.normpath(folder.absolute()), *settings])


def pretrained_part(backbone: Backbone) -> Backbone:
    """The backbone itself, or of several that are joined the pretrained one."""
    return backbone.views[-1]
