"""How differently women and men are recognised, on real speech: UAR by gender, and the gap with its interval.

    python benchmarks/gender.py --corpora FOLDER [--recipe classical] [--out runs/gender] [--seeds 3]

FOLDER holds ``emodb``, ``ravdess``, ``nemo`` and ``turev-db``. Each is recognised by a row of a comparison that has
learned from another, the next of the list.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cleser.corpora.protocol import Protocol
from cleser.evaluation.tables import gender_rows, trust_notes
from cleser.experiments.experiment import Experiment
from cleser.experiments.methods import METHODS
from cleser.experiments.variants import VARIANTS
from cleser.settings import to_plain
from cleser.speech import load_backbone

CORPORA = ("emodb", "ravdess", "nemo", "turev-db")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--recipe", default="classical", help="a row of a comparison")
    parser.add_argument("--out", type=Path, default=Path("runs/gender"))
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    variant = VARIANTS[arguments.recipe]
    config = variant.config()
    print("| direction | | UAR % | 95 % interval |\n|---|---|---|---|")
    for target, source in zip(CORPORA, CORPORA[1:] + CORPORA[:1], strict=True):
        specs = [f"{name}:{arguments.corpora / name}" for name in (source, target)]
        calm = {"calm": "neutral"} if "turev-db" in (source, target) else {}  # which has no neutral
        protocol = variant.protocol(Protocol((specs[0],), (specs[1],), map=calm))
        out = arguments.out / f"{source}-to-{target}" / arguments.recipe
        experiment = Experiment(variant.method, to_plain(config), protocol, arguments.seeds, out)
        results = METHODS[variant.method].run(
            experiment, config, load_backbone(experiment.backbone)
        )
        for label, value, bounds in gender_rows(results):
            print(f"| {source} → {target} | {label} | {value} | {bounds} |", flush=True)
        for note in trust_notes(results):
            if note.startswith("gender"):
                print(f"| {source} → {target} | {note} | | |", flush=True)


if __name__ == "__main__":
    main()
