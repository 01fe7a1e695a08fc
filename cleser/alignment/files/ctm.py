"""CTM files of phones, as Kaldi and NIST's tools write them: recording, channel, start, duration, symbol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cleser.alignment.files.textgrid import decode
from cleser.alignment.files.tiers import AlignmentError, Tier
from cleser.corpora.terms import composed

_Row = tuple[float, float, str, int]


def read_ctm(path: Path) -> dict[str, Tier]:
    """The tier of every recording in a CTM file.

    A recording of several channels has one for each, named ``RECORDING-CHANNEL``: these are different speakers.

    Raises:
        AlignmentError: A line does not hold five or six fields, or its times are none.
    """
    rows: dict[str, dict[str, list[_Row]]] = {}
    for number, line in enumerate(decode(path.read_bytes()).split("\n"), 1):
        fields = line.split()
        if not fields or fields[0].startswith(";;"):
            continue
        try:
            recording, channel, start, duration, symbol = fields[:5]
            begin = float(start)
            row = (begin, round(begin + float(duration), 6), symbol, number)
        except (ValueError, OverflowError):
            raise AlignmentError(
                path,
                f"found {line.strip()[:80]!r}, expected recording, channel, start, duration, symbol",
                f"line {number}",
            ) from None
        rows.setdefault(composed(recording), {}).setdefault(channel, []).append(row)
    named = {
        recording if len(channels) == 1 else f"{recording}-{channel}": found
        for recording, channels in rows.items()
        for channel, found in channels.items()
    }
    return {name: _tier(name, sorted(found)) for name, found in named.items()}


def channels_of(tiers: Mapping[str, object], recording: str) -> list[str]:
    """The names of a recording's channels, where a CTM file has several."""
    return [name for name in tiers if name.rpartition("-")[0] == recording]


def _tier(name: str, rows: list[_Row]) -> Tier:
    starts, ends, marks, lines = zip(*rows, strict=True)
    return Tier(name, starts, ends, marks, lambda i: f"line {lines[i]}")
