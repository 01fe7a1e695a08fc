"""What is kept of a recording to know it again: a hash of its samples, and a small picture of its sound.

The hash finds exact copies, whatever the container. The picture survives lossy codecs, other sampling rates, channels,
levels and small cuts: band energies over time around the middle of the sound, in cells wide enough that a few
milliseconds do not matter. Alike pictures are only candidates; :mod:`cleser.corpora.audit.copies` compares their
samples.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray
from scipy import fft

from cleser.corpora.manifest import Problem
from cleser.corpora.recording import RecordingError, open_recording, said, samples_between

FRAME = 0.04  # seconds of a frame, a Hann window
HOP = 0.02  # seconds from frame to frame
CELLS = 24  # of the picture in time
SPAN = 5.6  # standard deviations of the energy in time that the picture shows
# Bands in Hz: inside what telephones and recordings at 8 kHz keep, above hum and offsets.
EDGES = np.array([150, 300, 500, 750, 1050, 1400, 1800, 2250, 2750, 3350])
DIM = CELLS * (len(EDGES) - 2)

_BLOCK = 10.0  # seconds that are in memory at once
_REMEMBERED = 1 << 15  # recordings, a kilobyte each


class Fingerprint(NamedTuple):
    """What is kept of one recording.

    Attributes:
        sound: Hash of the samples, their rate and channels.
        middle: Where the middle of the sound is, in seconds of the file.
        picture: float16 [CELLS · bands] of length one; zeros where nothing sounds.
    """

    sound: str
    middle: float
    picture: NDArray[np.float16]


@dataclass(frozen=True)
class Fingerprints:
    """What is kept of the recordings of a manifest, row by row.

    Attributes:
        sounds: Hashes; None where the recording cannot be read.
        middles: Seconds of the file, float64 [N]; NaN where it cannot be read.
        pictures: float16 [N, DIM]; zeros where it cannot be read or nothing sounds.
        problems: The recordings that cannot be read, with the reason.
    """

    sounds: list[str | None]
    middles: NDArray[np.float64]
    pictures: NDArray[np.float16]
    problems: list[Problem] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sounds)


def fingerprints(
    manifest: pd.DataFrame, advance: Callable[[], object] | None = None
) -> Fingerprints:
    """Read every recording once, and keep about 600 bytes of each.

    A process reads a file again only once it has changed, or once many others have been read.

    Args:
        manifest: Utterances with ``path, start, end``.
        advance: Called after each recording.
    """

    def one(path: str, start: float, end: float) -> Fingerprint | Problem:
        try:
            found: Fingerprint | Problem = _known(path, start, end)
        except RecordingError as error:
            found = Problem(path, str(error))
        if advance:
            advance()
        return found

    pictures = np.zeros((len(manifest), DIM), dtype=np.float16)
    middles = np.full(len(manifest), np.nan)
    sounds: list[str | None] = [None] * len(manifest)
    problems = []
    columns = (manifest["path"], manifest["start"], manifest["end"])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for i, found in enumerate(pool.map(one, *columns)):
            if isinstance(found, Problem):
                problems.append(found)
            else:
                sounds[i], middles[i], pictures[i] = found
    return Fingerprints(sounds, middles, pictures, problems)


def _known(path: str, start: float, end: float) -> Fingerprint:
    """The result of `fingerprint`, from memory where the file has not changed since."""
    try:
        found = os.stat(path)  # noqa: PTH116  (Path objects cost more than the call)
    except OSError:
        return fingerprint(path, start, end)  # which says what is wrong
    until = None if math.isnan(end) else end  # NaN is no key: it does not equal itself
    return _read(path, start, until, found.st_size, found.st_mtime_ns)


@lru_cache(_REMEMBERED)
def _read(path: str, start: float, end: float | None, size: int, changed: int) -> Fingerprint:
    return fingerprint(path, start, math.nan if end is None else end)


def fingerprint(path: str, start: float = 0.0, end: float = float("nan")) -> Fingerprint:
    """Read a stretch of a recording block by block.

    Args:
        path: The recording.
        start: Where the stretch begins, in seconds.
        end: Where it ends; NaN for the end of the file.

    Raises:
        RecordingError: It cannot be read, holds no samples there, or holds samples that are not finite.
    """
    digest = hashlib.sha256()
    energies = []
    try:
        with open_recording(path) as file:
            bands = _Bands(file.samplerate)
            shape = (0, file.channels)
            for block in _blocks(file, start, end):
                # As floats, which hold 8 to 24 bits exactly: a float copy has the same. Plus 0 turns -0 into 0.
                digest.update((block + np.float32(0)).data)
                shape = (shape[0] + len(block), file.channels)
                energies.append(bands.add(mono(block)))
            energies.append(bands.finish())
            digest.update(str((file.samplerate, shape)).encode())
    except soundfile.LibsndfileError as error:
        raise RecordingError(f"cannot be decoded ({said(error)})") from error
    if not shape[0]:
        raise RecordingError(f"holds no samples from {start:g} s on")
    energy = np.concatenate(energies)
    if not np.isfinite(energy).all():
        raise RecordingError("holds samples that are NaN or infinite")
    middle, picture = _picture(energy)
    return Fingerprint(digest.hexdigest()[:32], start + middle, picture)


def _blocks(file: soundfile.SoundFile, start: float, end: float) -> Iterator[NDArray[np.float32]]:
    """The samples [T, channels] from start to end, some seconds at a time."""
    first = round(start * file.samplerate)
    last = file.frames if np.isnan(end) else min(round(end * file.samplerate), file.frames)
    at = first
    for block in samples_between(file, first, last, round(_BLOCK * file.samplerate)):
        yield block
        at += len(block)
    if at < last:
        raise RecordingError(f"is cut off: the header promises {file.frames} samples, found {at}")


def mono(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the channels of samples [T, channels]."""
    channels = samples.shape[1]
    return samples[:, 0] if channels == 1 else samples.mean(axis=1, dtype=np.float32)


class _Bands:
    """Band energies of frames, block by block: the same frames whatever the blocks.

    Frames are as long, and as far apart, in seconds at every sampling rate. Before its first sample and after its
    last the sound is thought to stay as it is, so that neither a cut nor an offset makes a click.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.window, self.bins, self.filters = _filters(rate)
        self.size = len(self.window)
        self.held = np.empty(0, dtype=np.float32)
        self.begin = -(self.size // 2)  # sample at which what is held begins
        self.next = 0  # the first frame that is not finished

    def add(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Energies [frames, bands] of the frames that end within these samples."""
        if not len(self.held) and self.next == 0:
            self.held = np.repeat(samples[:1], self.size // 2)
        sound = np.concatenate([self.held, samples])
        hop = HOP * self.rate
        shift = self.begin + self.size // 2
        last = max(int((shift + len(sound) - self.size) / hop) + 2, self.next)
        starts = np.rint(np.arange(self.next, last) * hop).astype(int) - shift
        starts = starts[starts + self.size <= len(sound)]
        self.next += len(starts)
        keep = min(round(self.next * hop) - shift, len(sound))
        self.held, self.begin = sound[keep:], self.begin + keep
        if not len(starts):
            return np.empty((0, len(EDGES) - 2), dtype=np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(sound, self.size)
        even = slice(int(starts[0]), int(starts[-1]) + 1, round(hop))
        frames = windows[even if hop == round(hop) else starts]  # the first copies nothing
        spectrum = fft.rfft(frames * self.window, axis=1)[:, self.bins]
        energies: NDArray[np.float32] = (spectrum.real**2 + spectrum.imag**2) @ self.filters
        return energies

    def finish(self) -> NDArray[np.float32]:
        """Energies of the last frames."""
        return self.add(np.repeat(self.held[-1:], self.size // 2))


@lru_cache
def _filters(rate: int) -> tuple[NDArray[np.float32], slice, NDArray[np.float32]]:
    """The window [T], which bins of its spectrum are used, and their weights [bins, bands] in triangular bands."""
    size = max(round(FRAME * rate), 1)
    window = np.hanning(size + 1)[:-1] / rate  # energies do not depend on the rate
    hertz = np.arange(size // 2 + 1) * rate / size
    bins = slice(*np.searchsorted(hertz, (EDGES[0], EDGES[-1])))
    low, centre, high = EDGES[:-2], EDGES[1:-1], EDGES[2:]
    at = hertz[bins, None]
    rise, fall = (at - low) / (centre - low), (high - at) / (high - centre)
    filters = np.clip(np.minimum(rise, fall), 0, None)
    return window.astype(np.float32), bins, filters.astype(np.float32)


def _picture(energy: NDArray[np.float32]) -> tuple[float, NDArray[np.float16]]:
    """The middle of the sound in seconds, and the picture of what is around it, from energies [frames, bands]."""
    total = energy.sum(axis=1, dtype=np.float64)
    if not total.any():
        return 0.0, np.zeros(DIM, dtype=np.float16)
    time = np.arange(len(energy)) * HOP
    share = total / total.sum()
    middle = float(share @ time)
    spread = float(np.sqrt(share @ (time - middle) ** 2))
    cell = max(SPAN * spread / CELLS, HOP)
    cells = middle + cell * (np.arange(CELLS) - (CELLS - 1) / 2)
    weight = np.clip(1 - np.abs(cells[:, None] - time) / max(cell, 2 * HOP), 0, None)
    picture = np.sqrt(weight @ energy.astype(np.float64))
    picture -= picture.mean(axis=0)  # a filter that changes bands' levels changes little
    length = np.linalg.norm(picture)
    return middle, (picture / max(length, 1e-30)).ravel().astype(np.float16)
