"""TextGrids as programs write them, cut at their quotes: several times faster than reading token by token.

Marks then stand at every other place, and all that stands between them is names and numbers. Whatever does not come
out even (quotes within marks, comments, missing values) is left to the reader that takes token after token.
"""

from __future__ import annotations

from typing import Final

from cleser.speech.alignment.tiers import Tier, Tiers
from cleser.speech.alignment.trigraphs import to_unicode

_HEAD: Final = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
# Of the ten words that an interval of the long format holds beside its mark, those that are always the same.
_NAMES: Final = ((2, "xmin"), (5, "xmax"), (8, "text"))


class LayoutError(Exception):
    """The file does not keep to the layout that is cut at quotes."""


def cut_at_quotes(text: str) -> Tiers:
    """The tiers of a file.

    Raises:
        LayoutError: It does not keep to the layout; reading a tier may raise it too.
    """
    if not text.startswith(_HEAD):
        raise LayoutError
    try:
        return _long(text) if text.startswith("xmin", len(_HEAD)) else _short(text)
    except (IndexError, ValueError):
        raise LayoutError from None


def _long(text: str) -> Tiers:
    """Cut before each class first, so that only the tier that is asked for is cut at its quotes."""
    head, *chunks = text[len(_HEAD) :].split('class = "')
    *_, flag, _, _, count, _, _, _, _ = head.split()
    if flag != "<exists>" or int(count) != len(chunks):
        raise LayoutError
    heads = [chunk.split('"', 3) for chunk in chunks]
    if not {kind for kind, _, _, _ in heads} <= {"IntervalTier", "TextTier"}:
        raise LayoutError
    of = [(name, rest) for kind, _, name, rest in heads if kind == "IntervalTier"]
    return Tiers(tuple([_plain(name) for name, _ in of]), lambda i: _long_tier(text, *of[i]))


def _long_tier(text: str, name: str, rest: str) -> Tier:
    parts = rest.split('"')
    words = "".join(parts[:-1:2]).split()
    marks = parts[1::2]
    try:
        if words[6:9] != ["intervals:", "size", "="] or int(words[9]) != len(marks):
            raise LayoutError
        words = words[10:]
        after = parts[-1].split()
        if len(words) != 10 * len(marks) or (after and after[0] != "item"):
            raise LayoutError
        for place, expected in _NAMES:
            if words[place::10].count(expected) != len(marks):
                raise LayoutError
        starts, ends = list(map(float, words[4::10])), list(map(float, words[7::10]))
    except (IndexError, ValueError):
        raise LayoutError from None
    return Tier(_plain(name), starts, ends, _all_plain(marks), lambda i: _long_line(text, rest, i))


def _long_line(text: str, rest: str, i: int) -> int:
    """Where an interval's start stands: a tier's text occurs once, since it holds its own numbers."""
    at = text.rindex(rest) if text.endswith(rest) else text.index(rest)
    for _ in range(i + 1):
        at = text.index("xmin = ", text.index("intervals [", at))
    return text.count("\n", 0, at) + 1


def _short(text: str) -> Tiers:
    parts = text.split('"')
    flag, count = parts[4].split()[2:]
    if flag != "<exists>":
        raise LayoutError
    at = 5
    found: list[tuple[str, int, int]] = []
    for _ in range(int(count)):
        kind, name = parts[at], parts[at + 2]
        intervals = int(parts[at + 3].split()[2])
        if kind == "IntervalTier":
            found.append((name, at + 3, intervals))
        elif kind != "TextTier":
            raise LayoutError
        at += 4 + 2 * intervals
    if at < len(parts) - 1 or parts[-1].strip():
        raise LayoutError
    return Tiers(
        tuple([_plain(name) for name, _, _ in found]), lambda i: _short_tier(parts, *found[i])
    )


def _short_tier(parts: list[str], name: str, first: int, count: int) -> Tier:
    marks = parts[first + 1 : first + 1 + 2 * count : 2]
    try:
        numbers = list(map(float, "".join(parts[first : first + 2 * count : 2]).split()))[3:]
    except ValueError:
        raise LayoutError from None
    if len(marks) != count or len(numbers) != 2 * count:
        raise LayoutError

    def line(i: int) -> int:
        before = "".join(parts[: first + 1 + 2 * i])
        return before.rstrip("\n").count("\n")

    return Tier(_plain(name), numbers[::2], numbers[1::2], _all_plain(marks), line)


def _all_plain(marks: list[str]) -> list[str]:
    return [to_unicode(mark) for mark in marks] if "\\" in "".join(marks) else marks


def _plain(name: str) -> str:
    return to_unicode(name) if "\\" in name else name
