"""Praat's TextGrid files: the long and the short text format, the chronological and the binary one, in any encoding.

In the text formats only numbers, quoted texts and flags like ``<exists>`` count; the long one puts words between them.
Numbers may be percentages, fractions and hexadecimal. Whatever the layout, intervals are counted as they stand: a size
that is too small drops none, and is noted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

from cleser.alignment.files.textgrid_binary import MAGIC, read_binary
from cleser.alignment.files.tiers import (
    AlignmentError,
    Points,
    Tier,
    UnclearTierError,
    choose_tier,
    most_marked,
)
from cleser.alignment.files.trigraphs import to_unicode

_BINARY: Final = getattr(os, "O_BINARY", 0)
_USUAL: Final = 1 << 16  # bytes that hardly any file has
Intervals = tuple[list[float], list[float], list[str]]  # starts, ends and marks
_QUALITY: Final = re.compile(r"quality=(\S+)")
_CHRONOLOGICAL: Final = "Praat chronological TextGrid text file"

_VALUES: Final = frozenset('"<+-0123456789')  # what a value begins with
_TEXT, _NUMBER, _FLAG = '"', "number", "flag"
_FIRST_LINES: Final = ["File", "type", "=", _TEXT, "Object", "class", "=", _TEXT]
# The end of the file, or the class of the next tier.
_TIER_ENDS: Final[tuple[list[str], ...]] = ([], [_TEXT])
_FLAGS: Final = ("<exists>", "<absent>")
# Comments run from a free-standing ! to the end of the line; within a text it is none.
_COMMENT: Final = re.compile(r'"(?:[^"]++|"")*+(?:"|\Z)|(?<![^\s"])!([^\n]*+)')
# What stands before tiers and before intervals: when they begin and end, and how many they are.
_TWO_TIMES: Final = r"[0-9]+(?:\.[0-9]*)? [0-9]+(?:\.[0-9]*)?"
_BEFORE_TIERS: Final = re.compile(_TWO_TIMES + " <exists> ([0-9]{1,9})")
_BEFORE_INTERVALS: Final = re.compile(_TWO_TIMES + " ([0-9]{1,9})")
# The values of a text where they stand: for messages, which name the line.
_PLACE: Final = re.compile(r'"(?:[^"]++|"")*+"|[^\s"]++')
_DECIMAL: Final = re.compile(r"([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(%?)")
_HEXADECIMAL: Final = re.compile(r"[-+]?0[xX][0-9a-fA-F]+(?:\.[0-9a-fA-F]*)?(?:[pP][-+]?\d+)?")


def read_textgrid(content: bytes, path: str | Path, tier: str | int | None) -> tuple[Tier, str]:
    """The tier of phones, and the remark of a tier ``alignment`` that :func:`write_textgrid` leaves.

    Raises:
        AlignmentError: The file is broken, or it does not say which tier holds phones.
    """
    binary = content.startswith(MAGIC)
    found = read_binary(content, path) if binary else _read_text(_Values(decode(content), path))
    try:
        return _phones(found, tier)
    except UnclearTierError as error:
        raise AlignmentError(path, str(error)) from None


def _phones(found: list[Tier | Points], tier: str | int | None) -> tuple[Tier, str]:
    tiers = [one for one in found if isinstance(one, Tier)]
    if not tiers:
        raise UnclearTierError("the file has no tier of intervals")
    # A position counts all tiers, as Praat shows them; a name is that of one of intervals.
    asked = found if isinstance(tier, int) else tiers
    names = tuple([one.name for one in asked])
    at = choose_tier(names, tier)
    chosen = most_marked(tiers) if at is None else asked[at]
    if isinstance(chosen, Points):
        raise UnclearTierError(
            f"tier {tier} is {chosen.name!r} and holds points, expected one of intervals"
        )
    remark = ""
    if tier is None and "alignment" in names:
        remark = " ".join(tiers[names.index("alignment")].marks)
    return chosen, remark


def read_content(path: str | Path) -> bytes:
    """All bytes of a file."""
    # Thousands of small files: opening costs more than reading, and Path.read_bytes four times as much as this.
    handle = os.open(path, os.O_RDONLY | _BINARY)
    try:
        content = os.read(handle, _USUAL)
        more = os.read(handle, 1)
    finally:
        os.close(handle)
    return Path(path).read_bytes() if more else content


def decode(content: bytes) -> str:
    r"""Text in any encoding that Praat writes: UTF-8 and UTF-16 with or without mark, Latin-1, MacRoman.

    >>> decode("ə".encode("utf-16")), decode("a\r\nü".encode("latin-1")), decode("a\rü".encode("mac-roman"))
    ('ə', 'a\nü', 'a\nü')
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = content.decode("utf-16", errors="replace")
    elif content[:3] == b"\xef\xbb\xbf":
        text = content[3:].decode("utf-8", errors="replace")
    elif b"\0" in content[:2]:
        text = content.decode(
            "utf-16-be" if content[:1] == b"\0" else "utf-16-le", errors="replace"
        )
    else:
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            # Bytes that Latin-1 has no letter for, and the old Macintosh's end of line, tell MacRoman.
            mac = re.search(rb"[\x80-\x9f]", content) or (b"\r" in content and b"\n" not in content)
            text = content.decode("mac-roman" if mac else "latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def quality_of(remark: str) -> float | None:
    """What :func:`write_textgrid` notes beside the phones."""
    found = _QUALITY.search(remark) if remark.startswith(("phones", "uniform")) else None
    try:
        quality = float(found[1]) if found else None
    except ValueError:
        return None
    return quality if quality is not None and 0 <= quality <= 1 else None


def to_number(text: str) -> float | None:
    """A number as Praat reads it: decimal, a percentage, a fraction, hexadecimal; None where it is none.

    >>> to_number("50%"), to_number("1/4"), to_number("0x1p-1"), to_number("0,5")
    (0.5, 0.25, 0.5, None)
    """
    above, slash, below = text.partition("/")
    whole = _no_fraction(above)
    if not slash or whole is None:
        return whole
    part = _no_fraction(below)
    return whole / part if part else None


def _no_fraction(text: str) -> float | None:
    if _HEXADECIMAL.fullmatch(text):
        try:
            return float.fromhex(text)
        except OverflowError:
            return None
    match = _DECIMAL.fullmatch(text)
    return (float(match[1]) / (100 if match[2] else 1)) if match else None


class _Values:
    """The values of a text, one after another.

    Cut at its quotes, a text holds what is quoted at every other place, and words and numbers between.
    """

    def __init__(self, text: str, path: str | Path) -> None:
        self.source = _COMMENT.sub(_blank, text) if "!" in text else text
        self.path = path
        parts = self.source.split('"')
        self.open = len(parts) % 2 == 0  # the last text does not end
        if self.open:
            del parts[-1]
        if "" in parts[2:-1:2]:
            parts = _joined(parts)
        self.texts = parts[1::2]
        self.trigraphs = "\\" in text
        self.between = ' " '.join(parts[::2])  # a quote stands for the next text
        self.found = self.between.split()
        self.plain = "_" not in self.between  # float reads 1_000, which is no number here
        self.at = self.at_text = 0
        # The long format has words before all values, others hardly behind their first two lines. To look at each word
        # costs as much as all the rest: elsewhere they are left out once intervals do not fit.
        self.may_hold_words = True
        if "=" in "".join(parts[4:5]):  # behind the second text
            self._leave_out_words()
        elif self.found[:8] == _FIRST_LINES:
            self.found[:8] = [_TEXT, _TEXT]

    def string(self, expected: str) -> str:
        if self.found[self.at : self.at + 1] != [_TEXT]:
            self._find(_TEXT, expected)
        self.at += 1
        self.at_text += 1
        text = self.texts[self.at_text - 1]
        return to_unicode(text) if self.trigraphs else text

    def number(self, expected: str) -> float:
        token = self._take(_NUMBER, expected)
        if self.plain:
            try:
                return float(token)
            except ValueError:  # as 50%
                pass
        found = to_number(token)
        if found is None:
            raise self.error(f"found {_shortened(token)!r}, expected {expected}")
        return found

    def count(self, expected: str) -> int:
        found = self.number(expected)
        if not 0 <= found < len(self.source) or found != int(found):
            raise self.error(f"found {found:g}, expected {expected}")
        return int(found)

    def flag(self, expected: str) -> str:
        return self._take(_FLAG, expected)

    def next_kind(self) -> str:
        """What comes next, empty where nothing does."""
        found = self.found
        while self.at < len(found):
            if kind := _kind(found[self.at]):
                return kind
            self.at += 1
        return ""

    def size(self, usual: re.Pattern[str], length: int) -> int | None:
        """The size that is the last of the next values; None where they are to be taken value by value."""
        match = usual.fullmatch(" ".join(self.found[self.at : self.at + length]))
        if match is None or int(match[1]) >= len(self.source):
            return None
        self.at += length
        return int(match[1])

    def intervals(self, said: int) -> Intervals | None:
        """The intervals that stand here, as many as were said or more.

        None where they are to be taken value by value: one is not whole, or has a number that is no plain decimal.
        """
        found, first = self.found, self.at
        end = first + 3 * said
        whole = self.plain and found[first + 2 : end : 3] == [_TEXT] * said
        if whole and not self.may_hold_words:
            # The size is no more than a hint: praatio counts as well what stands behind it.
            while found[end : end + 1] not in _TIER_ENDS and found[end + 2 : end + 3] == [_TEXT]:
                end += 3
        if whole and found[end : end + 1] in _TIER_ENDS:
            try:
                starts, ends = _times(found[first:end:3], found[first + 1 : end : 3])
            except ValueError:
                pass
            else:
                self.at = end
                first, self.at_text = self.at_text, self.at_text + len(ends)
                marks = self.texts[first : self.at_text]
                return starts, ends, list(map(to_unicode, marks)) if self.trigraphs else marks
        if self.may_hold_words:
            self._leave_out_words()
            return self.intervals(said)
        return None

    def where(self, at: int | None = None) -> str:
        """The line of a value, by default of the one taken last."""
        before = sum(map(_is_value, self.found[: self.at - 1 if at is None else at]))
        values = (m.start() for m in _PLACE.finditer(self.source) if _is_value(m[0]))
        place = next(islice(values, before, None), len(self.source.rstrip()))
        return f"line {self.source.count(chr(10), 0, place) + 1}"

    def error(self, reason: str) -> AlignmentError:
        return AlignmentError(self.path, reason, self.where())

    def _take(self, kind: str, expected: str) -> str:
        self._find(kind, expected)
        self.at += 1
        return self.found[self.at - 1]

    def _find(self, kind: str, expected: str) -> None:
        """Go to the next value, which has to be of one kind."""
        if self.next_kind() != kind:
            raise self._unexpected(expected)

    def _leave_out_words(self) -> None:
        """Keep numbers, texts and flags alone, from here on."""
        # To compare first costs half as much: letters stand behind all that a value begins with.
        found = [word for word in self.found[self.at :] if word < "=" and word[0] in _VALUES]
        # What begins with another character is a value for certain.
        if "-" in self.between or "+" in self.between or self.between.count("<") > 1:
            found = list(filter(_is_value, found))
        self.found[self.at :] = found
        self.may_hold_words = False

    def _unexpected(self, expected: str) -> AlignmentError:
        """Where the next value is not the one that was expected."""
        if self.at < len(self.found):
            value = self.found[self.at]
            shown = f'"{self.texts[self.at_text]}"' if value == _TEXT else value
            reason = f"found {_shortened(shown)!r}, expected {expected}"
            return AlignmentError(self.path, reason, self.where(self.at))
        ends = "the file ends within a text" if self.open else "the file ends"
        line = self.source.rstrip().count("\n") + 1
        if self.open:
            line = self.source.count("\n", 0, self.source.rindex('"')) + 1
        return AlignmentError(self.path, f"{ends}, expected {expected}", f"line {line}")


def _times(begun: list[str], ended: list[str]) -> tuple[list[float], list[float]]:
    """Starts and ends of intervals: where each begins at the end of the last one, a number stands twice."""
    starts = list(map(float, begun))
    if begun[1:] == ended[:-1]:
        return starts, [*starts[1:], *map(float, ended[-1:])]
    return starts, list(map(float, ended))


def _blank(match: re.Match[str]) -> str:
    return match[0] if match[1] is None else " " * len(match[0])


def _joined(parts: list[str]) -> list[str]:
    """The parts of a text, where nothing between two quoted ones makes them one with a quote inside."""
    joined = parts[:2]
    for between, quoted in zip(parts[2:-1:2], parts[3::2], strict=True):
        if between:
            joined += [between, quoted]
        else:
            joined[-1] += f'"{quoted}'
    return [*joined, parts[-1]]


def _kind(value: str) -> str:
    if value == _TEXT:
        return _TEXT
    if value in _FLAGS:
        return _FLAG
    return _NUMBER if _is_value(value) else ""


def _is_value(word: str) -> bool:
    if word[0] in "+-":
        return word[1:2].isdecimal()
    return word[0] in _VALUES and (word[0] != "<" or word in _FLAGS)


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"


def _read_text(values: _Values) -> list[Tier | Points]:
    kind = values.string('"ooTextFile"')
    if kind == _CHRONOLOGICAL:
        return _read_chronological(values)
    if kind not in ("ooTextFile", "ooTextFile short"):
        raise values.error(f'found {_shortened(kind)!r}, expected a file of the type "ooTextFile"')
    what = values.string('"TextGrid"')
    if what != "TextGrid":
        raise values.error(f'found the class {_shortened(what)!r}, expected "TextGrid"')
    said = values.size(_BEFORE_TIERS, 4)
    if said is None:
        _pass_times(values, "the file")
        if values.flag("<exists>") == "<absent>":
            return []
        said = values.count("the number of tiers")
    tiers = [_read_tier(values) for _ in range(said)]
    while values.next_kind() == _TEXT:
        tiers.append(_read_tier(values))
    return tiers


def _read_tier(values: _Values) -> Tier | Points:
    kind, name = _tier_head(values)
    said = values.size(_BEFORE_INTERVALS, 3)
    if said is None:
        _pass_times(values, "the tier")
        said = values.count("the number of intervals")
    if kind == "TextTier":
        _read_points(values, said)
        return Points(name)
    at = values.at
    starts, ends, marks = values.intervals(said) or _by_value(values, name, said)
    notes = _miscounted(name, said, len(marks))
    return Tier(name, starts, ends, marks, lambda i: values.where(at + 3 * i), notes)


def _by_value(values: _Values, name: str, said: int) -> Intervals:
    """Intervals whose numbers are not all plain, or that are not whole."""
    starts: list[float] = []
    ends: list[float] = []
    marks: list[str] = []
    while len(ends) < said or values.next_kind() == _NUMBER:
        of = f"of interval {len(ends) + 1} of {said} in tier {name!r}"
        starts.append(values.number(f"the start {of}"))
        ends.append(values.number(f"the end {of}"))
        marks.append(values.string(f"the text {of}"))
    return starts, ends, marks


def _miscounted(name: str, said: int, found: int) -> tuple[str, ...]:
    if found <= said:
        return ()
    return (f"tier {name!r} says that it has {said} intervals, found {found}",)


def _tier_head(values: _Values) -> tuple[str, str]:
    """Class and name of the next tier."""
    kind = values.string("the class of a tier")
    if kind not in ("IntervalTier", "TextTier"):
        raise values.error(f'found {_shortened(kind)!r}, expected "IntervalTier" or "TextTier"')
    return kind, values.string("the name of a tier")


def _pass_times(values: _Values, of: str) -> None:
    values.number(f"the time at which {of} begins")
    values.number(f"the time at which {of} ends")


def _read_points(values: _Values, said: int) -> None:
    read = 0
    while read < said or values.next_kind() == _NUMBER:
        values.number("the time of a point")
        values.string("the mark of a point")
        read += 1


def _read_chronological(values: _Values) -> list[Tier | Points]:
    """All tiers' intervals in the order of their times, each with the number of its tier."""
    _pass_times(values, "the file")
    heads = []
    for _ in range(values.count("the number of tiers")):
        heads.append(_tier_head(values))
        _pass_times(values, "the tier")
    rows: list[list[tuple[float, float, str, int]]] = [[] for _ in heads]
    while values.next_kind():
        of = values.number("the number of a tier")
        place = values.at - 1
        if not (of.is_integer() and 1 <= of <= len(heads)):
            raise values.error(f"found {of:g}, expected the number of one of {len(heads)} tiers")
        start = values.number("a time")
        interval = heads[int(of) - 1][0] == "IntervalTier"
        end = values.number("the end of an interval") if interval else start
        rows[int(of) - 1].append((start, end, values.string("a text"), place))
    named = zip(heads, rows, strict=True)
    return [
        _collected(name, found, values) if kind == "IntervalTier" else Points(name)
        for (kind, name), found in named
    ]


def _collected(name: str, rows: Iterable[tuple[float, float, str, int]], values: _Values) -> Tier:
    starts, ends, marks, places = zip(*rows, strict=True) if rows else ((),) * 4
    return Tier(name, starts, ends, marks, lambda i: values.where(places[i]))
