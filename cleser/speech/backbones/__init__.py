"""Backbones: waveforms in, hidden states of all layers out; and which of their weights are trained."""

from cleser.speech.backbones.acoustic import AcousticBackbone
from cleser.speech.backbones.base import Backbone, Frames, ReceiveLayer
from cleser.speech.backbones.joined import JoinedBackbone
from cleser.speech.backbones.open import load_backbone
from cleser.speech.backbones.pretrained import TransformersBackbone

__all__ = [
    "AcousticBackbone",
    "Backbone",
    "Frames",
    "JoinedBackbone",
    "ReceiveLayer",
    "TransformersBackbone",
    "load_backbone",
]
