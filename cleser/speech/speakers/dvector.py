"""d-vectors of Resemblyzer, whose wheel carries its weights: no download."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cleser.speech.speakers.base import SpeakerEncoder


class ResemblyzerEncoder(SpeakerEncoder):
    """A three-layer LSTM trained to tell speakers apart (Wan et al., *Generalized end-to-end loss*, 2018).

    Each vector is the mean over windows of 1.6 s, of unit length, with no negative entry. Silences are cut first, by
    Resemblyzer's voice detector; where it hears no voice at all, as in some shouts, the whole recording is taken.

    Args:
        device: Where the network runs.

    Raises:
        ImportError: ``resemblyzer`` is not installed.
    """

    rate = 16000
    dim = 256

    def __init__(self, *, device: str | torch.device = "cpu") -> None:
        self._package = _package()
        self._network = self._package.VoiceEncoder(torch.device(device), verbose=False).eval()

    @property
    def name(self) -> str:
        """Name of the encoder, which changes with the weights in the wheel."""
        weights = Path(self._package.__file__).parent / "pretrained.pt"
        return f"resemblyzer-{hashlib.sha256(weights.read_bytes()).hexdigest()[:16]}"

    @torch.no_grad()
    def embed_each(self, waveforms: Sequence[Tensor]) -> list[Tensor | None]:
        """Vectors [256] of recordings [T]; None for digital silence."""
        return [self._embed(waveform.cpu().numpy()) for waveform in waveforms]

    def _embed(self, samples: np.ndarray[Any, np.dtype[np.float32]]) -> Tensor | None:
        if not np.abs(samples).max() > 0:
            return None
        voiced = self._package.preprocess_wav(samples)
        if not len(voiced):
            voiced = samples
        vector = torch.from_numpy(self._network.embed_utterance(voiced)).float()
        # The network ends in a rectifier: a sound that excites nothing has no direction.
        return vector if bool(vector.isfinite().all()) else None


def _package() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports by names that SciPy has moved
            import resemblyzer  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(
            'the encoder resemblyzer needs: pip install "cleser[resemblyzer]" (and, where no C compiler is at hand, '
            f"webrtcvad-wheels in place of webrtcvad): {error}"
        ) from error
    return resemblyzer
