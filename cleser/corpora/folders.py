"""Recordings in folders: what lies there, what of it is usable, and what to say of a wrong folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from cleser.corpora.attributes import on_scale
from cleser.corpora.manifest import Gap, Listing, Problem, Spare
from cleser.corpora.recording import POINTER
from cleser.corpora.terms import composed, to_composed

AUDIO = (".wav", ".flac", ".aiff", ".aif", ".mp3", ".ogg", ".opus", ".sph")
_LOSSY = (".mp3", ".ogg", ".opus")
EMPTY = "is empty (0 bytes)"
NOT_UTF8 = "has a name that is not UTF-8: rename it"
_POINTERS = (b"version https://git-lfs", b"/annex/objects/")  # what stands in place of a large file
_POINTER_SIZE = 512  # bytes that no pointer has
_SHOWN = 5  # names that a message lists
_LOOKED_AT = 20_000  # entries of a folder: a hint is not worth a long wait


class WrongFolderError(ValueError):
    """The folder holds no such corpus; the message says what was looked for and what was found."""


def recordings(root: Path, suffixes: tuple[str, ...] = AUDIO) -> Listing:
    """All recordings below a folder, in the order of their paths, however deep.

    Hidden files are not listed: ``._name.wav`` is what a Mac leaves beside a recording in an archive.

    Args:
        root: The folder.
        suffixes: Lower-case endings of the files to list.

    Returns:
        Columns ``path, folder`` (the name of the folder that the file is in), ``stem`` and ``flaw``, what keeps a file
        from being a recording (it is empty, or a pointer to what was not fetched). Folders that cannot be looked into,
        links to a folder above, and names that are not UTF-8 are problems.
    """
    found: list[tuple[str, str, str, str]] = []
    problems: list[Problem] = []
    # Folders to look into, each with those above it: a link to one of them would never end.
    waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [(str(root), ())]
    while waiting:
        folder, above = waiting.pop()
        try:
            status = os.stat(folder)  # noqa: PTH116  (a Path each is most of the time of a large corpus)
            own = (status.st_dev, status.st_ino)
            if own in above:
                problems.append(Spare(printable(folder), "is a link to a folder above it"))
                continue
            below = _scan(folder, suffixes, found, problems)
        except OSError as error:
            problems.append(Problem(printable(folder), f"cannot be read ({error.strerror})"))
            continue
        waiting += [(name, (*above, own)) for name in below]
    found.sort()
    return Listing(pd.DataFrame(found, columns=["path", "folder", "stem", "flaw"]), problems)


def _scan(
    folder: str,
    suffixes: tuple[str, ...],
    found: list[tuple[str, str, str, str]],
    problems: list[Problem],
) -> list[str]:
    """Note the recordings right within a folder, and return the folders within it."""
    name = os.path.basename(folder)  # noqa: PTH119
    below = []
    with os.scandir(folder) as scan:
        for entry in scan:
            if entry.name.startswith("."):
                continue
            if entry.name.lower().endswith(suffixes):
                if printable(entry.path) != entry.path:
                    problems.append(Problem(printable(entry.path), NOT_UTF8))
                else:
                    stem = composed(entry.name.rpartition(".")[0])
                    found.append((entry.path, name, stem, flaw(entry)))
            elif entry.is_dir():
                below.append(entry.path)
    return below


def printable(path: str) -> str:
    r"""A path with the bytes that are not UTF-8 written out.

    >>> printable("caf\udce9.wav")
    'caf\\xe9.wav'
    """
    if path.isascii():
        return path
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def flaw(entry: os.DirEntry[str]) -> str:
    """What keeps a file from being a recording, as far as it shows without opening large ones; empty for nothing."""
    try:
        size = entry.stat().st_size
        if size == 0:
            return EMPTY
        if size < _POINTER_SIZE:
            with open(entry.path, "rb") as file:  # noqa: PTH123
                if file.read(_POINTER_SIZE).startswith(_POINTERS):
                    return f"{POINTER} ({size} bytes)"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return ""


def named(
    corpus: str, argument: str, pattern: str, example: str, above: int = 0, released: str = ""
) -> Listing:
    """Recordings whose names say all: those that follow a pattern, with its groups as columns.

    Args:
        corpus: Name of the corpus, for messages.
        argument: The folder.
        pattern: Regular expression of the whole stem with named groups. Names of which it fits the lower or upper
            case are read as those.
        example: A file name that follows it, for messages.
        above: How many folders above the file say something too: the pattern is of ``folder/stem`` then.
        released: Suffix of the files that the corpus is distributed as, where their sound has to be extracted first.

    Returns:
        Columns ``utterance, path, folder`` and the pattern's groups; other names, second copies and
        empty files are problems.

    Raises:
        WrongFolderError: There is no such recording, or most are named otherwise.
        ValueError: There is only what the sound has to be extracted from.
    """
    root = existing(corpus, argument, example)
    found, unlisted = recordings(root)
    if above:
        found["stem"] = found["path"].map(lambda path: _tail(path, above)).astype("str")
    found["stem"] = _in_capitals_of(pattern, found["stem"])
    fits = found["stem"].str.fullmatch(pattern)
    own, foreign = found[fits], found[~fits]
    if len(own) <= len(foreign):
        _refuse_unconverted(corpus, root, example, released)
        looked_for = f"recordings named as {example}"
        error = wrong_folder(
            corpus, root, looked_for, lambda folder: _holds(folder, pattern, above)
        )
        if len(foreign):
            count = "1 recording is" if len(foreign) == 1 else f"{len(foreign)} recordings are"
            first = Path(foreign["path"].iloc[0]).relative_to(root).as_posix()
            error = WrongFolderError(f"{error}; {count} named otherwise, as {first}")
        raise error
    strange = [Problem(p, f"is not named as {example}") for p in foreign["path"]]
    own, unusable = usable(own)
    groups = own["stem"].str.extract(f"^{pattern}$")
    rows = own[["path", "folder"]].assign(utterance=own["stem"])
    return Listing(rows.join(groups), [*unlisted, *strange, *unusable])


def _in_capitals_of(pattern: str, stems: pd.Series[str]) -> pd.Series[str]:
    """Names as a pattern has them: those that it does not fit in lower or upper case, if it fits that.

    Some copies of a corpus were renamed as a whole.
    """
    for folded in (stems.str.lower(), stems.str.upper()):
        other = ~stems.str.fullmatch(pattern) & folded.str.fullmatch(pattern)
        stems = stems.where(~other, folded)
    return stems


def _refuse_unconverted(corpus: str, root: Path, example: str, released: str) -> None:
    """Say how the sound of a release is extracted, if the folder holds the release as it is."""
    count = len(recordings(root, suffixes=(released,)).rows) if released else 0
    if count:
        stem = Path(example).stem
        raise ValueError(
            f"{corpus}: {root} holds {count} files {released} and no recording, expected .wav beside them; convert "
            f"them with ffmpeg -i {stem}{released} -ac 1 -ar 16000 {stem}.wav"
        )


def _tail(path: str, above: int) -> str:
    """The last folders and the stem of a path.

    >>> _tail("corpus/anna/happy/01.wav", 1)
    'happy/01'
    """
    return "/".join(composed(path).rpartition(".")[0].replace("\\", "/").split("/")[-above - 1 :])


def usable(found: pd.DataFrame, key: str = "stem") -> tuple[pd.DataFrame, list[Problem]]:
    """Leave out files with a flaw and second copies.

    Of the copies of an utterance the first that lost nothing when it was encoded stays, or else the first.

    Args:
        found: Recordings with ``path, flaw``, in the order of their paths.
        key: Column that is the same for copies of one utterance.
    """
    flawed = found["flaw"] != ""
    listed = [Problem(*pair) for pair in found.loc[flawed, ["path", "flaw"]].to_numpy(object)]
    found = found[~flawed]
    if not found[key].duplicated().any():
        return found, listed
    lossy = found["path"].str.lower().str.endswith(_LOSSY)
    ranked = pd.concat([found[~lossy], found[lossy]])
    again = ranked[key].duplicated()
    kept = dict(ranked.loc[~again, [key, "path"]].to_numpy(object))
    copies = ranked.loc[again, [key, "path"]].sort_values("path")
    pairs = [(path, kept[name]) for name, path in copies.to_numpy(object)]
    return found[~again.loc[found.index]], [*listed, *_copies(pairs)]


def _copies(pairs: list[tuple[str, str]]) -> list[Problem]:
    """Second copies, each with the file that is used: in a line for each folder or format that copies another."""
    alike: dict[tuple[str, str], list[str]] = {}
    for copy, used in pairs:
        alike.setdefault(_apart(Path(copy), Path(used)), []).append(copy)
    listed: list[Problem] = []
    for (folder, which), copies in alike.items():
        if len(copies) == 1:
            listed.append(Spare(copies[0], "is a further copy of an utterance"))
        else:
            said = f"holds {len(copies)} further copies of utterances{which} used"
            listed.append(Spare(folder or os.path.commonpath(copies), said))
    return listed


def _apart(copy: Path, used: Path) -> tuple[str, str]:
    """The folder that a copy is in, from where it parts with the one that is used, and what that is.

    Copies of another format in the same folder are told by their endings, in whichever folder.
    """
    if copy.parent == used.parent:
        same = copy.suffix == used.suffix
        return (str(copy), "") if same else ("", f" as {copy.suffix}; the {used.suffix} are")
    folders = zip(copy.parts, (*used.parts, ""), strict=False)
    count = next(n for n, (own, other) in enumerate(folders) if own != other) + 1
    left, right = (Path(*path.parent.parts[:count]) for path in (copy, used))
    return str(left), f"; those in {right} are"


def attach(
    table: pd.DataFrame, found: pd.DataFrame, source: Path, *, scale: str | None = None
) -> Listing:
    """Join the rows of a label table with their recordings.

    Args:
        table: Rows with the column ``utterance``.
        found: Recordings with the columns ``utterance, path, flaw``.
        source: File of the table, for messages.
        scale: Scale of the attributes in the table, as ``1..7``; None where it has none.

    Returns:
        The rows that have a recording, with its ``path``. Rows without one, recordings without a row,
        second rows and second copies are problems; attributes beyond the scale are missing, and gaps.
    """
    table = table.assign(utterance=to_composed(table["utterance"]))
    again = table["utterance"].duplicated()
    heard, unusable = usable(found, key="utterance")
    # One join instead of a look-up each way: this is where a large corpus spends its time.
    joined = table[~again].merge(
        heard[["utterance", "path"]], on="utterance", how="outer", indicator="where"
    )
    both = joined["where"] == "both"
    absent = set(joined.loc[joined["where"] == "left_only", "utterance"])
    absent -= set(found.loc[found["flaw"] != "", "utterance"])
    unlisted = joined.loc[joined["where"] == "right_only", "path"]
    listed = [
        *(Spare(f"{source}: {n}", "is a second row") for n in table.loc[again, "utterance"]),
        *(Problem(f"{source}: {n}", "has no recording") for n in sorted(absent)),
        *(Problem(path, f"has no row in {source.name}") for path in unlisted),
    ]
    rows = joined[both].drop(columns="where").reset_index(drop=True)
    if scale is None:
        return Listing(rows, [*listed, *unusable])
    rows, outside = on_scale(rows, scale, str(source))
    return Listing(rows, [*(Gap(*found) for found in outside), *listed, *unusable])


def existing(corpus: str, argument: str, looked_for: str) -> Path:
    """The folder that a spec names.

    Raises:
        WrongFolderError: There is no such folder.
    """
    root = Path(argument).expanduser().resolve()
    if printable(str(root)) != str(root):
        raise WrongFolderError(f"{corpus}: {printable(str(root))} {NOT_UTF8}")
    if root.is_dir():
        return root
    if root.exists():
        raise WrongFolderError(f"{corpus}: {root} is a file, expected a folder with {looked_for}")
    known = next(parent for parent in root.parents if parent.is_dir())
    raise WrongFolderError(
        f"{corpus}: {root} does not exist{from_here(argument)}, expected a folder with {looked_for}; "
        f"{known} holds {_names(known)}"
    )


def from_here(argument: str) -> str:
    """What a message adds on a path that is relative to the current folder; nothing on a whole one.

    >>> from_here("/data/emodb")
    ''
    """
    if Path(argument).expanduser().is_absolute():
        return ""
    return (
        f" ({argument} is looked for in the current folder; if it is what a run's config.yaml says, give the command "
        "in the folder where the run was started)"
    )


def wrong_folder(
    corpus: str, root: Path, looked_for: str, fits: Callable[[Path], bool]
) -> WrongFolderError:
    """The error for a folder that holds no such corpus, with a hint if a folder next to it does.

    Args:
        corpus: Name of the corpus.
        root: The folder that was given.
        looked_for: What should have been there, in words.
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


def _names(folder: Path) -> str:
    names = sorted(
        printable(p.name) + "/" * p.is_dir() for p in folder.iterdir() if not p.name.startswith(".")
    )
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "nothing") + rest


def _holds(folder: Path, pattern: str, above: int) -> bool:
    """Whether most recordings of a folder or of those right within it follow the pattern."""
    own = foreign = seen = 0
    for place in (folder, *(p for p in folder.iterdir() if p.is_dir())):
        with os.scandir(place) as scan:
            for entry in scan:
                seen += 1
                if seen > _LOOKED_AT:
                    return own > foreign
                if entry.name.lower().endswith(AUDIO):
                    tail = _tail(entry.path, above)
                    names = (tail, tail.lower(), tail.upper())
                    fits = any(re.fullmatch(pattern, name) for name in names)
                    own, foreign = own + fits, foreign + (not fits)
    return own > foreign
