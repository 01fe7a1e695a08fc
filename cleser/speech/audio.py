"""Recordings as tensors: decoded, mixed to mono and resampled."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from cleser.corpora.recording import RecordingError, read_samples

SHORTEST: Final = 0.2  # seconds of a recording in which an emotion is learned, tested or recognised
CANCELLED: Final = (
    "has channels that cancel one another, so that mono is silent; keep one, or invert one"
)
"""What is said of recordings of which :func:`channels_cancel` holds."""
_SILENT: Final = 1e-4  # standard deviation below which sound is silence, full scale at ±1


class AudioError(ValueError):
    """A recording that cannot be used; the message names the file and what is wrong with it.

    >>> load_audio("absent.wav")
    Traceback (most recent call last):
    cleser.speech.audio.AudioError: absent.wav: cannot be read (No such file or directory)
    """


def load_audio(
    path: str | Path, rate: int = 16000, *, start: float = 0.0, end: float | None = None
) -> torch.Tensor:
    """Read a recording, or a part of one, as mono at the given rate.

    Args:
        path: Any file that libsndfile reads (wav, flac, ogg, mp3, sphere …).
        rate: Sampling rate wanted, in Hz.
        start: Where the part begins, in seconds.
        end: Where the part ends, in seconds; None or NaN means the end of the file.

    Returns:
        Samples, float32 [T], full scale at ±1.

    Raises:
        AudioError: The file is missing, damaged, cut off, not finite, ends before ``start``, or holds no sample.

    >>> from tempfile import TemporaryDirectory
    >>> import soundfile
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "noise.wav")
    ...     soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, (44_100, 2)), 44_100)  # stereo
    ...     load_audio(path).shape, load_audio(path, start=0.5).shape
    (torch.Size([16000]), torch.Size([8000]))
    """
    mono, native = read_mono(path, start=start, end=end)
    if native != rate:
        import soxr  # noqa: PLC0415  (backbones need no recordings)

        found = len(mono)
        mono = soxr.resample(mono, native, rate)
        if not len(mono):
            raise AudioError(
                f"{path}: has {found} samples at {native} Hz, expected enough for one at {rate} Hz"
            )
    return torch.from_numpy(np.ascontiguousarray(mono, dtype=np.float32))


def read_mono(
    path: str | Path, *, start: float = 0.0, end: float | None = None
) -> tuple[npt.NDArray[np.float32], int]:
    """Read a recording, or a part of one, as mono at its own sampling rate; of a part, nothing else is read.

    Args:
        path: Any file that libsndfile reads (wav, flac, ogg, mp3 …).
        start: Where the part begins, in seconds.
        end: Where the part ends, in seconds; None or NaN means the end of the file.

    Returns:
        Samples, float32 [T], full scale at ±1, and how many there are in a second.

    Raises:
        AudioError: The file is missing, damaged, empty, not finite, or ends before ``start``.
    """
    try:
        samples, native = read_samples(path, start, None if _open_end(end) else end)
    except RecordingError as error:
        raise AudioError(f"{path}: {error}") from error
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise AudioError(f"{path}: holds samples that are NaN or infinite")
    return mono, native


def channels_cancel(path: str | Path, *, start: float = 0.0, end: float | None = None) -> bool:
    """Whether a recording is silent as mono for the one reason that its channels have opposite signs.

    Args:
        path: A file that can be read.
        start: Where the part begins, in seconds.
        end: Where the part ends, in seconds; None or NaN means the end of the file.

    >>> from tempfile import TemporaryDirectory
    >>> import soundfile
    >>> with TemporaryDirectory() as folder:
    ...     path, sound = Path(folder, "a.wav"), np.random.default_rng(0).normal(0, 0.1, 800)
    ...     soundfile.write(path, np.stack([sound, -sound], 1), 8000)
    ...     channels_cancel(path)
    True
    """
    samples, _ = read_samples(path, start, None if _open_end(end) else end)
    return bool(samples.mean(axis=1).std() < _SILENT <= samples.std(axis=0).max())


def _open_end(end: float | None) -> bool:
    return end is None or math.isnan(end)
