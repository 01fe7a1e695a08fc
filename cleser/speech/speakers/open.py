"""Speaker encoders by name."""

from __future__ import annotations

import torch

from cleser.speech.speakers.acoustic import AcousticSpeakerEncoder
from cleser.speech.speakers.base import SpeakerEncoder
from cleser.speech.speakers.dvector import ResemblyzerEncoder
from cleser.speech.speakers.xvector import TransformersSpeakerEncoder


def load_speaker_encoder(name: str, *, device: str | torch.device = "cpu") -> SpeakerEncoder:
    """The speaker encoder of this name.

    Args:
        name: ``acoustic``, ``resemblyzer``, or a speaker-verification model of transformers: its name on the hub, as
            ``microsoft/wavlm-base-plus-sv``, or a folder.
        device: Where its network runs.

    Raises:
        ValueError: It cannot be loaded.
        ImportError: It needs a package that is not installed.

    >>> load_speaker_encoder("acoustic").rate
    16000
    """
    if name == "acoustic":
        return AcousticSpeakerEncoder(device=device)
    if name == "resemblyzer":
        return ResemblyzerEncoder(device=device)
    return TransformersSpeakerEncoder(name, device=device)
