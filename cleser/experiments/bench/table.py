"""What a bench found, as a table: a row a run, with differences, terms, time and memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd

from cleser.evaluation import Run, compare_runs, holm
from cleser.evaluation.intervals import NotComparableError
from cleser.evaluation.numbers_as_text import headline
from cleser.evaluation.run_files import COST
from cleser.experiments.bench.cells import Cell
from cleser.experiments.variants import reference_of, variant
from cleser.files import write_text


def tabulate(cells: Sequence[Cell]) -> pd.DataFrame:
    """A row a run: UAR and macro-F1 in per cent, the interval, two paired differences, the terms, time and peak memory.

    *The difference* is to plain ERM under the same access to the target (see
    :func:`cleser.experiments.variants.reference_of`). *The control* is the row that is the same but for what the method
    adds, trained as long and with the same prior: only what a method has over it is its own. Either is missing where
    there is none, or where the two tested other utterances. Beside each p stands Holm's, corrected for all of that kind
    in the direction. Runs of attributes alone have 100 times their mean CCC, ``ccc``, in place of UAR and macro-F1.

    Raises:
        ValueError: A file of a run is missing or damaged.
    """
    folders = {(c.direction.name, c.recipe): c.folder for c in cells}
    rows = []
    for cell in cells:
        run = Run(cell.folder)
        score = headline(run.results)
        first, f1 = run.results[score], run.results.get("macro_f1")
        direction, control = cell.direction.name, variant(cell.recipe).control
        low, high = (None if v is None else 100 * v for v in first["ci95"])
        rows.append(
            {
                "direction": direction,
                "recipe": cell.recipe,
                score: 100 * first["mean"],
                "sd": None if first["sd"] is None else 100 * first["sd"],
                "low": low,
                "high": high,
                **({} if f1 is None else {"macro_f1": 100 * f1["mean"]}),
                **_difference(cell, folders.get((direction, reference_of(cell.recipe)))),
                "control": control or None,
                **_difference(cell, folders.get((direction, control)), "control_"),
                "terms": run.protocol["hash"],
                **_cost(cell.folder),
            }
        )
    table = pd.DataFrame(rows)
    for name in ("p", "control_p") if rows else ():
        corrected = table.groupby("direction")[name].transform(lambda p: holm(p.tolist()))
        table.insert(list(table.columns).index(name) + 1, f"{name}_holm", corrected)
    return table


def paper_layout(table: pd.DataFrame, names: dict[str, str] | None = None) -> pd.DataFrame:
    """UAR / macro-F1 with a row a task and a column a recipe, and their average, as in the zero-shot paper's Table 2.

    The average is over the directions in which every recipe has a result, and says how many where these are not all.

    Args:
        table: Table that :func:`tabulate` returns.
        names: Headings of the recipes; others are left out. All by default.
    """
    names = names or {name: name for name in table["recipe"].unique()}
    shown = table[table["recipe"].isin(names)]
    cells = {}
    for metric in ("uar", "macro_f1"):
        wide = shown.pivot_table(index="direction", columns="recipe", values=metric, sort=False)
        whole = wide.dropna()  # averages of other directions would not be comparable
        of = "" if len(whole) == len(wide) else f" of the {len(whole)} that all have"
        wide.loc[f"average{of}"] = whole.mean()
        cells[metric] = wide.reindex(columns=list(names)).rename(columns=names)
    text = {m: w.map(lambda v: "–" if pd.isna(v) else f"{v:.2f}") for m, w in cells.items()}
    return (text["uar"] + " / " + text["macro_f1"]).rename_axis(None, axis=1)


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The table for readers: rounded, without columns of which nothing is known, – for a name that is missing."""
    shown = _rounded(table).dropna(axis=1, how="all")
    names = shown.select_dtypes(exclude="number").columns
    return shown.assign(**{name: shown[name].fillna("–") for name in names})


def absent_references(table: pd.DataFrame) -> list[str]:
    """The rows to which differences would be, where none of them is in the table and it holds no difference."""
    there = set(table["recipe"])
    wanted = {reference_of(name) for name in there} - {""}
    return [] if table["difference"].notna().any() or wanted & there else sorted(wanted)


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    shares = [name for name in table.columns if name.removeprefix("control_") in ("p", "p_holm")]
    return table.round({name: 4 if name in shares else 1 for name in table.columns})


def write_tables(table: pd.DataFrame, out: Path) -> None:
    """The table as ``table.csv``, ``table.html`` and ``table.tex``."""
    rounded = _rounded(table)
    for name, text in (
        ("table.csv", table.to_csv(index=False)),
        ("table.html", readable(table).to_html(index=False, border=0, na_rep="–")),
        ("table.tex", rounded.to_latex(index=False, na_rep="--", float_format="%.4g", escape=True)),
    ):
        write_text(out / name, text)


def _difference(cell: Cell, other: Path | None, prefix: str = "") -> dict[str, float | None]:
    """UAR of a cell minus that of another, in points, with interval and p; all missing where it has none."""
    found = None
    if other is not None and other != cell.folder:
        with suppress(NotComparableError):  # other utterances were tested, say
            found = compare_runs(other, cell.folder, force=True).differences[
                headline(Run(cell.folder).results)
            ]
    values = (None,) * 4 if found is None else (
        100 * found.difference, 100 * found.low, 100 * found.high, found.p
    )  # fmt: skip
    names = ("difference", "difference_low", "difference_high", "p")
    return {f"{prefix}{name}": value for name, value in zip(names, values, strict=True)}


def _cost(folder: Path) -> dict[str, float | None]:
    """What a run took: seconds, and gigabytes of memory at its peak; missing where that is not known."""
    path = folder / COST
    took = json.loads(path.read_text()) if path.exists() else {}
    held = took.get("peak_bytes")
    return {"seconds": took.get("seconds"), "peak_gb": None if held is None else held / 1e9}
