r"""Confidence intervals and tests over speakers and seeds.

How the variance V of a metric and its degrees of freedom :math:`\nu` are estimated is in
:mod:`cleser.evaluation.variance`.

**Interval and test** are Student's, :math:`\hat\theta \pm t_\nu \sqrt V` and
:math:`p = 2\,P(T_\nu > |\hat\theta| / \sqrt V)`: p is below .05 exactly if the 95 % interval excludes zero.

**Difference of two runs.** Both runs have tested the same utterances: in :math:`\psi_{sg}` of run B minus that of run
A, what is common to both cancels. Seeds are *not* paired: seed 1 of two methods has only the development speakers
in common, and ignoring this can only make the interval wider than necessary. Each run adds its own variance over seeds,
from as many seeds as it has:

.. math:: V = V_\mathrm{both} + \max(0,\; V_\mathrm{speakers} - V_\mathrm{both})
              + \max(0,\; V_\mathrm{seeds}^A - V_\mathrm{both}^A) + \max(0,\; V_\mathrm{seeds}^B - V_\mathrm{both}^B)
   :label: difference

with :math:`V_\mathrm{speakers} = \sum_g (\bar\psi_g^B - \bar\psi_g^A)^2` and
:math:`V_\mathrm{both} = V_\mathrm{both}^A + V_\mathrm{both}^B`.

If seeds test *different* speakers (an oracle learns from the others), seed s of both runs has the same speakers.
Then seeds are paired: the differences :math:`\theta_s^B - \theta_s^A` and :math:`\psi_{sg}^B - \psi_{sg}^A` of
the seeds that both runs have are treated by :eq:`variance`, like the values of one run.

**Few speakers.** With fewer than six speakers, the test depends strongly on the assumption that they are normally
distributed. A test without this assumption, which exchanges the two runs for whole speakers, could not give any p below
:math:`2^{1 - G}` (:attr:`Difference.least_p`), and therefore none below .05. With so few speakers, p is therefore at
least that, and the interval of a difference reaches at least to zero. From six speakers on, it is that where the
difference is the very same with every speaker and seed, whose standard error is zero: no speakers make it certain.

``benchmarks/intervals.py`` measures how often such intervals contain the truth, and how often such tests find a
difference that does not exist.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from cleser.evaluation.metrics import Counts, Floats
from cleser.evaluation.speakers import Clusters
from cleser.evaluation.variance import (
    DIGITS,
    Metric,
    Part,
    combined,
    if_known,
    influence,
    least_p,
    of_seeds,
    speakers_model,
    variance_parts,
)

_FEW = 0.05  # least p-values above this come of too few clusters


class NotComparableError(ValueError):
    """Two runs that nothing is wrong with, but whose metrics cannot be compared: they tested other utterances, say."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        estimate: The metric's mean over seeds.
        low: Lower end.
        high: Upper end.
        error: Standard error, the root of :eq:`variance`.
        dof: Degrees of freedom.
        covers: What the interval generalises to: ``"speakers and seeds"``; with a single seed, ``"speakers"``; and
            ``"utterances"`` in place of speakers if these are unknown.

    >>> from cleser.evaluation import uar
    >>> counts = np.array([[[[3, 1], [2, 2]], [[4, 0], [1, 3]], [[2, 2], [1, 3]]]])  # 1 seed, 3 speakers, 2 classes
    >>> clusters = Clusters(counts, ["a", "b", "c"], "speakers", 0)
    >>> found = interval(clusters, uar)
    >>> round(found.estimate, 3), found.covers, found.low < found.estimate < found.high
    (0.708, 'speakers', True)
    """

    estimate: float
    low: float
    high: float
    error: float
    dof: float
    covers: str

    def summary(self) -> dict[str, Any]:
        """What files of results say of it: the estimate, both ends, and what they cover.

        An end that is NaN is None here, since JSON has no NaN.

        >>> Interval(0.5, 0.4, float("nan"), 0.1, 7, "speakers").summary()
        {'mean': 0.5, 'ci95': [0.4, None], 'covers': 'speakers'}
        """
        ends = [None if np.isnan(end) else float(end) for end in (self.low, self.high)]
        return {"mean": self.estimate, "ci95": ends, "covers": self.covers}


@dataclass(frozen=True)
class Difference:
    """A paired comparison of two runs, B minus A.

    Attributes:
        difference: Difference of the metric's means over seeds.
        low: Lower end of its 95 % confidence interval.
        high: Upper end.
        p: Two-sided p-value; below .05 where the interval leaves out zero. With fewer than six clusters, or no error at
            all, it is at least :attr:`least_p`; with fewer than six the interval holds zero.
        error: Standard error, the root of :eq:`difference`.
        dof: Degrees of freedom.
        groups: Clusters that both tested.
        unit: What they are.
        seeds: Seeds of A and of B that were compared.
        by_seed: Whether seeds were paired, as each tests other speakers.
        covers: What the interval generalises to, see :class:`Interval`; seeds are covered where both runs have several.
        unknown: How many of the groups are single utterances, since nobody knows their speakers, among known speakers.

    >>> from cleser.evaluation import uar
    >>> counts = np.array([[[[3, 1], [2, 2]], [[4, 0], [1, 3]], [[2, 2], [1, 3]]]])  # 1 seed, 3 speakers, 2 classes
    >>> clusters = Clusters(counts, ["a", "b", "c"], "speakers", 0)
    >>> same = paired_difference(clusters, clusters, uar)
    >>> same.difference, same.p, same.least_p
    (0.0, 1.0, 0.25)
    """

    difference: float
    low: float
    high: float
    p: float
    error: float
    dof: float
    groups: int
    unit: str
    seeds: tuple[int, int]
    by_seed: bool
    covers: str
    unknown: int = 0

    @property
    def least_p(self) -> float:
        """The least p-value of a test that assumes no normal distribution but swaps the runs for whole clusters."""
        return least_p(self.groups)

    @property
    def too_few(self) -> bool:
        """Whether there are too few clusters for any p below .05 without that assumption."""
        return self.least_p > _FEW


def interval(
    clusters: Clusters,
    metric: Metric,
    *,
    level: float = 0.95,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """The metric's expected value over seeds and speakers, with its confidence interval.

    Args:
        clusters: The counts. Seeds may have tested different speakers.
        metric: Maps confusion matrices [..., C, C], of whole or fractional counts, to values [...]; or
            moment matrices (:mod:`cleser.evaluation.concordance`). It need not be a mean over speakers, but a smooth
            function of what is summed over them.
        level: Level of confidence.
        bounds: Least and greatest value that the metric can take.

    Returns:
        The mean over seeds and its interval; NaN bounds where a seed tested a single speaker, each class was spoken
        by a single one, or fewer than six speakers (at a level of 95 %) do not differ at all: that says nothing about
        others.

    >>> from cleser.evaluation import uar
    >>> counts = np.array([[[[3, 1], [2, 2]], [[4, 0], [1, 3]], [[2, 2], [1, 3]]]])  # 1 seed, 3 speakers, 2 classes
    >>> clusters = Clusters(counts, ["a", "b", "c"], "speakers", 0)
    >>> found = interval(clusters, uar)
    >>> round(found.estimate, 3), round(found.low, 3), round(found.high, 3)
    (0.708, 0.35, 1.0)
    """
    values, psi = metric(clusters.counts.sum(1)), influence(clusters.counts, metric)
    parts = variance_parts(clusters.tested, psi.mean(0), [(values, psi)])
    parts[0] = if_known(parts[0], clusters.tested, level)
    return _interval(values, parts, _covers(clusters.unit, len(values)), bounds, level)


def interval_of_sums(
    sums: Floats,
    sizes: Counts,
    metric: Metric,
    unit: str,
    *,
    bounds: tuple[float, float] = (0, 1),
    level: float = 0.95,
) -> Interval:
    """An :func:`interval` of a figure that follows from other sums than confusions, such as those of confidences.

    The degrees of freedom are those of a mean over utterances, :eq:`speakers` with a single class. A figure that can be
    below zero, such as a change, and is zero with every seed and cluster, has the interval [0, 0]: nothing changed.

    Args:
        sums: What is summed over the utterances of each seed and cluster, [S, G, B, M].
        sizes: Their numbers of utterances, [S, G].
        metric: Maps sums [..., B, M], added up over clusters, to values [...].
        unit: What a cluster is, ``"speakers"`` or ``"utterances"``.
        bounds: Least and greatest value that the metric can have.
        level: Level of confidence.

    >>> sums = np.array([[[[2.0, 1.0]], [[2.0, 2.0]], [[2.0, 1.0]]]])  # [S, G, B, M]: how many, how many of them right
    >>> sizes = sums[..., 0].sum(-1)
    >>> found = interval_of_sums(sums, sizes, lambda s: s[..., 1].sum(-1) / s[..., 0].sum(-1), "speakers")
    >>> round(found.estimate, 3), found.covers
    (0.667, 'speakers')
    """
    values, psi = metric(sums.sum(1)), influence(sums, metric)
    counts = sizes[..., None, None]
    parts = variance_parts(counts, psi.mean(0), [(values, psi)])
    unchanged = bounds[0] < 0 and not values.any()
    if not unchanged:
        parts[0] = if_known(parts[0], counts, level)
    return _interval(values, parts, _covers(unit, len(values)), bounds, level)


def group_difference(a: Clusters, b: Clusters, metric: Metric, *, level: float = 0.95) -> Interval:
    r"""How much better the same networks recognise one group of speakers than another: B minus A, such as by gender.

    The groups have no speaker in common, so that nothing is paired but the seeds: with :math:`\psi^A_{sg}` and
    :math:`\psi^B_{sg}` of :eq:`influence`, each within its group,

    .. math:: V = V_\mathrm{both} + \max(0,\; V^A_\mathrm{speakers} - V^A_\mathrm{both})
                  + \max(0,\; V^B_\mathrm{speakers} - V^B_\mathrm{both})
                  + \max(0,\; V_\mathrm{seeds} - V_\mathrm{both}),
              \qquad V_\mathrm{both} = V^A_\mathrm{both} + V^B_\mathrm{both},
       :label: groups

    where :math:`V_\mathrm{seeds}` is that of the differences :math:`\theta^B_s - \theta^A_s`. With one seed, and groups
    of one size with speakers of one size, this is Welch's (1947) test of two means.

    Args:
        a: Counts of one group.
        b: Counts of the other, by the same seeds.
        metric: Metric, as :func:`interval` takes it.
        level: Level of confidence.

    Returns:
        The difference of the metric's means over seeds; NaN bounds where a group has a single speaker, or fewer than
        six (at a level of 95 %) who do not differ at all.

    Raises:
        ValueError: The groups were not tested by the same seeds, or share a speaker.

    >>> from cleser.evaluation import uar
    >>> counts = np.array([[[[3, 1], [2, 2]], [[4, 0], [1, 3]], [[2, 2], [1, 3]]]])  # 1 seed, 3 speakers, 2 classes
    >>> clusters = Clusters(counts, ["a", "b", "c"], "speakers", 0)
    >>> others = Clusters(counts[:, :, ::-1, ::-1].copy(), ["d", "e", "f"], "speakers", 0)
    >>> round(group_difference(clusters, others, uar).estimate, 3)
    0.0
    """
    if a.seeds != b.seeds:
        raise ValueError(
            f"one group was tested by the seeds {a.seeds}, the other by {b.seeds}; expected the same"
        )
    if shared := sorted(set(a.names) & set(b.names)):
        raise ValueError(f"{shared[:3]} are in both groups, expected {a.unit} to be in one")
    values = [metric(x.counts.sum(1)) for x in (a, b)]
    psi = [influence(x.counts, metric) for x in (a, b)]
    speakers = [
        if_known(variance_parts(x.counts, own.mean(0), [(value, own)])[0], x.counts, level)
        for x, value, own in zip((a, b), values, psi, strict=True)
    ]
    scaled = [
        math.sqrt(speakers_model(x.counts)[0]) * own for x, own in zip((a, b), psi, strict=True)
    ]
    difference = values[1] - values[0]
    seeds, _ = of_seeds(difference, np.concatenate([-scaled[0], scaled[1]], 1))
    parts = [*speakers, *([seeds] if seeds else [])]
    return _interval(difference, parts, _covers(a.unit, len(difference)), (-1, 1), level)


def _interval(
    values: Floats, parts: list[Part], covers: str, bounds: tuple[float, float], level: float
) -> Interval:
    """Student's interval around the mean over seeds, within what is possible."""
    estimate, (error, dof) = float(values.mean()), combined(parts)
    reach = _quantile(level, dof) * error
    low, high = (float(np.clip(estimate + x, *bounds)) for x in (-reach, reach))
    return Interval(estimate, low, high, error, dof, covers)


def paired_difference(
    a: Clusters, b: Clusters, metric: Metric, *, bounds: tuple[float, float] = (0.0, 1.0)
) -> Difference:
    """Compare two runs on the same utterances.

    Where all seeds of both runs have tested the same utterances, seeds are independent and may differ in number. Where
    each seed tests other speakers, as an oracle's do, those seeds are compared that both runs have, one by one.

    Args:
        a: Counts of the first run.
        b: Counts of the second, with the same clusters.
        metric: Metric, as :func:`interval` takes it.
        bounds: Least and greatest value that the metric can take.

    Raises:
        NotComparableError: The runs tested different clusters, or different utterances of them.

    >>> from cleser.evaluation import uar
    >>> counts = np.array([[[[3, 1], [2, 2]], [[4, 0], [1, 3]], [[2, 2], [1, 3]]]])  # 1 seed, 3 speakers, 2 classes
    >>> clusters = Clusters(counts, ["a", "b", "c"], "speakers", 0)
    >>> better = Clusters(counts + [[0, 0], [-1, 1]], ["a", "b", "c"], "speakers", 0)
    >>> found = paired_difference(clusters, better, uar)
    >>> round(found.difference, 3), found.groups
    (0.125, 3)
    """
    by_seed = not _alike(a, b)
    if by_seed:
        a, b = _same_seeds(a, b)
    values = [metric(x.counts.sum(1)) for x in (a, b)]
    psi = [influence(x.counts, metric) for x in (a, b)]
    seeds = list(zip(values, psi, strict=True))
    if by_seed:
        seeds = [(values[1] - values[0], psi[1] - psi[0])]
    parts = variance_parts(b.tested, psi[1].mean(0) - psi[0].mean(0), seeds)
    difference = round(float(values[1].mean() - values[0].mean()), DIGITS)
    error, dof = combined(parts)
    reach = _quantile(0.95, dof) * error
    least = least_p(len(a.names))
    low, high, p = difference - reach, difference + reach, _p_value(difference, error, dof, least)
    if least > _FEW:
        low, high, p = np.minimum(low, 0.0), np.maximum(high, 0.0), np.maximum(p, least)
    numbers = len(values[0]), len(values[1])
    return Difference(
        difference,
        max(bounds[0] - bounds[1], float(low)),
        min(bounds[1] - bounds[0], float(high)),
        float(p),
        error,
        dof,
        len(a.names),
        a.unit,
        numbers,
        by_seed,
        _covers(a.unit, min(numbers)),
        a.unknown if a.unit == "speakers" else 0,
    )


def _quantile(level: float, dof: float) -> float:
    return float(special.stdtrit(dof, (1 + level) / 2))


def _p_value(difference: float, error: float, dof: float, least: float) -> float:
    if error == 0:  # the same difference with every cluster and seed
        return 1.0 if difference == 0 else least
    return float(2 * special.stdtr(dof, -abs(difference) / error))


def _covers(unit: str, seeds: int) -> str:
    return f"{unit} and seeds" if seeds > 1 else unit


def _alike(a: Clusters, b: Clusters) -> bool:
    """Whether all seeds of both runs have tested the same utterances, as far as counts can say."""
    if a.names != b.names:
        return False
    truth = np.concatenate([a.tested.sum(-1), b.tested.sum(-1)])  # [S, G, C]
    return bool((truth == truth[0]).all())


def _same_seeds(a: Clusters, b: Clusters) -> tuple[Clusters, Clusters]:
    """Both runs reduced to the seeds that both have, which must have tested the same."""
    common: list[int] = sorted(set(a.seeds) & set(b.seeds))
    if not common:
        raise NotComparableError(
            f"each seed tested other {a.unit}, and the runs have no seed in common: found {a.seeds} and {b.seeds}"
        )
    a, b = a.only(common), b.only(common)
    if different := sorted(set(a.names) ^ set(b.names)):
        raise NotComparableError(f"the runs tested different {a.unit}: {different[:3]}")
    if wrong := _first_difference(a.tested.sum(-1), b.tested.sum(-1)):
        seed, group = common[wrong[0]], a.names[wrong[1]]
        raise NotComparableError(f"seed {seed} of the runs tested different utterances of {group}")
    return a, b


def _first_difference(
    one: npt.NDArray[np.int64], two: npt.NDArray[np.int64]
) -> tuple[int, int] | None:
    """Seed and cluster where two arrays [S, G, C] differ."""
    places = np.argwhere((one != two).any(-1))
    return (int(places[0][0]), int(places[0][1])) if len(places) else None
