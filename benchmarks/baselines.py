"""The baselines on real speech: four directions, three normalisations, two recipes, as in docs/recipes/erm.rst.

    python benchmarks/baselines.py --corpora FOLDER [--out runs/baselines] [--seeds 3] [--quick]

FOLDER holds ``emodb``, ``ravdess`` and ``turev-db``. Finished runs are kept: an interruption costs little.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from cleser.corpora import Protocol
from cleser.evaluation import as_text
from cleser.experiments.experiment import Experiment
from cleser.recipes import METHODS
from cleser.settings import to_plain
from cleser.speech import load_backbone

DIRECTIONS = (
    (("emodb",), ("ravdess",)),
    (("ravdess",), ("emodb",)),
    (("emodb", "ravdess"), ("turev-db",)),
    (("emodb", "turev-db"), ("ravdess",)),
)
NORMALISATIONS = ("auto", "speaker", "corpus")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/baselines"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one seed of the first two directions")
    arguments = parser.parse_args()
    directions = DIRECTIONS[:2] if arguments.quick else DIRECTIONS
    seeds = 1 if arguments.quick else arguments.seeds
    for normalisation in NORMALISATIONS:
        folders = [
            run(name, source, target, normalisation, seeds, arguments)
            for source, target in directions
            for name in ("erm", "classical")
        ]
        print(f"\n{normalisation} normalisation\n\n{as_text(folders, 'markdown')}", flush=True)


def run(
    name: str,
    source: tuple[str, ...],
    target: tuple[str, ...],
    normalisation: str,
    seeds: int,
    arguments: argparse.Namespace,
) -> Path:
    def specs(names: tuple[str, ...]) -> list[str]:
        return [f"{corpus}:{arguments.corpora / corpus}" for corpus in names]

    # TurEV-DB has calm and no neutral; here, and only where it takes part, one stands for the other.
    renamed = {"calm": "neutral"} if "turev-db" in source + target else {}
    protocol = Protocol(specs(source), specs(target), normalisation=normalisation, map=renamed)
    config = METHODS[name].config()
    if hasattr(config, "model"):  # as the table was made; the default is without
        config = replace(config, model=replace(config.model, token_view=True))
    out = arguments.out / f"{name}-{'+'.join(source)}-{'+'.join(target)}-{normalisation}"
    experiment = Experiment(name, to_plain(config), protocol, seeds, out)
    METHODS[name].run(experiment, config, load_backbone(experiment.backbone))
    return out


if __name__ == "__main__":
    main()
