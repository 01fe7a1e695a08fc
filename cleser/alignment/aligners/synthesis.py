"""Phones in time for any language that espeak-ng speaks, without a model.

espeak-ng says the text, and so its phone times are known to the sample; dynamic time warping carries them
to the recording (Malfrère et al. 2003). Several voices say it, each warped by itself: a boundary is the median of
theirs, and how far they agree tells how far to trust it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cleser.alignment.aligners.base import check_waveform, spelled
from cleser.alignment.aligners.cepstra import (
    FRAME_RATE,
    RATE,
    Floats,
    cepstra,
    dynamic_range,
    level,
    mel_power,
)
from cleser.alignment.aligners.warping import Integers, warp
from cleser.alignment.phones import Alignment
from cleser.synthesis.prosody import Voice, speak

_PAUSE: Final = 0.6  # cost of a frame of silence, about a third of what a frame of speech costs
_LOUD: Final = 0.15  # and of each dB by which it is louder
_MARGIN: Final = 6.0  # dB over the noise that are silence still
_AGREED: Final = 0.02  # seconds

Times = npt.NDArray[np.float64]


class SynthesisAligner:
    """Aligns recordings with what espeak-ng says.

    Args:
        language: Voice of espeak-ng, as ``en-us``, ``de`` or ``cmn``.
        speakers: Who says it, as pairs of a variant of espeak-ng and the factor on its formants.

    Raises:
        ValueError: There are no speakers.

    >>> from cleser.synthesis.espeak import synthesise
    >>> said = synthesise("Good morning.", voice="en-us", rate=120)  # 22,050 Hz
    >>> import soxr, torch
    >>> waveform = torch.from_numpy(soxr.resample(said.samples, said.rate, 16000))
    >>> alignment = SynthesisAligner("en-us").align(waveform, "Good morning.")
    >>> " ".join(alignment.phones)
    'ɡ ʊ d m ɔɹ n ɪ ŋ'
    >>> bool(abs(alignment.starts - said.starts).max() < 0.03)
    True
    """

    rate: int = RATE

    def __init__(
        self,
        language: str,
        *,
        speakers: Sequence[tuple[str | None, float]] = (
            (None, 1.0),
            ("m4", 0.95),
            ("linda", 1.05),
        ),
    ) -> None:
        if not speakers:
            raise ValueError("speakers is empty, expected a variant of espeak-ng at least")
        self.language = language
        self.voices = [Voice(language, variant, tract) for variant, tract in speakers]

    def align(self, waveform: Tensor, text: str) -> Alignment:
        """Find the phones of a text in a recording of it.

        Args:
            waveform: Samples [T] at 16 kHz.
            text: Text that is said.

        Returns:
            Its phones; ``quality`` is the share of boundaries on which all voices agree within 20 ms.

        Raises:
            ValueError: The recording is no recording, is too short for its text, or the text says nothing.
        """
        check_waveform(waveform)
        power = mel_power(waveform.numpy())
        span = dynamic_range(power)
        frames = cepstra(power, span)
        pause = _PAUSE + _LOUD * np.maximum(0, level(power) + span - _MARGIN)
        spoken = [_reference(text, voice) for voice in self.voices]
        found = np.stack([_carried(frames, said, span, pause) for said in spoken])
        ends = len(waveform) / RATE
        bounds = np.median(found, 0).clip(0, ends)
        agreed = np.abs(found - bounds).max(0) <= _AGREED
        quality = float(agreed.mean()) if len(found) > 1 else None
        return spelled(spoken[0].phones, bounds, quality)


class _Reference(NamedTuple):
    power: Floats
    frames: Integers  # those of the phones, one after another
    first: Integers  # where each phone begins among them
    gaps: npt.NDArray[np.bool_]
    phones: tuple[str, ...]


@lru_cache(maxsize=256)
def _reference(text: str, voice: Voice) -> _Reference:
    said = speak(text, voice)
    power = mel_power(said.samples)
    begin = np.rint(said.starts * FRAME_RATE).astype(np.int64)
    last = np.maximum(np.rint(said.ends * FRAME_RATE).astype(np.int64), begin + 1)
    counts = last - begin
    first = np.cumsum(counts) - counts
    frames = np.repeat(begin - first, counts) + np.arange(counts.sum())
    gaps = said.starts - np.append(0.0, said.ends[:-1]) > 1 / FRAME_RATE
    return _Reference(power, frames.clip(max=len(power) - 1), first, gaps, tuple(said.phones))


def _carried(frames: Floats, said: _Reference, span: float, pause: Floats) -> Times:
    """Start and end of each phone in the recording, [P, 2], in seconds."""
    reference = cepstra(said.power, span)[said.frames]
    path = warp(frames, reference, said.first, said.gaps, pause)
    order = np.flatnonzero(path >= 0)
    edges = np.searchsorted(path[order], np.arange(len(said.first)), side="left")
    last = np.searchsorted(path[order], np.arange(len(said.first)), side="right") - 1
    return np.stack([order[edges] - 0.5, order[last] + 0.5], 1) / FRAME_RATE
