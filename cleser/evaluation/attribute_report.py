"""The report's part on arousal, valence and dominance: their metrics, and predictions plotted against the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cleser.evaluation.plots import PALETTE, new_panels
from cleser.evaluation.results import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 2000  # points of a scatter


def attribute_rows(results: dict[str, Any], attributes: list[str]) -> list[dict[str, Any]]:
    """A row an attribute: ``name``, and ``ccc`` and ``rmse`` as they stand in ``results.json``."""
    return [
        {"name": name, "ccc": results[f"ccc_{name}"], "rmse": results[f"rmse_{name}"]}
        for name in attributes
    ]


def attribute_figures(run: Run) -> dict[str, Figure]:
    """Figures by title: predictions against truths, and each speaker's mean error; none where none were predicted."""
    names = run.attributes
    if not names:
        return {}
    return {
        "Predicted attributes against the truth, first seed": plot_scatter(run, names),
        "Mean error of each speaker, all seeds": plot_residuals(run, names),
    }


def plot_scatter(run: Run, attributes: list[str]) -> Figure:
    """Predictions of the first seed against truths, at most 2000 of them, and the line where they are equal."""
    rows = run.predictions
    rows = rows[rows["seed"] == rows["seed"].min()]
    if len(rows) > _MOST:
        rows = rows.sample(_MOST, random_state=0)
    figure, panels = new_panels(2.4 * len(attributes), 2.6, len(attributes))
    for axes, name, colour in zip(panels, attributes, PALETTE, strict=False):
        axes.plot([-1, 1], [-1, 1], color="0.7", lw=1)
        axes.scatter(rows[name], rows[f"predicted_{name}"], s=6, alpha=0.5, lw=0, color=colour)
        axes.set(title=name, xlabel="truth", xlim=(-1.05, 1.05), ylim=(-1.05, 1.05))
    panels[0].set_ylabel("predicted")
    return figure


def plot_residuals(run: Run, attributes: list[str]) -> Figure:
    """Mean of predicted minus true of each speaker, in order: what is off for whole speakers lies apart from zero."""
    rows = run.predictions
    figure, panels = new_panels(2.4 * len(attributes), 2.2, len(attributes))
    speaker = rows["speaker"].fillna("unknown")
    for axes, name, colour in zip(panels, attributes, PALETTE, strict=False):
        error = (rows[f"predicted_{name}"] - rows[name]).groupby(speaker).mean().dropna()
        axes.axhline(0, color="0.7", lw=1)
        axes.scatter(np.arange(len(error)), np.sort(error), s=10, color=colour)
        axes.set(title=name, xlabel="speakers")
    panels[0].set_ylabel("predicted − true")
    return figure
