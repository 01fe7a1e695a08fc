"""What every speaker encoder is: recordings in, a vector each out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor


class SpeakerEncoder(ABC):
    """Turns each recording into one vector, the same alone and among others.

    Attributes:
        rate: Sampling rate expected, in Hz.
        dim: Dimensions D of the vector.

    >>> from cleser.speech import load_speaker_encoder
    >>> encoder: SpeakerEncoder = load_speaker_encoder("acoustic")
    >>> encoder.rate, encoder.embed([]).shape == (0, encoder.dim)
    (16000, True)
    """

    rate: int
    dim: int

    @property
    @abstractmethod
    def name(self) -> str:
        """Identity of what is computed, for caches: changes whenever the numbers would."""

    @abstractmethod
    def embed_each(self, waveforms: Sequence[Tensor]) -> list[Tensor | None]:
        """Vectors [D] of recordings [T] at ``rate``; None for a recording in which nobody speaks."""

    def embed(self, waveforms: Sequence[Tensor]) -> Tensor:
        """Vectors of recordings.

        Args:
            waveforms: 1-D tensors of samples at ``rate``.

        Returns:
            float32 [N, D].

        Raises:
            ValueError: A waveform is empty, not 1-D or not finite, or nobody speaks in it.
        """
        for i, waveform in enumerate(waveforms):
            if waveform.ndim != 1 or not len(waveform):
                shape = list(waveform.shape)
                raise ValueError(f"waveforms[{i}] has shape {shape}, expected [T] with T ≥ 1")
            if not waveform.isfinite().all():
                raise ValueError(f"waveforms[{i}] holds samples that are NaN or infinite")
        found = self.embed_each(waveforms)
        spoken = [vector for vector in found if vector is not None]
        if len(spoken) < len(found):
            silent = next(i for i, vector in enumerate(found) if vector is None)
            raise ValueError(f"waveforms[{silent}] holds no speech, expected some")
        return torch.stack(spoken) if spoken else torch.empty(0, self.dim)
