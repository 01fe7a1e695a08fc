"""How often 95 % intervals hold the truth, by method and number of speakers.

    python benchmarks/intervals.py [--quick]

Speakers differ: each has a recall of its own for every class, drawn around the population's. Four classes, 32
utterances a speaker. Methods: percentiles of a bootstrap over utterances, percentiles over speakers, and the
t-percentiles over speakers that cleser reports.
"""

from __future__ import annotations

import argparse

import numpy as np

from cleser.evaluation.metrics import Counts, uar
from cleser.evaluation.speakers import bounds, resample

CLASSES, TAKES = 4, 8
RECALL = np.array([0.8, 0.45, 0.6, 0.7])
SPREAD = 3.0  # concentration of a speaker's recalls: the smaller, the more speakers differ


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    trials, resamples = (200, 500) if quick else (2000, 2000)
    truth = float(RECALL.mean())
    print(
        "| speakers | utterances, percentile | speakers, percentile | speakers, t-percentile | width |"
    )
    print("|---|---|---|---|---|")
    for groups in (4, 6, 10, 24, 100):
        rng = np.random.default_rng(groups)
        held, widths = np.zeros(3), []
        for trial in range(trials):
            counts = simulate(rng, groups)
            drawn = resample(counts, uar, resamples=resamples, seed=trial)
            intervals = (
                by_utterance(rng, counts, resamples),
                tuple(np.quantile(drawn, [0.025, 0.975])),
                bounds(drawn, float(uar(counts.sum(1)).mean()), groups),
            )
            held += [low <= truth <= high for low, high in intervals]
            widths.append(intervals[2][1] - intervals[2][0])
        shares = " | ".join(f"{100 * h / trials:.1f} %" for h in held)
        print(f"| {groups} | {shares} | {100 * np.mean(widths):.1f} |", flush=True)


def simulate(rng: np.random.Generator, groups: int) -> Counts:
    """Confusions [1, G, C, C] of speakers whose recalls scatter around the population's."""
    recalls = rng.beta(RECALL * SPREAD, (1 - RECALL) * SPREAD, (groups, CLASSES))
    hits = rng.binomial(TAKES, recalls)
    counts = np.zeros((1, groups, CLASSES, CLASSES), dtype=np.int64)
    for k in range(CLASSES):
        counts[0, :, k, k] = hits[:, k]
        counts[0, :, k, (k + 1) % CLASSES] = TAKES - hits[:, k]
    return counts


def by_utterance(rng: np.random.Generator, counts: Counts, resamples: int) -> tuple[float, float]:
    """What ignoring speakers gives."""
    total = counts.sum((0, 1))
    rows = [rng.multinomial(row.sum(), row / row.sum(), size=resamples) for row in total]
    values = uar(np.stack(rows, 1))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
