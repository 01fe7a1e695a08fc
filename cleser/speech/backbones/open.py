"""Backbones by name."""

from __future__ import annotations

import os
from dataclasses import replace

from cleser.speech.backbones.acoustic import AcousticBackbone
from cleser.speech.backbones.base import Backbone
from cleser.speech.backbones.joined import JoinedBackbone
from cleser.speech.backbones.pretrained import TransformersBackbone
from cleser.speech.backbones.spec import ACOUSTIC, BackboneSpec


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
    if name == ACOUSTIC:
        return AcousticBackbone().eval()
    spec = BackboneSpec.parse(name)
    model = _pretrained(spec)
    return JoinedBackbone([AcousticBackbone(), model]).eval() if spec.with_descriptors else model


def _pretrained(spec: BackboneSpec) -> TransformersBackbone:
    """The model of transformers that a name describes, without descriptors beside it."""
    options = spec.options()
    if spec.source == ACOUSTIC:
        own = str(replace(spec, with_descriptors=False))
        raise ValueError(
            f"backbone is {own!r}, expected 'acoustic' alone: descriptors have no such settings"
        )
    if spec.folder is None and spec.source.count("/") != 1:
        raise ValueError(
            f"backbone is {spec.source!r}, expected 'acoustic', a folder that save_pretrained wrote, "
            "or OWNER/NAME on the hub"
        )
    return TransformersBackbone(str(spec.folder or spec.source), **options)


def located(name: str) -> str:
    """A backbone's name that means the same wherever a command is given: with a folder's whole path.

    >>> located("microsoft/wavlm-base-plus,layers=middle"), located("acoustic")
    ('microsoft/wavlm-base-plus,layers=middle', 'acoustic')
    """
    spec = BackboneSpec.parse(name)
    if spec.folder is None:
        return name
    return str(spec.at(os.path.normpath(spec.folder.absolute())))


def pretrained_part(backbone: Backbone) -> Backbone:
    """The backbone itself, or of several that are joined the pretrained one."""
    return backbone.views[-1]
