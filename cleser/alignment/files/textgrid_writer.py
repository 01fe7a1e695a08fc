"""Alignments to Praat's TextGrid files, in the long text format."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cleser.alignment.phones import Alignment
from cleser.files import write_text

_STRESS = {0: "", 1: "ˈ", 2: "ˌ"}
_Interval = tuple[float, float, str]


def write_textgrid(
    path: str | Path, alignment: Alignment, duration: float | None = None, *, tier: str = "phones"
) -> None:
    """Write an alignment so that Praat opens it and :func:`read_alignment` gives it back.

    Silences become empty intervals. What Praat has no place for, the quality and whether segments are
    uniform, is the mark of a second tier, ``alignment``. The file appears at once or not at all.

    Args:
        path: The file; its folder is made.
        alignment: What to write. Times keep nine decimals.
        duration: Length of the recording in seconds; by default the end of the last phone.
        tier: Name of the phones' tier.

    Raises:
        ValueError: The alignment ends after the recording does, or both are empty.

    >>> from tempfile import TemporaryDirectory
    >>> from cleser.alignment import read_alignment
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "hello.TextGrid")
    ...     write_textgrid(path, Alignment([0.1, 0.2], [0.2, 0.35], "ha"), duration=0.5)
    ...     read_alignment(path)[0]
    Phone(start=0.1, end=0.2, phone='h')
    """
    last = float(alignment.ends[-1]) if len(alignment) else 0.0
    length = last if duration is None else float(duration)
    if length < last - 1e-6:
        raise ValueError(
            f"{path}: the last phone ends at {last:g} s, after the recording's {length:g} s"
        )
    if not length > 0:
        raise ValueError(
            f"{path}: no phone and no duration, expected one of them to give the file a length"
        )
    length = max(length, last)
    tiers = [(tier, _intervals(alignment, length))]
    if alignment.uniform or alignment.quality is not None:
        tiers.append(("alignment", [(0.0, length, _remark(alignment))]))
    write_text(path, _long_format(tiers, length))


def _intervals(alignment: Alignment, length: float) -> list[_Interval]:
    """Phones and the silences between them, without a gap, as Praat wants them."""
    intervals: list[_Interval] = []
    now = 0.0
    starts = np.round(alignment.starts, 9).tolist()
    ends = np.round(alignment.ends, 9).tolist()
    for start, end, symbol in zip(starts, ends, _symbols(alignment), strict=True):
        if start > now + 1e-6:
            intervals.append((now, start, ""))
            now = start
        intervals.append((now, end, symbol))
        now = end
    if length > now + 1e-6:
        intervals.append((now, length, ""))
    elif intervals:
        intervals[-1] = (intervals[-1][0], length, intervals[-1][2])
    return intervals


def _symbols(alignment: Alignment) -> list[str]:
    count = len(alignment)
    stress = [0] * count if alignment.stress is None else alignment.stress.tolist()
    lengths = alignment.lengths or ("",) * count
    tones = alignment.tones or ("",) * count
    parts = zip(stress, alignment.phones, lengths, tones, strict=True)
    return [f"{_STRESS[s]}{phone}{length}{tone}" for s, phone, length, tone in parts]


def _remark(alignment: Alignment) -> str:
    kind = "uniform" if alignment.uniform else "phones"
    return kind if alignment.quality is None else f"{kind} quality={alignment.quality:.6g}"


def _long_format(tiers: list[tuple[str, list[_Interval]]], length: float) -> str:
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += ["xmin = 0 ", f"xmax = {_number(length)} ", "tiers? <exists> "]
    lines += [f"size = {len(tiers)} ", "item []: "]
    for position, (name, intervals) in enumerate(tiers, 1):
        lines += [f"    item [{position}]:", '        class = "IntervalTier" ']
        lines += [f"        name = {_quoted(name)} ", "        xmin = 0 "]
        lines += [f"        xmax = {_number(length)} "]
        lines += [f"        intervals: size = {len(intervals)} "]
        for number, (start, end, mark) in enumerate(intervals, 1):
            lines += [f"        intervals [{number}]:", f"            xmin = {_number(start)} "]
            lines += [f"            xmax = {_number(end)} ", f"            text = {_quoted(mark)} "]
    return "\n".join(lines) + "\n"


def _number(seconds: float) -> str:
    return f"{seconds:.9f}".rstrip("0").rstrip(".")


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
