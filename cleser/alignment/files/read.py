"""Alignments from files of any kind."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from cleser.alignment.files.ctm import channels_of, read_ctm
from cleser.alignment.files.json_file import read_json
from cleser.alignment.files.label_file import read_phn, read_phones
from cleser.alignment.files.textgrid import quality_of, read_content, read_textgrid
from cleser.alignment.files.tiers import AlignmentError, Tier, to_alignment
from cleser.alignment.phones import Alignment
from cleser.corpora.terms import composed

SUFFIXES: Final = (".textgrid", ".ctm", ".json", ".phn", ".phones")


def read_alignment(
    path: str | Path, *, tier: str | int | None = None, alphabet: str | None = None
) -> Alignment:
    """Read when each phone of an utterance sounds.

    TextGrid (long, short, chronological and binary; UTF-8, UTF-16, Latin-1, MacRoman, Praat's trigraphs), CTM, JSON by
    Montreal Forced Aligner, gentle, WhisperX and emuR or as a list ``[[symbol, start, end], …]``, TIMIT's ``.PHN`` and
    Buckeye's ``.phones``. Silences and empty marks are left out. So are phones of no length and unknown symbols, as
    long as they are fewer than the others; the alignment's ``notes`` say it.

    Args:
        path: The file; its suffix says the kind.
        tier: Name of the tier with phones, or its position (from 0) among all tiers of the file; in a CTM file, name of
            the recording. By default the tier that is named like one, ``phones`` or ``MAU``; else the one that is not
            named like words; else the one with the most marks.
        alphabet: One of :data:`cleser.anchors.ALPHABETS`; by default ARPABET in ``.PHN`` and ``.phones``, and elsewhere
            told by the symbols of the file, since corpora mix them between files.

    Raises:
        AlignmentError: The file is broken, has no such tier, or most of its symbols belong to no alphabet; the message
            names the file and the line or the byte.
        OSError: There is no such file, or it cannot be read.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "hello.json")
    ...     _ = path.write_text('[["h", 0.1, 0.2], ["a", 0.2, 0.35]]')
    ...     read_alignment(path).phones
    ('h', 'a')
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
    if suffix in (".phn", ".phones"):
        found = read_phn(path) if suffix == ".phn" else read_phones(path)
        return to_alignment(found, path, alphabet or "arpabet")
    raise AlignmentError(path, f"found the suffix {suffix!r}, expected one of {list(SUFFIXES)}")


def _read_textgrid(path: str, tier: str | int | None, alphabet: str | None) -> Alignment:
    intervals, remark = read_textgrid(read_content(path), path, tier)
    if remark.startswith("uniform"):  # segments of no text have no symbols
        return _uniform(intervals, remark, path)
    alignment = to_alignment(intervals, path, alphabet)
    return replace(alignment, quality=quality_of(remark)) if remark else alignment


def _recording(tiers: dict[str, Tier], name: str | int | None, path: Path) -> Tier:
    if name is None and len(tiers) == 1:
        return next(iter(tiers.values()))
    if isinstance(name, str) and composed(name) in tiers:
        return tiers[composed(name)]
    if channels := channels_of(tiers, str(name)):
        raise AlignmentError(path, f"{name!r} has several channels, name one of {channels} as tier")
    asked = "expected one" if name is None else f"none is {name!r}"
    raise AlignmentError(
        path, f"found {len(tiers)} recordings {list(tiers)[:3]}, {asked}; name one as tier"
    )


def _uniform(tier: Tier, remark: str, path: str) -> Alignment:
    kept = [i for i, mark in enumerate(tier.marks) if mark]
    try:
        return Alignment(
            np.array([tier.starts[i] for i in kept]),
            np.array([tier.ends[i] for i in kept]),
            tuple(tier.marks[i] for i in kept),
            quality=quality_of(remark),
            uniform=True,
            notes=tier.notes,
        )
    except ValueError as error:
        raise AlignmentError(path, str(error)) from error
