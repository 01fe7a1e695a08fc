"""Which recordings are the same one: to the sample, or through codecs, other rates, levels, channels and small cuts.

Every recording is read once. Those whose pictures (:mod:`cleser.corpora.audit.fingerprints`) are alike are then read
again, two by two, and compared sample by sample. Another take of the same words by the same person is not a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import soxr
from numpy.typing import NDArray
from scipy import fft

from cleser.corpora.audit.fingerprints import fingerprints, mono
from cleser.corpora.manifest import Problem
from cleser.corpora.recording import read_samples
from cleser.progress import each

ALIKE = 0.92  # cosine of two pictures from which on their recordings are compared
SAME = 0.75  # similarity from which on two recordings are the same
RATE = 8000  # Hz at which recordings are compared

COLUMNS = (
    "kind", "part", "utterance", "path", "other_part", "other_utterance", "other_path",
    "similarity", "lag",
)  # fmt: skip

_BAND = (200.0, 3400.0)  # Hz that telephones and codecs keep
_SIDE = 10.0  # seconds before and behind the middle of the sound that are compared
_FINER = 4  # lags that are tried between two samples
_FRAME = 400  # samples of the stretches that have to agree each, 50 ms
_TILE = 2048
_REMEMBERED = 100_000
# Similarity and lag of two sounds by their hashes: a comparison of methods audits the same corpora once for each run.
_COMPARED: dict[tuple[str, str], tuple[float, float]] = {}

Stretch = tuple[str, float, float]


class Near(NamedTuple):
    """Two sounds that differ in their samples and are the same recording.

    Attributes:
        one: Hash of one.
        other: Hash of the other.
        similarity: See :func:`similarity`.
        lag: How many seconds later in its stretch the other one sounds.
    """

    one: str
    other: str
    similarity: float
    lag: float


@dataclass(frozen=True)
class Copies:
    """Which stretches of recordings hold the same sound.

    Attributes:
        sounds: Hash of the samples of each stretch ``(path, start, end)``; an open end is −1.
        near: Sounds that are the same recording.
        problems: Recordings that could not be compared.
    """

    sounds: dict[Stretch, str]
    near: list[Near]
    problems: list[Problem]

    def pairs(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Utterances that are the same recording, in the columns :data:`COLUMNS`.

        Args:
            frame: Utterances with ``utterance, path, start, end, part``; an utterance may stand in several parts.

        Returns:
            For each recording with copies the first utterance beside every other, and the first of each part beside
            the first of every other part, so that no two parts share a recording without a row that says so.
        """
        rows: dict[str, list[int]] = {}
        for row, stretch in enumerate(stretches(frame)):
            if stretch in self.sounds:
                rows.setdefault(self.sounds[stretch], []).append(row)
        parts = frame["part"].tolist()
        found: dict[tuple[int, int], tuple[str, float, float]] = {}
        for same in rows.values():
            if len(same) > 1:
                firsts = _first_of_each(same, parts)
                for one, other in ((same[0], row) for row in same[1:]):
                    found[one, other] = ("exact", 1.0, 0.0)
                for one, other in product(firsts, firsts):
                    if one < other:
                        found[one, other] = ("exact", 1.0, 0.0)
        for near in self.near:
            sides = (_first_of_each(rows.get(name, []), parts) for name in (near.one, near.other))
            for one, other in product(*sides):
                sign = 1 if one < other else -1
                found[min(one, other), max(one, other)] = ("near", near.similarity, sign * near.lag)
        named = frame[["part", "utterance", "path"]].to_numpy()
        table = [
            (kind, *named[one], *named[other], round(how, 3), round(lag, 4))
            for (one, other), (kind, how, lag) in sorted(found.items())
        ]
        return pd.DataFrame(table, columns=list(COLUMNS))


def _first_of_each(rows: list[int], parts: list[str]) -> list[int]:
    firsts: dict[str, int] = {}
    for row in rows:
        firsts.setdefault(parts[row], row)
    return list(firsts.values())


def stretches(frame: pd.DataFrame) -> list[Stretch]:
    """The file of each utterance, and where in it the utterance begins and ends."""
    return list(zip(frame["path"], frame["start"], frame["end"].fillna(-1.0), strict=True))


def find_copies(manifest: pd.DataFrame, advance: Callable[[], object] | None = None) -> Copies:
    """Read the recordings of a manifest and find those that are the same.

    Args:
        manifest: Utterances with ``path, start, end``; one that stands there twice is read twice.
        advance: Called after each recording read. How far the comparing has come is shown apart: where a recording has
            many near copies, it is most of the work.
    """
    read = fingerprints(manifest, advance)
    known = {
        stretch: sound
        for stretch, sound in zip(stretches(manifest), read.sounds, strict=True)
        if sound is not None
    }
    sounding = set(np.flatnonzero(read.pictures.any(axis=1)).tolist())
    first: dict[str, int] = {}
    for row, name in enumerate(read.sounds):
        if name is not None and row in sounding:
            first.setdefault(name, row)
    rows = list(first.values())
    columns = manifest[["path", "start", "end"]].to_numpy()

    @lru_cache(maxsize=256)  # neighbours in the table are often candidates together
    def sound(row: int) -> tuple[NDArray[np.float32], float]:
        return excerpt(*columns[row], middle=read.middles[row])

    def compared(one: int, other: int) -> Near:
        names = (read.sounds[one] or "", read.sounds[other] or "")
        if names not in _COMPARED:
            if len(_COMPARED) >= _REMEMBERED:
                _COMPARED.clear()
            (x, begin), (y, other_begin) = sound(one), sound(other)
            how, lag = similarity(x, y)
            _COMPARED[names] = how, lag + other_begin - begin
        return Near(*names, *_COMPARED[names])

    candidates = list(alike(read.pictures[rows]))
    compared_so_far = each(candidates, "comparing alike recordings", len(candidates))
    pairs = (compared(rows[i], rows[j]) for i, j in compared_so_far)
    near = [pair for pair in pairs if pair.similarity >= SAME]
    return Copies(known, near, read.problems)


def alike(pictures: NDArray[np.float16], least: float = ALIKE) -> Iterator[tuple[int, int]]:
    """Pairs of rows whose cosine is at least this, the smaller row first.

    A product of matrices, tile by tile: N² · D operations in the memory of a tile.

    Args:
        pictures: Rows [N, D] of length one.
        least: The least cosine.

    >>> list(alike(np.eye(3, dtype=np.float16)[[0, 1, 0]]))
    [(0, 2)]
    """
    for i in range(0, len(pictures), _TILE):
        rows = pictures[i : i + _TILE].astype(np.float32)
        for j in range(i, len(pictures), _TILE):
            cosine = rows @ pictures[j : j + _TILE].astype(np.float32).T
            for one, other in np.argwhere(cosine >= least).tolist():
                if i + one < j + other:
                    yield i + one, j + other


def excerpt(
    path: str, start: float = 0.0, end: float = float("nan"), *, middle: float
) -> tuple[NDArray[np.float32], float]:
    """Up to twenty seconds of a stretch at 8 kHz, and where in the stretch they begin, in seconds."""
    first = max(start, middle - _SIDE)
    last = middle + _SIDE if np.isnan(end) else min(end, middle + _SIDE)
    samples, rate = read_samples(path, first, last)
    sound = mono(samples)
    sound = sound - sound.mean()
    return (sound if rate == RATE else soxr.resample(sound, rate, RATE)), first - start


def similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[float, float]:
    r"""How surely two sounds are one recording, and by how many seconds the other is late.

    With the analytic signals x, y of both sounds' derivatives between 200 and 3400 Hz, y shifted to where their
    correlation is greatest, and f frames of 50 ms:

    .. math:: s = \frac{\sum_f \sqrt{\|x_f\|\,\|y_f\|}\; \mathrm{Re}\,(e^{-i\varphi} \langle x_f, y_f\rangle) /
                  (\|x_f\|\,\|y_f\|)}{\sqrt{\sum_f \|x_f\| \sum_f \|y_f\|}},
              \quad \varphi = \arg \sum_f \langle x_f, y_f\rangle

    One lag and one phase have to fit all frames, loud and quiet, low and high: a steady vowel, or a click, is much
    like another for a moment only. The derivative lifts what lies above the fundamental. A copy of any level or sign
    has 1.

    Args:
        one: Samples [T] at 8 kHz.
        other: Samples [U] at 8 kHz.

    >>> noise = np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    >>> how, lag = similarity(noise[800:], -0.1 * noise)
    >>> round(lag, 4), how > 0.9
    (0.1, True)
    """
    n = fft.next_fast_len(len(one) + len(other), real=True)
    hertz = fft.rfftfreq(n, 1 / RATE)
    derivative = np.where((hertz >= _BAND[0]) & (hertz <= _BAND[1]), hertz, 0.0)
    X, Y = (fft.rfft(sound.astype(np.float64), n) * derivative for sound in (one, other))
    if not (X.any() and Y.any()):
        return 0.0, 0.0
    correlation = np.abs(fft.ifft(X * Y.conj(), _FINER * n))
    peak = int(correlation.argmax())
    lag = (peak if peak < _FINER * n / 2 else peak - _FINER * n) / _FINER / RATE
    x = _frames(fft.ifft(X, n))
    y = _frames(fft.ifft(Y * np.exp(-2j * np.pi * hertz * lag), n))
    aligned = (x * y.conj()).sum(axis=1)
    total = aligned.sum()
    agreement = (aligned * np.conj(total) / np.abs(total)).real
    x_norm, y_norm = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    weight = np.sqrt(np.maximum(x_norm * y_norm, 1e-30))
    how = (agreement / weight).sum() / np.sqrt(x_norm.sum() * y_norm.sum())
    return float(how), -lag


def _frames(signal: NDArray[np.complex128]) -> NDArray[np.complex128]:
    whole = -len(signal) % _FRAME
    return np.pad(signal, (0, whole)).reshape(-1, _FRAME)
