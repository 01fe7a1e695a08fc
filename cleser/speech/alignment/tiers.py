"""What files of alignments hold before it is known which part of it are phones, and which part is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cleser.anchors.symbols import detect_alphabet, is_silence, split_symbol
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


def choose_tier(names: Sequence[str], tier: str | int | None, path: Path) -> int | None:
    """Position of the tier that is asked for, or of the one that is named like one of phones.

    Returns:
        None where no name says it, and the contents have to.
    """
    if isinstance(tier, int):
        if not -len(names) <= tier < len(names):
            raise AlignmentError(
                f"{path}: there is no tier {tier}, found {len(names)}: {list(names)}"
            )
        return tier % len(names)
    if tier is not None:
        if tier not in names:
            raise AlignmentError(f"{path}: there is no tier {tier!r}, found {list(names)}")
        return names.index(tier)
    # Several speakers: "B - phones".
    short = [name.casefold().rsplit(" - ", 1)[-1].strip() for name in names]
    named = [i for i, name in enumerate(short) if name in _PHONES]
    if len(named) > 1:
        raise AlignmentError(f"{path}: several tiers could be phones, name one of {list(names)}")
    if named:
        return named[0]
    others = [i for i, name in enumerate(short) if name not in _NO_PHONES]
    return others[0] if len(others) == 1 else None


def most_marked(tiers: Sequence[Tier], path: Path) -> Tier:
    """The tier with the most marks: there are more phones than words."""
    counts = [sum(not is_silence(mark) for mark in tier.marks) for tier in tiers]
    best = max(counts, default=0)
    if counts.count(best) != 1:
        names = [tier.name for tier in tiers]
        raise AlignmentError(
            f"{path}: cannot tell which tier holds the phones, name one of {names}"
        )
    return tiers[counts.index(best)]


def to_alignment(tier: Tier, path: Path, alphabet: str | None) -> Alignment:
    """The phones of a tier, in IPA, without silences."""
    spoken = [(i, mark.strip()) for i, mark in enumerate(tier.marks) if not is_silence(mark)]
    kept = [i for i, _ in spoken]
    written = [mark for _, mark in spoken]
    try:
        name = alphabet or detect_alphabet(written)
        symbols = [split_symbol(mark, name) for mark in written]
    except ValueError as error:
        raise AlignmentError(
            f"{_where(tier, path, _first_unknown(written, alphabet, kept))}: {error}"
        ) from error
    starts = np.array([tier.starts[i] for i in kept])
    ends = np.array([tier.ends[i] for i in kept])
    if len(kept) > 1:
        # Rounded times may overlap by their last digit.
        late = (starts[1:] < ends[:-1]) & (starts[1:] >= ends[:-1] - _ROUNDING)
        ends[:-1] = np.where(late, starts[1:], ends[:-1])
    wrong = ~((ends > starts) & (starts >= 0) & np.isfinite(ends))
    wrong[1:] |= starts[1:] < ends[:-1]
    if wrong.any():
        at = int(wrong.argmax())
        before = f", after one that ends at {ends[at - 1]:g}" if at else ""
        raise AlignmentError(
            f"{_where(tier, path, kept[at])}: {written[at]!r} lasts from {starts[at]:g} to {ends[at]:g} s{before}; "
            "expected times that go on"
        )
    stress = [symbol.stress for symbol in symbols]
    tones = tuple(symbol.tone for symbol in symbols)
    lengths = tuple(symbol.length for symbol in symbols)
    return Alignment(
        starts,
        ends,
        tuple(symbol.phone for symbol in symbols),
        stress=np.array(stress) if any(stress) else None,
        tones=tones if any(tones) else None,
        lengths=lengths if any(lengths) else None,
    )


def _where(tier: Tier, path: Path, i: int) -> str:
    return f"{path}, line {tier.line(i)}"


def _first_unknown(written: list[str], alphabet: str | None, kept: list[int]) -> int:
    """The first interval that keeps the symbols from being read."""
    for count, at in enumerate(kept, 1):
        try:
            name = alphabet or detect_alphabet(written[:count])
            split_symbol(written[count - 1], name)
        except ValueError:
            return at
    return kept[0]
