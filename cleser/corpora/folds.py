"""Folds: who trains, who selects and who is tested, by lists of others or by speakers; and what they share.

Many published lists were drawn from utterances, so that the same voices train and are tested:
:func:`audit_folds` counts them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from cleser.corpora.readers.manifest_file import read_rows, with_our_names
from cleser.corpora.tables import ENDINGS
from cleser.corpora.terms import composed, to_splits

_ROLES: Final = ("train", "dev", "test")
_FILES: Final = {"train": "train", "valid": "dev", "val": "dev", "dev": "dev", "test": "test"}
_PATHS: Final = ("path", "file", "wav", "file_name", "filename")
_EACH_SPEAKER: Final = "leave-one-speaker-out"
FORMS: Final = f"FILE.csv, emobox:FOLDER, kfold:NUMBER or {_EACH_SPEAKER}"
"""How a split is written."""


class Fold(NamedTuple):
    """One division of a manifest.

    Attributes:
        name: Which fold it is.
        roles: ``train``, ``dev`` or ``test`` of each row, missing for rows that take no part.
        unmatched: What a list names and the manifest lacks.
    """

    name: str
    roles: pd.Series[str]
    unmatched: tuple[str, ...] = ()

    def rows(self, manifest: pd.DataFrame, role: str) -> pd.DataFrame:
        """The rows of a role."""
        return manifest[(self.roles == role).to_numpy()].reset_index(drop=True)


def make_folds(manifest: pd.DataFrame, split: str) -> list[Fold]:
    """Divide a manifest.

    Args:
        manifest: Utterances, as :func:`cleser.corpora.load` returns them.
        split: ``FILE.csv`` with the columns ``utterance`` (or a path) and ``split``, and ``fold`` where there are
            several, by any name that a manifest may have for them; ``emobox:FOLDER`` with EmoBox's lists of a fold,
            or with folders of several; ``kfold:5``, whole speakers in five parts of about the same size;
            ``leave-one-speaker-out``.

    Raises:
        ValueError: The split is none of these, names no utterance of the manifest, or needs speakers that are unknown.

    >>> rows = pd.DataFrame({"utterance": list("abcd"), "speaker": ["1", "1", "2", "3"]})
    >>> [(fold.name, fold.roles.tolist()) for fold in make_folds(rows, "kfold:2")]
    [('1', ['test', 'test', 'train', 'train']), ('2', ['train', 'train', 'test', 'test'])]
    """
    check_split(split)
    kind, _, argument = split.partition(":")
    if kind == "emobox":
        return _emobox(manifest, Path(argument).expanduser())
    if split == _EACH_SPEAKER:
        speakers = _speakers(manifest)
        if speakers.nunique() < 2:
            raise ValueError(
                f"{split} needs two speakers or more, found {', '.join(speakers.unique())} alone, from whom nobody is "
                "left to learn"
            )
        return [_tested(name, speakers == name) for name in sorted(speakers.unique())]
    if kind == "kfold":
        return _by_speakers(_speakers(manifest), int(argument))
    return _listed(manifest, Path(split).expanduser())


def check_split(split: str, forms: str = FORMS) -> None:
    """Raise a ValueError unless a split is written in one of its forms; no file is opened.

    >>> check_split("lists/mine.JSON")  # whatever a manifest may be
    """
    kind, _, argument = split.partition(":")
    if kind == "kfold" and not (argument.isdecimal() and int(argument) > 1):
        raise ValueError(f"split is {split!r}, expected kfold:NUMBER with 2 folds or more")
    listed = Path(split).suffix.lower() in ENDINGS or (kind == "emobox" and argument)
    if not (listed or kind == "kfold" or split == _EACH_SPEAKER):
        raise ValueError(f"split is {split!r}, expected {forms}")


def without_folders(split: str) -> str:
    """A split as protocols name it, wherever its lists lie.

    >>> without_folders("emobox:~/lists/emodb"), without_folders("lists/mine.csv"), without_folders("kfold:5")
    ('emobox:emodb', 'mine.csv', 'kfold:5')
    """
    kind, colon, argument = split.partition(":")
    if kind == "emobox":
        return kind + colon + Path(argument).expanduser().name
    return Path(split).name if Path(split).suffix.lower() in ENDINGS else split


def audit_folds(manifest: pd.DataFrame, folds: Iterable[Fold]) -> pd.DataFrame:
    """What the parts of each fold hold and share.

    Args:
        manifest: The utterances that were divided.
        folds: Folds that :func:`make_folds` returned.

    Returns:
        A row a fold: ``fold, train, dev, test`` (utterances), ``speakers_train, speakers_test, shared`` (speakers of
        train or dev who are tested), ``tested_of_shared`` (their share of the tested utterances), ``without_speaker``,
        ``left_out`` (rows of the manifest in no part) and ``unmatched`` (names of a list that it lacks).

    >>> rows = pd.DataFrame({"utterance": list("abcd"), "speaker": ["1", "1", "2", "2"]})
    >>> fold = Fold("1", pd.Series(["train", "test", "train", "train"]))
    >>> audit_folds(rows, [fold])[["shared", "tested_of_shared"]].values.tolist()
    [[1.0, 1.0]]
    """
    found = []
    for fold in folds:
        parts = {role: fold.rows(manifest, role) for role in _ROLES}
        seen = {*parts["train"]["speaker"].dropna(), *parts["dev"]["speaker"].dropna()}
        tested = parts["test"]["speaker"]
        shared = seen & set(tested.dropna())
        found.append(
            {
                "fold": fold.name,
                **{role: len(part) for role, part in parts.items()},
                "speakers_train": parts["train"]["speaker"].nunique(),
                "speakers_test": tested.nunique(),
                "shared": len(shared),
                "tested_of_shared": float(tested.isin(shared).mean()) if len(tested) else 0.0,
                "without_speaker": int(tested.isna().sum()),
                "left_out": int(fold.roles.isna().sum()),
                "unmatched": len(fold.unmatched),
            }
        )
    return pd.DataFrame(found)


def _speakers(manifest: pd.DataFrame) -> pd.Series[str]:
    unknown = int(manifest["speaker"].isna().sum())
    if unknown:
        raise ValueError(
            f"{unknown} of {len(manifest)} utterances have no speaker, expected one for each to divide speakers: name "
            "them, leave these rows out, or give a list of folds (FILE.csv)"
        )
    return manifest["speaker"]


def _tested(name: str, which: pd.Series[bool]) -> Fold:
    return Fold(name, pd.Series(np.where(which, "test", "train"), index=which.index, dtype="str"))


def _by_speakers(speakers: pd.Series[str], count: int) -> list[Fold]:
    """The largest speaker first, each to the part that is smallest so far."""
    sizes = speakers.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    if len(sizes) < count:
        raise ValueError(f"found {len(sizes)} speakers, expected {count} or more for as many folds")
    filled = np.zeros(count, np.int64)
    part: dict[str, int] = {}
    for name, size in sizes.items():
        part[str(name)] = int(filled.argmin())
        filled[part[str(name)]] += size
    places = speakers.map(part)
    return [_tested(str(place + 1), places == place) for place in range(count)]


def _listed(manifest: pd.DataFrame, source: Path) -> list[Fold]:
    table = read_rows(source)
    key = _key(table)
    if key is None or "split" not in table:  # names that manifests may have, as File and Split_Set
        table = with_our_names(table)
        key = _key(table)
    if key is None or "split" not in table:
        raise ValueError(
            f"{source}: found the columns {list(table)}, expected 'split' and 'utterance' or 'path'"
        )
    fold = next((name for name in map(str, table) if name.casefold() == "fold"), None)
    groups = [("1", table)] if fold is None else table.groupby(fold)
    return [
        _matched(manifest, str(name), rows[key], to_splits(rows["split"].astype("str")), source)
        for name, rows in groups
    ]


def _key(table: pd.DataFrame) -> str | None:
    """The column by which a list names utterances."""
    return next((name for name in ("utterance", *_PATHS) if name in table), None)


def _emobox(manifest: pd.DataFrame, folder: Path) -> list[Fold]:
    """The lists ``*_train_*.jsonl``, ``*_valid_*`` and ``*_test_*`` of a folder, or of each folder within it."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder, expected EmoBox's lists of a fold")
    folders = [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]
    folds = []
    for place in folders:
        lists = _lists(place)
        if lists:
            names = pd.concat([rows.assign(split=role) for role, rows in lists], ignore_index=True)
            folds.append(_matched(manifest, place.name, names["wav"], names["split"], place))
    if not folds:
        raise ValueError(f"{folder}: found no lists as NAME_train_fold_1.jsonl")
    return folds


def _lists(folder: Path) -> list[tuple[str, pd.DataFrame]]:
    found: dict[str, tuple[str, pd.DataFrame]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        role = next((role for word, role in _FILES.items() if f"_{word}_" in path.name), None)
        rows = read_rows(path) if role else None
        if role and rows is not None and "wav" in rows:
            found[role] = (role, rows)  # of two spellings the later: fold1, fold_1
    return list(found.values())


def _matched(
    manifest: pd.DataFrame, name: str, names: pd.Series[str], splits: pd.Series[str], source: Path
) -> Fold:
    """The roles of the rows that a list names, by their ids, or by what their paths end in."""
    index = _Index(manifest)
    found = [index.find(str(said)) for said in names]
    there = pd.Series([match is not None for match in found], index=names.index)
    _check_words(names[there], splits[there], source)
    within_folders = any(match is not None and 1 < match.shared < np.inf for match in found)
    claims: dict[int, _Match] = {}  # the name that is most like a row has it
    for match in found:
        if match is not None and match.shared > claims.get(match.row, _NOT).shared:
            claims[match.row] = match
    roles = pd.Series(None, index=manifest.index, dtype="object")
    unmatched = []
    for said, split, match in zip(map(str, names), splits, found, strict=True):
        # Where a list and the manifest have folders in common, a name of another folder is another recording.
        elsewhere = match is not None and match.shared == 1 and match.folders and within_folders
        if match is None or elsewhere or match.shared < claims[match.row].shared:
            unmatched.append(said)
        elif (role := _role(split)) is not None:
            before = roles.iloc[match.row]
            if pd.notna(before) and before != role:
                raise ValueError(
                    f"{source}: {said} stands in {before} and in {role}, expected each recording in one part"
                )
            roles.iloc[match.row] = role
    if roles.isna().all():
        raise ValueError(
            f"{source}: names none of {len(manifest)} utterances, as {manifest['utterance'].iloc[0]}; "
            f"found {', '.join(map(str, names[:3]))}"
        )
    return Fold(name, roles.astype("str"), tuple(unmatched))


def _role(split: object) -> str | None:
    """The part that a cell names; none where it is empty."""
    return next((role for role in _ROLES if str(split).startswith(role)), None)


def _check_words(names: pd.Series[str], splits: pd.Series[str], source: Path) -> None:
    """Raise a ValueError where a list names a part that nobody knows."""
    unknown = splits.notna() & splits.map(_role).isna()
    if unknown.any():
        raise ValueError(
            f"{source}: {names[unknown].iloc[0]} stands in {splits[unknown].iloc[0]!r} ({unknown.sum()} rows have such "
            "words), expected train, dev (or valid) or test, or an empty cell for what takes no part"
        )


class _Match(NamedTuple):
    """The row that a name stands for.

    Attributes:
        row: Its number.
        shared: How much the name and the row's path have in common: the stem, and folders before it.
        folders: Whether the name has folders.
    """

    row: int
    shared: float
    folders: bool


_NOT: Final = _Match(-1, 0, folders=False)


class _Index:
    """Rows of a manifest by what lists call them."""

    def __init__(self, manifest: pd.DataFrame) -> None:
        self.ids = {composed(name): row for row, name in enumerate(manifest["utterance"])}
        self.parts = [_parts(path) for path in manifest.get("path", manifest["utterance"])]
        self.stems: dict[str, list[int]] = {}
        for row, parts in enumerate(self.parts):
            self.stems.setdefault(parts[-1], []).append(row)

    def find(self, name: str) -> _Match | None:
        """The row with this id, or the one whose path ends most like this one; None where two do."""
        if composed(name) in self.ids:
            return _Match(self.ids[composed(name)], np.inf, folders=False)
        wanted = _parts(name)
        rows = self.stems.get(wanted[-1], [])
        alike = [_shared_end(self.parts[row], wanted) for row in rows]
        best = max(alike, default=0)
        if alike.count(best) != 1:
            return None
        return _Match(rows[alike.index(best)], best, len(wanted) > 1)


def _parts(path: str) -> tuple[str, ...]:
    """Folders and stem; lists may name another ending, as that of a video."""
    plain = PurePosixPath(composed(path).replace("\\", "/"))
    return (*plain.parts[:-1], plain.stem)


def _shared_end(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    count = 0
    for x, y in zip(reversed(a), reversed(b), strict=False):
        if x != y:
            break
        count += 1
    return count
