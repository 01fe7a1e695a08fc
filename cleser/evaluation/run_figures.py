"""The figures of a run as they stand in a page: SVG, with what is said in its place to who cannot see it."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from cleser.evaluation.attribute_report import attribute_figures
from cleser.evaluation.plots import (
    MAP_METHOD,
    MOST_POINTS,
    MOST_SPEAKERS,
    plot_confusion,
    plot_map,
    plot_reliability,
    plot_robustness,
    plot_speakers,
    plot_training,
)
from cleser.evaluation.results import Run
from cleser.evaluation.run_files import EMBEDDINGS, SOURCE
from cleser.evaluation.tables import calibration_rows, robustness_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class _Figure(NamedTuple):
    """A figure with its title, and what stands in its place for who cannot see it."""

    title: str
    figure: Figure
    alt: str
    wide: bool = False


def figures_of(run: Run, anchor: str) -> list[dict[str, Any]]:
    """Title, SVG and width of each figure of a run.

    Args:
        run: The run.
        anchor: What no other run of the page has, for the names in the SVG.
    """
    found = _emotion_figures(run) if run.protocol["classes"] else []
    found += [
        _Figure(title, figure, f"{title}: {', '.join(run.attributes)}", wide=True)
        for title, figure in attribute_figures(run).items()
    ]
    if run.robustness:
        rows = robustness_rows(run.robustness)
        said = "; ".join(f"{label}: {value}" for label, value, *_ in rows)
        figure = plot_robustness(run.robustness)
        found.append(_Figure("Degraded recordings", figure, said, wide=True))
    if not run.history.empty:
        said = "Training loss, and what was measured on development speakers, by epoch"
        found.append(_Figure("Training", plot_training(run.history), said, wide=True))
    if (run.folder / EMBEDDINGS).exists():
        found.append(_map(run))
    return [
        {"title": f.title, "svg": _svg(f.figure, f.alt, f"{anchor}f{number}"), "wide": f.wide}
        for number, f in enumerate(found)
    ]


def _emotion_figures(run: Run) -> list[_Figure]:
    results = run.results
    counts, classes = np.array(results["confusion"]["counts"]), results["confusion"]["classes"]
    best = zip(classes, counts.argmax(1), strict=True)
    said = "; ".join(f"{name} is most often recognised as {classes[k]}" for name, k in best)
    found = [_Figure("Confusions, all seeds", plot_confusion(counts, classes), said)]
    if calibration := results.get("calibration"):
        said = "; ".join(f"{label}: {value}" for label, value, _ in calibration_rows(results))
        curve = plot_reliability(calibration)
        found.append(_Figure("Calibration: accuracy by confidence", curve, said))
    count, unit = len(run.clusters.names), run.clusters.unit
    said = (
        f"UAR of each of the {unit}, in order; that of all is {100 * results['uar']['mean']:.1f} %"
    )
    drawn = f", {MOST_SPEAKERS} of them drawn at even steps" if count > MOST_SPEAKERS else ""
    title = f"UAR of each of the {count} {unit}{drawn}"
    found.append(_Figure(title, plot_speakers(run.clusters), said, wide=True))
    return found


def _map(run: Run) -> _Figure:
    from safetensors.numpy import load_file  # noqa: PLC0415

    tensors = run.read(EMBEDDINGS, load_file)
    seed = run.predictions["seed"].min()
    target = run.predictions[run.predictions["seed"] == seed]
    source = run.read(SOURCE, pd.read_parquet)
    who = pd.concat([target, source], ignore_index=True)
    points = np.concatenate([tensors["embeddings"], tensors["source_embeddings"]])
    drawn = f"{MOST_POINTS} of {len(who)}" if len(who) > MOST_POINTS else f"{len(who)}"
    title = f"Embeddings of the first seed: {drawn} utterances of source and target, {MAP_METHOD}"
    said = "Utterances in the plane, coloured by emotion, by language and by speaker"
    return _Figure(title, plot_map(points, who), said, wide=True)


def _svg(figure: Figure, alt: str, prefix: str) -> Markup:
    """The figure inline, the same for the same run: ids are hashes of what they name, and begin with a prefix."""
    from matplotlib import rc_context  # noqa: PLC0415

    buffer = io.StringIO()
    # Text stays text: the reader's system has letters of more scripts than our font, which is then no loss.
    with rc_context({"svg.hashsalt": prefix, "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from")
        figure.savefig(
            buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True
        )
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    for reference in ('id="', 'href="#', "url(#"):  # the same names occur in every figure
        text = text.replace(reference, f"{reference}{prefix}-")
    return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1))
