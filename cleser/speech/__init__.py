"""Recordings to tensors: audio, backbones, speaker encoders and stored features."""

from cleser.speech.acoustic import AcousticBackbone
from cleser.speech.audio import AudioError, load_audio
from cleser.speech.backbones import Backbone, Frames, load_backbone

__all__ = ["AcousticBackbone", "AudioError", "Backbone", "Frames", "load_audio", "load_backbone"]
