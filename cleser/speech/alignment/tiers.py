"""What files of alignments hold before it is known which part of it are phones, and which part is."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress
from math import inf
from operator import le, lt
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cleser.anchors.symbols import is_silence, read_symbols
from cleser.speech.alignment.phones import Alignment

# fmt: off
_PHONES = frozenset((
    "phones", "phone", "phonemes", "phoneme", "phons", "phon", "phn", "segments", "segment", "segs", "mau",
))
_NO_PHONES = frozenset((
    "words", "word", "ort", "orthography", "text", "sentence", "utterance", "syllables", "syllable", "alignment",
))
# fmt: on
_ROUNDING = 0.0101  # seconds: times of two decimals, rounded apart


class AlignmentError(ValueError):
    """A file of an alignment cannot be read; the message names the file, the line, and what was expected."""


class UnclearTierError(ValueError):
    """It is not clear which tier holds the phones; who reads the file adds its name."""


@dataclass(frozen=True)
class Tier:
    """Marked intervals.

    Attributes:
        name: Of the tier; in a CTM file, of the recording.
        starts: In seconds, in order.
        ends: In seconds.
        marks: As the file writes them, empty ones included.
        line: The line of the file that says interval i.
    """

    name: str
    starts: Sequence[float]
    ends: Sequence[float]
    marks: Sequence[str]
    line: Callable[[int], int]


class Tiers(NamedTuple):
    """The tiers of a file, each read when it is asked for."""

    names: tuple[str, ...]
    read: Callable[[int], Tier]


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

    Raises:
        AlignmentError: Symbols belong to no alphabet, or times do not go on.
    """
    try:
        symbols = read_symbols(tier.marks, alphabet)
    except ValueError as error:
        raise AlignmentError(
            f"{path}, line {tier.line(_unread(tier.marks, alphabet))}: {error}"
        ) from error
    # Symbols are tuples and silences None, which is false.
    starts, ends = tuple(compress(tier.starts, symbols)), tuple(compress(tier.ends, symbols))
    if not starts:
        return Alignment(np.zeros(0), np.zeros(0), ())
    # Comparisons are false for NaN, so that each time is a number.
    if not (
        all(map(lt, starts, ends))
        and all(map(le, ends, starts[1:]))
        and starts[0] >= 0
        and ends[-1] < inf
    ):
        ends = _without_rounding(starts, ends)
        _check_times(tier, path, starts, ends, [i for i, symbol in enumerate(symbols) if symbol])
    phones, stress, tones, lengths = zip(*filter(None, symbols), strict=True)
    return Alignment.checked(
        np.frombuffer(array("d", starts + ends)).reshape(2, -1),
        phones,
        stress=np.frombuffer(array("q", stress), np.int64) if any(stress) else None,
        tones=tones if any(tones) else None,
        lengths=lengths if any(lengths) else None,
    )


def _without_rounding(starts: tuple[float, ...], ends: tuple[float, ...]) -> tuple[float, ...]:
    """Rounded times may overlap by their last digit."""
    clipped = [
        start if start < end <= start + _ROUNDING else end
        for end, start in zip(ends, starts[1:], strict=False)
    ]
    return (*clipped, ends[-1])


def _check_times(
    tier: Tier,
    path: str | Path,
    starts: tuple[float, ...],
    ends: tuple[float, ...],
    kept: list[int],
) -> None:
    before = 0.0
    for i, start, end in zip(kept, starts, ends, strict=True):
        if not before <= start < end < inf:
            after = f", after one that ends at {before:g}" if before else ""
            raise AlignmentError(
                f"{path}, line {tier.line(i)}: {tier.marks[i]!r} lasts from {start:g} to {end:g} s{after}; "
                "expected times that go on"
            )
        before = end


def _unread(marks: Sequence[str], alphabet: str | None) -> int:
    """The first mark that keeps a tier from being read."""
    for i in range(len(marks)):
        try:
            read_symbols(marks[: i + 1], alphabet)
        except ValueError:
            return i
    return 0
