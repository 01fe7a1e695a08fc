"""Draws robustness.svg of a run that `cleser evaluate RUN --robustness` has measured, as its report does.

python docs/figures/robustness.py RUN
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

from cleser.evaluation.plots import plot_robustness


def main(run: Path) -> None:
    found = json.loads((run / "robustness" / "robustness.json").read_text())
    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "cleser", "font.family": "sans-serif"}
    ):
        figure = plot_robustness(found["conditions"])
        figure.savefig(
            Path(__file__).with_suffix(".svg"), metadata={"Date": None}, bbox_inches="tight"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
