"""Recordings, or stretches of them, read from disk: what worker processes do while a network is trained."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cleser.alignment.packed import PackedAlignments
from cleser.alignment.phones import Alignment
from cleser.speech.audio import load_audio

Wave = npt.NDArray[np.float32]
_READERS: Final = 4  # threads that read the recordings of a batch; a worker process has one of them


class Excerpt(NamedTuple):
    """A recording, or a stretch of it.

    Attributes:
        wave: Samples, float32 [T].
        alignment: The phones that sound in it; None where nobody knows.
    """

    wave: Wave
    alignment: Alignment | None


class ExcerptRequest(NamedTuple):
    """Which stretches are wanted of which recordings.

    Attributes:
        at: Positions.
        crop: Longest stretch, in seconds; None for whole recordings.
        seeds: Seeds, one for each position, that decide where in the recording its stretch lies.
    """

    at: Sequence[int]
    crop: float | None = None
    seeds: Sequence[tuple[int, ...]] = ()


@dataclass(frozen=True)
class Excerpts:
    """Reads recordings by position. It holds no more than where they lie, so that it goes to other processes.

    Attributes:
        paths: Paths of the N recordings.
        starts: Where each utterance begins in its recording, in seconds.
        ends: Where it ends; NaN is the recording's end.
        alignments: When each one's phones sound.
        rate: Sampling rate wanted, in Hz.
    """

    paths: Sequence[str]
    starts: Sequence[float]
    ends: Sequence[float]
    alignments: Sequence[Alignment | None]
    rate: int

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, wanted: ExcerptRequest, *, threads: int | None = None) -> list[Excerpt]:
        """Read some of the recordings, in the order asked for.

        Args:
            wanted: The stretches to read.
            threads: Number of threads that read at the same time.

        Raises:
            AudioError: A recording can no longer be read.
        """
        seeds = wanted.seeds or [()] * len(wanted.at)
        with ThreadPoolExecutor(threads or min(_READERS, os.cpu_count() or 1)) as pool:
            return list(pool.map(self._read, wanted.at, seeds, repeat(wanted.crop)))

    def _read(self, i: int, seeds: tuple[int, ...], crop: float | None) -> Excerpt:
        wave = load_audio(self.paths[i], self.rate, start=self.starts[i], end=self.ends[i]).numpy()
        whole = Excerpt(wave, self.alignments[i])
        return whole if crop is None else stretch(whole, self.rate, crop, seeds)

    @classmethod
    def join(cls, parts: Sequence[Excerpts]) -> Excerpts:
        """Join several, one after another."""
        return cls(
            [path for p in parts for path in p.paths],
            [start for p in parts for start in p.starts],
            [end for p in parts for end in p.ends],
            PackedAlignments(chain.from_iterable(p.alignments for p in parts)),
            parts[0].rate,
        )


def stretch(whole: Excerpt, rate: int, longest: float, seeds: tuple[int, ...]) -> Excerpt:
    """A stretch of a recording, and the phones that sound in it.

    Args:
        whole: The recording.
        rate: Its sampling rate, in Hz.
        longest: Length of the stretch, in seconds; a recording that is no longer is taken whole.
        seeds: Decide where it begins.
    """
    wave, alignment = whole
    length = round(longest * rate)
    if len(wave) <= length:
        return whole
    first = int(np.random.default_rng(seeds).integers(len(wave) - length + 1))
    cut = wave[first : first + length].copy()  # or the rest would stay in memory, and be sent along
    if alignment is None or alignment.uniform:
        return Excerpt(cut, alignment)
    starts = np.clip(alignment.starts - first / rate, 0, longest)
    ends = np.clip(alignment.ends - first / rate, 0, longest)
    heard = ends - starts > 0
    phones = [name for name, h in zip(alignment.phones, heard, strict=True) if h]
    return Excerpt(cut, Alignment(starts[heard], ends[heard], tuple(phones)))
