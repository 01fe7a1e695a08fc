"""Does transfer validation see what is good for a target? Its scores against the target's own, looked at afterwards.

    python benchmarks/selection.py --matrix whisper --backbone MODEL --corpora emodb:DIR … --out DIR

For each direction every choice of the row's grid is run on the target with one seed, and ranked by transfer between
the labelled corpora, which knows nothing of the target. Printed are Spearman's correlation of the two over the choices,
and the target's UAR % of what was chosen, of the first and the best choice, and of all on average. DIR may be that of
``cleser bench``, whose trials are then not run again. This looks at target scores: once, at the end, and nothing is
chosen by it. ``--quick`` takes synthetic corpora.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from cleser.experiments.bench import Direction, Matrix, cells_of, choose, experiment_of, load_matrix
from cleser.experiments.methods import METHODS
from cleser.experiments.selection import read_grid
from cleser.experiments.variants import variant
from cleser.settings import to_plain
from cleser.speech import load_backbone


def main() -> None:
    """Print a row a direction."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--matrix", default="whisper")
    parser.add_argument("--backbone", default="acoustic")
    parser.add_argument("--corpora", nargs="*", default=[])
    parser.add_argument("--row", default="probe-selected")
    parser.add_argument("--out", type=Path, default=Path("runs/selection"))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    corpora = {spec.split(":")[0]: spec for spec in options.corpora}
    matrix = replace(load_matrix(options.matrix), recipes=(options.row,))
    if options.quick:
        corpora = {code: f"synthetic:{code}?speakers=4" for code in ("en", "zh", "de")}
        matrix = Matrix((Direction(("en", "zh"), ("de",)),), (options.row,))
    matrix = replace(matrix, backbone=options.backbone, seeds=1)
    rows = [_row(cell, matrix) for cell in cells_of(matrix, corpora, options.out)]
    table = pd.DataFrame(rows).set_index("direction")
    table.loc["mean"] = table.mean()
    print(table.round(2).to_string())


def _row(cell, matrix) -> dict[str, object]:
    experiment, config = experiment_of(cell, matrix, None)
    grid = variant(cell.recipe).grid
    choices = read_grid(grid, config, experiment.backbone, protocol=experiment.protocol)
    found = choose(experiment, config, choices, cell)
    scores = {}
    for choice in found.ranked:
        changed, backbone = choice.config(config), choice.backbone(experiment.backbone)
        folder = cell.folder.parent / f"{cell.recipe}-choices" / choice.folder
        one = replace(experiment, config=to_plain(changed), backbone=backbone, out=folder)
        method = METHODS[experiment.recipe]
        scores[choice.name] = 100 * method.run(one, changed, load_backbone(backbone))["uar"]["mean"]
    values = list(scores.values())
    return {
        "direction": cell.direction.name,
        "correlation": float(spearmanr(found.table["mean"], values).statistic),
        "chosen": scores[found.best.name],
        "first": scores[choices[0].name],
        "best": max(values),
        "all": float(np.mean(values)),
    }


if __name__ == "__main__":
    main()
