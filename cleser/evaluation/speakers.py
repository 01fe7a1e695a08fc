r"""Intervals and tests that resample speakers.

Utterances of one speaker are alike: an interval that treats them as independent is too narrow, often by half. Speakers
are therefore the unit here (Cameron, Gelbach & Miller, 2008); utterances are only where nobody knows the speakers.

**Interval.** The *t*-percentile bootstrap: B times G speakers are drawn from G with replacement, which sums their
confusion matrices :math:`N_g` with multinomial weights; the metric of each sum, averaged over training seeds, gives the
bootstrap distribution. Its percentiles cover too little with few speakers, for two reasons that Hesterberg (2015)
corrects: the spread is short by :math:`\sqrt{(G-1)/G}`, and the tails are those of a normal, not of a Student
distribution. Both are repaired by reading the distribution at

.. math:: \alpha' = \Phi\!\left(-\sqrt{\tfrac{G}{G-1}}\; t_{1-\alpha/2,\,G-1}\right)

instead of α/2. Where this lies beyond the distribution's reach (fewer than six speakers or so), the same quantile is
taken of the normal distribution with the bootstrap's mean and spread. ``benchmarks/intervals.py`` measures how often
such intervals hold the truth.

**Test.** Two runs on the same utterances are compared by swapping their predictions for whole speakers: if the methods
do not differ, any such swap is as likely as what was seen. The p-value is the share of swaps (all :math:`2^G`, or
random ones) with a difference at least as large.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from cleser.evaluation.metrics import Counts, Floats

Metric = Callable[[Counts], Floats]
_EXACT = 12  # speakers up to which all swaps are tried


@dataclass(frozen=True)
class Clusters:
    """Confusion matrices of every cluster (speaker) and seed.

    Attributes:
        counts: [S, G, C, C] for S seeds and G clusters.
        names: The clusters.
        unit: What a cluster is.
        unknown: Utterances without a speaker; each is a cluster of its own.
    """

    counts: Counts
    names: list[str]
    unit: Literal["speakers", "utterances"]
    unknown: int


def cluster(predictions: pd.DataFrame, classes: list[str]) -> Clusters:
    """Count confusions per speaker and seed.

    Args:
        predictions: Rows with ``seed, utterance, speaker, emotion, predicted``.
        classes: Names of the C classes, in order.

    Raises:
        ValueError: There are no rows, a class is not among ``classes``, or the seeds tested different utterances.
    """
    if predictions.empty:
        raise ValueError("there are no predictions, expected at least one")
    index = pd.Index(classes)
    coded = {}
    for column in ("emotion", "predicted"):
        codes = index.get_indexer(pd.Index(predictions[column]))
        if (codes < 0).any():
            found = predictions[column].iloc[int((codes < 0).argmax())]
            raise ValueError(f"{column} holds {found!r}, expected one of {classes}")
        coded[column] = codes
    speaker = predictions["speaker"]
    unit: Literal["speakers", "utterances"] = "speakers" if speaker.notna().any() else "utterances"
    names, group = np.unique(
        speaker.fillna(predictions["utterance"]).astype(str), return_inverse=True
    )
    seeds, seed = np.unique(predictions["seed"], return_inverse=True)
    size = (len(seeds), len(names), len(classes), len(classes))
    flat = np.ravel_multi_index((seed, group, coded["emotion"], coded["predicted"]), size)
    counts = np.bincount(flat, minlength=int(np.prod(size))).reshape(size)
    first = predictions["seed"] == seeds[0]
    return Clusters(counts, names.tolist(), unit, int(speaker[first].isna().sum()))


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval."""

    estimate: float
    low: float
    high: float


def interval(
    clusters: Clusters,
    metric: Metric,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Bootstrap a metric over clusters, averaged over seeds within each resample.

    Args:
        clusters: The counts.
        metric: Maps confusion matrices [..., C, C] to values [...] between 0 and 1.
        level: Of confidence.
        resamples: B.
        seed: Of the resampling.

    Returns:
        The metric's mean over seeds, and the interval; NaN bounds with a single cluster, which says nothing
        about others.
    """
    estimate = float(metric(clusters.counts.sum(1)).mean())
    distribution = resample(clusters.counts, metric, resamples=resamples, seed=seed)
    low, high = bounds(distribution, estimate, clusters.counts.shape[1], level)
    return Interval(estimate, *(float(np.clip(x, 0, 1)) for x in (low, high)))


def resample(counts: Counts, metric: Metric, *, resamples: int, seed: int) -> Floats:
    """The metric of B sums of G clusters drawn with replacement, mean over seeds, [B]."""
    groups = counts.shape[1]
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    sums = np.einsum("bg,sgij->bsij", weights, counts, optimize=True)
    return np.asarray(metric(sums).mean(1))


def bounds(
    distribution: Floats, estimate: float, groups: int, level: float = 0.95
) -> tuple[float, float]:
    """The t-percentile interval of a bootstrap distribution [B] over ``groups`` clusters."""
    if groups < 2:
        return float("nan"), float("nan")
    depth = np.sqrt(groups / (groups - 1)) * stats.t.ppf((1 + level) / 2, groups - 1)
    tail = stats.norm.cdf(-depth)
    if tail * len(distribution) >= 10:
        low, high = np.quantile(distribution, [tail, 1 - tail])
    else:
        spread = float(distribution.std())
        low, high = estimate - depth * spread, estimate + depth * spread
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """A paired comparison of two runs, B minus A.

    Attributes:
        difference: Of the metric's means over seeds.
        low: Lower end of its confidence interval.
        high: Upper end.
        p: Two-sided p-value of the swap test.
        groups: Clusters swapped.
        unit: What they are.
        exact: Whether all swaps were tried.
    """

    difference: float
    low: float
    high: float
    p: float
    groups: int
    unit: str
    exact: bool


def paired_difference(
    a: Clusters, b: Clusters, metric: Metric, *, resamples: int = 10_000, seed: int = 0
) -> Difference:
    """Compare two runs on the same clusters.

    Args:
        a: Counts of the first run.
        b: Counts of the second, with the same clusters.
        metric: As for :func:`interval`.
        resamples: Bootstrap resamples, and random swaps where not all are tried.
        seed: Of both.

    Raises:
        ValueError: The clusters are not the same.
    """
    if a.names != b.names:
        different = sorted(set(a.names) ^ set(b.names))
        raise ValueError(f"the runs tested different {a.unit}: {different[:3]}")
    groups = len(a.names)
    one, two = a.counts.mean(0), b.counts.mean(0)  # seeds' mean counts: [G, C, C]
    # Means of seeds' metrics differ from metrics of mean counts only in F1's denominator.
    observed = float(metric(b.counts.sum(1)).mean() - metric(a.counts.sum(1)).mean())
    shifts = _together(a, b, metric, resamples, seed)
    low, high = bounds(shifts, observed, groups)
    exact = groups <= _EXACT
    swaps = _all_swaps(groups) if exact else _random_swaps(groups, resamples, seed)
    moved = np.tensordot(swaps, two - one, 1)  # what swapping takes from B and gives to A
    swapped = metric(two.sum(0) - moved) - metric(one.sum(0) + moved)
    extreme = np.abs(swapped) >= abs(float(metric(two.sum(0)) - metric(one.sum(0)))) - 1e-12
    p = float(extreme.mean()) if exact else float((extreme.sum() + 1) / (len(extreme) + 1))
    return Difference(observed, low, high, p, groups, a.unit, exact)


def _together(a: Clusters, b: Clusters, metric: Metric, resamples: int, seed: int) -> Floats:
    """Both runs on the same resampled clusters, so that what is common to both cancels."""
    first = resample(a.counts, metric, resamples=resamples, seed=seed)
    return resample(b.counts, metric, resamples=resamples, seed=seed) - first


def _all_swaps(groups: int) -> npt.NDArray[np.int64]:
    return (np.arange(2**groups)[:, None] >> np.arange(groups)) & 1


def _random_swaps(groups: int, count: int, seed: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, 1]).integers(0, 2, (count, groups))
