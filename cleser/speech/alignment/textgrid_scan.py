"""TextGrids in one compiled pass over their bytes: where marks stand, what times are, which symbols there are.

The same values count as for the reader that takes token after token (:mod:`cleser.speech.alignment.textgrid`): quoted
texts, free-standing numbers, flags. Whatever could be meant otherwise (comments, doubled quotes, exponents, other
control characters) ends the pass, and that reader decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cleser.anchors.symbols import ALPHABETS, HANDS

Function = TypeVar("Function", bound=Callable[..., Any])
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Times = NDArray[np.float64]

_HANDS = np.array([ALPHABETS.index(name) for name, _ in HANDS])
UNCLEAR: Final = -1
UNKNOWN: Final = -2
_STRING, _NUMBER, _FLAG = 1, 2, 3
_TYPE = np.frombuffer(b"ooTextFile", np.uint8)
_CLASS = np.frombuffer(b"TextGrid", np.uint8)
_EXISTS = np.frombuffer(b"<exists>", np.uint8)
_INTERVALS = np.frombuffer(b"IntervalTier", np.uint8)
_POINTS = np.frombuffer(b"TextTier", np.uint8)
_QUOTE, _REMARK, _LESS, _MINUS, _POINT, _ZERO, _NINE, _RETURN = b'"!<-.09\r'
# What a byte begins.
_WORD, _BLANK, _VALUE = 0, 1, 2
_BEGINS = np.full(256, _WORD, np.uint8)
_BEGINS[[*b" \t\n\v\f\r"]] = _BLANK
_BEGINS[[*b'"<!-0123456789']] = _VALUE
# A quotient of two whole numbers that doubles hold exactly is rounded once, as ``float`` rounds the text.
_EXACT = 15  # digits
_TENS = 10.0 ** np.arange(_EXACT + 1)

# What a mark is in an alphabet, as bits: a phone, with which parts of its own; or silence. Neither: it is not in it.
PHONE: Final = 1
SILENCE: Final = 2
STRESSED: Final = 4
TONED: Final = 8
LENGTHENED: Final = 16
LONGEST: Final = 16  # bytes of a mark


# Nothing is allocated here, and the caller holds every array: counting who else refers to one, call after call, took
# as long as the work (``_nrt``, which Numba sets for its own loops over texts).
_OPTIONS: Final[dict[str, Any]] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "_nrt": False,
}


def _compiled(function: Function) -> Function:
    return cast(Function, njit(**_OPTIONS)(function))


def _inlined(function: Function) -> Function:
    return cast(Function, njit(**_OPTIONS, inline="always")(function))


@_compiled
def _token(data: bytes, at: int) -> tuple[int, int, int, float, int]:
    """The next token that counts: its kind (0 at the end), where it begins and ends, its number, and how to go on.

    The number of a text whose digits doubles do not hold exactly is NaN.
    """
    begin = _next(data, at)
    if begin < 0:
        return UNCLEAR, at, at, 0.0, at
    if begin == len(data):
        return 0, begin, begin, 0.0, begin
    if data[begin] == _QUOTE:
        end = _closing(data, begin + 1)
        return (_STRING if end > 0 else UNCLEAR), begin + 1, end, 0.0, end + 1
    if data[begin] in (_LESS, _REMARK):
        end = begin + len(_EXISTS)
        flag = _equal(data, begin, end, _EXISTS) and _ends(data, end)
        return (_FLAG if flag else UNCLEAR), begin, end, 0.0, end
    end, value = _number(data, begin)
    return (_NUMBER if end > 0 else UNCLEAR), begin, end, value, end


@_inlined
def _next(data: bytes, at: int) -> int:
    """Where the next token begins that counts, after words that do not; ``UNCLEAR`` where a word is no plain one."""
    size = len(data)
    while at < size:
        begins = _BEGINS[data[at]]
        if begins == _BLANK:
            at += 1
        elif begins == _VALUE:
            return at
        else:
            while at < size and 32 < data[at] < 127 and data[at] != _QUOTE:
                at += 1
            if not _ends(data, at):
                return UNCLEAR
    return at


@_inlined
def _ends(data: bytes, at: int) -> bool:
    return at == len(data) or (at < len(data) and _BEGINS[data[at]] == _BLANK)


@_inlined
def _closing(data: bytes, at: int) -> int:
    """Where the quote stands that ends a text of UTF-8, 0 where it is another's or stands beside another quote."""
    size = len(data)
    while at < size and data[at] != _QUOTE:
        length = 1 if 32 <= data[at] < 128 else _length(data, at)
        if length == 0:
            return 0
        at += length
    return at if at < size and _ends(data, at + 1) else 0


@_compiled
def _length(data: bytes, at: int) -> int:
    """Bytes of a character beyond plain ASCII (Unicode Standard, table 3-7), 0 where none may stand here."""
    first = data[at]
    if first < 128:  # NUL may be half a letter, and a carriage return half of a line's end
        return int(first not in (0, _RETURN))
    length = 2 * int(first >= 0xC2) + int(first >= 0xE0) + int(first >= 0xF0)
    if length == 0 or first > 0xF4 or at + length > len(data):
        return 0
    low, high = 0x80, 0xBF
    if first in (0xE0, 0xF0):
        low = 0xA0 if first == 0xE0 else 0x90
    if first in (0xED, 0xF4):
        high = 0x9F if first == 0xED else 0x8F
    if not low <= data[at + 1] <= high:
        return 0
    for i in range(at + 2, at + length):
        if not 0x80 <= data[i] <= 0xBF:
            return 0
    return length


@_inlined
def _number(data: bytes, at: int) -> tuple[int, float]:
    """Where the number ends that begins here, 0 where none does, and its value."""
    size, whole, places = len(data), 0, 0
    negative = data[at] == _MINUS
    at += negative
    first = at
    while at < size and _ZERO <= data[at] <= _NINE:
        whole = 10 * whole + (data[at] - _ZERO)
        at += 1
    digits = at - first
    if at < size and data[at] == _POINT:
        at += 1
        first = at
        while at < size and _ZERO <= data[at] <= _NINE:
            whole = 10 * whole + (data[at] - _ZERO)
            at += 1
        places = at - first
    if digits == 0 or not _ends(data, at):
        return 0, 0.0
    if digits + places > _EXACT:  # the whole number may be any by now
        return at, np.nan
    value = whole / _TENS[places]
    return at, (-value if negative else value)


@_compiled
def _equal(data: bytes, begin: int, end: int, word: NDArray[np.uint8]) -> bool:
    if end - begin != len(word) or end > len(data):
        return False
    for i in range(len(word)):  # noqa: SIM110  (as the compiler knows it)
        if data[begin + i] != word[i]:
            return False
    return True


@_compiled
def _head(data: bytes) -> tuple[int, int]:
    """How many tiers there are, and where the first begins; ``UNCLEAR`` where it is no head as programs write it."""
    kind, begin, end, _, at = _token(data, 0)
    if kind != _STRING or not _equal(data, begin, end, _TYPE):
        return UNCLEAR, at
    kind, begin, end, _, at = _token(data, at)
    if kind != _STRING or not _equal(data, begin, end, _CLASS):
        return UNCLEAR, at
    for expected in (_NUMBER, _NUMBER, _FLAG):
        kind, _, _, _, at = _token(data, at)
        if kind != expected:
            return UNCLEAR, at
    kind, _, _, number, at = _token(data, at)
    if kind != _NUMBER or not 0 <= number < len(data) or number != int(number):
        return UNCLEAR, at
    return int(number), at


@_compiled
def _tier_head(data: bytes, at: int) -> tuple[int, int, int, int, int]:
    """How many times each mark of a tier has (or ``UNCLEAR``), where its name stands, how many marks, from where on."""
    kind, begin, end, _, at = _token(data, at)
    intervals = kind == _STRING and _equal(data, begin, end, _INTERVALS)
    points = kind == _STRING and _equal(data, begin, end, _POINTS)
    kind, begin, end, _, at = _token(data, at)
    if kind != _STRING or not (intervals or points):
        return UNCLEAR, begin, end, 0, at
    number = 0.0
    for _ in range(3):
        kind, _, _, number, at = _token(data, at)
        if kind != _NUMBER:
            return UNCLEAR, begin, end, 0, at
    if not 0 <= number < len(data) or number != int(number):
        return UNCLEAR, begin, end, 0, at
    return 1 + intervals, begin, end, int(number), at


@_compiled
def scan(data: bytes, tiers: Ints, times: Times, spans: Ints, marks: Ints) -> tuple[int, bool]:
    """Find all tiers of intervals.

    Args:
        data: The file in UTF-8.
        tiers: Written: of each its name's first byte and the byte after its last, its first interval and their count.
        times: Written: start and end of each interval, [N, 2]; NaN where doubles do not hold the digits.
        spans: Written: the same numbers' first byte and the byte after their last, [2N, 2].
        marks: Written: likewise of each mark, [N, 2].

    Returns:
        How many tiers of intervals there are, or ``UNCLEAR``; and whether all of their times are numbers.
    """
    count, at = _head(data)
    if count > len(tiers):
        return UNCLEAR, False
    found, n, exact = 0, 0, True
    for _ in range(count):
        sides, name, name_end, size, at = _tier_head(data, at)
        if sides == UNCLEAR or size > len(times) - n:
            return UNCLEAR, False
        for i in range(n, n + size):
            # What must come next is known, so that no token is asked for its kind.
            for side in range(sides):
                begin = _next(data, at)
                at = 0
                if 0 <= begin < len(data):
                    at, times[i, side] = _number(data, begin)
                if at == 0:
                    return UNCLEAR, False
                spans[2 * i + side, 0], spans[2 * i + side, 1] = begin, at
                exact &= times[i, side] == times[i, side]  # false for NaN
            begin = _next(data, at)
            if not 0 <= begin < len(data) or data[begin] != _QUOTE:
                return UNCLEAR, False
            at = _closing(data, begin + 1)
            if at == 0:
                return UNCLEAR, False
            marks[i, 0], marks[i, 1] = begin + 1, at
            at += 1
        if sides == 2:  # points are passed over
            tiers[found, 0], tiers[found, 1] = name, name_end
            tiers[found, 2], tiers[found, 3] = n, size
            found, n = found + 1, n + size
    return found, exact


@_compiled
def _packed(data: bytes, begin: int, end: int) -> tuple[int, int]:
    """Up to 16 bytes as two words; marks of other length or with a zero byte are never looked up."""
    low, high = np.uint64(0), np.uint64(0)
    for i in range(begin, end):
        shift = np.uint64(8 * ((i - begin) & 7))
        if i - begin < 8:
            low |= np.uint64(data[i]) << shift
        else:
            high |= np.uint64(data[i]) << shift
    return low, high  # type: ignore[return-value]


@_compiled
def _slot(low: int, high: int, keys: Words, filled: Ints) -> int:
    """Where in the table two words stand, or are to stand. Its length is a power of 2, and some places are empty."""
    mixed = (np.uint64(low) ^ (np.uint64(high) * np.uint64(0xD6E8FEB86659FD93))) * np.uint64(
        0x9E3779B97F4A7C15
    )
    last = len(keys) - 1
    slot = np.int64(mixed >> np.uint64(40)) & last
    while filled[slot] >= 0 and not (keys[slot, 0] == low and keys[slot, 1] == high):
        slot = (slot + 1) & last
    return int(slot)


@_compiled
def enter(mark: bytes, number: int, keys: Words, filled: Ints) -> None:
    """Put a mark of up to 16 bytes into the table."""
    low, high = _packed(mark, 0, len(mark))
    slot = _slot(low, high, keys, filled)
    keys[slot, 0], keys[slot, 1], filled[slot] = low, high, number


@_compiled
def read_tier(
    data: bytes,
    marks: Ints,
    times: Times,
    first: int,
    count: int,
    keys: Words,
    filled: Ints,
    known: Ints,
    alphabet: int,
    ids: Ints,
    out: Times,
) -> tuple[int, int, int]:
    """A tier's phones: which of the known marks they are, and their times.

    Args:
        data: The file.
        marks: Where marks stand, [N, 2].
        times: Starts and ends, [N, 2].
        first: The tier's first interval.
        count: How many intervals it has.
        keys: The table of known marks (`enter`), [K, 2].
        filled: Number of the mark in each place of the table, −1 for none, [K].
        known: Of each mark what it is in each alphabet, then the hands that can have written it and those of which it
            is typical, all as bits, [M, A + 2].
        alphabet: Which one, or −1: tell it.
        ids: Written: numbers of the phones' marks, [count].
        out: Written: their starts and ends, [2, count].

    Returns:
        How many phones there are, their alphabet, and the bits of any. ``UNCLEAR`` in place of the first where there
        is more to say about the tier; ``UNKNOWN`` and the interval whose mark is not known.
    """
    read, typical = -1, 0
    for i in range(count):
        begin, end = marks[first + i]
        if end - begin > LONGEST:
            return UNKNOWN, first + i, 0
        low, high = _packed(data, begin, end)
        mark = filled[_slot(low, high, keys, filled)]
        if mark < 0:
            return UNKNOWN, first + i, 0
        ids[i] = mark
        read &= known[mark, -2]
        typical |= known[mark, -1]
    if alphabet < 0:
        for hand in range(len(_HANDS)):
            if alphabet < 0 and read & typical & (1 << hand):
                alphabet = _HANDS[hand]
        if alphabet < 0 and read != -1:
            return UNCLEAR, 0, 0
        alphabet = max(alphabet, 0)  # silences alone are silences in any
    kept, before, bits = 0, 0.0, 0
    for i in range(count):
        kind = known[ids[i], alphabet]
        if kind & SILENCE:
            continue
        bits |= kind
        start, end_ = times[first + i]
        if not kind & PHONE or not before <= start < end_ < np.inf:
            return UNCLEAR, 0, 0
        ids[kept] = ids[i]
        out[0, kept], out[1, kept], before = start, end_, end_
        kept += 1
    return kept, alphabet, bits
