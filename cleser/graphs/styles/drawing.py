"""The style graph of each emotion in the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito (2008), which colour-blind readers can tell apart
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#555555")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_MOST_EDGES = 4000  # drawn: beyond, the strongest

Floats = npt.NDArray[np.float64]


def draw_styles(
    nodes: pd.DataFrame, styles: npt.NDArray[np.float32], graph: sparse.csr_array
) -> Figure:
    """A panel an emotion: the first two principal axes of its styles.

    Args:
        nodes: Table of nodes, as `StyleCommunities` has it.
        styles: [M, D].
        graph: [M, M].
    """
    from matplotlib.figure import Figure as NewFigure  # noqa: PLC0415

    shown = nodes[nodes["community"] >= 0]
    emotions = shown["emotion"].drop_duplicates().sort_values().tolist()
    columns = min(len(emotions), 4) or 1
    lines = -(-len(emotions) // columns) or 1
    figure = NewFigure(figsize=(3.2 * columns, 3.2 * lines + 0.5), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    languages = shown["language"].drop_duplicates().sort_values().tolist()
    for axes, emotion in zip(panels, emotions, strict=False):
        place = np.flatnonzero((nodes["emotion"] == emotion) & (nodes["community"] >= 0))
        _panel(axes, nodes.iloc[place], styles[place], graph[place][:, place], languages)
        axes.set_title(str(emotion), fontsize=10)
    for axes in panels[len(emotions) :]:
        axes.set_visible(False)
    _legend(figure, languages)
    return figure


def _panel(
    axes: Axes,
    nodes: pd.DataFrame,
    styles: npt.NDArray[np.float32],
    graph: sparse.csr_array,
    languages: list[object],
) -> None:
    from matplotlib.collections import LineCollection  # noqa: PLC0415

    points = _principal(styles)
    edges = sparse.triu(graph + graph.T, 1).tocoo()
    strongest = np.argsort(-edges.data, kind="stable")[:_MOST_EDGES]
    ends = np.stack([points[edges.coords[0]], points[edges.coords[1]]], axis=1)[strongest]
    width = edges.data[strongest] / max(edges.data.max(initial=0), 1e-12)
    axes.add_collection(
        LineCollection(list(ends), linewidths=0.7 * width, colors="#bbbbbb", zorder=1)
    )
    community = pd.factorize(nodes["community"], sort=True)[0]
    size = 14 + 60 * np.sqrt(nodes["utterances"] / nodes["utterances"].max()).to_numpy()
    for number, language in enumerate(languages):
        own = (nodes["language"] == language).to_numpy()
        axes.scatter(
            points[own, 0],
            points[own, 1],
            s=size[own],
            c=[PALETTE[c % len(PALETTE)] for c in community[own]],
            marker=MARKERS[number % len(MARKERS)],
            edgecolors="white",
            linewidths=0.6,
            zorder=2,
        )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("#cccccc")


def _principal(styles: npt.NDArray[np.float32]) -> Floats:
    """Unit styles on their two principal axes, [N, 2]; signs so that the outermost node is at positive values."""
    units = styles / np.maximum(np.linalg.norm(styles, axis=1, keepdims=True), 1e-12)
    centred = units.astype(np.float64) - units.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(styles), 2))
    points[:, : min(2, len(values))] = (left * values)[:, :2]
    outermost = np.abs(points).argmax(axis=0)
    return np.asarray(points * np.where(points[outermost, [0, 1]] < 0, -1, 1))


def _legend(figure: Figure, languages: list[object]) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415

    handles = [
        Line2D([], [], ls="", marker=MARKERS[i % len(MARKERS)], color="#555555", label=str(name))
        for i, name in enumerate(languages)
    ]
    handles.append(Line2D([], [], ls="", marker="", label="colour: community"))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9
    )
