"""Draws whisper.svg from the first table of README.md, which `cleser bench transfer --matrix whisper` measures.

python docs/figures/whisper.py
"""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

FOLDER = Path(__file__).parent
README = FOLDER.parents[1] / "README.md"
COLOURS = (
    "#ccd6dd",
    "#9db4c4",
    "#5f9ec4",
    "#0072B2",
    "#E69F00",
)  # four steps of one method, and the network


def first_table(text: str) -> tuple[list[str], dict[str, list[float]]]:
    """The methods, and UAR in % of each by direction, of the first table whose first column is a direction."""
    lines = iter(text.splitlines())
    header = next(line for line in lines if line.startswith("| source → target"))
    methods = [cell.strip() for cell in header.strip("| ").split("|")[1:]]
    next(lines)
    rows: dict[str, list[float]] = {}
    for line in lines:
        if not line.startswith("|"):
            break
        direction, *cells = (cell.strip() for cell in line.strip("| ").split("|"))
        rows[direction] = [float(re.match(r"[\d.]+", cell)[0]) for cell in cells]  # type: ignore[index]
    return methods, rows


def draw(methods: list[str], rows: dict[str, list[float]]) -> Figure:
    """A bar for each method in each direction; the mean stands first, with its numbers."""
    figure = Figure(figsize=(8.6, 3.1), layout="constrained")
    axes = figure.subplots()
    order = ["mean", *(name for name in rows if name != "mean")]
    middles = [-0.6, *range(1, len(order))]
    # The mean has room for numbers.
    widths = [1.8 / len(methods)] + [0.8 / len(methods)] * (len(order) - 1)
    for k, method in enumerate(methods):
        shift = k - (len(methods) - 1) / 2
        places = [middle + shift * width for middle, width in zip(middles, widths, strict=True)]
        values = [rows[name][k] for name in order]
        thick = [0.92 * width for width in widths]
        axes.bar(places, values, thick, color=COLOURS[k % len(COLOURS)], label=method)
        axes.text(places[0], values[0] + 1, f"{values[0]:.1f}", ha="center", fontsize=7.5)
    axes.axhline(25, color="#666666", lw=0.8, ls="--")
    axes.text(len(order) - 0.38, 25, "chance", va="center", fontsize=8, color="#444444")
    axes.set_xticks(middles, [name.replace(" → ", "\n→ ") for name in order], fontsize=8)
    axes.set(ylabel="UAR %", ylim=(0, 100), xlim=(-1.7, len(order) - 0.4))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(methods), frameon=False, fontsize=8.5)
    return figure


def main() -> None:
    """Write whisper.svg beside this file; its text stays text, and two runs write the same bytes."""
    settings = {"svg.fonttype": "none", "svg.hashsalt": "cleser", "font.family": "sans-serif"}
    with mpl.rc_context(settings):
        figure = draw(*first_table(README.read_text("utf-8")))
        figure.savefig(FOLDER / "whisper.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
