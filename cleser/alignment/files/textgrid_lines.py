"""TextGrids as Praat and most aligners write them: one value on each line, always in the same order.

Such a file is read in half the time that value by value takes. Whatever differs is left to the careful reader: a
comment, a quotation mark or a line break within a label, a number that is no plain decimal, gaps between intervals.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from cleser.alignment.files.tiers import Tier

_START: Final = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
_NUMBER: Final = r"[0-9]+(?:\.[0-9]*)? ?"
_PLAIN: Final = re.compile(r"[0-9. \n]+")


class _Layout(NamedTuple):
    """One of the two text formats.

    Attributes:
        file: All before the first tier; its group is the number of tiers.
        tier: All before the first interval of a tier; its groups are the tier's name and number of intervals.
        words: What stands before start, end and text on an interval's last three lines.
        heading: Whether a line ``intervals [1]:`` stands before them.
    """

    file: re.Pattern[str]
    tier: re.Pattern[str]
    words: tuple[str, str, str]
    heading: bool


_LONG: Final = _Layout(
    re.compile(
        rf"{_START}xmin = {_NUMBER}\nxmax = {_NUMBER}\ntiers\? <exists> ?\nsize = ([0-9]{{1,4}}) ?\nitem \[\]: ?\n"
    ),
    re.compile(
        rf' +item \[[0-9]+\]: ?\n +class = "IntervalTier" ?\n +name = "([^"\n]*)" ?\n'
        rf" +xmin = {_NUMBER}\n +xmax = {_NUMBER}\n +intervals: size = ([0-9]{{1,6}}) ?"
    ),
    ("            xmin = ", "            xmax = ", "            text = "),
    True,
)
_SHORT: Final = _Layout(
    re.compile(rf"{_START}{_NUMBER}\n{_NUMBER}\n<exists> ?\n([0-9]{{1,4}}) ?\n"),
    re.compile(rf'"IntervalTier" ?\n"([^"\n]*)" ?\n{_NUMBER}\n{_NUMBER}\n([0-9]{{1,6}}) ?'),
    ("", "", ""),
    False,
)
_HEADINGS: Final[list[str]] = []  # "intervals [1]:" and so on, as many as any file had


def read_lines(text: str) -> list[Tier] | None:
    """The tiers of a file in one of the usual layouts; None where anything in it is unusual."""
    layout = _LONG if text.startswith("xmin", len(_START)) else _SHORT
    match = layout.file.match(text)
    if match is None or "\\" in text:  # of a trigraph
        return None
    lines = text.split("\n")
    at = match[0].count("\n")
    tiers: list[Tier] = []
    for _ in range(int(match[1])):
        found = _read_tier(lines, at, layout)
        if found is None:
            return None
        tier, at = found
        tiers.append(tier)
    return None if any(map(str.strip, lines[at:])) else tiers


def _read_tier(lines: list[str], at: int, layout: _Layout) -> tuple[Tier, int] | None:
    """The tier that begins on a line, and the line behind it."""
    first = at + (6 if layout.heading else 5)
    head = layout.tier.fullmatch("\n".join(lines[at:first]))
    if head is None:
        return None
    count = int(head[2])
    step = 3 + layout.heading
    end = first + count * step
    if layout.heading and lines[first:end:step] != _headings(min(count, len(lines))):
        return None
    first += layout.heading
    starts, ends, marks = (lines[i:end:step] for i in range(first, first + 3))
    edges = _edges(_after(starts, layout.words[0]), _after(ends, layout.words[1]))
    texts = _quoted(marks, layout.words[2])
    if edges is None or texts is None or not len(edges) - 1 == len(texts) == count:
        return None
    return Tier(head[1], edges[:-1], edges[1:], texts, _line(first, step)), end


def _headings(count: int) -> list[str]:
    for i in range(len(_HEADINGS), count):
        _HEADINGS.append(f"        intervals [{i + 1}]:")
    return _HEADINGS[:count]


def _after(lines: list[str], word: str) -> list[str]:
    """What follows the word at the beginning of each line; fewer or more where lines begin otherwise."""
    return "\n".join(["", *lines]).split("\n" + word)[1:] if word else lines


def _edges(starts: list[str], ends: list[str]) -> list[float] | None:
    """The times between intervals that follow each other without gaps; None where they do not."""
    if starts[1:] != ends[:-1]:
        return None
    written = starts[:1] + ends
    # What does not begin with a digit, as .5, is no number for Praat.
    if not written or min(written) < "0" or not _PLAIN.fullmatch("\n".join(written)):
        return None
    try:
        return list(map(float, written))
    except ValueError:  # as 1.2.3
        return None


def _quoted(lines: list[str], word: str) -> list[str] | None:
    """The one text on each line."""
    parts = "\n".join(lines).split('"')
    between = set(parts[2:-1:2])
    if len(parts) != 2 * len(lines) + 1 or between - {f"\n{word}", f" \n{word}"}:
        return None
    return parts[1::2] if parts[0] == word and parts[-1] in ("", " ") else None


def _line(first: int, step: int) -> Callable[[int], str]:
    return lambda i: f"line {first + i * step + 1}"
