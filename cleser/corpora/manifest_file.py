"""Anyone's corpus, as a table in CSV or Parquet: ``manifest:FILE.csv``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cleser.corpora.manifest import COLUMNS, Listing, Problem, assemble

REQUIRED = ("path", "language")
SHORT = {"f": "female", "m": "male"}


def read(argument: str) -> Listing:
    """Read a manifest.

    Args:
        argument: A ``.csv`` or ``.parquet`` file. Paths in it are relative to it. It needs ``path`` and
            ``language``; an utterance is named by its file, and a corpus by the table's, where the table
            does not. What :func:`cleser.corpora.load` returned can be saved and read again.

    Raises:
        ValueError: The file is none of the two, or lacks a column.
    """
    source = Path(argument).expanduser().resolve()
    return _listing(source, _table(source), source.stem)


def read_parts(files: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Read the tables of a split, whose speakers have the same names in each.

    Args:
        files: A manifest for each part, as ``{"train": Path("train.csv"), "test": Path("test.csv")}``; or one table
            under any name, whose column ``split`` says the part.

    Returns:
        A validated manifest for each part. Where a table names no corpora, its speakers are taken for those of the
        other tables with the same name; where it names no utterances, they are named by their files.

    Raises:
        ValueError: A file is no manifest, or a single one has no ``split``.
    """
    parts = {}
    for name, file in files.items():
        source = file.expanduser().resolve()
        table = _table(source)
        if "utterance" not in table and "path" in table:
            table["utterance"] = _whole_names(table)
        parts[name] = assemble("split", _listing(source, table, "split"))
    if len(parts) > 1:
        return parts
    (whole,) = parts.values()
    if whole["split"].isna().any():
        without = int(whole["split"].isna().sum())
        raise ValueError(
            f"{source}: {without} of {len(whole)} rows have no split, expected train, dev or test in each; or give a "
            "table for each part"
        )
    return {str(name): rows.reset_index(drop=True) for name, rows in whole.groupby("split")}


def _whole_names(table: pd.DataFrame) -> list[str]:
    """Paths as they stand in the table, and the stretch where it is one."""
    if "start" not in table:
        return table["path"].tolist()
    times = zip(
        table["path"],
        table["start"],
        table["end"] if "end" in table else table["start"],
        strict=True,
    )
    return [path if pd.isna(start) else f"{path}@{start:g}-{end:g}" for path, start, end in times]


def _listing(source: Path, table: pd.DataFrame, corpus: str) -> Listing:
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise ValueError(
            f"{source}: found the columns {list(table)}, expected also {missing} (known: {list(COLUMNS)})"
        )
    table["path"] = [str(source.parent / path) for path in table["path"]]
    if "utterance" not in table:
        table["utterance"] = [Path(path).stem for path in table["path"]]
    if "corpus" not in table:
        table["corpus"] = corpus
    if "start" in table:
        table["start"] = table["start"].fillna(0.0)
    if "gender" in table:
        table["gender"] = table["gender"].str.lower().replace(SHORT)
    sizes = _sizes(table["path"])
    found = table["path"].map(sizes)
    problems = [
        Problem(path, "is missing" if pd.isna(size) else "is empty (0 bytes)")
        for path, size in zip(table["path"], found, strict=True)
        if not size > 0
    ]
    return Listing(table[found > 0], problems)


def _table(source: Path) -> pd.DataFrame:
    if not source.is_file():
        raise ValueError(f"{source}: no such file, expected a manifest in .csv or .parquet")
    if source.suffix == ".parquet":
        table = pd.read_parquet(source)
    elif source.suffix == ".csv":
        # Speaker 01 is no number, and a text that says NA or None is no gap.
        table = pd.read_csv(
            source, dtype="str", encoding="utf-8-sig", keep_default_na=False, na_values=[""]
        )
    else:
        raise ValueError(
            f"{source}: found {source.suffix or 'no ending'}, expected .csv or .parquet"
        )
    try:
        times = {name: "float64" for name in ("start", "end") if name in table}
        texts = {name: "str" for name in COLUMNS if name in table and name not in times}
        return table.astype({**times, **texts})
    except ValueError as error:
        raise ValueError(f"{source}: {error}, expected start and end in seconds") from error


def _sizes(paths: pd.Series[str]) -> dict[str, float]:
    """Size of each recording that exists; every folder is listed once, which is faster than asking."""
    sizes: dict[str, float] = {}
    for folder in {os.path.dirname(path) for path in paths}:  # noqa: PTH120  (names only)
        if Path(folder).is_dir():
            with os.scandir(folder) as scan:
                sizes.update({e.path: e.stat().st_size for e in scan if e.is_file()})
    return sizes
