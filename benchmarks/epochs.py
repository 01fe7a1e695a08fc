"""How many passes over a source of several corpora? Each of them is recognised from the others, as the target will be.

    python benchmarks/epochs.py --corpora FOLDER --source emodb turev-db [--epochs 4 8 15 30] [--seeds 3] [--quick]

FOLDER holds the corpora. What is to be recognised in the end has no part in this; development speakers, who speak as
the source does, cannot tell when a network begins to learn its corpora by heart. Finished runs are kept.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import pandas as pd

from cleser.experiments.bench import Direction, Matrix, run_matrix

RECIPES = ("erm", "layer-anchoring", "sapa")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--source", nargs="+", required=True)
    parser.add_argument("--epochs", nargs="+", type=int, default=(4, 8, 15, 30))
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--alignments", help="folder that says when phones sound")
    parser.add_argument("--out", type=Path, default=Path("runs/epochs"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a seed of one recipe, two lengths")
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}\n")
    if len(arguments.source) < 2:
        parser.error(f"--source is {arguments.source}, expected two corpora or more")
    if arguments.quick:
        arguments.epochs, arguments.recipes, arguments.seeds = (4, 15), RECIPES[:1], 1
    print(measure(arguments).round(1).to_string())


def measure(arguments: argparse.Namespace) -> pd.DataFrame:
    """UAR by epochs (rows) and recipe, each corpus recognised from the others, and their mean."""
    names = arguments.source
    specs = {name: f"{name}:{arguments.corpora / name}" for name in names}
    renamed = {"calm": "neutral"} if "turev-db" in names else {}
    tables = {}
    for epochs in arguments.epochs:
        directions = tuple(
            Direction(
                tuple(n for n in names if n != held_out),
                (held_out,),
                map=renamed,
                training={"epochs": epochs},
            )
            for held_out in names
        )
        matrix = Matrix(
            directions, tuple(arguments.recipes), arguments.seeds,
            model={"token_view": True},
            settings={"sapa": {"final_confidence": 0.5}, "layer-anchoring": {"weight": 10.0}},
        )  # fmt: skip
        tables[epochs] = run_matrix(
            matrix,
            specs,
            arguments.out / f"{epochs}",
            workers=arguments.workers,
            alignments=arguments.alignments,
        )
    table = pd.concat(tables, names=["epochs", None]).reset_index("epochs")
    wide = table.pivot_table(index="epochs", columns=["direction", "recipe"], values="uar")
    wide["mean", "all"] = wide.mean(axis=1)
    return wide


if __name__ == "__main__":
    main()
