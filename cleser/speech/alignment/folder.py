"""The alignments of a corpus, from a folder that somebody's aligner wrote."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

import pandas as pd

from cleser.speech.alignment.ctm import read_ctm
from cleser.speech.alignment.json_file import from_entries
from cleser.speech.alignment.phones import Alignment
from cleser.speech.alignment.read import SUFFIXES, read_alignment
from cleser.speech.alignment.tiers import AlignmentError, Tier, to_alignment


class Alignments(list[Alignment | None]):
    """One alignment for each row of a manifest, None where there is none.

    Attributes:
        problems: What is missing or broken, as ``{"path": …, "reason": …}``: the recording or the file.
    """

    def __init__(self, alignments: list[Alignment | None], problems: list[dict[str, str]]) -> None:
        super().__init__(alignments)
        self.problems = problems

    def summary(self) -> str:
        """How many are there, and what keeps the others away.

        >>> Alignments([None], [{"path": "a.wav", "reason": "has no alignment"}]).summary()
        '0 of 1 utterances have an alignment; 1 has no alignment (a.wav)'
        """
        found = sum(alignment is not None for alignment in self)
        first = {p["reason"]: p["path"] for p in reversed(self.problems)}
        counts = Counter(p["reason"] for p in self.problems)
        parts = [f"{found} of {len(self)} utterances have an alignment"]
        parts += [f"{count} {reason} ({first[reason]})" for reason, count in counts.most_common(3)]
        if len(counts) > 3:
            parts.append(f"{len(counts) - 3} further reasons")
        return "; ".join(parts)


def existing_folder(folder: str | Path) -> Path:
    """The folder, if it is there.

    Raises:
        ValueError: It is not.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"{folder}: there is no such folder of alignments")
    return Path(folder)


def load_alignments(
    manifest: pd.DataFrame,
    folder: str | Path | None = None,
    *,
    tier: str | int | None = None,
    alphabet: str | None = None,
) -> Alignments:
    """Read the alignment of every utterance that has one.

    A file is an utterance's if it is named like it, or like its recording: ``03a01Fa.TextGrid``, in the folder or
    anywhere below it, also for ``emodb/03a01Fa``; of several, the one whose folders are named most like that, or else
    like the recording's. A folder ``ForceAligned`` in ``folder``, as MSP-Podcast has it, counts as well. Files
    named like a recording of which the manifest takes a part have times of the whole recording, and are cut. CTM
    files may hold many recordings.

    Args:
        manifest: Utterances with ``utterance, path, start, end``.
        folder: Where the files lie; by default a column ``phones`` of the manifest says when phones sound, in JSON,
            ``[[symbol, start, end], …]`` in seconds, as the synthetic corpus has it.
        tier: See :func:`read_alignment`.
        alphabet: See :func:`read_alignment`.

    Returns:
        As many as the manifest's rows; a broken file is a problem, not an error.

    Raises:
        ValueError: The folder does not exist, or holds no alignment of any of the utterances.
    """
    if folder is None:
        return _stated(manifest, alphabet)
    shelf = _Shelf(existing_folder(folder))
    columns = (manifest[name] for name in ("utterance", "path", "start", "end"))
    found: list[Alignment | None] = []
    problems: list[dict[str, str]] = []
    for utterance, path, start, end in zip(*columns, strict=True):
        try:
            found.append(_find(shelf, _Row(utterance, PurePath(path), start, end), tier, alphabet))
        except AlignmentError as error:
            found.append(None)
            problems.append(_broken(error))
        else:
            if found[-1] is None:
                problems.append({"path": str(path), "reason": "has no alignment"})
    if (
        len(manifest)
        and not any(found)
        and not any(p["reason"] != "has no alignment" for p in problems)
    ):
        row = manifest.iloc[0]
        raise ValueError(
            f"{folder}: none of {len(manifest)} utterances has an alignment here, expected files like "
            f"{Path(row['path']).stem}.TextGrid; found {shelf.sample()}"
        )
    return Alignments(found, problems)


def _stated(manifest: pd.DataFrame, alphabet: str | None) -> Alignments:
    if "phones" not in manifest:
        raise ValueError(
            "the manifest has no column 'phones', expected a folder of alignments, as cleser align writes it"
        )
    found: list[Alignment | None] = []
    problems: list[dict[str, str]] = []
    for path, text in zip(manifest["path"], manifest["phones"], strict=True):
        entries = json.loads(text) if isinstance(text, str) else None
        found.append(None if entries is None else from_entries(entries, path, alphabet))
        if entries is None:
            problems.append({"path": str(path), "reason": "has no alignment"})
    return Alignments(found, problems)


class _Row(NamedTuple):
    utterance: str
    path: PurePath
    start: float
    end: float

    @property
    def is_part(self) -> bool:
        return self.start > 0 or self.end == self.end  # NaN is the recording's end


class _Shelf:
    """Files of alignments by what they are named."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, list[Path]] = {}
        for path in _walk(folder):
            self.files.setdefault(path.stem, []).append(path)
        self.recordings: dict[str, tuple[Path, Tier]] | None = None

    def get(self, row: _Row, name: str) -> Path | None:
        files = self.files.get(name, [])
        if len(files) < 2:
            return files[0] if files else None
        near = {file: _nearness(file, row) for file in files}
        ranked = sorted(files, key=near.__getitem__)
        if near[ranked[0]] == near[ranked[1]]:
            raise AlignmentError(
                f"{ranked[0]}: {ranked[1]} is named alike, expected one for {row.path}"
            )
        return ranked[0]

    def recording(self, name: str) -> tuple[Path, Tier] | None:
        """What a CTM file of many recordings says of one."""
        if self.recordings is None:
            self.recordings = {}
            for path in (
                p for files in self.files.values() for p in files if p.suffix.lower() == ".ctm"
            ):
                self.recordings.update({key: (path, tier) for key, tier in read_ctm(path).items()})
        return self.recordings.get(name)

    def sample(self) -> str:
        names = [path.name for files in list(self.files.values())[:3] for path in files[:1]]
        return (
            f"{', '.join(names)}, …" if names else f"no file that ends in one of {list(SUFFIXES)}"
        )


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if name.lower().endswith(SUFFIXES):
                yield Path(parent, name)


def _nearness(file: Path, row: _Row) -> tuple[int, int, int]:
    """How the file lies to the utterance's name, then to its recording: the least is nearest."""
    named = _shared_folders(file, PurePath(row.utterance))
    return -named, -_shared_folders(file, row.path), _rank(file)


def _shared_folders(file: Path, recording: PurePath) -> int:
    count = 0
    for a, b in zip(reversed(file.parent.parts), reversed(recording.parent.parts), strict=False):
        if a != b:
            break
        count += 1
    return count


def _rank(file: Path) -> int:
    return SUFFIXES.index(file.suffix.lower())


def _find(
    shelf: _Shelf, row: _Row, tier: str | int | None, alphabet: str | None
) -> Alignment | None:
    own = row.utterance.rsplit("/", 1)[-1]
    for name in dict.fromkeys((own, row.path.stem)):
        file = shelf.get(row, name)
        if file is not None:
            of = name if file.suffix.lower() == ".ctm" else tier
            alignment = read_alignment(file, tier=of, alphabet=alphabet)
        elif (spoken := shelf.recording(name)) is not None:
            alignment = to_alignment(spoken[1], spoken[0], alphabet)
        else:
            continue
        of_recording = name == row.path.stem and row.is_part
        return (
            alignment.cut(row.start, row.end if row.end == row.end else None)
            if of_recording
            else alignment
        )
    return None


def _broken(error: AlignmentError) -> dict[str, str]:
    where, _, reason = str(error).partition(": ")
    file, _, line = where.partition(", line ")
    at = f"line {line}: " if line else ""
    return {"path": file, "reason": f"cannot be read: {at}{reason}"}
