"""What files of alignments hold before it is known which part of it are phones, and which part is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import compress
from math import inf
from operator import le, lt
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cleser.alignment.phones import Alignment
from cleser.phonetics.alphabets.symbol import Symbol
from cleser.phonetics.symbols import UNKNOWN, detect_alphabet, is_silence, read_symbols

# fmt: off
_PHONES = frozenset((
    "phones", "phone", "phonemes", "phoneme", "phons", "phon", "phn", "segments", "segment", "segs", "mau",
))
_NO_PHONES = frozenset((
    "words", "word", "ort", "orthography", "text", "sentence", "utterance", "syllables", "syllable", "alignment",
))
# fmt: on
Symbols = list[Symbol | tuple[()] | None]
_ROUNDING = 0.0101  # seconds: times of two decimals, rounded apart


class AlignmentError(ValueError):
    """A file of an alignment cannot be read.

    Args:
        path: The file.
        reason: What was found, and what was expected.
        where: The place in the file, as ``"line 3"`` or ``"byte 20"``.

    >>> print(AlignmentError("a.TextGrid", "found no tier, expected one of phones", "line 3"))
    a.TextGrid, line 3: found no tier, expected one of phones
    """

    def __init__(self, path: str | Path, reason: str, where: str = "") -> None:
        super().__init__(path, reason, where)
        self.path, self.reason, self.where = str(path), reason, where

    def __str__(self) -> str:
        place = f"{self.path}, {self.where}" if self.where else self.path
        return f"{place}: {self.reason}"


class UnclearTierError(ValueError):
    """It is not clear which tier holds the phones; who reads the file adds its name."""


class Tier(NamedTuple):
    """Marked intervals of a recording, such as its phones or its words.

    Attributes:
        name: Name of the tier; in a CTM file, of the recording.
        starts: Where each interval begins, in seconds, in order.
        ends: Where each interval ends, in seconds.
        marks: Text of each interval as the file writes it, empty ones included.
        where: The place in the file that says interval i, as ``"line 3"``.
        notes: What had to be mended to read it.
    """

    name: str
    starts: Sequence[float]
    ends: Sequence[float]
    marks: Sequence[str]
    where: Callable[[int], str]
    notes: tuple[str, ...] = ()


class Points(NamedTuple):
    """A tier of points, which holds no phones but counts among a file's tiers."""

    name: str


@lru_cache
def choose_tier(names: tuple[str, ...], tier: str | int | None) -> int | None:
    """Position of the tier that is asked for, or of the one that is named like one of phones.

    Returns:
        None where no name says it, and the contents have to.

    Raises:
        UnclearTierError: There is no such tier, or there are several.
    """
    if isinstance(tier, int):
        if not -len(names) <= tier < len(names):
            raise UnclearTierError(f"there is no tier {tier}, found {len(names)}: {list(names)}")
        return tier % len(names)
    if tier is not None:
        if tier not in names:
            raise UnclearTierError(f"there is no tier {tier!r}, found {list(names)}")
        return names.index(tier)
    # Several speakers: "B - phones".
    short = [name.casefold().rsplit(" - ", 1)[-1].strip() for name in names]
    named = [i for i, name in enumerate(short) if name in _PHONES]
    if len(named) > 1:
        raise UnclearTierError(f"several tiers could be phones, name one of {list(names)}")
    if named:
        return named[0]
    others = [i for i, name in enumerate(short) if name not in _NO_PHONES]
    return others[0] if len(others) == 1 else None


def most_marked(tiers: Sequence[Tier]) -> Tier:
    """The tier with the most marks: there are more phones than words."""
    counts = [sum(not is_silence(mark) for mark in tier.marks) for tier in tiers]
    best = max(counts, default=0)
    if counts.count(best) != 1:
        names = [tier.name for tier in tiers]
        raise UnclearTierError(f"cannot tell which tier holds the phones, name one of {names}")
    return tiers[counts.index(best)]


def to_alignment(tier: Tier, path: str | Path, alphabet: str | None) -> Alignment:
    """The phones of a tier, in IPA, without silences.

    A phone of no length and a symbol that no alphabet has are left out and noted, as long as most phones are none.

    Raises:
        AlignmentError: Most symbols belong to no alphabet, or times do not go on.
    """
    try:
        symbols = read_symbols(tier.marks, alphabet)
    except ValueError as error:
        raise AlignmentError(path, str(error)) from error
    notes = tier.notes
    if symbols.count(UNKNOWN):
        notes += (_unknown(tier, symbols, path, alphabet),)
    # Symbols are tuples that hold something; silences, which are None, and what is unknown are false.
    starts, ends = list(compress(tier.starts, symbols)), list(compress(tier.ends, symbols))
    if not ends:
        return replace(Alignment(np.zeros(0), np.zeros(0), ()), notes=notes)
    if not _go_on(starts, ends):
        starts, ends, note = _mended(tier, symbols, path)
        notes += note
    phones, stress, tones, lengths = zip(*filter(None, symbols), strict=True)
    return Alignment.checked(
        np.fromiter(starts + ends, float, 2 * len(ends)).reshape(2, -1),
        phones,
        stress=np.array(stress, np.int64) if any(stress) else None,
        tones=tones if any(tones) else None,
        lengths=lengths if any(lengths) else None,
        notes=notes,
    )


def _go_on(starts: list[float], ends: list[float]) -> bool:
    """Whether each phone ends after it starts, and before the next."""
    # Comparisons are false for NaN, so that each time is a number.
    right = all(map(lt, starts, ends)) and all(map(le, ends, starts[1:]))
    return right and starts[0] >= 0 and ends[-1] < inf


def _unknown(tier: Tier, symbols: Symbols, path: str | Path, alphabet: str | None) -> str:
    """A note on the symbols that no alphabet has.

    Raises:
        AlignmentError: They are as many as the others.
    """
    which = [i for i, symbol in enumerate(symbols) if symbol == UNKNOWN]
    if 2 * len(which) >= sum(symbol is not None for symbol in symbols):
        try:
            detect_alphabet(tier.marks)
            reason = f"{tier.marks[which[0]]!r} is no symbol of the alphabet {alphabet}"
        except ValueError as error:
            reason = str(error)
        raise AlignmentError(path, reason, tier.where(which[0]))
    names = sorted({tier.marks[i] for i in which})
    shown = ", ".join(map(repr, names[:3])) + (" …" if len(names) > 3 else "")
    return f"{_counted(len(which), 'unknown symbol')} left out: {shown} ({tier.where(which[0])})"


def _mended(
    tier: Tier, symbols: Symbols, path: str | Path
) -> tuple[list[float], list[float], tuple[str, ...]]:
    """Times that go on; phones that end where they start, or before, become silences among the symbols."""
    kept = [i for i, symbol in enumerate(symbols) if symbol]
    none = [i for i in kept if tier.ends[i] <= tier.starts[i]]
    notes: tuple[str, ...] = ()
    if none and 2 * len(none) < len(kept):
        for i in none:
            symbols[i] = None
        kept = [i for i in kept if symbols[i]]
        notes = (f"{_counted(len(none), 'phone')} of no length left out ({tier.where(none[0])})",)
    starts, ends = [tier.starts[i] for i in kept], [tier.ends[i] for i in kept]
    # Rounded times may overlap by their last digit.
    for at, start in enumerate(starts[1:]):
        if starts[at] < start < ends[at] <= start + _ROUNDING:
            ends[at] = start
    _check_times(tier, path, starts, ends, kept)
    return starts, ends, notes


def _check_times(
    tier: Tier, path: str | Path, starts: list[float], ends: list[float], kept: list[int]
) -> None:
    before = 0.0
    for i, start, end in zip(kept, starts, ends, strict=True):
        if not before <= start < end < inf:
            after = f", after one that ends at {before:g}" if before else ""
            raise AlignmentError(
                path,
                f"{tier.marks[i]!r} lasts from {start:g} to {end:g} s{after}; expected times that go on",
                tier.where(i),
            )
        before = end


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count > 1)}"
