"""Recordings in folders: what lies there, what of it is usable, and what to say of a wrong folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from cleser.corpora.manifest import Listing, Problem

AUDIO = (".wav", ".flac", ".aiff", ".aif")


class WrongFolderError(ValueError):
    """The folder holds no such corpus; the message says what was looked for and what was found."""


def recordings(root: Path, depth: int = 4, suffixes: tuple[str, ...] = AUDIO) -> pd.DataFrame:
    """All recordings below a folder, in the order of their paths.

    Hidden files are not listed: ``._name.wav`` is what a Mac leaves beside a recording in an archive.

    Args:
        root: The folder.
        depth: How many levels of folders below it are looked into.
        suffixes: Lower-case endings of the files to list.

    Returns:
        Columns ``path, folder`` (the name of the folder that the file is in), ``stem`` and ``bytes``.
    """
    found: list[tuple[str, str, str, int]] = []
    _scan(str(root), depth, suffixes, found)
    return pd.DataFrame(found, columns=["path", "folder", "stem", "bytes"])


def _scan(
    folder: str, depth: int, suffixes: tuple[str, ...], found: list[tuple[str, str, str, int]]
) -> None:
    name = os.path.basename(folder)  # noqa: PTH119  (a Path each is most of the time of a large corpus)
    with os.scandir(folder) as scan:
        entries = sorted(scan, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.name.lower().endswith(suffixes):
            stem = entry.name.rpartition(".")[0]
            found.append((entry.path, name, stem, _size(entry)))
        elif depth and entry.is_dir():
            _scan(entry.path, depth - 1, suffixes, found)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:
        return 0  # a link to nowhere holds as little as an empty file


def named(corpus: str, argument: str, pattern: str, example: str) -> Listing:
    """Recordings whose names say all: those that follow a pattern, with its groups as columns.

    Args:
        corpus: Name of the corpus, for messages.
        argument: The folder.
        pattern: Regular expression of the whole stem with named groups.
        example: A file name that follows it, for messages.

    Returns:
        Columns ``utterance, path, folder`` and the pattern's groups; other names, second copies and
        empty files are problems.

    Raises:
        WrongFolderError: There is no such recording, or most are named otherwise.
    """
    root = existing(corpus, argument, example)
    found = recordings(root)
    fits = found["stem"].str.fullmatch(pattern)
    own, foreign = found[fits], found[~fits]
    if len(own) <= len(foreign):
        looked_for = f"recordings named as {example} ({' or '.join(AUDIO)})"
        raise wrong_folder(corpus, root, looked_for, lambda folder: _holds(folder, pattern))
    strange = [Problem(p, f"is not named as {example}") for p in foreign["path"]]
    own, unusable = usable(own)
    groups = own["stem"].str.extract(f"^{pattern}$")
    rows = own[["path", "folder"]].assign(utterance=own["stem"])
    return Listing(rows.join(groups), [*strange, *unusable])


def usable(found: pd.DataFrame, key: str = "stem") -> tuple[pd.DataFrame, list[Problem]]:
    """Leave out empty files and second copies.

    Args:
        found: Recordings with ``path, bytes``.
        key: Column that is the same for copies of one utterance.
    """
    empty = found["bytes"] == 0
    listed = [Problem(path, "is empty (0 bytes)") for path in found.loc[empty, "path"]]
    found = found[~empty]
    again = found[key].duplicated()
    listed += [
        Problem(path, "is a further copy of an utterance") for path in found.loc[again, "path"]
    ]
    return found[~again], listed


def attach(table: pd.DataFrame, found: pd.DataFrame, source: Path) -> Listing:
    """Join the rows of a label table with their recordings.

    Args:
        table: Rows with the column ``utterance``.
        found: Recordings with the columns ``utterance, path, bytes``.
        source: File of the table, for messages.

    Returns:
        The rows that have a recording, with its ``path``. Rows without one, recordings without a row,
        second rows and second copies are problems.
    """
    again = table["utterance"].duplicated()
    heard, unusable = usable(found, key="utterance")
    # One join instead of a look-up each way: this is where a large corpus spends its time.
    joined = table[~again].merge(
        heard[["utterance", "path"]], on="utterance", how="outer", indicator="where"
    )
    both = joined["where"] == "both"
    absent = set(joined.loc[joined["where"] == "left_only", "utterance"])
    absent -= set(found.loc[found["bytes"] == 0, "utterance"])
    unlisted = joined.loc[joined["where"] == "right_only", "path"]
    listed = [
        *(Problem(f"{source}: {n}", "is a second row") for n in table.loc[again, "utterance"]),
        *(Problem(f"{source}: {n}", "has no recording") for n in sorted(absent)),
        *(Problem(path, f"has no row in {source.name}") for path in unlisted),
    ]
    rows = joined[both].drop(columns="where").reset_index(drop=True)
    return Listing(rows, [*listed, *unusable])


def existing(corpus: str, argument: str, looked_for: str) -> Path:
    """The folder that a spec names.

    Raises:
        WrongFolderError: There is no such folder.
    """
    root = Path(argument).expanduser().resolve()
    if root.is_dir():
        return root
    if root.exists():
        raise WrongFolderError(f"{corpus}: {root} is a file, expected a folder with {looked_for}")
    known = next(parent for parent in root.parents if parent.is_dir())
    raise WrongFolderError(
        f"{corpus}: {root} does not exist, expected a folder with {looked_for}; "
        f"{known} holds {_names(known)}"
    )


def wrong_folder(
    corpus: str, root: Path, looked_for: str, fits: Callable[[Path], bool]
) -> WrongFolderError:
    """The error for a folder that holds no such corpus, with a hint if a folder next to it does.

    Args:
        corpus: Name of the corpus.
        root: The folder that was given.
        looked_for: What should have been there.
        fits: Whether a folder looks like the corpus.
    """
    below = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    near = [folder for folder in (*below, root.parent) if _try(fits, folder)]
    hint = f"; did you mean {corpus}:{near[0]}?" if near else ""
    return WrongFolderError(
        f"{corpus}: looked for {looked_for} in {root}, found {_names(root)}{hint}"
    )


def _try(fits: Callable[[Path], bool], folder: Path) -> bool:
    try:
        return fits(folder)
    except OSError:
        return False  # a folder that may not be looked into is no hint, and no error of this corpus


def _names(folder: Path, most: int = 5) -> str:
    names = sorted(
        p.name + "/" * p.is_dir() for p in folder.iterdir() if not p.name.startswith(".")
    )
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + rest


def _holds(folder: Path, pattern: str, most: int = 20_000) -> bool:
    """Whether most recordings of a folder or of those right within it follow the pattern."""
    own = foreign = seen = 0
    for place in (folder, *(p for p in folder.iterdir() if p.is_dir())):
        with os.scandir(place) as scan:
            for entry in scan:
                seen += 1
                if seen > most:  # a hint is not worth a long wait
                    return own > foreign
                if entry.name.lower().endswith(AUDIO):
                    fits = re.fullmatch(pattern, entry.name.rpartition(".")[0]) is not None
                    own, foreign = own + fits, foreign + (not fits)
    return own > foreign
