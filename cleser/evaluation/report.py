"""One HTML page about one or more runs: self-contained, no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from cleser.evaluation.attribute_report import attribute_figures, attribute_rows
from cleser.evaluation.multiple_tests import holm
from cleser.evaluation.plots import plot_confusion, plot_map, plot_speakers, plot_training
from cleser.evaluation.results import Run, compare_runs
from cleser.evaluation.tables import (
    CELLS,
    as_text,
    coverage,
    difference_cells,
    difference_notes,
    direction,
    headline,
    p_text,
    terms_notes,
)
from cleser.evaluation.terms import in_words
from cleser.files import write_text
from cleser.settings import as_yaml

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def report(folders: Sequence[Path], out: Path) -> Path:
    """Write the page.

    Args:
        folders: Run folders.
        out: The HTML file.

    Returns:
        The file.

    Raises:
        ValueError: There is no run, or a folder is not that of a finished one.
    """
    if not folders:
        raise ValueError("there are no runs to report, expected at least one folder")
    runs = [Run(Path(folder)) for folder in folders]
    template = files("cleser.evaluation").joinpath("report.html.jinja").read_text()
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    page = environment.from_string(template).render(
        sections=[_section(run) for run in runs],
        overview=Markup(as_text(folders, "html")) if len(runs) > 1 else None,
        cells=CELLS,
        differences=_differences(runs),
    )
    write_text(out, page)
    return out


def _differences(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row for each run that is not the first under its protocol, compared with that one, whatever each uses of it."""
    first: dict[str, Run] = {}
    rows: list[dict[str, Any]] = []
    ps: list[float | None] = []
    for run in runs:
        reference = first.setdefault(run.protocol["cast"], run)
        if reference is run:
            continue
        p, cells, note = _difference(reference, run)
        ps.append(p)
        rows.append(
            {
                "run": f"{run.settings['recipe']} ({run.folder.name})",
                "reference": f"{reference.settings['recipe']} ({reference.folder.name})",
                "direction": direction(run),
                "cells": cells,
                "note": note,
            }
        )
    for row, p in zip(rows, holm(ps), strict=True):
        row["cells"] = (*row["cells"], p_text(p))
    return rows


def _difference(a: Run, b: Run) -> tuple[float | None, tuple[str, ...], str]:
    """P-value, cells and note of a comparison; dashes and the reason where the two cannot be compared."""
    try:
        found = compare_runs(a.folder, b.folder).differences[headline(a.results)]
    except ValueError as error:
        return None, ("–",) * 3, str(error)
    notes = [*difference_notes(found), *terms_notes(a, b)]
    return found.p, difference_cells(found), "; ".join(notes)


def _section(run: Run) -> dict[str, Any]:
    results = run.results
    figures = {**_emotion_figures(run), **attribute_figures(run)}
    if not run.history.empty:
        figures["Training"] = plot_training(run.history)
    if (run.folder / "embeddings.safetensors").exists():
        figures["Where the first seed puts utterances of source and target"] = _map(run)
    return {
        "direction": direction(run),
        "folder": run.folder.name,
        "results": results,
        "attributes": attribute_rows(results, run.attributes),
        "coverage": coverage(results),
        "protocol": run.protocol,
        "terms": in_words(run.protocol),
        "figures": {title: _svg(figure) for title, figure in figures.items()},
        "settings": as_yaml(run.settings),
    }


def _emotion_figures(run: Run) -> dict[str, Figure]:
    """Confusions and speakers; none where a run predicts attributes alone."""
    if not run.protocol["classes"]:
        return {}
    confusion, clusters = run.results["confusion"], run.clusters
    return {
        "Confusions, all seeds": plot_confusion(
            np.array(confusion["counts"]), confusion["classes"]
        ),
        f"UAR of each of the {len(clusters.names)} {clusters.unit}": plot_speakers(clusters),
    }


def _map(run: Run) -> Figure:
    from safetensors.numpy import load_file  # noqa: PLC0415

    tensors = load_file(run.folder / "embeddings.safetensors")
    seed = run.predictions["seed"].min()
    target = run.predictions[run.predictions["seed"] == seed]
    source = pd.read_parquet(run.folder / "source.parquet")
    who = pd.concat([target, source], ignore_index=True)
    return plot_map(np.concatenate([tensors["embeddings"], tensors["source_embeddings"]]), who)


def _svg(figure: Figure) -> Markup:
    """The figure inline, the same for the same run: ids are hashes of what they name."""
    from matplotlib import rc_context  # noqa: PLC0415

    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "cleser"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    return Markup(text)
