"""A speaker encoder without pretrained weights: statistics of the low-level descriptors of speech."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cleser.speech.backbones.acoustic import AcousticBackbone
from cleser.speech.batching import batches_by_length
from cleser.speech.speakers.base import SpeakerEncoder

_BATCH_SECONDS = 60.0


class AcousticSpeakerEncoder(SpeakerEncoder):
    """Mean and standard deviation over speech of MFCCs, pitch, voice quality and spectral shape.

    How somebody speaks in an emotion stands in these descriptors rather plainly, which verification networks are
    trained to look past; who speaks is told less surely than by those. Each dimension has its own unit: what compares
    vectors by cosine has to scale them first, as `cleser.graphs.style_communities` does.

    Args:
        device: Where descriptors are computed.

    >>> from cleser.corpora import load
    >>> from cleser.speech import load_audio
    >>> encoder = AcousticSpeakerEncoder()
    >>> path = load("synthetic:zh?speakers=2&sentences=1")["path"][0]
    >>> encoder.embed([load_audio(path, encoder.rate)]).shape == (1, encoder.dim)
    True
    """

    def __init__(self, *, device: str | torch.device = "cpu") -> None:
        self._backbone = AcousticBackbone().eval().to(device)
        self._device = torch.device(device)
        self.rate = self._backbone.rate
        self.dim = 2 * self._backbone.n_layers * self._backbone.dim

    @property
    def name(self) -> str:
        """Name of the encoder, made of that of the descriptors."""
        return f"speaker-{self._backbone.name}"

    @torch.no_grad()
    def embed_each(self, waveforms: Sequence[Tensor]) -> list[Tensor | None]:
        """Vectors [D] of recordings [T]; None for one whose every frame is silent."""
        found: list[Tensor | None] = [None] * len(waveforms)
        lengths = [len(waveform) for waveform in waveforms]
        for batch in batches_by_length(lengths, _BATCH_SECONDS * self.rate):
            sounds = [waveforms[i].to(self._device) for i in batch]
            for i, frames in zip(batch, self._backbone.extract(sounds), strict=True):
                if frames.shape[1]:
                    flat = frames.transpose(0, 1).flatten(1)  # [T, L * D]
                    spread = flat.std(dim=0, correction=0)
                    found[i] = torch.cat([flat.mean(dim=0), spread]).cpu()
        return found
