"""Recordings that belong to no corpus: files and folders as utterances, with what a user knows of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import pandas as pd

from cleser.corpora.folders import AUDIO, NOT_UTF8, printable, recordings
from cleser.corpora.languages import checked_language
from cleser.corpora.manifest import COLUMNS, Problem, Spare
from cleser.corpora.readers.manifest_file import with_our_names
from cleser.corpora.recording import UNREAD, conversion
from cleser.corpora.tables import read_table
from cleser.experiments.prediction.windows import Window, cut, unusable
from cleser.speech.audio import AudioError

SUFFIXES: Final = (*AUDIO, ".oga", ".au", ".caf", ".w64")
_READERS: Final = 4  # recordings that are looked into at once


def files_in(paths: Sequence[str | Path]) -> tuple[list[str], list[Problem]]:
    """The recordings that are named, and those in the folders that are named, in order.

    Returns:
        Their paths; and what cannot be among them: names that are not UTF-8, which no table holds, folders that cannot
        be looked into, and sound and films in a folder that are not read, unless they were converted beside it.

    Raises:
        ValueError: A folder holds none.
    """
    found: list[str] = []
    problems: list[Problem] = []
    for path in map(str, paths):
        if Path(path).is_dir():
            inside = recordings(Path(path), SUFFIXES)
            missing = [problem for problem in inside.problems if not isinstance(problem, Spare)]
            unread = _unread(Path(path), inside.rows)
            if inside.rows.empty and not missing:
                hint = f"; {unread[0].path} {unread[0].reason}" if unread else ""
                raise ValueError(
                    f"{path}: found no recording, expected files in {', '.join(SUFFIXES)}{hint}"
                )
            found += inside.rows["path"].tolist()
            problems += missing
            problems += unread
        elif printable(path) != path:
            problems.append(Problem(printable(path), NOT_UTF8))
        else:
            found.append(path)
    return found, problems


def _unread(folder: Path, found: pd.DataFrame) -> list[Problem]:
    """Sound and films below a folder that are not read, but for those of which a recording there has the stem."""
    others = recordings(folder, UNREAD).rows
    there = {
        (Path(path).parent, stem) for path, stem in zip(found["path"], found["stem"], strict=True)
    }
    return [
        Problem(path, f"cannot be read{conversion(Path(path))}")
        for path, stem in zip(others["path"], others["stem"], strict=True)
        if (Path(path).parent, stem) not in there
    ]


def as_utterances(
    files: Sequence[str],
    speakers: pd.DataFrame | None = None,
    language: str | None = None,
    *,
    length: float,
    hop: float,
    longest: float,
) -> pd.DataFrame:
    """Recordings, or the windows of long ones, as rows of a manifest.

    Args:
        files: Their paths; one may come twice.
        speakers: See :func:`read_speakers`.
        language: Language of all whose language the speakers' table does not tell, as a code or an English name.
        length: Length of a window, see :func:`cleser.experiments.prediction.windows.cut`.
        hop: Time from the beginning of one window to that of the next.
        longest: Length of the longest recording that is left whole.

    Raises:
        ValueError: The table does not name a recording, or a language is none.
    """
    language = None if language is None else checked_language(language, "language")
    known = None if speakers is None else _Table(speakers)
    with ThreadPoolExecutor(_READERS) as pool:
        windows = list(pool.map(partial(_windows, length=length, hop=hop, longest=longest), files))
    rows = []
    for number, (path, parts) in enumerate(zip(files, windows, strict=True)):
        speaker, spoken = (None, None) if known is None else known.of(path)
        rows += [
            {
                # Named like the recording, for alignments are; numbered, for recordings recur.
                "utterance": f"{path}#{number}.{i}",
                "path": path,
                "corpus": "recordings",
                "speaker": speaker,
                "language": spoken or language,
                **window._asdict(),
            }
            for i, window in enumerate(parts)
        ]
    table = pd.DataFrame(rows, columns=[*COLUMNS, "until"])
    texts = [name for name in COLUMNS if name not in ("start", "end")]
    return table.astype(dict.fromkeys(texts, "str"))


def _windows(path: str, *, length: float, hop: float, longest: float) -> list[Window]:
    try:
        return cut(path, length=length, hop=hop, longest=longest)
    except AudioError:
        return [Window(0.0, float("nan"), float("nan"))]  # `reasons` says what is wrong with it


def reasons(rows: pd.DataFrame) -> list[str | None]:
    """Why each row of a manifest cannot be recognised, None where it can; a few are in memory at a time."""
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(unusable, rows["path"], rows["start"], rows["end"]))


def read_speakers(file: str | Path) -> pd.DataFrame:
    """Who speaks in which recording, from a table of text as a manifest may be one.

    Args:
        file: Table, separated by commas, semicolons, tabs or bars, with the columns ``path`` (a recording, from the
            table's folder or from the current one, or its file name alone), ``speaker`` and, if wanted, ``language``,
            by any name that a manifest may have for them.

    Returns:
        These columns; ``attrs["file"]`` names the file.

    Raises:
        ValueError: It cannot be read, lacks a column, or gives a recording two speakers.
    """
    try:
        table = read_table(Path(file))
    except FileNotFoundError as error:
        raise ValueError(f"{file}: no such file, expected a table of speakers") from error
    except OSError as error:
        raise ValueError(
            f"{file}: cannot be read as a table of speakers ({error.strerror})"
        ) from error
    table.attrs["file"] = str(file)
    _Table(table)  # a table that contradicts itself is refused at once
    return table


class _Table:
    """Speakers and languages by recording."""

    def __init__(self, table: pd.DataFrame) -> None:
        self.file = str(table.attrs.get("file", "the table of speakers"))
        found = list(table)
        table = with_our_names(table)
        if missing := [name for name in ("path", "speaker") if name not in table]:
            raise ValueError(f"{self.file}: found the columns {found}, expected also {missing}")
        languages = table["language"] if "language" in table else [None] * len(table)
        self.by_path: dict[Path, tuple[str | None, str | None]] = {}
        self.by_name: dict[str, tuple[str | None, str | None]] = {}
        for path, *said in zip(table["path"], table["speaker"], languages, strict=True):
            speaker, language = (None if pd.isna(value) else str(value) for value in said)
            if language:
                language = checked_language(language, f"{self.file}: {path}: language")
            self._note(str(path), (speaker, language))

    def _note(self, path: str, said: tuple[str | None, str | None]) -> None:
        places = {(Path(self.file).parent / path).resolve(), Path(path).resolve()}
        before = [self.by_path.setdefault(place, said) for place in places]
        if Path(path).name == path:
            before.append(self.by_name.setdefault(path, said))
        if other := [b for b in before if b != said]:
            raise ValueError(
                f"{self.file}: {path} has the speakers {other[0][0]} and {said[0]}, expected one; name recordings of "
                "the same name by their paths"
            )

    def of(self, path: str) -> tuple[str | None, str | None]:
        """Speaker and language of a recording, None where the table leaves them blank."""
        found = self.by_path.get(Path(path).resolve()) or self.by_name.get(Path(path).name)
        if found is None:
            raise ValueError(
                f"{self.file}: {path} is not in it, expected a row for each recording (leave the speaker "
                "blank where nobody knows who speaks)"
            )
        return found
