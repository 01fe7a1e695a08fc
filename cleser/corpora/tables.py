"""Tables of text as people have them: any usual encoding and separator, cells without blanks around them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Final

import pandas as pd

_MARKS: Final = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_SEPARATORS: Final = ",;\t|"


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
    text = read_text(path)
    options = {"sep": separator(text), "quoting": csv.QUOTE_MINIMAL, **options}
    if _has_stray_quotes(text, options["sep"]):
        options["quoting"] = csv.QUOTE_NONE
    _check_first_row(path, text, options)
    try:
        table: pd.DataFrame = pd.read_csv(
            io.StringIO(text),
            dtype="str",
            keep_default_na=False,
            na_values=[""],
            index_col=False,
            **options,
        )
    except (ValueError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path}: {str(error).strip()}, expected a table of text") from error
    for name in table.columns:
        stripped = table[name].str.strip()
        table[name] = stripped.where(stripped != "")
    table.columns = [str(name).strip() for name in table.columns]
    missing = [name for name in needed if name not in table]
    if missing:
        raise ValueError(f"{path}: found the columns {list(table)}, expected also {missing}")
    return table


def _has_stray_quotes(text: str, between: str) -> bool:
    """Whether quotes are text: each line has all cells by itself, and in one a quote opens that none closes.

    Such a quote would make one cell of all lines up to the next quote, and their rows would be gone.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    whole = all(line.count(between) == lines[0].count(between) for line in lines)
    return whole and any(line.count('"') % 2 for line in lines)


def _check_first_row(path: Path, text: str, options: dict[str, Any]) -> None:
    """Raise a ValueError where the first row has more cells than columns: pandas would take one for its name."""
    if "names" in options:
        return
    reading = {"delimiter": options["sep"], "quoting": options["quoting"]}
    rows = [row for row, _ in zip(csv.reader(io.StringIO(text), **reading), range(2), strict=False)]
    if len(rows) == 2 and any(cell.strip() for cell in rows[1][len(rows[0]) :]):
        raise ValueError(
            f"{path}: the first row has {len(rows[1])} cells, {rows[1]}, expected {len(rows[0])} as the columns "
            f"{rows[0]}: put texts that hold {options['sep']!r} in quotes"
        )


def separator(text: str) -> str:
    """What separates the columns of a table, told by its first line.

    >>> separator("file;emotion,strength;text"), separator("file")
    (';', ',')
    """
    first = text.lstrip("\r\n").partition("\n")[0]
    outside = "".join(first.split('"')[::2])
    return max(_SEPARATORS, key=outside.count)
