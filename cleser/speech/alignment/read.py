"""Alignments from files of any kind."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from cleser.speech.alignment.ctm import read_ctm
from cleser.speech.alignment.json_file import read_json
from cleser.speech.alignment.phones import Alignment
from cleser.speech.alignment.textgrid import in_utf8, quality_of, read_content, read_textgrid
from cleser.speech.alignment.tiers import AlignmentError, Tier, to_alignment

if TYPE_CHECKING:
    from cleser.speech.alignment.textgrid_bulk import BulkReader

SUFFIXES: Final = (".textgrid", ".ctm", ".json")
MANY = 10_000
"""TextGrids that a process has read before compiled loops are worth loading, which takes as long as these did."""
files = itertools.count()


def read_alignment(
    path: str | Path, *, tier: str | int | None = None, alphabet: str | None = None
) -> Alignment:
    """Read when each phone of an utterance sounds.

    TextGrid (long and short, UTF-8, UTF-16, Latin-1, MacRoman, Praat's trigraphs), CTM, and JSON by Montreal
    Forced Aligner or as a list ``[[symbol, start, end], …]``. Silences and empty marks are left out.

    Args:
        path: The file; its suffix says the kind.
        tier: Name or position (from 0) of the tier with phones; in a CTM file, name of the recording. By default
            the tier that is named like one, ``phones`` or ``MAU``; else the one that is not named like words; else
            the one with the most marks.
        alphabet: One of :data:`cleser.anchors.ALPHABETS`; by default told by the symbols of the file, since
            corpora mix them between files.

    Raises:
        AlignmentError: The file is broken, has no such tier, or its symbols belong to no alphabet; the message
            names the file and the line.
        FileNotFoundError: There is no such file.
    """
    path = os.fspath(path)
    if path.endswith(".TextGrid"):
        return _read_textgrid(path, tier, alphabet)
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122  (a Path costs more than the call)
    if suffix == ".textgrid":
        return _read_textgrid(path, tier, alphabet)
    path = Path(path)
    if suffix == ".ctm":
        return to_alignment(_recording(read_ctm(path), tier, path), path, alphabet)
    if suffix == ".json":
        return to_alignment(read_json(path, tier), path, alphabet)
    raise AlignmentError(f"{path}: found the suffix {suffix!r}, expected one of {list(SUFFIXES)}")


def _read_textgrid(path: str, tier: str | int | None, alphabet: str | None) -> Alignment:
    content = read_content(path)
    if next(files) >= MANY:
        found = _bulk_reader().read(content, tier, alphabet)
        if found is None and (plain := in_utf8(content)) != content:
            found = _bulk_reader().read(plain, tier, alphabet)
        if found is not None:
            return found
    intervals, remark = read_textgrid(content, path, tier)
    if remark.startswith("uniform"):  # segments of no text have no symbols
        return _uniform(intervals, remark)
    alignment = to_alignment(intervals, path, alphabet)
    return replace(alignment, quality=quality_of(remark)) if remark else alignment


@cache
def _bulk_reader() -> BulkReader:
    from cleser.speech.alignment.textgrid_bulk import BulkReader  # noqa: PLC0415  (needs numba)

    return BulkReader()


def _recording(tiers: dict[str, Tier], name: str | int | None, path: Path) -> Tier:
    if name is None and len(tiers) == 1:
        return next(iter(tiers.values()))
    if isinstance(name, str) and name in tiers:
        return tiers[name]
    asked = "expected one" if name is None else f"none is {name!r}"
    raise AlignmentError(
        f"{path}: found {len(tiers)} recordings {list(tiers)[:3]}, {asked}; name one as tier"
    )


def _uniform(tier: Tier, remark: str) -> Alignment:
    kept = [i for i, mark in enumerate(tier.marks) if mark]
    return Alignment(
        np.array([tier.starts[i] for i in kept]),
        np.array([tier.ends[i] for i in kept]),
        tuple(tier.marks[i] for i in kept),
        quality=quality_of(remark),
        uniform=True,
    )
