"""What recordings lose that come alone: `cleser predict` against the protocol's test, on real speech.

    python benchmarks/recogniser.py --corpora FOLDER [--out runs/recogniser] [--seeds 5] [--quick]

FOLDER holds ``emodb`` and ``ravdess``. Networks trained under speaker standardisation label the target's recordings
(1) under the protocol, each speaker by the speaker's own statistics, (2) by ``predict``, each alone, (3) by ``predict
--together``, one speaker at a time. UAR of the seeds' mean probabilities, %.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

import cleser
from cleser.corpora import Protocol
from cleser.evaluation.results import Run
from cleser.recipes import METHODS
from cleser.recipes.experiment import Experiment
from cleser.recipes.recogniser import Recogniser
from cleser.recipes.settings import to_plain
from cleser.speech import load_backbone

DIRECTIONS = (("emodb", "ravdess"), ("ravdess", "emodb"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/recogniser"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one seed")
    arguments = parser.parse_args()
    print("| direction | protocol | alone | a speaker together |\n|---|---|---|---|")
    for source, target in DIRECTIONS:
        specs = [f"{name}:{arguments.corpora / name}" for name in (source, target)]
        protocol = Protocol([specs[0]], [specs[1]])
        config = METHODS["baseline"].config()
        out = arguments.out / f"{source}-{target}"
        seeds = 1 if arguments.quick else arguments.seeds
        experiment = Experiment("baseline", to_plain(config), protocol, seeds, out)
        METHODS["baseline"].run(experiment, config, load_backbone(experiment.backbone))
        found = [f"{100 * value:.1f}" for value in compare(out, protocol.load().target)]
        print(f"| {source} → {target} | {' | '.join(found)} |", flush=True)


def compare(out: Path, target: pd.DataFrame) -> tuple[float, float, float]:
    """UAR under the protocol, of recordings alone, and of each speaker's together."""
    model = cleser.load_model(out)
    tested = Run(out).predictions
    shares = tested.groupby("utterance")[[f"p_{name}" for name in model.labels]].mean()
    truth = target.set_index("path")["emotion"]
    under = shares.idxmax(axis=1).str.removeprefix("p_")
    by_speaker = [said(model, rows, together=True) for _, rows in target.groupby("speaker")]
    return (
        recall(under, target.set_index("utterance")["emotion"]),
        recall(said(model, target, together=False), truth),
        recall(pd.concat(by_speaker), truth),
    )


def said(model: Recogniser, rows: pd.DataFrame, *, together: bool) -> pd.Series:
    table = model.predict(rows["path"].tolist(), together=together)
    return table.set_index("path")["emotion"]


def recall(predicted: pd.Series, truth: pd.Series) -> float:
    right = predicted == truth.loc[predicted.index]
    return float(right.groupby(truth.loc[predicted.index]).mean().mean())


if __name__ == "__main__":
    main()
