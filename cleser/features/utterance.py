"""An utterance before it is extracted: its name in a store and its length, found without decoding it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from cleser.alignment import Alignment
from cleser.corpora.recording import read_header
from cleser.features.pooled import Record
from cleser.speech.digests import file_digest, utterance_key

# Seconds by which the difference of two times may be off.
_ROUNDED: Final = 1e-4


class FileContent(NamedTuple):
    """What a recording's name in the store and its length follow from.

    Attributes:
        digest: SHA-256 of its bytes.
        seconds: Length of the recording.
    """

    digest: str
    seconds: float


@cache
def read_file(path: str, size: int, changed: int) -> FileContent:
    """Digest and length of a file; the same call reads it once, until ``read_file.cache_clear()``.

    Args:
        path: The file.
        size: Its size in bytes; a file that has another is read again.
        changed: When it was changed last, in nanoseconds; likewise.
    """
    header = read_header(path)
    return FileContent(file_digest(path), header.frames / header.samplerate)


def _current(path: str) -> FileContent:
    """What a file holds now; it is read once by a process, as long as it stays as it is."""
    found = os.stat(path)  # noqa: PTH116  (Path objects cost more than the call)
    return read_file(path, found.st_size, found.st_mtime_ns)


@dataclass
class Utterance:
    """An utterance on its way into a store.

    Attributes:
        path: Its recording.
        start: Where it begins in it, in seconds.
        end: Where it ends; NaN where the recording does.
        number: Its row in the manifest.
        known: Alignments of all rows; its own is asked for when it is needed, so that not all are held.
        seconds: Its length.
        key: Its name in the store; None where its file cannot be read.
        problem: Why it cannot be used; None where it can.
    """

    path: str
    start: float
    end: float
    number: int
    known: Sequence[Alignment | None] = field(repr=False)
    seconds: float = 0.0
    key: str | None = None
    problem: str | None = None

    @property
    def usable_key(self) -> str | None:
        """Its name in the store; None where it cannot be used."""
        return self.key if self.problem is None else None

    @property
    def alignment(self) -> Alignment | None:
        """When its phones sound, if that is known."""
        return self.known[self.number]

    @classmethod
    def look(
        cls, path: str, start: float, end: float, number: int, *,
        known: Sequence[Alignment | None], record: Record, shortest: float = 0.0,
    ) -> Utterance:  # fmt: skip
        """Find out what :func:`look_up` does of one utterance; what is wrong with it becomes its ``problem``."""
        item = cls(path, start, end, number, known)
        try:
            digest, whole = _current(path)
            item.seconds = min(whole, whole if math.isnan(end) else end) - start
            cuts, spoken = None, record.phones(item.alignment)
            if spoken is not None:
                digest += " " + " ".join(spoken.phones)
                cuts = np.stack([spoken.starts, spoken.ends], 1)
            item.key = utterance_key(digest, start, end, cuts)
        except (OSError, ValueError) as error:
            item.problem = str(error)
        if item.problem is None and not item.seconds > 0:
            item.problem = f"holds {whole:.3f} s of sound, expected some at {start} to {end} s"
        if item.problem is None and item.seconds < shortest - _ROUNDED:
            item.problem = f"lasts {item.seconds:.3f} s, expected {shortest} s or more"
        return item


def look_up(
    manifest: pd.DataFrame,
    known: Sequence[Alignment | None],
    record: Record,
    *,
    share: tuple[int, int] = (0, 1),
    shortest: float = 0.0,
) -> list[Utterance]:
    """Find out names and lengths of a manifest's utterances, or of a share of them, without decoding any.

    Args:
        manifest: Rows with ``path, start, end``.
        known: Alignments of all rows.
        record: What is kept of an utterance, which decides whether its phones are part of its name.
        share: ``(rank, ranks)``: only rows whose number is rank modulo ranks are looked up.
        shortest: Seconds below which an utterance cannot be used.
    """
    rank, ranks = share
    places = (manifest[c].tolist()[rank::ranks] for c in ("path", "start", "end"))
    rows = zip(*places, range(rank, len(known), ranks), strict=True)
    with ThreadPoolExecutor(os.cpu_count()) as readers:
        return list(
            readers.map(
                lambda row: Utterance.look(*row, known=known, record=record, shortest=shortest),
                rows,
            )
        )
