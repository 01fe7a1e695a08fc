"""Figures of a run, for the report and for papers; colours that colour-blind readers can tell apart.

Names of classes and speakers are a corpus' own. Between two dollar signs they are no formula.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cleser.evaluation.metrics import Floats, uar
from cleser.evaluation.speakers import Clusters

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito (2008)
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#555555")

MOST_SPEAKERS = 200  # of a figure
MOST_POINTS = 1500
MAP_METHOD = "by PCA to 30 dimensions and t-SNE of scikit-learn to two"


def plot_confusion(counts: np.ndarray[Any, Any], classes: list[str]) -> Figure:
    """Row-normalised confusion matrix, with percentages and counts in the cells."""
    figure, axes = new_figure(4.6, 4.0)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(*counts.shape):
        colour = "white" if share[i, j] > 0.55 else "#222222"
        text = f"{100 * share[i, j]:.0f} %\n{counts[i, j]}"
        axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right", parse_math=False)
    axes.set_yticks(range(len(classes)), classes, parse_math=False)
    axes.set(xlabel="recognised", ylabel="true")
    axes.grid(visible=False)
    return figure


def plot_speakers(clusters: Clusters) -> Figure:
    """UAR of each speaker: a dot a seed, a bar for their mean; the dashed line is chance.

    Of more than :data:`MOST_SPEAKERS` speakers so many are drawn, at even steps from the worst to the best.
    """
    values = uar(clusters.counts)  # [S, G], NaN where a seed has not tested a speaker
    means = np.nanmean(values, 0)
    order = np.argsort(means)
    if len(order) > MOST_SPEAKERS:
        order = order[np.linspace(0, len(order) - 1, MOST_SPEAKERS).round().astype(int)]
    names = [clusters.names[g] for g in order]
    figure, axes = new_figure(7.2, 3.2)
    position = np.arange(len(names))
    axes.bar(position, 100 * means[order], color="#cfe3f1", width=0.8)
    for seed in values:
        axes.scatter(position, 100 * seed[order], s=10, color=PALETTE[0], zorder=3)
    axes.axhline(100 / clusters.counts.shape[-1], color="#888888", ls="--", lw=1)
    step = max(1, len(names) // 30)
    axes.set_xticks(
        position[::step], names[::step], rotation=60, ha="right", fontsize=7, parse_math=False
    )
    axes.set(ylabel="UAR %", ylim=(0, 100))
    return figure


def plot_training(history: pd.DataFrame) -> Figure:
    """Training loss and development UAR (or CCC) of every seed and member; a ring marks the epoch that did best."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    figure, (left, right) = new_panels(7.2, 2.8, 2)
    if "member" not in history:
        history = history.assign(member=0)
    score = "dev_uar" if "dev_uar" in history else "dev_ccc"
    seeds = sorted(history["seed"].unique())
    for (seed, member), lines in history.groupby(["seed", "member"]):
        colour = PALETTE[seeds.index(seed) % len(PALETTE)]
        label = None if member else f"seed {seed}"
        left.plot(lines["epoch"] + 1, lines["train_loss"], color=colour, label=label)
        right.plot(lines["epoch"] + 1, 100 * lines[score], color=colour)
        best = lines.sort_values([score, "dev_loss"], ascending=[False, True]).iloc[0]
        right.scatter(best["epoch"] + 1, 100 * best[score], s=40, fc="none", ec=colour, zorder=3)
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set(xlabel="epoch", ylabel="training loss")
    right.set(xlabel="epoch", ylabel=f"development {score[4:].upper()} %")
    left.legend(frameon=False, fontsize=8)
    return figure


def plot_reliability(calibration: dict[str, Any]) -> Figure:
    """Accuracy against confidence in bins of equal mass, before and after tempering; the diagonal is perfect."""
    figure, axes = new_figure(4.6, 4.0)
    axes.plot([0, 100], [0, 100], color="#888888", ls="--", lw=1, label="calibrated")
    names = {"before": "as predicted", "after": "at the source's temperature"}
    for (when, label), colour in zip(names.items(), PALETTE, strict=False):
        if when in calibration:
            curve = calibration[when]["curve"]
            x, y = (100 * np.array(curve[name]) for name in ("confidence", "accuracy"))
            axes.plot(x, y, "o-", color=colour, ms=4, label=label)
    axes.set(xlabel="mean confidence %", ylabel="accuracy %", xlim=(0, 100), ylim=(0, 100))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def plot_robustness(conditions: list[dict[str, Any]]) -> Figure:
    """UAR or mean CCC with noise, in rooms, by codecs and at other speeds, with 95 % intervals; dashed: as recorded."""
    metric, full = ("uar", 100) if "uar" in conditions[0] else ("ccc", 1)
    groups = {"noise": "SNR dB", "reverberation": "RT60 s", "codec": "codec", "speed": "speed"}
    rows = {name: [row for row in conditions if row["kind"].split()[0] == name] for name in groups}
    rows = {name: of for name, of in rows.items() if of}
    clean = next(row for row in conditions if row["kind"] == "clean")[metric]["mean"]
    figure, panels = new_panels(10.5, 3.2, max(1, len(rows)))
    for axes, (name, of) in zip(panels, rows.items(), strict=False):
        axes.axhline(full * clean, color="#888888", ls="--", lw=1)
        kinds = dict.fromkeys(row["kind"] for row in of)
        for kind, colour in zip(kinds, PALETTE, strict=False):
            own = [row for row in of if row["kind"] == kind]
            _draw_conditions(axes, [row["value"] for row in own], [row[metric] for row in own],
                             full=full, color=colour, label=kind.removeprefix("noise "))  # fmt: skip
        if name == "noise":
            axes.legend(frameon=False, fontsize=8)
            axes.invert_xaxis()
        axes.set(xlabel=groups[name], ylim=(0 if metric == "uar" else -full, full))
    panels[0].set_ylabel("UAR %" if metric == "uar" else "mean CCC")
    return figure


def _draw_conditions(
    axes: Axes, values: list[Any], metrics: list[dict[str, Any]], *, full: float, **style: Any
) -> None:
    """A metric by the values of one degradation, with 95 % intervals; names, as those of codecs, make no line."""
    named = isinstance(values[0], str)
    x = np.arange(len(values)) if named else np.array(values, dtype=float)
    y = full * np.array([metric["mean"] for metric in metrics])
    ends = full * np.array([metric["ci95"] for metric in metrics], dtype=float)  # None is NaN
    reach = np.abs(ends.T - y)
    axes.errorbar(x, y, reach, fmt="o" if named else "o-", ms=4, lw=1.2, capsize=2, **style)
    if named:
        axes.set_xticks(x, values, rotation=30)


def plot_map(embeddings: Floats, who: pd.DataFrame) -> Figure:
    """Embeddings in the plane, coloured by emotion, by language and by speaker.

    Of more than :data:`MOST_POINTS` points so many are drawn, at random, but the same in every drawing.

    Args:
        embeddings: [N, D].
        who: N rows with ``emotion, language, speaker``.
    """
    from sklearn.decomposition import PCA  # noqa: PLC0415
    from sklearn.manifold import TSNE  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    kept = np.random.default_rng(0).permutation(len(who))[:MOST_POINTS]
    points, rows = np.asarray(embeddings, dtype=np.float64)[kept], who.iloc[kept]
    points = PCA(min(30, *points.shape), random_state=0).fit_transform(points)
    if len(points) > 30:
        project = TSNE(random_state=0, init="pca", perplexity=min(30, len(points) // 4))
        # Its steps are so short that several threads mostly wait for each other, by default busily.
        with threadpool_limits(1):
            points = project.fit_transform(points)
    figure, panels = new_panels(11.0, 3.9, 3)
    for axes, column in zip(panels, ("emotion", "language", "speaker"), strict=True):
        _scatter(axes, points, rows[column].fillna("unknown"), column)
    return figure


def _scatter(axes: Axes, points: Floats, values: pd.Series[str], title: str) -> None:
    from matplotlib import colormaps  # noqa: PLC0415

    names = sorted(values.unique())
    many = colormaps["turbo"](np.linspace(0, 1, len(names)))
    for number, name in enumerate(names):
        inside = (values == name).to_numpy()
        colour = PALETTE[number] if len(names) <= len(PALETTE) else many[number]
        axes.scatter(
            points[inside, 0], points[inside, 1], s=7, alpha=0.7, lw=0, color=colour, label=name
        )
    axes.set_title(f"{title} ({len(names)})" if len(names) > len(PALETTE) else title, fontsize=10)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    if len(names) <= len(PALETTE):
        legend = axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=4, fontsize=8, markerscale=2.5
        )
        legend.set_frame_on(False)
        for text in legend.get_texts():
            text.set_parse_math(False)


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of one panel, in inches."""
    figure, (axes,) = new_panels(width, height, 1)
    return figure, axes


def new_panels(width: float, height: float, columns: int) -> tuple[Figure, list[Axes]]:
    """A figure of several panels side by side, in inches."""
    figure = empty_figure(width, height)
    panels = list(figure.subplots(1, columns, squeeze=False)[0])
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, axis="y", color="#e6e6e6", lw=0.6)
        axes.set_axisbelow(True)
    return figure, panels


def empty_figure(width: float, height: float) -> Figure:
    """A figure without panels, in inches."""
    # A Figure of one's own, not pyplot: no global state, no display, no windows left open.
    from matplotlib.figure import Figure as NewFigure  # noqa: PLC0415

    return NewFigure(figsize=(width, height), layout="constrained")
