"""Tables of text as people have them: any usual encoding and separator, cells without blanks around them."""

from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd

_MARKS: Final = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_SEPARATORS: Final = ",;\t|"
ENDINGS: Final = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", ".pq")
"""Of the files that a manifest or a list of folds may be."""


def read_text(path: Path, fallback: str = "cp1252") -> str:
    """The text of a file in UTF-8, UTF-16 with its mark, or else a fallback; what that lacks becomes U+FFFD.

    Args:
        path: The file.
        fallback: The encoding of files that are neither.

    Raises:
        OSError: The file cannot be read.
    """
    data = path.read_bytes()
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    if encoding is None and b"\0" in data[:2]:
        encoding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    try:
        return data.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        return data.decode(encoding or fallback, errors="replace")


def read_table(path: Path, *needed: str, **options: Any) -> pd.DataFrame:
    """A table of texts; empty cells are missing, and ``NA`` or ``None`` is what somebody says.

    Args:
        path: A file whose first line names the columns, separated by commas, semicolons, tabs or bars.
        needed: Columns that it must have.
        options: Further ones of :func:`pandas.read_csv`.

    Raises:
        ValueError: A column is missing, or the rows cannot be told apart.
    """
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    between = options.pop("sep", None) or separator(text)
    quoting = _quoting(text, between)
    named = "names" not in options and _has_row_names(path, text, between, quoting)
    try:
        with warnings.catch_warnings():  # of blank cells at the end of lines, which are cut off
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            table: pd.DataFrame = pd.read_csv(
                io.StringIO(text), sep=between, quoting=quoting, index_col=None if named else False,
                dtype="str", keep_default_na=False, na_values=[""], **options,
            )  # fmt: skip
    except (ValueError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path}: {str(error).strip()}, expected a table of text") from error
    table = table.reset_index(drop=True)
    for name in table.columns:
        stripped = table[name].str.strip()
        table[name] = stripped.where(stripped != "")
    table.columns = [str(name).strip() for name in table.columns]
    missing = [name for name in needed if name not in table]
    if missing:
        raise ValueError(f"{path}: found the columns {list(table)}, expected also {missing}")
    return table


def _quoting(text: str, between: str) -> Literal[0, 3]:
    """Whether quotes enclose cells, or are text.

    They are text if with quotes rows are of different lengths, or do not end, and without them of one length: a quote
    that nobody closed would take all rows up to the next one. Cells between tabs hold none.
    """
    if '"' not in text:
        return csv.QUOTE_MINIMAL
    lengths, tabs = _lengths(text, between, csv.QUOTE_MINIMAL)
    if len(lengths) == 1 and not (tabs and between == "\t"):
        return csv.QUOTE_MINIMAL
    alone, _ = _lengths(text, between, csv.QUOTE_NONE)
    return csv.QUOTE_NONE if len(alone) == 1 else csv.QUOTE_MINIMAL


def _lengths(text: str, between: str, quoting: Literal[0, 3]) -> tuple[set[int], bool]:
    """How many cells rows have, none if a quote does not end where a cell does; and whether a cell holds a tab."""
    lengths, tabs = set(), False
    try:
        for row in csv.reader(io.StringIO(text), delimiter=between, quoting=quoting, strict=True):
            if row:
                lengths.add(len(row))
                tabs |= any("\t" in cell for cell in row)
    except csv.Error:
        return set(), False
    return lengths, tabs


def _has_row_names(path: Path, text: str, between: str, quoting: Literal[0, 3]) -> bool:
    """Whether each row begins with its number, under no name of a column, as R writes tables.

    Raises:
        ValueError: Another row has more cells than there are columns.
    """
    reading = csv.reader(io.StringIO(text), delimiter=between, quoting=quoting)
    surplus: tuple[int, list[str]] | None = None
    names, lengths = [], set()
    try:
        header = next(filter(None, reading), [])
        for row in filter(None, reading):
            names.append(row[0])
            lengths.add(len(row))
            if surplus is None and any(cell.strip() for cell in row[len(header) :]):
                surplus = reading.line_num, row
    except csv.Error:  # of which pandas will tell
        return False
    if surplus is None:
        return False
    numbers = [[str(first + row) for row in range(len(names))] for first in (0, 1)]
    if lengths == {len(header) + 1} and names in numbers:
        return True
    line, row = surplus
    raise ValueError(
        f"{path}: line {line} has {len(row)} cells, {row}, expected {len(header)} as the columns {header}: put texts "
        f"that hold {between!r} in quotes, or name the column that lacks a name"
    )


def row_named(rows: pd.DataFrame, at: int) -> str:
    """What messages call a row: its number in the table that was read, before any row was left out, and its id.

    Args:
        rows: What is left of a table, with its numbers of rows as index.
        at: Which of these rows.

    >>> row_named(pd.DataFrame({"utterance": ["mine/c"]}, index=[2]), 0)
    'row 2 (mine/c; the first is row 0)'
    """
    return f"row {rows.index[at]} ({rows['utterance'].iloc[at]}; the first is row 0)"


def separator(text: str) -> str:
    """What separates the columns of a table, told by its first line.

    >>> separator("file;emotion,strength;text"), separator("file")
    (';', ',')
    """
    first = text.lstrip("\r\n").partition("\n")[0]
    outside = "".join(first.split('"')[::2])
    return max(_SEPARATORS, key=outside.count)
