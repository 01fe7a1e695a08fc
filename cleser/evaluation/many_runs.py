"""Many runs in one table: a row a recipe, and a column for whatever results rest on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from rich.table import Table

from cleser.evaluation.numbers_as_text import headline, percent
from cleser.evaluation.results import Run
from cleser.evaluation.terms import details_of, uses_of

CELLS = "mean ± sd over seeds [95 % interval over speakers and seeds]"


def frame(folders: Sequence[Path]) -> pd.DataFrame:
    """UAR of many runs: a row a recipe, a column for all that was seen of a target.

    Where a recipe has several runs under the same terms, as SAPA and self-training are, its rows are named after their
    folders, and where these are alike, after as much of the path as tells them apart.

    Of runs that predict attributes alone it is 100 times their mean CCC, marked so.

    Runs under different protocols never share a column, nor those that use the target in different ways: where source
    and target are the same, columns are told apart by what the methods use of the target, and where that is not enough
    by their hashes.
    """
    runs = [Run(Path(folder)) for folder in folders]
    for run in runs:
        run.needs_scores()
    columns = _columns(runs)
    places_of = list(zip(runs, columns, strict=True))
    cells: dict[str, dict[str, str]] = {}
    places = Counter((run.settings["recipe"], column) for run, column in places_of)
    several = {recipe for (recipe, _), count in places.items() if count > 1}
    for run, column in places_of:
        recipe = run.settings["recipe"]
        row = run.folder.name if recipe in several else recipe
        if column in cells.get(row, {}):
            row = _told_apart(run.folder, [of.folder for of, its in places_of if its == column])
        metric = headline(run.results)
        mark = "" if metric == "uar" else "CCC "
        cells.setdefault(row, {})[column] = mark + percent(run.results[metric])
    return pd.DataFrame.from_dict(cells, orient="index").fillna("–").rename_axis("UAR %")


def _told_apart(folder: Path, others: Sequence[Path]) -> str:
    """A run's folder, and as much of the path to it as no other folder has."""
    parts, theirs = folder.absolute().parts, [other.absolute().parts for other in others]
    lengths = range(2, len(parts))
    enough = (n for n in lengths if sum(of[-n:] == parts[-n:] for of in theirs) == 1)
    return f"{folder.name} ({Path(*parts[-next(enough, len(parts)) : -1])})"


def _columns(runs: Sequence[Run]) -> list[str]:
    """A name for what each run rests on: as short as tells different terms apart."""
    said: list[list[str]] = [[] for _ in runs]
    for places in _mixed(runs, said):
        uses = [uses_of(runs[i].protocol) for i in places]
        if any(phrases != uses[0] for phrases in uses):
            for i, phrases in zip(places, uses, strict=True):
                said[i] += phrases
    for places in _mixed(runs, said):
        for i, phrases in zip(places, _details([runs[i] for i in places]), strict=True):
            said[i] += phrases
    hashed = {i for places in _mixed(runs, said) for i in places}
    return [
        _column(run, phrases) + f" ({run.protocol['hash'][:6]})" * (i in hashed)
        for i, (run, phrases) in enumerate(zip(runs, said, strict=True))
    ]


def _details(runs: Sequence[Run]) -> list[list[str]]:
    """What each run used of the target in detail, as far as not all runs did."""
    found = [details_of(run.protocol) for run in runs]
    common = set(found[0]).intersection(*found)
    return [[phrase for phrase in phrases if phrase not in common] for phrases in found]


def _mixed(runs: Sequence[Run], said: Sequence[Sequence[str]]) -> list[list[int]]:
    """The places of runs that have one column with these phrases and rest on different terms, column by column."""
    places: dict[str, list[int]] = {}
    for i, (run, phrases) in enumerate(zip(runs, said, strict=True)):
        places.setdefault(_column(run, phrases), []).append(i)
    return [at for at in places.values() if len({runs[i].protocol["hash"] for i in at}) > 1]


def _column(run: Run, phrases: Sequence[str]) -> str:
    return ": ".join([direction(run), *filter(None, [", ".join(phrases)])])


def direction(run: Run) -> str:
    """Source and target of a run, as ``emodb → ravdess``."""
    return f"{', '.join(run.protocol['source'])} → {', '.join(run.protocol['target'])}"


def terms_notes(a: Run, b: Run) -> list[str]:
    """What two runs use differently of the target, in a phrase, if they do."""
    said = [
        ", ".join([*uses_of(run.protocol), *details]) or "nothing"
        for run, details in zip((a, b), _details((a, b)), strict=True)
    ]
    if said[0] == said[1]:
        return []
    return [f"of the target's unlabelled recordings A used: {said[0]}; B: {said[1]}"]


def table(folders: Sequence[Path]) -> Table:
    """The table of :func:`frame` for a terminal."""
    cells = frame(folders)
    shown = Table(title=f"UAR %, {CELLS}", title_justify="left")
    shown.add_column("")
    for column in cells:
        shown.add_column(str(column))
    for name, row in cells.iterrows():
        shown.add_row(str(name), *row)
    return shown


def as_text(folders: Sequence[Path], style: str) -> str:
    """The table of :func:`frame` as ``"markdown"``, ``"csv"``, ``"latex"`` or ``"html"``.

    Args:
        folders: Run folders.
        style: One of the four.

    Raises:
        ValueError: The style is none of these.
    """
    cells = frame(folders)
    if style == "markdown":
        heads = [str(cells.index.name), *map(str, cells)]
        return markdown_table(heads, ([str(name), *row] for name, row in cells.iterrows()))
    if style == "csv":
        return cells.to_csv()
    if style == "html":
        return cells.rename_axis(None).to_html(classes="runs", border=0)
    if style == "latex":
        text = cells.to_latex(escape=True)
        signs = {"±": r"$\pm$", "→": r"$\rightarrow$", "–": "--"}
        return "".join(signs.get(letter, letter) for letter in text)
    raise ValueError(f"style is {style!r}, expected markdown, csv, latex or html")


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of text as a table in Markdown.

    >>> print(markdown_table(["run", "UAR"], [["erm", "62.4"]]))
    | run | UAR |
    | --- | --- |
    | erm | 62.4 |
    """
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
