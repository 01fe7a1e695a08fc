"""`cleser predict` against the run's own test, on real speech: the same with speakers known, and what is lost without.

    python benchmarks/recogniser.py --corpora FOLDER [--recipes erm sapa] [--out runs/recogniser] [--quick]

FOLDER holds ``emodb`` and ``ravdess``. Columns: UAR (%) of the seeds' mean probabilities (1) in the run's test, (2) of
recordings by themselves, ``--alone``, (3) of each speaker's recordings ``--together``, (4) of all recordings
``--together``; and the largest difference of a probability from the test's, where (5) the corpus and (6) its files with
their speakers, ``--speakers``, are given.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

import cleser
from cleser.corpora import load
from cleser.corpora.protocol import Protocol
from cleser.evaluation.results import Run
from cleser.experiments.experiment import Experiment
from cleser.experiments.methods import METHODS
from cleser.experiments.variants import VARIANTS
from cleser.settings import to_plain
from cleser.speech import load_backbone

DIRECTIONS = (("emodb", "ravdess"), ("ravdess", "emodb"))
RECIPES = ("erm", "classical", "sapa", "layer-anchoring", "zero-shot")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", default=RECIPES, help="rows of a comparison")
    parser.add_argument("--out", type=Path, default=Path("runs/recogniser"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one seed of one direction")
    arguments = parser.parse_args()
    seeds = 1 if arguments.quick else arguments.seeds
    print("| direction | recipe | test | alone | a speaker together | all together ", end="")
    print("| corpus differs by | files with speakers by |\n|---|---|---|---|---|---|---|---|")
    for source, target in DIRECTIONS[: 1 if arguments.quick else None]:
        specs = [f"{name}:{arguments.corpora / name}" for name in (source, target)]
        for recipe in arguments.recipes:
            out = arguments.out / f"{source}-{target}-{recipe}"
            train(recipe, Protocol([specs[0]], [specs[1]]), seeds, out)
            print(f"| {source} → {target} | {recipe} | {compare(out, specs[1])} |", flush=True)


def train(recipe: str, terms: Protocol, seeds: int, out: Path) -> None:
    """Run a row of a comparison, if it is not there yet."""
    variant = VARIANTS[recipe]
    config = variant.config()
    experiment = Experiment(
        variant.method, to_plain(config), variant.protocol(terms), seeds, out
    )  # fmt: skip
    METHODS[variant.method].run(experiment, config, load_backbone(experiment.backbone))


def compare(run: Path, spec: str) -> str:
    """The columns of a run."""
    model = cleser.load_model(run)
    rows = load(spec)
    rows = rows[rows["emotion"].isin(model.labels)].reset_index(drop=True)
    files, truth = rows["path"].tolist(), rows.set_index("path")["emotion"]
    shares = [f"p_{name}" for name in model.labels]
    tested = Run(run).predictions.groupby("utterance")[shares].mean().loc[rows["utterance"]]
    tested.index = pd.Index(files)
    by_speaker = [
        model.predict(of["path"].tolist(), together=True) for _, of in rows.groupby("speaker")
    ]
    known = model.predict(files, speakers=rows[["path", "speaker"]], language=rows["language"][0])
    labels = (
        tested.idxmax(axis=1).str.removeprefix("p_"),
        model.predict(files, alone=True).set_index("path")["emotion"],
        pd.concat(by_speaker).set_index("path")["emotion"],
        model.predict(files, together=True).set_index("path")["emotion"],
    )
    differences = [
        (found.set_index("path").loc[files, shares] - tested).abs().to_numpy().max()
        for found in (model.predict(corpora=[spec]), known)
    ]
    cells = [f"{100 * recall(label, truth):.1f}" for label in labels]
    return " | ".join(cells + [f"{difference:.1e}" for difference in differences])


def recall(predicted: pd.Series, truth: pd.Series) -> float:
    right = predicted == truth.loc[predicted.index]
    return float(right.groupby(truth.loc[predicted.index]).mean().mean())


if __name__ == "__main__":
    main()
