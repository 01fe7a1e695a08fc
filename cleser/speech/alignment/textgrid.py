"""Praat's TextGrid files, in the long and the short text format and any encoding that Praat writes.

In both formats only numbers, quoted texts and flags like ``<exists>`` count; the long one puts words between
them. Files as programs write them are cut at their quotes, all others read token by token.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cleser.speech.alignment.textgrid_quotes import LayoutError, cut_at_quotes
from cleser.speech.alignment.tiers import (
    AlignmentError,
    Tier,
    Tiers,
    UnclearTierError,
    choose_tier,
    most_marked,
)
from cleser.speech.alignment.trigraphs import to_unicode

_BINARY: Final = getattr(os, "O_BINARY", 0)
_USUAL: Final = 1 << 16  # bytes that hardly any file has
# Free-standing numbers, texts and flags; comments run from ! to the end of the line.
_TOKEN: Final = re.compile(
    r'"((?:[^"]|"")*)"|(?<!\S)(-?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?%?)(?!\S)|(?<!\S)<(exists|absent)>|![^\n]*|\S+'
)

_QUALITY: Final = re.compile(r"quality=(\S+)")


def read_textgrid(content: bytes, path: str | Path, tier: str | int | None) -> tuple[Tier, str]:
    """The tier of phones, and the remark of a tier ``alignment`` that :func:`write_textgrid` leaves.

    Raises:
        AlignmentError: The file is broken, or it does not say which tier holds phones.
    """
    text = decode(content)
    try:
        try:
            return _phones(cut_at_quotes(text), tier)
        except LayoutError:
            return _phones(_by_token(text, path), tier)
    except UnclearTierError as error:
        raise AlignmentError(f"{path}: {error}") from None


def _phones(tiers: Tiers, tier: str | int | None) -> tuple[Tier, str]:
    names = tiers.names
    if not names:
        raise UnclearTierError("the file has no tier of intervals")
    at = choose_tier(names, tier)
    remark = ""
    if tier is None and "alignment" in names:
        remark = " ".join(tiers.read(names.index("alignment")).marks)
    if at is None:
        return most_marked([tiers.read(i) for i in range(len(names))]), remark
    return tiers.read(at), remark


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
    elif content[:1] == b"\0" or content[1:2] == b"\0":
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


def in_utf8(content: bytes) -> bytes:
    """The same text in UTF-8, without a mark and with plain ends of lines."""
    return decode(content).encode()


def quality_of(remark: str) -> float | None:
    """What :func:`write_textgrid` notes beside the phones."""
    found = _QUALITY.search(remark) if remark.startswith(("phones", "uniform")) else None
    return float(found[1]) if found else None


class _Reader:
    """Takes token after token, and says where it stands."""

    def __init__(self, text: str, path: str | Path) -> None:
        self.text, self.path, self.position = text, path, 0
        self.tokens = _significant(text)

    @property
    def line(self) -> int:
        return self.text.count("\n", 0, self.position) + 1

    def take(self, kind: int, expected: str) -> str:
        match = next(self.tokens, None)
        if match is None:
            line = self.text.rstrip().count("\n") + 1
            raise AlignmentError(f"{self.path}, line {line}: the file ends, expected {expected}")
        self.position = match.start()
        if match[kind] is None:
            raise AlignmentError(
                f"{self.path}, line {self.line}: found {match[0]!r}, expected {expected}"
            )
        return match[kind]

    def string(self, expected: str) -> str:
        return _unquoted(self.take(1, expected))

    def number(self, expected: str) -> float:
        return float(self.take(2, expected))

    def count(self, expected: str) -> int:
        found = self.number(expected)
        if found < 0 or found != int(found):
            raise AlignmentError(
                f"{self.path}, line {self.line}: found {found:g}, expected {expected}"
            )
        return int(found)


def _significant(text: str) -> Iterator[re.Match[str]]:
    return (match for match in _TOKEN.finditer(text) if match.lastindex)


def _by_token(text: str, path: str | Path) -> Tiers:
    reader = _Reader(text, path)
    kind = reader.string('"ooTextFile"')
    if kind != "ooTextFile":
        raise AlignmentError(
            f'{path}, line {reader.line}: found {kind!r}, expected a file of the type "ooTextFile"'
        )
    what = reader.string('"TextGrid"')
    if what != "TextGrid":
        raise AlignmentError(
            f'{path}, line {reader.line}: found the class {what!r}, expected "TextGrid"'
        )
    reader.number("the time at which the file begins")
    reader.number("the time at which the file ends")
    if reader.take(3, "<exists>") == "absent":
        return Tiers((), [].__getitem__)
    tiers = [_tier(reader) for _ in range(reader.count("the number of tiers"))]
    known = [tier for tier in tiers if tier is not None]
    return Tiers(tuple(tier.name for tier in known), known.__getitem__)


def _tier(reader: _Reader) -> Tier | None:
    kind = reader.string("the class of a tier")
    if kind not in ("IntervalTier", "TextTier"):
        raise AlignmentError(
            f'{reader.path}, line {reader.line}: found {kind!r}, expected "IntervalTier" or "TextTier"'
        )
    name = reader.string("the name of a tier")
    reader.number("the time at which the tier begins")
    reader.number("the time at which the tier ends")
    count = reader.count("the number of intervals")
    if kind == "TextTier":
        for _ in range(count):
            reader.number("the time of a point")
            reader.string("the mark of a point")
        return None
    starts, ends, marks, lines = [], [], [], []
    for i in range(1, count + 1):
        of = f"of interval {i} of {count} in tier {name!r}"
        starts.append(reader.number(f"the start {of}"))
        lines.append(reader.line)
        ends.append(reader.number(f"the end {of}"))
        marks.append(reader.string(f"the text {of}"))
    return Tier(name, starts, ends, marks, lines.__getitem__)


def _unquoted(text: str) -> str:
    plain = text.replace('""', '"')
    return to_unicode(plain) if "\\" in plain else plain
