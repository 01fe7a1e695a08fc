"""HTML pages about runs. Each is a single file that loads nothing from elsewhere; it contains a small script."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

import cleser
from cleser.evaluation.answers import answer, method_text, name_of, question
from cleser.evaluation.attribute_report import attribute_rows
from cleser.evaluation.comparison import compare_runs
from cleser.evaluation.intervals import Difference
from cleser.evaluation.listening import confident_errors
from cleser.evaluation.many_runs import CELLS, direction, frame, terms_notes
from cleser.evaluation.numbers_as_text import (
    OF_VOTES,
    SHARES,
    coverage,
    decimal,
    headline,
    interval_text,
    number_text,
    p_text,
    percent,
)
from cleser.evaluation.results import Run
from cleser.evaluation.run_figures import figures_of
from cleser.evaluation.tables import (
    calibration_rows,
    difference_cells,
    difference_notes,
    gender_rows,
    robustness_metric,
    robustness_rows,
    trust_notes,
)
from cleser.evaluation.terms import in_words
from cleser.files import write_text
from cleser.multiple_tests import holm
from cleser.settings import as_yaml

Controls = Mapping[Path, Path]
# Metrics of emotions with the heads of their columns; that of attributes depends on the table.
_SCORES = {"uar": "UAR %", "macro_f1": "macro-F1 %", "accuracy": "accuracy %"}


@dataclass(frozen=True)
class _Pair:
    """Two runs and what their comparison says."""

    reference: Run
    run: Run
    control: bool
    found: Difference | None
    note: str


def report(
    folders: Sequence[Path], out: Path, *, controls: Controls | None = None, listen: int = 0
) -> Path:
    """Write a page about one or more runs: what was asked, what came out, and all behind it.

    Args:
        folders: Run folders.
        out: The HTML file.
        controls: The fair control of a run, by its folder: the same but for what the method adds. See
            :func:`cleser.experiments.variants.controls_of`.
        listen: How many of each run's most confident errors can be listened to, while the page stays small enough; the
            corpora have to be where they were.

    Returns:
        The file.

    Raises:
        ValueError: There is no run, a folder is not that of a finished one, or a run has no scores.
    """
    if not folders:
        raise ValueError("there are no runs to report, expected at least one folder")
    runs = [Run(Path(folder)) for folder in folders]
    for run in runs:
        run.needs_scores()
    groups = [_group(of, controls or {}) for of in _by_direction(runs).values()]
    compared = {group["direction"] for group in groups if group["differences"]}
    sections = [
        _section(run, f"run{number}", listen, compared=direction(run) in compared)
        for number, run in enumerate(runs)
    ]
    title = groups[0]["direction"] if len(groups) == 1 else "Cross-lingual emotion recognition"
    overview = frame(folders) if len(groups) > 1 else None
    page = _render(
        "report.html.jinja",
        title=title,
        overview=None if overview is None else _table(overview),
        cells=CELLS,
        groups=groups,
        sections=sections,
    )
    write_text(out, page)
    return out


def site(
    runs: Sequence[Path], out: Path, *, controls: Controls | None = None, listen: int = 0
) -> Path:
    """Write a page for each direction of a matrix, and an index of them.

    Args:
        runs: Run folders of all directions.
        out: Folder of the pages.
        controls: The fair controls of the runs, see :func:`report`.
        listen: Number of errors of each run that can be listened to, see :func:`report`.

    Returns:
        The index, ``index.html``.

    Raises:
        ValueError: There is no run, or a folder is not that of a finished one.
    """
    if not runs:
        raise ValueError("there are no runs to report, expected at least one folder")
    directions = _by_direction([Run(Path(folder)) for folder in runs])
    pages: list[dict[str, Any]] = []
    for name, of in directions.items():
        file = _file_of(name, {page["file"] for page in pages})
        # The plain one first: the others are compared with it.
        ordered = sorted(of, key=lambda run: run.folder.name != "erm")
        folders = [run.folder for run in ordered]
        report(folders, out / file, controls=controls, listen=listen)
        said = answer(of, _controlled(_pairs(of, controls or {})))
        pages.append({"file": file, "name": name, "runs": len(of), "answer": said})
    overview = _table(frame(list(runs)))
    page = _render(
        "site.html.jinja",
        title="Cross-lingual emotion recognition",
        pages=pages,
        cells=CELLS,
        overview=overview,
    )
    write_text(out / "index.html", page)
    return out / "index.html"


def _file_of(name: str, taken: Collection[str]) -> str:
    """A direction as a file is called; with a number where another one is called so.

    >>> _file_of("a, b → c", {"a-b-to-c.html"})
    'a-b-to-c-2.html'
    """
    stem = re.sub(r"[^\w+.-]+", "-", name.replace("→", "to"))
    files = (
        f"{stem}{number}.html" for number in ("", *(f"-{n}" for n in range(2, len(taken) + 3)))
    )
    return next(file for file in files if file not in taken)


def _render(template: str, **values: Any) -> str:
    folder = files("cleser.evaluation")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["interval"] = interval_text
    parts = {
        name: Markup(folder.joinpath(f"page.{name}").read_text("utf-8")) for name in ("css", "js")
    }
    text = folder.joinpath(template).read_text("utf-8")
    return environment.from_string(text).render(
        **values, **parts, version=cleser.__version__, date=date.today().isoformat()
    )


def _by_direction(runs: Sequence[Run]) -> dict[str, list[Run]]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(direction(run), []).append(run)
    return groups


def _group(runs: list[Run], controls: Controls) -> dict[str, Any]:
    """What the top of a page says of the runs of one direction."""
    pairs = _pairs(runs, controls)
    heads = {**_SCORES, "ccc": "100 CCC"}
    metrics = [name for name in heads if any(name in run.results for run in runs)]
    scores = [
        {
            "run": name_of(run),
            "cells": [percent(run.results[m]) if m in run.results else "–" for m in metrics],
        }
        for run in runs
    ]
    return {
        "direction": direction(runs[0]),
        "questions": list(dict.fromkeys(question(run) for run in runs)),
        "answer": answer(runs, _controlled(pairs)),
        "metrics": [heads[name] for name in metrics],
        "scores": scores,
        "differences": _differences(pairs),
    }


def _differences(pairs: Sequence[_Pair]) -> list[dict[str, Any]]:
    """The rows of a table of differences, whose p-values are corrected for all of them."""
    corrected = holm([pair.found.p if pair.found else None for pair in pairs])
    return [
        {
            "run": name_of(pair.run),
            "reference": name_of(pair.reference),
            "kind": "fair control" if pair.control else "first run",
            "cells": (*(difference_cells(pair.found) if pair.found else ("–",) * 3), p_text(p)),
            "note": pair.note,
        }
        for pair, p in zip(pairs, corrected, strict=True)
    ]


def _pairs(runs: Sequence[Run], controls: Controls) -> list[_Pair]:
    """Each run with its fair control, and with the first run under the same protocol."""
    by_folder = {run.folder: run for run in runs}
    first: dict[str, Run] = {}
    pairs = []
    for run in runs:
        control = by_folder.get(controls.get(run.folder, run.folder))
        reference = first.setdefault(run.protocol["cast"], run)
        if control is not None and control is not run:
            pairs.append(_pair(control, run, control=True))
        if reference not in (run, control):
            pairs.append(_pair(reference, run, control=False))
    return pairs


def _pair(reference: Run, run: Run, *, control: bool) -> _Pair:
    """A comparison, or the reason why the two cannot be compared."""
    try:
        compared = compare_runs(reference.folder, run.folder, force=control).differences
        found = compared[headline(run.results)]
    except ValueError as error:
        return _Pair(reference, run, control, None, str(error))
    notes = [*difference_notes(found), *terms_notes(reference, run)]
    return _Pair(reference, run, control, found, "; ".join(notes))


def _controlled(pairs: Sequence[_Pair]) -> list[tuple[Run, Run, Difference]]:
    """Runs with their fair controls, as far as they can be compared."""
    return [(p.run, p.reference, p.found) for p in pairs if p.control and p.found is not None]


def _section(run: Run, anchor: str, listen: int, *, compared: bool) -> dict[str, Any]:
    results = run.results
    heard, note = confident_errors(run, listen) if listen else ([], "")
    return {
        "anchor": anchor,
        "name": name_of(run),
        "direction": direction(run),
        "folder": run.folder.name,
        "results": results,
        "cards": _cards(results),
        "test_sets": _test_sets(results),
        "attributes": attribute_rows(results, run.attributes),
        "coverage": coverage(results),
        "protocol": run.protocol,
        "terms": in_words(run.protocol),
        "genders": gender_rows(results),
        "calibration": calibration_rows(results),
        "trust": trust_notes(results),
        "robustness": robustness_rows(run.robustness),
        "robustness_metric": robustness_metric(run.robustness),
        **_selected(run),
        "figures": figures_of(run, anchor),
        "heard": heard,
        "heard_note": note,
        "method": method_text(run, compared=compared),
        "settings": as_yaml(run.settings),
    }


def _cards(results: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """The figures at the top of a run: label, mean, standard deviation over seeds and interval, as text."""
    cards = []
    for name, label in {**SHARES, "ccc": "mean CCC", **OF_VOTES}.items():
        if name not in results:
            continue
        of, share = results[name], name in SHARES
        mean, sd = number_text(of["mean"], share=share), of["sd"]
        spread = "one seed" if sd is None else f"± {number_text(sd, share=share)} over seeds"
        within = interval_text(of["ci95"], share=share, form="95 % interval {} to {}")
        within = within or "too few speakers for an interval"
        cards.append((label, f"{mean} %" if share else mean, spread, within))
    return cards


def _test_sets(results: dict[str, Any]) -> dict[str, Any]:
    """A row for each official test set, where there are several, and the ``heads`` of the columns."""
    sets, heads = results.get("test_sets", {}), {**_SCORES, "ccc": "mean CCC"}
    metrics = [name for name in heads if any(name in of for of in sets.values())]

    def text(name: str, metric: dict[str, Any]) -> str:
        return percent(metric, interval=False) if name in SHARES else decimal(metric)[0]

    rows = [[name, *(text(m, of[m]) for m in metrics)] for name, of in sets.items()]
    return {"heads": ["set", *(heads[name] for name in metrics)], "rows": rows}


def _selected(run: Run) -> dict[str, Any]:
    """What transfer validation tried: rows and their heads, and a note on what was taken."""
    table = run.selection
    settings = {*run.settings.get("config", {}), "backbone"}
    names = [str(name) for name in table if name != "taken"]
    scores = [name for name in names if name.split(".")[0] not in settings]
    shown = table.assign(**{name: table[name].map("{:.1f}".format) for name in scores})
    note = "the notes among the terms say which settings were taken"
    if "taken" in table:
        note = "the row that is marked was taken"
        shown["taken"] = table["taken"].map({True: "yes", False: ""})
    return {
        "tried": shown.astype(object).to_numpy().tolist(),
        "tried_heads": [*shown],
        "taken": note,
    }


def _table(cells: pd.DataFrame) -> Markup:
    html = cells.rename_axis(None).to_html(classes="sortable", border=0)
    return Markup(html)
