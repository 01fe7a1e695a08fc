"""Praat's binary TextGrid files: what the text formats say, as big-endian numbers and texts with their lengths."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Final

from cleser.alignment.files.tiers import AlignmentError, Points, Tier
from cleser.alignment.files.trigraphs import to_unicode

MAGIC: Final = b"ooBinaryFile"
_WIDE: Final = 0xFFFF  # in place of a text's length: one of UTF-16 follows


def read_binary(content: bytes, path: str | Path) -> list[Tier | Points]:
    """Read the tiers of a binary TextGrid, in their order.

    Raises:
        AlignmentError: The file is broken; the message names the byte.
    """
    reader = _Reader(content, path)
    kind = reader.name('"TextGrid"')
    if kind.partition(" ")[0] != "TextGrid":
        raise reader.error(f'found the class {kind!r}, expected "TextGrid"')
    reader.take(">dd", "the times at which the file begins and ends")
    (exists,) = reader.take(">B", "whether there are tiers")
    if not exists:
        return []
    (count,) = reader.take(">i", "the number of tiers")
    return [_tier(reader) for _ in range(count)]


def _tier(reader: _Reader) -> Tier | Points:
    kind = reader.name("the class of a tier")
    if kind not in ("IntervalTier", "TextTier"):
        raise reader.error(f'found {kind!r}, expected "IntervalTier" or "TextTier"')
    name = reader.text("the name of a tier")
    reader.take(">dd", "the times at which the tier begins and ends")
    (count,) = reader.take(">i", "the number of intervals")
    rows: list[tuple[float, float, str, int]] = []
    for i in range(count):
        of = f"of interval {i + 1} of {count} in tier {name!r}"
        at = reader.at
        if kind == "TextTier":
            reader.take(">d", f"the time {of}")
            reader.text(f"the text {of}")
        else:
            start, end = reader.take(">dd", f"the times {of}")
            rows.append((start, end, reader.text(f"the text {of}"), at))
    if kind == "TextTier":
        return Points(name)
    starts, ends, marks, places = zip(*rows, strict=True) if rows else ((),) * 4
    return Tier(name, starts, ends, marks, lambda i: f"byte {places[i]}")


class _Reader:
    """Takes value after value, and says where it stands."""

    def __init__(self, content: bytes, path: str | Path) -> None:
        self.content, self.path = content, path
        self.at = len(MAGIC)

    def take(self, layout: str, expected: str) -> tuple[Any, ...]:
        try:
            found = struct.unpack_from(layout, self.content, self.at)
        except struct.error:
            raise self.error(f"the file ends, expected {expected}") from None
        self.at += struct.calcsize(layout)
        return found

    def name(self, expected: str) -> str:
        """A text of plain letters behind its length of one byte."""
        (length,) = self.take(">B", expected)
        return str(self.take(f"{length}s", expected)[0], "latin-1")

    def text(self, expected: str) -> str:
        """A text behind its length of two bytes."""
        (length,) = self.take(">H", expected)
        if length == _WIDE:
            (length,) = self.take(">H", expected)
            wide = self.take(f"{2 * length}s", expected)[0]
            return to_unicode(wide.decode("utf-16-be", errors="replace"))
        return to_unicode(str(self.take(f"{length}s", expected)[0], "latin-1"))

    def error(self, reason: str) -> AlignmentError:
        return AlignmentError(self.path, reason, f"byte {self.at}")
