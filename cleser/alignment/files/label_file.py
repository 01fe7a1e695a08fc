"""Files of a line a phone: TIMIT's ``.PHN``, in samples, and Buckeye's ``.phones``, in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cleser.alignment.files.textgrid import decode
from cleser.alignment.files.tiers import AlignmentError, Tier

_TIMIT_RATE: Final = 16_000  # Hz


def read_phn(path: Path) -> Tier:
    """The tier of a ``.PHN`` file: lines of first sample, last sample and symbol, at TIMIT's 16 kHz.

    Raises:
        AlignmentError: A line holds something else.
    """
    rows = []
    for number, line in enumerate(decode(path.read_bytes()).split("\n"), 1):
        if not line.strip():
            continue
        try:
            first, last, symbol = line.split()
            rows.append((int(first) / _TIMIT_RATE, int(last) / _TIMIT_RATE, symbol, number))
        except (ValueError, OverflowError):
            raise _strange(path, number, line, "first sample, last sample, symbol") from None
    return _tier(rows)


def read_phones(path: Path) -> Tier:
    """The tier of a ``.phones`` file: behind a line ``#``, lines of a phone's end, a colour and its symbol.

    Raises:
        AlignmentError: There is no such line, or a line behind it holds something else.
    """
    lines = decode(path.read_bytes()).split("\n")
    head = next((i for i, line in enumerate(lines) if line.strip() == "#"), None)
    if head is None:
        raise AlignmentError(path, "found no line '#', expected it between head and phones")
    rows = []
    before = 0.0
    for number, line in enumerate(lines[head + 1 :], head + 2):
        fields = line.partition(";")[0].split()
        if not line.strip():
            continue
        try:
            end = float(fields[0])
            int(fields[1])
        except (ValueError, IndexError):
            raise _strange(path, number, line, "the end in seconds, a colour, a symbol") from None
        rows.append((before, end, " ".join(fields[2:]), number))
        before = end
    return _tier(rows)


def _strange(path: Path, number: int, line: str, expected: str) -> AlignmentError:
    return AlignmentError(
        path, f"found {line.strip()[:80]!r}, expected {expected}", f"line {number}"
    )


def _tier(rows: list[tuple[float, float, str, int]]) -> Tier:
    starts, ends, marks, lines = zip(*rows, strict=True) if rows else ((),) * 4
    return Tier("phones", starts, ends, marks, lambda i: f"line {lines[i]}")
