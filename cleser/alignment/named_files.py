"""The files in a folder of alignments: which of them is an utterance's, by what they are named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
import pandas as pd

from cleser.alignment.files.ctm import channels_of, read_ctm
from cleser.alignment.files.read import SUFFIXES, read_alignment
from cleser.alignment.files.tiers import AlignmentError, Tier, to_alignment
from cleser.alignment.made_from import MADE_FROM, read_origins
from cleser.alignment.phones import Alignment
from cleser.corpora.folders import printable
from cleser.corpora.terms import composed


class Found(NamedTuple):
    """An alignment, the one of the recording that it was cut from (or itself), and the file.

    Of a file that is known to be of a part of its recording, ``part`` says where that begins and ends.
    """

    alignment: Alignment
    whole: Alignment
    file: str
    part: tuple[float, float] | None = None


class Row(NamedTuple):
    """What of a manifest's row says which file is its own; an end that is NaN is the recording's."""

    utterance: str
    path: PurePath
    start: float
    end: float

    @property
    def is_part(self) -> bool:
        """Whether it is less than its recording."""
        return _is_part(self.start, self.end)

    def is_from(self, part: tuple[float, float]) -> bool:
        """Whether it is this part of its recording, but for the rounding of tables."""
        return bool(np.allclose((self.start, self.end), part, rtol=0, atol=1e-3, equal_nan=True))


def _is_part(start: float, end: float) -> bool:
    return start > 0 or not pd.isna(end)  # NaN is the recording's end


def rows_of(manifest: pd.DataFrame) -> Iterator[Row]:
    """The rows of a manifest, one after another."""
    columns = (manifest[name] for name in ("utterance", "path", "start", "end"))
    for utterance, path, start, end in zip(*columns, strict=True):
        yield Row(utterance, PurePath(path), start, end)


class NamedFiles:
    """Files of alignments by what they are named, in the one form in which ids of utterances are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, list[Path]] = {}
        self.problems: list[dict[str, str]] = []
        self.parts: dict[Path, tuple[float, float]] = {}
        for path in _walk(folder, self.problems):
            if path.name == MADE_FROM:
                self.parts |= _parts(path.parent)
                continue
            name = composed(path.stem).removesuffix("_annot")  # as emuR's
            self.files.setdefault(name, []).append(path)
        self.recordings: dict[str, tuple[Path, Tier]] | None = None

    def find(self, row: Row, tier: str | int | None, alphabet: str | None) -> Found | None:
        """The alignment of the file that is named like an utterance or like its recording; None where there is none.

        Raises:
            AlignmentError: The file cannot be read, or several are named alike.
            OSError: The file cannot be opened.
        """
        own, recording = composed(row.utterance.rsplit("/", 1)[-1]), composed(row.path.stem)
        for name in dict.fromkeys((own, recording)):
            file = self._file(row, name)
            if file is not None:
                of = name if _is_ctm(file) else tier
                whole = read_alignment(file, tier=of, alphabet=alphabet)
            elif (spoken := self._recording(name)) is not None:
                file = spoken[0]
                whole = to_alignment(spoken[1], file, alphabet)
            else:
                continue
            made_of = self.parts.get(file)
            of_recording = made_of is None and name == recording and row.is_part
            end = row.end if row.end == row.end else None
            part = whole.cut(row.start, end) if of_recording else whole
            return Found(part, whole, str(file), made_of)
        return None

    def sample(self) -> str:
        """Some of the files' names, or what names of files end in."""
        names = [path.name for files in list(self.files.values())[:3] for path in files[:1]]
        return (
            f"{', '.join(names)}, …" if names else f"no file that ends in one of {list(SUFFIXES)}"
        )

    def _file(self, row: Row, name: str) -> Path | None:
        files = self.files.get(name, [])
        if len(files) < 2:
            return files[0] if files else None
        near = {file: _nearness(file, row) for file in files}
        ranked = sorted(files, key=near.__getitem__)
        if near[ranked[0]] == near[ranked[1]]:
            said = f"{ranked[1]} is named alike, expected one for {row.path}"
            raise AlignmentError(ranked[0], said)
        return ranked[0]

    def _recording(self, name: str) -> tuple[Path, Tier] | None:
        """What a CTM file of many recordings says of one."""
        if self.recordings is None:
            self.recordings = {}
            for path in (p for files in self.files.values() for p in files if _is_ctm(p)):
                try:
                    found = read_ctm(path)
                except (AlignmentError, OSError) as error:
                    self.problems.append(problem_of(error))
                else:
                    self.recordings.update({key: (path, tier) for key, tier in found.items()})
        if name not in self.recordings and (channels := channels_of(self.recordings, name)):
            path = self.recordings[channels[0]][0]
            said = f"{name!r} has several channels, expected utterances named {channels}"
            raise AlignmentError(path, said)
        return self.recordings.get(name)


def _walk(folder: Path, problems: list[dict[str, str]]) -> Iterator[Path]:
    """Alignments in the folder and below it, also behind links to folders; each folder is looked into once."""
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        problems.append(problem_of(error))

    for parent, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        place = os.path.realpath(parent)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders.sort()
        for name in sorted(files):
            if name == MADE_FROM or name.lower().endswith(SUFFIXES):
                yield Path(parent, name)


def _parts(folder: Path) -> dict[Path, tuple[float, float]]:
    """The files that cleser align made of parts of recordings: their times count from the part's start."""
    return {
        folder / f"{utterance}.TextGrid": (origin.start, origin.end)
        for utterance, origin in read_origins(folder).items()
        if _is_part(origin.start, origin.end)
    }


def _is_ctm(path: Path) -> bool:
    return path.suffix.lower() == ".ctm"


def _nearness(file: Path, row: Row) -> tuple[int, int, int]:
    """How the file lies to the utterance's name, then to its recording: the least is nearest."""
    named = _shared_folders(file, PurePath(row.utterance))
    return -named, -_shared_folders(file, row.path), _rank(file)


def _shared_folders(file: Path, recording: PurePath) -> int:
    count = 0
    for a, b in zip(reversed(file.parent.parts), reversed(recording.parent.parts), strict=False):
        if composed(a) != composed(b):
            break
        count += 1
    return count


def _rank(file: Path) -> int:
    return SUFFIXES.index(file.suffix.lower())


def problem_of(error: AlignmentError | OSError) -> dict[str, str]:
    """Which file cannot be read, and why, as it is listed for the user."""
    if isinstance(error, AlignmentError):
        at = f"{error.where}: " if error.where else ""
        return {"path": printable(error.path), "reason": f"cannot be read: {at}{error.reason}"}
    said = f"cannot be read: {error.strerror or error}"
    return {"path": printable(str(error.filename or "")), "reason": said}
