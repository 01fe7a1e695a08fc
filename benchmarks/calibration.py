"""Whether intervals of the calibration error hold the truth, and what tempering does to finished runs.

    python benchmarks/calibration.py [--quick]
    python benchmarks/calibration.py --runs runs/whisper

Simulated: two classes, 32 utterances of each speaker. An utterance has a score, to which a network adds noise of its
own; its confidence is that of the score, and the label is right with the probability that the score divided by a
temperature has, less or more by a shift of the speaker and one of speaker and network together. At temperature 1 the
networks are calibrated but for these shifts, at 2 they are too sure. The truth is what 4000 speakers and 5 networks
have, in as many bins.

With ``--runs``, the calibration error of every run below a folder, before and after the temperature that was fitted to
the source's development speakers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from cleser.evaluation import Run, reliability, runs_below
from cleser.evaluation.metrics import Floats

SPEAKERS, SEEDS, TAKES = (4, 6, 10, 24, 100), (1, 3), 32
TEMPERATURES = (1.0, 2.0)
CLASSES = ["a", "b"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=Path)
    arguments = parser.parse_args()
    if arguments.runs:
        finished(arguments.runs)
    else:
        simulated(100 if arguments.quick else 1000)


def draw(rng: np.random.Generator, speakers: int, seeds: int, temperature: float) -> pd.DataFrame:
    """Predictions of as many networks, all of the same utterances."""
    normal = rng.standard_normal
    group = np.repeat(np.arange(speakers), TAKES)
    said, shift = 1.5 * normal(len(group)), 0.4 * normal(speakers)
    tables = []
    for seed in range(seeds):
        score = said + 0.5 * normal(len(group))
        moved = np.abs(score) / temperature + (shift + 0.2 * normal(speakers))[group]
        right = rng.random(len(group)) < expit(moved)
        predicted = score > 0
        tables.append(
            pd.DataFrame(
                {
                    "seed": seed,
                    "utterance": np.arange(len(group)).astype(str),
                    "speaker": group.astype(str),
                    "emotion": np.where(predicted == right, "a", "b"),
                    "p_a": expit(score),
                    "p_b": expit(-score),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def population(temperature: float) -> Floats:
    """ECE and overconfidence of all speakers and networks that there are."""
    found = reliability(draw(np.random.default_rng(0), 4000, 5, temperature), CLASSES)
    return np.array([found.interval(name).estimate for name in ("ece", "overconfidence")])


def simulated(trials: int) -> None:
    """How often the intervals hold these."""
    print("Share of 95 % intervals that hold the truth (mean estimate less the truth, in points)\n")
    header = [
        f"{name}, {s} seed{'s' * (s > 1)}" for name in ("ECE", "overconfidence") for s in SEEDS
    ]
    row(["temperature", "truth: ECE, overconf.", "speakers", *header, "mean floor"])
    row(["---"] * (len(header) + 4))
    for temperature in TEMPERATURES:
        truth = population(temperature)
        for speakers in SPEAKERS:
            cells: dict[tuple[str, int], str] = {}
            floors = []
            for seeds in SEEDS:
                rng = np.random.default_rng([speakers, seeds])
                trial = [
                    reliability(draw(rng, speakers, seeds, temperature), CLASSES)
                    for _ in range(trials)
                ]
                floors += [found.floor for found in trial]
                for name, value in zip(("ece", "overconfidence"), truth, strict=True):
                    of = [found.interval(name) for found in trial]
                    held = 100 * np.mean([i.low <= value <= i.high for i in of])
                    bias = 100 * (np.mean([i.estimate for i in of]) - value)
                    cells[name, seeds] = f"{held:.1f} ({bias:+.1f})"
            ordered = [cells[name, s] for name in ("ece", "overconfidence") for s in SEEDS]
            said = f"{100 * truth[0]:.1f} %, {100 * truth[1]:+.1f} %"
            row([temperature, said, speakers, *ordered, f"{100 * np.mean(floors):.1f}"])


def finished(folder: Path) -> None:
    """Calibration of runs before and after tempering, in percent."""
    row(
        [
            "run",
            "UAR",
            "ECE before",
            "after",
            "floor",
            "overconfidence before",
            "after",
            "temperatures",
        ]
    )
    row(["---"] * 8)
    for path in runs_below(folder):
        results = Run(path).results
        found = results.get("calibration")
        if found is None:
            continue
        after = found.get("after")
        said = ", ".join(f"{t['temperature']:.2f}" for t in found["temperatures"])
        row(
            [
                f"{path.parent.name}/{path.name}",
                f"{100 * results['uar']['mean']:.1f}",
                of(found["before"]["ece"]),
                of(after["ece"]) if after else "–",
                f"{100 * found['before']['floor']:.1f}",
                of(found["before"]["overconfidence"]),
                of(after["overconfidence"]) if after else "–",
                said or "–",
            ]
        )


def of(entry: dict[str, object]) -> str:
    """A mean with its interval, in percent."""
    low, high = (100 * end for end in entry["ci95"])  # type: ignore[attr-defined]
    return f"{100 * entry['mean']:.1f} [{low:.1f}, {high:.1f}]"  # type: ignore[operator]


def row(cells: list[object]) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
