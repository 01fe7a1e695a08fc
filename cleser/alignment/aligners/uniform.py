"""Segments of equal length in place of phones, for recordings of which nobody knows the text."""

from __future__ import annotations

from typing import Final

import numpy as np
from torch import Tensor

from cleser.alignment.aligners.base import check_waveform
from cleser.alignment.aligners.cepstra import FRAME_RATE, HOP, RATE, level, mel_power
from cleser.alignment.phones import Alignment

_SILENCE: Final = -35.0  # dB below the loud frames
_MARK: Final = "…"


def uniform_alignment(waveform: Tensor, segment: float = 0.1) -> Alignment:
    """Cut a recording, from its first loud frame to its last, into equal segments.

    Args:
        waveform: Samples [T] at 16 kHz.
        segment: How long a segment is, as nearly as can be, in seconds.

    Returns:
        An alignment with ``uniform`` set, whose phones are all ``"…"``.

    Raises:
        ValueError: The segment is not positive, or the recording is no recording.

    >>> import torch
    >>> noise = torch.randn(8000, generator=torch.Generator().manual_seed(0))
    >>> silence = torch.zeros(8000)
    >>> len(uniform_alignment(torch.cat([silence, noise, silence])))
    5
    """
    if not segment > 0:
        raise ValueError(f"segment is {segment}, expected a positive number of seconds")
    check_waveform(waveform)
    loud = np.flatnonzero(level(mel_power(waveform.numpy())) > _SILENCE)
    start = max(loud[0] - 0.5, 0) / FRAME_RATE
    end = min((loud[-1] + 0.5) * HOP, len(waveform)) / RATE
    count = max(round((end - start) / segment), 1)
    edges = np.linspace(start, end, count + 1)
    return Alignment(edges[:-1], edges[1:], (_MARK,) * count, uniform=True)
