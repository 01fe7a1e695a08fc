"""TextGrids by the thousand: one compiled pass a file, its symbols looked up in a table.

Compiled loops take a second to load. Who reads a few files is done by then; who reads a corpus reads most of it
several times faster.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Final

import numpy as np

from cleser.anchors.symbols import ALPHABETS, hands_of, is_silence, split_symbol
from cleser.speech.alignment.phones import Alignment
from cleser.speech.alignment.textgrid import quality_of
from cleser.speech.alignment.textgrid_scan import (
    LENGTHENED,
    LONGEST,
    PHONE,
    SILENCE,
    STRESSED,
    TONED,
    UNKNOWN,
    Ints,
    Times,
    enter,
    read_tier,
    scan,
)
from cleser.speech.alignment.tiers import UnclearTierError, choose_tier
from cleser.speech.alignment.trigraphs import to_unicode

_TIERS: Final = 64
_SHORTEST: Final = 7  # bytes of an interval: two digits, two quotes, three spaces
_PARTS: Final = (STRESSED, TONED, LENGTHENED)


class BulkReader:
    """Reads TextGrids as `read_textgrid` and `to_alignment` do; whatever is not plain it leaves to them.

    Symbols are learned as files bring them. Threads may share a reader.
    """

    def __init__(self) -> None:
        self._marks = _Marks()
        self._own = threading.local()

    def read(
        self, content: bytes, tier: str | int | None, alphabet: str | None
    ) -> Alignment | None:
        """The phones of a file in plain UTF-8; None where a closer look is needed."""
        room = self._room(len(content))
        found, exact = scan(content, room.tiers, room.times, room.spans, room.marks)
        if found <= 0 or not (alphabet is None or alphabet in ALPHABETS):
            return None
        tiers = room.tiers[:found].tolist()
        at, remarks = _choose(tuple([content[begin:end] for begin, end, _, _ in tiers]), tier)
        if at is None:
            return None
        remark = "" if remarks is None else _text(content, room, *tiers[remarks][2:])
        if remark.startswith("uniform"):
            return None
        _, _, first, count = tiers[at]
        if not exact:
            _read_digits(content, room, first, count)
        return self._alignment(
            content, room, first, count, alphabet, quality_of(remark) if remark else None
        )

    def _room(self, size: int) -> _Room:
        """This thread's memory for a file of so many bytes."""
        room: _Room | None = getattr(self._own, "room", None)
        if room is None or len(room.times) * _SHORTEST < size:
            room = self._own.room = _Room(2 * size // _SHORTEST + 1)
        return room

    def _alignment(
        self,
        content: bytes,
        room: _Room,
        first: int,
        count: int,
        alphabet: str | None,
        quality: float | None,
    ) -> Alignment | None:
        asked = -1 if alphabet is None else ALPHABETS.index(alphabet)
        out = np.empty((2, count))
        while True:
            known = self._marks.known
            kept, at, parts = read_tier(
                content, room.marks, room.times, first, count, *known.arrays, asked, room.ids, out
            )
            if kept >= 0:
                return known.alignment(out[:, :kept], room.ids[:kept], at, parts, quality)
            if kept != UNKNOWN or not self._marks.learn(content[slice(*room.marks[at].tolist())]):
                return None


class _Room:
    """Where a scan writes."""

    def __init__(self, intervals: int) -> None:
        self.tiers = np.empty((_TIERS, 4), np.int64)
        self.times = np.empty((intervals, 2))
        self.spans = np.empty((2 * intervals, 2), np.int64)
        self.marks = np.empty((intervals, 2), np.int64)
        self.ids = np.empty(intervals, np.int64)


class _Known:
    """Marks that were met, each with what it is in every alphabet."""

    def __init__(self, marks: list[bytes]) -> None:
        size = 1 << (2 * len(marks) + 15).bit_length()
        keys, filled = np.zeros((size, 2), np.uint64), np.full(size, -1)
        known = np.zeros((len(marks), len(ALPHABETS) + 2), np.int64)
        parts = [[("", 0, "", "") for _ in marks] for _ in ALPHABETS]
        for number, mark in enumerate(marks):
            enter(mark, number, keys, filled)
            text = _plain(mark)
            known[number, -2:] = hands_of(text)
            for a, alphabet in enumerate(ALPHABETS):
                if is_silence(text):
                    known[number, a] = SILENCE
                elif (symbol := _symbol(text, alphabet)) is not None:
                    parts[a][number] = symbol
                    known[number, a] = PHONE | sum(
                        bit for bit, part in zip(_PARTS, symbol[1:], strict=True) if part
                    )
        self.arrays = keys, filled, known
        # Arrays of Python's own objects: what many marks stand for is taken out at once.
        self._phones, self._stress, self._tones, self._lengths = (
            [np.array([symbol[part] for symbol in row], kind) for row in parts]
            for part, kind in enumerate((object, np.int64, object, object))
        )

    def alignment(
        self, times: Times, ids: Ints, alphabet: int, parts: int, quality: float | None
    ) -> Alignment:
        """The phones of these numbers, with those of their parts that any has."""
        tones, lengths = self._tones[alphabet], self._lengths[alphabet]
        return Alignment.checked(
            times,
            tuple(self._phones[alphabet].take(ids).tolist()),
            stress=self._stress[alphabet].take(ids) if parts & STRESSED else None,
            tones=tuple(tones.take(ids).tolist()) if parts & TONED else None,
            lengths=tuple(lengths.take(ids).tolist()) if parts & LENGTHENED else None,
            quality=quality,
        )


class _Marks:
    """The table of marks; readers in other threads keep the one they have while a new one is made."""

    def __init__(self) -> None:
        self.known = _Known([])
        self._list: list[bytes] = []
        self._lock = threading.Lock()

    def learn(self, mark: bytes) -> bool:
        """Take a mark in, unless no alphabet has it."""
        text = _plain(mark)
        if len(mark) > LONGEST or b"\0" in mark or not hands_of(text)[0]:
            return False
        with self._lock:
            if mark not in self._list:
                self._list.append(mark)
                self.known = _Known(self._list)
        return True


def _symbol(text: str, alphabet: str) -> tuple[str, int, str, str] | None:
    try:
        return split_symbol(text.strip(), alphabet)
    except ValueError:
        return None


def _plain(text: bytes) -> str:
    found = text.decode()
    return to_unicode(found) if "\\" in found else found


@lru_cache
def _choose(names: tuple[bytes, ...], tier: str | int | None) -> tuple[int | None, int | None]:
    """Which tier holds the phones, and which the remark."""
    plain = tuple(_plain(name) for name in names)
    try:
        at = choose_tier(plain, tier)
    except UnclearTierError:  # said by who knows the file
        return None, None
    remarks = plain.index("alignment") if tier is None and "alignment" in plain else None
    return at, remarks


def _text(content: bytes, room: _Room, first: int, count: int) -> str:
    """All marks of a tier."""
    spans = room.marks[first : first + count].tolist()
    return " ".join(_plain(content[begin:end]) for begin, end in spans)


def _read_digits(content: bytes, room: _Room, first: int, count: int) -> None:
    """Numbers that the scan could not round."""
    times = room.times[first : first + count]
    for i, side in np.argwhere(np.isnan(times)).tolist():
        begin, end = room.spans[2 * (first + i) + side].tolist()
        times[i, side] = float(content[begin:end])
