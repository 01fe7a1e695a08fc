"""Databases of audformat: a folder with a header (``db.yaml``) and a CSV or Parquet file for each table.

What is read: tables of files or segments, of which those with emotions or attributes name the utterances and the others
add to them; the labels of schemes, also where a miscellaneous table or a dictionary says more of them, as the gender of
a speaker; splits; the languages of the header.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pandas as pd

from cleser.corpora.attributes import ATTRIBUTES, ORIGINAL_SCALE, SCALE
from cleser.corpora.terms import is_missing
from cleser.corpora.votes import VOTES

HEADER: Final = "db.yaml"
_KEY: Final = ["file", "start", "end"]
_LABELS: Final = ("emotion", "emo", "label", *ATTRIBUTES)  # what makes a table one of utterances
_TEXTS: Final = ("utterance", "corpus", "language", "emotion", "text", ORIGINAL_SCALE)


def is_database(folder: Path) -> bool:
    """Whether a folder is a database of audformat."""
    return (folder / HEADER).is_file()


def read_database(folder: Path, table: str | None = None) -> pd.DataFrame:
    """The utterances of a database, with the names of its columns.

    Args:
        folder: Holds ``db.yaml``.
        table: The table whose rows are the utterances; by default all with emotions, arousal, valence or dominance.

    Returns:
        ``file`` relative to the folder, ``start`` and ``end`` as timedeltas, and a column for each label.

    Raises:
        ImportError: audformat is not installed.
        ValueError: The folder is no database, has no such table, or its tables contradict one another.
    """
    if not is_database(folder):
        raise ValueError(
            f"{folder}: found no {HEADER}, expected the folder of an audformat database"
        )
    database = _library().Database.load(str(folder))
    parts = {name: _rows(database, name, folder) for name in database.tables}
    chosen = (
        [table] if table else [n for n, rows in parts.items() if rows.columns.isin(_LABELS).any()]
    )
    if not chosen or not set(chosen) <= set(parts):
        expected = f"a table with one of {list(_LABELS)}; or say which one, as manifest:{folder.name}?table=NAME"
        raise ValueError(f"{folder}: found the tables {list(parts)}, expected {table or expected}")
    rows = _merged([parts[name] for name in chosen], folder, chosen)
    for name, part in parts.items():
        if name not in chosen:
            rows = _with_more(rows, part)
    languages = database.languages
    if "language" not in rows and len(languages) == 1:
        rows["language"] = languages[0]
    if "corpus" not in rows:
        rows["corpus"] = database.name
    return rows


def _rows(database: Any, name: str, folder: Path) -> pd.DataFrame:
    """A table's own index and labels, and what the schemes say of these."""
    table = database.tables[name]
    index = _library().utils.to_segmented_index(table.index, allow_nat=True)
    rows: pd.DataFrame = index.to_frame(index=False)
    for column_name, column in table.columns.items():
        values = column.get().to_numpy(object)
        scheme = database.schemes.get(column.scheme_id) if column.scheme_id else None
        rows[column_name] = values
        for field in _fields(database, scheme):
            if field not in rows:
                rows[field] = column.get(map=field).to_numpy(object)
        named = _names(scheme)
        if named:
            rows[column_name] = [named.get(value, value) for value in values]
        low, high = (getattr(scheme, end, None) for end in ("minimum", "maximum"))
        if column_name in ATTRIBUTES and low is not None and high is not None:
            scale = f"{low:g}..{high:g}"
            if rows.get(SCALE, pd.Series(scale)).iloc[0] != scale:
                raise ValueError(
                    f"{folder}: the attributes of table {name} have several scales, expected one"
                )
            rows[SCALE] = scale
    if table.split_id and "split" not in rows:
        kind = database.splits[table.split_id].type
        rows["split"] = table.split_id if table.split_id.startswith(kind) else kind  # test1
    return rows


def _fields(database: Any, scheme: Any) -> list[str]:
    """What the labels of a scheme are described by, as ``gender`` and ``language`` of a speaker."""
    labels = getattr(scheme, "labels", None)
    if isinstance(labels, str):
        return list(database.misc_tables[labels].columns)
    if not isinstance(labels, dict):
        return []
    return list(
        dict.fromkeys(f for said in labels.values() if isinstance(said, dict) for f in said)
    )


def _names(scheme: Any) -> dict[Any, str]:
    """What codes stand for, where a scheme names each."""
    labels = getattr(scheme, "labels", None)
    if isinstance(labels, dict) and all(isinstance(name, str) for name in labels.values()):
        return dict(labels)
    return {}


def _merged(parts: list[pd.DataFrame], folder: Path, names: list[str]) -> pd.DataFrame:
    """The rows of several tables; of one segment that stands in some of them, what they say together."""
    rows = pd.concat(parts, ignore_index=True)
    again = rows.duplicated(_KEY, keep=False)
    if not again.any():
        return rows
    shared = rows[again].groupby(_KEY, sort=False, dropna=False)
    several = shared.nunique().gt(1)
    if several.any(axis=None):
        file = str(several.index.get_level_values("file")[several.any(axis=1)][0])
        column = several.columns[several.any()][0]
        raise ValueError(
            f"{folder}: the tables {names} say different things of {file} ({column}); say which one counts, as "
            f"manifest:{folder.name}?table={names[0]}"
        )
    return pd.concat([rows[~again], shared.first().reset_index()], ignore_index=True)


def _with_more(rows: pd.DataFrame, part: pd.DataFrame) -> pd.DataFrame:
    """Further columns, of the same segment or of the file that it lies in."""
    new = [name for name in part.columns if name not in rows and name not in _KEY]
    whole = bool((part["start"] == pd.Timedelta(0)).all() and part["end"].isna().all())
    key = ["file"] if whole else _KEY
    if not new or part.duplicated(key).any():
        return rows
    return rows.merge(part[[*key, *new]], on=key, how="left")


def write_database(manifest: pd.DataFrame, folder: Path, *, storage: str = "csv") -> None:
    """Write a manifest as a database; paths below the folder are relative to it.

    Tables are one for each split and one for utterances of none; schemes hold emotions, speakers with their gender,
    languages, texts, attributes from −1 to 1 with the scale that they come from, and votes. Other columns are left out.

    Args:
        manifest: Utterances, as :func:`cleser.corpora.load` returns them.
        folder: Empty, or not there yet.
        storage: ``"csv"`` or ``"parquet"``, of the tables.

    Raises:
        ImportError: audformat is not installed.
        ValueError: The folder is not empty of tables, as it holds a database.
    """
    audformat = _library()
    if is_database(folder):
        raise ValueError(f"{folder} holds a database already; choose another folder")
    corpora, languages = (sorted(manifest[name].unique()) for name in ("corpus", "language"))
    database = audformat.Database(
        "+".join(corpora),
        "written by cleser from its manifest",
        audformat.define.Usage.OTHER,
        languages=[audformat.utils.map_language(code) for code in languages],
    )
    columns = _schemes(audformat, database, manifest)
    root = folder.resolve()
    files = [
        os.path.relpath(p, root) if Path(p).is_relative_to(root) else p for p in manifest["path"]
    ]
    whole = bool((manifest["start"] == 0).all() and manifest["end"].isna().all())
    for split, rows in manifest.assign(file=files).groupby(
        manifest["split"].fillna(""), sort=False
    ):
        name = str(split) or "utterances"
        if split:
            kind = next(k for k in ("train", "dev", "test") if name.startswith(k))
            database.splits[name] = audformat.Split(kind)
        times = [pd.to_timedelta(rows[end], unit="s") for end in ("start", "end")]
        index = (
            audformat.filewise_index(rows["file"].tolist())
            if whole
            else audformat.segmented_index(rows["file"].tolist(), *(t.tolist() for t in times))
        )
        table = audformat.Table(index, split_id=name if split else None)
        database[name] = table
        for column in columns:
            table[column] = audformat.Column(scheme_id=column)
            values = rows[column]
            table[column].set(values.astype(object).where(values.notna(), None).tolist())
    database.save(str(folder), storage_format=storage)


def _schemes(audformat: Any, database: Any, manifest: pd.DataFrame) -> list[str]:
    """Declare what the columns hold, and name those that hold anything."""
    speakers = manifest.dropna(subset=["speaker"]).drop_duplicates("speaker").set_index("speaker")
    columns = [name for name in _TEXTS if name in manifest and manifest[name].notna().any()]
    for name in columns:
        known = (
            sorted(manifest[name].dropna().unique()) if name in ("emotion", "language") else None
        )
        database.schemes[name] = audformat.Scheme("str", labels=known)
    if len(speakers):
        genders = speakers["gender"].mask(is_missing(speakers["gender"]), "")
        labels = {name: {"gender": gender} if gender else {} for name, gender in genders.items()}
        database.schemes["speaker"] = audformat.Scheme("str", labels=labels)
        columns.append("speaker")
    if _apart(manifest):
        database.schemes["gender"] = audformat.Scheme("str")
        columns.append("gender")
    for name in manifest.columns:
        if name in ATTRIBUTES and manifest[name].notna().any():
            database.schemes[name] = audformat.Scheme("float", minimum=-1.0, maximum=1.0)
            columns.append(name)
        elif str(name).startswith(VOTES):
            database.schemes[name] = audformat.Scheme("float", minimum=0.0)
            columns.append(str(name))
    return columns


def _apart(manifest: pd.DataFrame) -> bool:
    """Whether genders do not follow from the speakers: those of some utterances are known without."""
    known = manifest.dropna(subset="gender")
    return bool(known["speaker"].isna().any()) or bool(
        manifest.groupby("speaker")["gender"].nunique(dropna=False).gt(1).any()
    )


def _library() -> Any:
    try:
        import audformat  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(f"{error}: install it with pip install 'cleser[audformat]'") from error
    return audformat
