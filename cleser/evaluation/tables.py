"""Results as tables: one run, a comparison, and many runs with a column a protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cleser.evaluation.results import Comparison, Run


def percent(metric: dict[str, Any], *, interval: bool = True) -> str:
    """A metric of ``results.json`` as ``62.4 ± 0.8 [57.1, 67.3]``: mean, spread over seeds, interval.

    >>> percent({"mean": 0.624, "sd": 0.008, "ci95": [0.571, 0.673]})
    '62.4 ± 0.8 [57.1, 67.3]'
    """
    text = f"{100 * metric['mean']:.1f}"
    if metric.get("sd") is not None:
        text += f" ± {100 * metric['sd']:.1f}"
    low, high = metric["ci95"]
    if interval and low is not None:
        text += f" [{100 * low:.1f}, {100 * high:.1f}]"
    return text


def show_results(results: dict[str, Any]) -> Group:
    """What a terminal shows of ``results.json``."""
    uar = results["uar"]
    table = Table(
        title=f"{results['recipe']} · protocol {results['protocol']}", title_justify="left"
    )
    for heading in ("metric", "mean ± sd over seeds", "95 % interval"):
        table.add_column(heading)
    for name, label in (("uar", "UAR"), ("macro_f1", "macro-F1"), ("accuracy", "accuracy")):
        low, high = results[name]["ci95"]
        bounds = "–" if low is None else f"{100 * low:.1f} to {100 * high:.1f}"
        table.add_row(label, f"{percent(results[name], interval=False)} %", bounds)
    for name, values in results["per_class"].items():
        share = values["recall"]
        table.add_row(f"  recall of {name}", "–" if share is None else f"{100 * share:.1f} %", "")
    return Group(table, Text(_resampled(uar, results), style="dim"))


def _resampled(metric: dict[str, Any], results: dict[str, Any]) -> str:
    note = (
        f"{results['n_utterances']} utterances, {len(results['seeds'])} seeds; interval by bootstrap over "
        f"{metric['clusters']} {metric['resampled']}"
    )
    if metric["resampled"] == "utterances":
        note += " (no speakers are known: it is too narrow if they recur)"
    elif results["unknown_speakers"]:
        note += f" ({results['unknown_speakers']} utterances without a speaker count as one each)"
    if results["left_out"]:
        note += f"; {len(results['left_out'])} recordings left out"
    return note


def show_comparison(comparison: Comparison) -> Group:
    """What a terminal shows of a comparison."""
    a, b = comparison.a, comparison.b
    names = [f"{r.settings['recipe']} ({r.folder})" for r in (a, b)]
    table = Table(title="B − A", title_justify="left")
    for heading in ("metric", "A", "B", "B − A", "95 % interval", "p"):
        table.add_column(heading)
    for name, found in comparison.differences.items():
        table.add_row(
            name,
            percent(a.results[name], interval=False),
            percent(b.results[name], interval=False),
            f"{100 * found.difference:+.1f}",
            f"{100 * found.low:+.1f} to {100 * found.high:+.1f}",
            f"{found.p:.3f}" if found.p >= 0.001 else "< 0.001",
        )
    how = "all" if found.exact else "random"
    note = f"paired over {found.groups} {found.unit}: bootstrap, and {how} swaps of the runs for whole {found.unit}"
    lines = (Text(f"{run} = {name}") for run, name in zip("AB", names, strict=True))
    return Group(*lines, table, Text(note, style="dim"))


def frame(folders: Sequence[Path]) -> pd.DataFrame:
    """UAR of many runs: a row a recipe, a column a protocol.

    Runs under different protocols never share a column: where source and target are the same, the columns
    are told apart by their hashes.
    """
    runs = [Run(Path(folder)) for folder in folders]
    hashes: dict[str, set[str]] = {}
    for run in runs:
        hashes.setdefault(direction(run), set()).add(run.protocol["hash"])
    cells: dict[str, dict[str, str]] = {}
    for run in runs:
        column = direction(run)
        if len(hashes[column]) > 1:
            column += f" ({run.protocol['hash'][:6]})"
        row = run.settings["recipe"]
        if column in cells.get(row, {}):
            row = f"{row} ({run.folder.name})"
        cells.setdefault(row, {})[column] = percent(run.results["uar"])
    return pd.DataFrame.from_dict(cells, orient="index").fillna("–").rename_axis("UAR %")


def direction(run: Run) -> str:
    """Source and target of a run, as ``emodb → ravdess``."""
    return f"{', '.join(run.protocol['source'])} → {', '.join(run.protocol['target'])}"


def table(folders: Sequence[Path]) -> Table:
    """The table of :func:`frame` for a terminal."""
    cells = frame(folders)
    shown = Table(title="UAR %, mean ± sd over seeds [95 % interval]", title_justify="left")
    shown.add_column("")
    for column in cells:
        shown.add_column(str(column))
    for name, row in cells.iterrows():
        shown.add_row(str(name), *row)
    return shown


def as_text(folders: Sequence[Path], style: str) -> str:
    """The table of :func:`frame` as ``"markdown"``, ``"csv"``, ``"latex"`` or ``"html"``.

    Raises:
        ValueError: The style is none of these.
    """
    cells = frame(folders)
    if style == "markdown":
        heads = [str(cells.index.name), *map(str, cells)]
        rows = [[str(name), *row] for name, row in cells.iterrows()]
        return "\n".join(
            "| " + " | ".join(line) + " |" for line in [heads, ["---"] * len(heads), *rows]
        )
    if style == "csv":
        return cells.to_csv()
    if style == "html":
        return cells.rename_axis(None).to_html(classes="runs", border=0)
    if style == "latex":
        plain = cells.replace({"±": r"$\\pm$", "–": "--"}, regex=True)
        plain.columns = plain.columns.str.replace("→", r"$\rightarrow$")
        return plain.to_latex()
    raise ValueError(f"style is {style!r}, expected markdown, csv, latex or html")
