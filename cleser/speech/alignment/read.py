"""Alignments from files of any kind."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from cleser.speech.alignment.ctm import read_ctm
from cleser.speech.alignment.json_file import read_json
from cleser.speech.alignment.phones import Alignment
from cleser.speech.alignment.textgrid import read_textgrid
from cleser.speech.alignment.tiers import AlignmentError, Tier, to_alignment

SUFFIXES: Final = (".textgrid", ".ctm", ".json")
_QUALITY: Final = re.compile(r"quality=(\S+)")


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
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122  (a Path costs more than the call)
    if suffix == ".textgrid":
        found, remark = read_textgrid(path, tier)
        if remark.startswith("uniform"):  # segments of no text have no symbols
            return _uniform(found, remark)
        alignment = to_alignment(found, path, alphabet)
        return replace(alignment, quality=_quality(remark)) if remark else alignment
    path = Path(path)
    if suffix == ".ctm":
        return to_alignment(_recording(read_ctm(path), tier, path), path, alphabet)
    if suffix == ".json":
        return to_alignment(read_json(path, tier), path, alphabet)
    raise AlignmentError(f"{path}: found the suffix {suffix!r}, expected one of {list(SUFFIXES)}")


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
        quality=_quality(remark),
        uniform=True,
    )


def _quality(remark: str) -> float | None:
    """What :func:`write_textgrid` notes beside the phones."""
    found = _QUALITY.search(remark) if remark.startswith(("phones", "uniform")) else None
    return float(found[1]) if found else None
