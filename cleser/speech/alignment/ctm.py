"""CTM files of phones, as Kaldi and NIST's tools write them: recording, channel, start, duration, symbol."""

from __future__ import annotations

from pathlib import Path

from cleser.speech.alignment.textgrid import decode
from cleser.speech.alignment.tiers import AlignmentError, Tier


def read_ctm(path: Path) -> dict[str, Tier]:
    """The tier of every recording in a CTM file.

    Raises:
        AlignmentError: A line does not hold five or six fields, or its times are none.
    """
    rows: dict[str, list[tuple[float, float, str, int]]] = {}
    for number, line in enumerate(decode(path.read_bytes()).split("\n"), 1):
        fields = line.split()
        if not fields or fields[0].startswith(";;"):
            continue
        try:
            recording, _, start, duration, symbol = fields[:5]
            begin = float(start)
            row = (begin, round(begin + float(duration), 6), symbol, number)
        except ValueError:
            raise AlignmentError(
                f"{path}, line {number}: found {line.strip()!r}, expected recording, channel, start, duration, symbol"
            ) from None
        rows.setdefault(recording, []).append(row)
    return {recording: _tier(recording, sorted(found)) for recording, found in rows.items()}


def _tier(recording: str, rows: list[tuple[float, float, str, int]]) -> Tier:
    starts, ends, marks, lines = zip(*rows, strict=True)
    return Tier(recording, starts, ends, marks, lines.__getitem__)
