"""Which parts of a recording are recognised: all of it, or windows of a long recording, unless they are silent."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from cleser.corpora.recording import RecordingError, read_header
from cleser.speech.audio import CANCELLED, SHORTEST, AudioError, channels_cancel, read_mono

LONGEST: Final = 30.0  # seconds of a recording that is recognised as a whole
SILENT: Final = -80.0  # decibels re full scale: some three steps of 16-bit samples


class Window(NamedTuple):
    """A part of a recording, in seconds.

    Attributes:
        start: Where it begins.
        end: Where it ends; NaN where it is the whole recording, which is then read to its very end.
        until: Where it ends, as a number.
    """

    start: float
    end: float
    until: float


def cut(
    path: str | Path, *, length: float = 10.0, hop: float = 10.0, longest: float = LONGEST
) -> list[Window]:
    """The windows of a recording; its header alone is read.

    A recording of at most ``longest`` seconds is one window. In others a window begins every ``hop`` seconds; the
    last one ends with the recording and is as long as the others, so that it may share more with the one before.

    Args:
        path: The file.
        length: Length of a window, in seconds.
        hop: Seconds from the beginning of one to that of the next.
        longest: Longest recording that is left whole, in seconds; no less than ``length``.

    Raises:
        AudioError: The file cannot be read as audio.
    """
    try:
        rate, _, total = read_header(path)  # libsndfile's own guess may be nothing, or 2⁶³
    except RecordingError as error:
        raise AudioError(f"{path}: {error}") from error
    if total <= longest * rate:
        return [Window(0.0, float("nan"), total / rate)]
    # In whole samples, so that no window has one more than the others.
    window, step = int(length * rate), max(1, int(hop * rate))
    starts = [*range(0, total - window, step), total - window]
    return [Window(s / rate, (s + window) / rate, (s + window) / rate) for s in starts]


def unusable(path: str | Path, start: float = 0.0, end: float = float("nan")) -> str | None:
    """Why a recording, or a part of one, has no emotion to be recognised; None where it may have.

    Args:
        path: The file.
        start: Where the part begins, in seconds.
        end: Where it ends; NaN is the recording's end.
    """
    try:
        samples, rate = read_mono(path, start=start, end=end)
    except AudioError as error:
        return str(error).removeprefix(f"{path}: ")
    if len(samples) < SHORTEST * rate:
        return f"lasts {len(samples) / rate:.3f} s, expected {SHORTEST} s or more"
    wide = samples.astype(np.float64)
    offset = wide.mean()
    level = _decibels(wide.std())
    if level >= SILENT:
        return None
    if _decibels(abs(offset)) >= SILENT:
        return f"holds a constant offset of {offset:.3g} and no sound, expected speech"
    if channels_cancel(path, start=start, end=end):
        return CANCELLED
    return f"is silent ({level:.0f} dB re full scale), expected more than {SILENT:.0f} dB"


def _decibels(amplitude: float) -> float:
    return float(20 * np.log10(max(amplitude, 1e-10)))
