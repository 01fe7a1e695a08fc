"""Several emotions at once on blends of two: learned as such, or read off a network that learned otherwise.

    python benchmarks/multi_label.py [--out runs/multi-label] [--seeds 3]

Networks learn from the votes of five simulated annotators; the truth of the tested speakers are the emotions that a
quarter or more of a thousand annotators hear. Rows:

likeliest  the likeliest emotion alone, of any of three networks: learned from the majority, from shares of votes, or
           several emotions at once
a quarter  emotions with a probability of at least a quarter, of the network that learned from shares of votes
multi      emotions with a sigmoid of at least a half, of the network that learned several emotions at once

Macro average precision asks for no threshold: it is of the probabilities, for the first two networks the softmax.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from cleser.corpora.protocol import Protocol
from cleser.evaluation import Run, interval
from cleser.evaluation.intervals import paired_difference
from cleser.evaluation.multi_label import (
    MultiLabelCounts,
    average_precision,
    multi_label_counts,
    multi_label_f1,
)
from cleser.evaluation.numbers_as_text import percent
from cleser.evaluation.variance import Metric
from cleser.experiments.experiment import Experiment
from cleser.experiments.methods import METHODS
from cleser.recipes.erm import ERMConfig
from cleser.settings import to_plain
from cleser.speech import load_backbone

SOURCE = "synthetic:en?style=0&blend=1&annotators=5"
TARGET = "synthetic:en?style=0&blend=1&annotators=1000&seed=1"
SETTINGS = {
    "hard": ERMConfig(label_smoothing=0.0),
    "soft": ERMConfig(targets="soft"),
    "multi": ERMConfig(targets="multi"),
}
ROWS = (
    ("hard", "likeliest"),
    ("soft", "likeliest"),
    ("multi", "likeliest"),
    ("soft", "a quarter"),
    ("multi", "multi"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/multi-label"))
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    runs = {}
    for name, config in SETTINGS.items():
        experiment = Experiment(
            "erm", to_plain(config), Protocol((SOURCE,), (TARGET,)), arguments.seeds,
            arguments.out / name,
        )  # fmt: skip
        METHODS["erm"].run(experiment, config, load_backbone(experiment.backbone))
        runs[name] = Run(arguments.out / name)
    classes = runs["multi"].protocol["classes"]
    truth = runs["multi"].predictions[["seed", "utterance", *(f"true_{c}" for c in classes)]]
    found = {row: counts(runs[row[0]].predictions, truth, classes, row[1]) for row in ROWS}
    print(
        "| targets | emotions | macro F1 % | less multi | average precision % |\n|---|---|---|---|---|"
    )
    for (name, rule), own in found.items():
        raw = "multi" if name == "multi" else "softmax"
        whole = counts(runs[name].predictions, truth, classes, raw)
        apart = paired_difference(found["multi", "multi"], own, multi_label_f1)
        less = f"{100 * apart.difference:+.1f} [{100 * apart.low:+.1f}, {100 * apart.high:+.1f}]"
        f1, precision = shown(own, multi_label_f1), shown(whole, average_precision)
        print(f"| {name} | {rule} | {f1} | {less} | {precision} |", flush=True)


def shown(own: MultiLabelCounts, metric: Metric) -> str:
    """A metric with its interval."""
    found = interval(own, metric)
    return percent(
        {"mean": found.estimate, "ci95": (found.low, found.high), "covers": found.covers}
    )


def counts(
    predictions: pd.DataFrame, truth: pd.DataFrame, classes: list[str], rule: str
) -> MultiLabelCounts:
    """Counts of the emotions that a rule takes from a run's probabilities."""
    own = predictions.drop(columns=[f"true_{c}" for c in classes], errors="ignore")
    rows = own.merge(truth, on=["seed", "utterance"], validate="one_to_one")
    p = rows[[f"p_{c}" for c in classes]].to_numpy(np.float64)
    rules = {"likeliest": p == p.max(1, keepdims=True), "a quarter": p >= 0.25, "softmax": p}
    if rule in rules:  # else the network's own
        rows[[f"sigmoid_{c}" for c in classes]] = rules[rule].astype(float)
    found = multi_label_counts(rows, classes)
    assert found is not None
    return found


if __name__ == "__main__":
    main()
