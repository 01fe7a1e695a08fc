"""Heat maps of how alike layers are: across languages, and among themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cleser.anchors.layers.similarity import ALL
from cleser.evaluation.plots import empty_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MEASURES = {
    "cka_debiased": "CKA, debiased",
    "cosine": "cosine of the means",
    "coral": "CORAL distance, of its largest",
}


def plot_languages(table: pd.DataFrame) -> Figure:
    """Similarity of languages: a panel a measure, a row a pair of languages and emotion, a column a layer.

    Args:
        table: What `cleser.anchors.LayerSimilarity.compute` gives. Of CORAL each row is shown as a share of its
            largest.
    """
    index = ["units", "source", "target", "emotion"]
    rows = pd.MultiIndex.from_frame(table[index].drop_duplicates())
    layers = table["layer"].nunique()
    figure = empty_figure(3.2 + 3 * max(2.2, 0.22 * layers), 1.6 + 0.32 * len(rows))
    panels = figure.subplots(1, len(_MEASURES), sharey=True)
    for axes, (measure, title) in zip(panels, _MEASURES.items(), strict=True):
        values = table.set_index([*index, "layer"])[measure].unstack("layer").reindex(rows)
        cells = values.to_numpy(dtype=float)
        if measure == "coral":
            largest = np.nanmax(cells, axis=1, keepdims=True, initial=0)
            cells = cells / np.where(largest > 0, largest, 1)
        colours = "magma_r" if measure == "coral" else "viridis"
        _draw(axes, cells, [str(c) for c in values.columns], colours, _least(cells))
        axes.set_title(title, fontsize=10)
        names = [_said(*row) for row in rows]
        axes.set_yticks(range(len(names)), names, fontsize=8)
    return figure


def plot_layers(table: pd.DataFrame) -> Figure:
    """Similarity of layers, debiased CKA over all emotions: a panel a language and unit.

    Args:
        table: What `cleser.anchors.LayerSimilarity.layer_pairs` gives.
    """
    whole = table[table["emotion"] == "all"]
    groups = list(whole.groupby(["units", "language"], sort=False))
    figure = empty_figure(1.0 + 3.4 * len(groups), 3.4)
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    figure.suptitle(_MEASURES["cka_debiased"], fontsize=10)
    least = _least(whole["cka_debiased"].to_numpy(dtype=float))  # one scale for all, to be compared
    for axes, ((units, language), rows) in zip(panels, groups, strict=True):
        cells = rows.set_index(["layer", "other"])["cka_debiased"].unstack("other")
        names = [str(c) for c in cells.columns]
        _draw(axes, cells.to_numpy(dtype=float), names, "viridis", least)
        step = _step(names)
        axes.set_yticks(range(0, len(names), step), names[::step], fontsize=8)
        axes.set_title(f"{language}, {units}s", fontsize=10)
        axes.set_ylabel("layer")
    return figure


def plot_anchors(similarity: Sequence[float], anchors: Sequence[int], measure: str) -> Figure:
    """How alike the languages are in each layer, and which layers were chosen as anchors."""
    figure = empty_figure(1.6 + 0.3 * len(similarity), 2.6)
    axes = figure.subplots()
    colours = ["C1" if layer in anchors else "0.75" for layer in range(len(similarity))]
    axes.bar(range(len(similarity)), similarity, color=colours)
    axes.set(xlabel="layer (anchors in colour)", ylabel=measure.replace("_", ", "))
    axes.set_xticks(range(0, len(similarity), max(1, len(similarity) // 13)))
    return figure


def _said(units: str, source: str, target: str, emotion: str) -> str:
    return f"{source}–{target}, {units}s" + f", {emotion}" * (emotion != ALL)


def _step(names: list[str]) -> int:
    """Every how many-th layer has room for its number."""
    return -(-len(names) // 13)


def _least(cells: Any) -> float:
    """Lower end of the colour scale: on a scale from 0, layers that are all nearly alike would be one colour."""
    return float(np.floor(10 * np.nanmin(cells, initial=0.9)) / 10)


def _draw(axes: Axes, cells: Any, names: list[str], colours: str, least: float) -> None:
    """Cells with their values where there is room, and a scale from ``least`` to 1."""
    image = axes.imshow(cells, cmap=colours, vmin=least, vmax=1, aspect="auto")
    step = _step(names)
    axes.set_xticks(range(0, len(names), step), names[::step], fontsize=8)
    axes.set_xlabel("layer")
    if cells.shape[1] <= 8:
        for i, j in np.argwhere(np.isfinite(cells)):
            shade = image.cmap(image.norm(cells[i, j]))
            dark = sum(shade[:3]) < 1.5
            axes.text(j, i, f"{cells[i, j]:.2f}", ha="center", va="center", fontsize=7,
                      color="white" if dark else "black")  # fmt: skip
    axes.figure.colorbar(image, ax=axes, shrink=0.9)
