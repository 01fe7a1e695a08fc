r"""Confidence intervals and tests over speakers and seeds.

A run tests S networks, which differ only in their seeds, on G speakers. It estimates the metric
:math:`\theta` that such a network is *expected* to have on speakers of this kind, including seeds that were not tried
and speakers that were not recorded. There are therefore two sources of error, and an interval that leaves one out is
too narrow.

**Influence of a speaker.** Let :math:`\theta_s` be the metric of seed s over the :math:`G_s` speakers that it has
tested, and :math:`\theta_s^{(g)}` the same after a share :math:`\delta` of speaker g's utterances is removed. Then

.. math:: \psi_{sg} = \frac{\theta_s - \theta_s^{(g)}}{\delta}, \qquad
          \delta = G_s - \sqrt{G_s (G_s - 1)} \approx \tfrac12.
   :label: influence

The derivative (:math:`\delta \to 0`) would give a variance that is too small by a factor of :math:`(G - 1) / G`. The
jackknife (:math:`\delta = 1`) would give one that is too large by the same factor, and no value if a speaker is the
only one with some class. For G speakers of equal size with means :math:`x_g`, this :math:`\delta` gives
:math:`\sum_g \psi_g^2 = \tfrac{1}{G (G - 1)} \sum_g (x_g - \bar x)^2`, the squared standard error of their mean.

**Two sources.** With :math:`\bar\psi_g = \frac1S \sum_s \psi_{sg}`, where seeds that have not tested g add zero,

.. math::
   :label: components

    V_\mathrm{speakers} = \sum_g \bar\psi_g^2, \qquad
    V_\mathrm{seeds} = \frac{\sum_s (\theta_s - \bar\theta)^2}{S (S - 1)}, \qquad
    V_\mathrm{both} = \frac{\sum_{s,g} (\psi_{sg} - \bar\psi_g)^2}{S (S - 1)}.

A seed is better for one speaker and worse for another. This interaction (and, if seeds test different speakers, the
choice of these speakers) is contained in each of the first two variances but must count once:

.. math:: V = V_\mathrm{both} + \max(0,\; V_\mathrm{speakers} - V_\mathrm{both})
              + \max(0,\; V_\mathrm{seeds} - V_\mathrm{both}).
   :label: variance

If every seed tests the same speakers, and these have equal size, this is the analysis of variance with two random
factors. With one seed, only :math:`V_\mathrm{speakers}` is known: **seeds are then not covered**, and results say so.

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

**Degrees of freedom.** Interval and test are Student's, :math:`\hat\theta \pm t_\nu \sqrt V` and
:math:`p = 2\,P(T_\nu > |\hat\theta| / \sqrt V)`: p is below .05 exactly if the 95 % interval excludes zero. The degrees
of freedom are Satterthwaite's (1946), :math:`\nu = (\sum_c U_c)^2 / \sum_c (U_c^2 / \nu_c)` over the
terms of :math:`V`, with upper bounds :math:`U_c` in place of the terms themselves. The reason is that a few seeds are
often similar by chance, and a term that is small by chance would be taken for one that is well known. For the bounds,
:math:`V_\mathrm{speakers}` and :math:`V_\mathrm{seeds}` are multiplied by :math:`\nu_c / \chi^2_{.25,\nu_c}`, their
one-sided limits of 75 %: by 9.8 for two seeds, 3.5 for three, 2.1 for five. Seeds have :math:`\nu_c = S - 1`.

Speakers have :math:`G - 1` degrees of freedom if they have equal size. In general (Bell & McCaffrey, 2002),
:math:`\psi` is a linear map R of speakers' deviations :math:`a_g`, which have equal variance :math:`\sigma^2` and are
common to the classes of a speaker. With speaker g's share :math:`n_{gk} / n_k` of class k, and C classes,

.. math:: R_{gh} = \frac1C \sum_k \frac{n_{gk} / n_k}{1 - \delta\, n_{gk} / n_k}
                   \Big( [g = h] - \frac{n_{hk}}{n_k} \Big), \qquad
          \nu_c = \frac{(\operatorname{tr} R R^\top)^2}{\operatorname{tr} (R R^\top)^2},
   :label: speakers

averaged over seeds if these test different speakers. The result is less than :math:`G - 1` if few speakers have most
utterances, and :math:`G - C` if each speaker has one of C classes. The expected value of :math:`V_\mathrm{speakers}` is
then :math:`\sigma^2 \operatorname{tr} R R^\top`, and the variance of the estimate is
:math:`\sigma^2 \sum_g (\frac1C \sum_k n_{gk} / n_k)^2`. Therefore :math:`\psi` is multiplied by the root of their
quotient. The quotient is 1 for speakers of equal size. It is larger if a class was spoken by few speakers or only one;
the variance of that class is then inferred from the other classes. The shares are those that matter for UAR, and they
are used for the other metrics too.

With fewer than six speakers, the test depends strongly on the assumption that they are normally distributed. A test
without this assumption, which exchanges the two runs for whole speakers, could not give any p below :math:`2^{1 - G}`
(:attr:`Difference.least_p`), and therefore none below .05. With so few speakers, p is therefore at least that, and the
interval of a difference reaches at least to zero.

**Speakers who do not differ.** Two speakers with the very same score have :math:`V_\mathrm{speakers} = 0`, and an
interval of width zero would say that all speakers are known. Whatever their distribution, the median of speakers lies
between the least and the greatest of G scores but for a probability of :math:`2^{1 - G}`. From six speakers on this is
below .05, and if all have the score x, their interval is :math:`[x, x]` (of their mean, at 100 %, that is still too
narrow). With fewer, how speakers vary is as unknown as with a single one: there is no interval, and tables show "–".
In a difference of two groups of speakers, this holds for each group. A paired difference that is zero with every
speaker is another matter: both runs have recognised the same, and its interval is :math:`[0, 0]`.

``benchmarks/intervals.py`` measures how often such intervals contain the truth, and how often such tests find a
difference that does not exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from cleser.evaluation.metrics import Counts, Floats
from cleser.evaluation.speakers import Clusters

Metric = Callable[[Counts], Floats]
_DOUBT = 0.25  # quantile of the variances' distribution that gives their upper bounds
_TINY = 1e-9  # a share that is none but for rounding
_DIGITS = 12  # what differs by less is rounding
_FEW = 0.05  # least p-values above this come of too few clusters


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
        p: Two-sided p-value; below .05 where the interval leaves out zero. With fewer than six clusters it is at least
            :attr:`least_p`, and the interval holds zero.
        error: Standard error, the root of :eq:`difference`.
        dof: Degrees of freedom.
        groups: Clusters that both tested.
        unit: What they are.
        seeds: Seeds of A and of B that were compared.
        by_seed: Whether seeds were paired, as each tests other speakers.
        covers: What the interval generalises to, see :class:`Interval`; seeds are covered where both runs have several.

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

    @property
    def least_p(self) -> float:
        """The least p-value of a test that assumes no normal distribution but swaps the runs for whole clusters."""
        return _least_p(self.groups)

    @property
    def too_few(self) -> bool:
        """Whether there are too few clusters for any p below .05 without that assumption."""
        return self.least_p > _FEW


def _least_p(groups: int) -> float:
    return min(1.0, 2.0 ** (1 - groups))


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
    parts = _parts(clusters.tested, psi.mean(0), [(values, psi)])
    parts[0] = _if_known(parts[0], clusters.tested, level)
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
    parts = _parts(counts, psi.mean(0), [(values, psi)])
    unchanged = bounds[0] < 0 and not values.any()
    if not unchanged:
        parts[0] = _if_known(parts[0], counts, level)
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
        _if_known(_parts(x.counts, own.mean(0), [(value, own)])[0], x.counts, level)
        for x, value, own in zip((a, b), values, psi, strict=True)
    ]
    scaled = [
        math.sqrt(speakers_model(x.counts)[0]) * own for x, own in zip((a, b), psi, strict=True)
    ]
    difference = values[1] - values[0]
    seeds, _ = _seeds(difference, np.concatenate([-scaled[0], scaled[1]], 1))
    parts = [*speakers, *([seeds] if seeds else [])]
    return _interval(difference, parts, _covers(a.unit, len(difference)), (-1, 1), level)


def _interval(
    values: Floats, parts: list[_Part], covers: str, bounds: tuple[float, float], level: float
) -> Interval:
    """Student's interval around the mean over seeds, within what is possible."""
    estimate, (error, dof) = float(values.mean()), _combined(parts)
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
        ValueError: The runs tested different clusters, or different utterances of them.

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
    parts = _parts(b.tested, psi[1].mean(0) - psi[0].mean(0), seeds)
    difference = round(float(values[1].mean() - values[0].mean()), _DIGITS)
    error, dof = _combined(parts)
    reach = _quantile(0.95, dof) * error
    low, high, p = difference - reach, difference + reach, _p_value(difference, error, dof)
    least = _least_p(len(a.names))
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
    )


def influence(counts: Counts, metric: Metric) -> Floats:
    """What each cluster contributes to each seed's metric, :eq:`influence`.

    Args:
        counts: [S, G, C, C], or other sums over a cluster's utterances.
        metric: Metric, as :func:`interval` takes it.

    Returns:
        [S, G]; zero where a seed has not tested a cluster, NaN for seeds that have tested only one.
    """
    share = _taken_out(counts)
    total = counts.sum(1, keepdims=True)
    rest = metric(total - share[:, None, None, None] * counts)
    return np.where((share < 1)[:, None], (metric(total) - rest) / share[:, None], np.nan)


def _taken_out(counts: Counts) -> Floats:
    """The share δ of a cluster's utterances that is taken out, [S]; 1 where a seed has tested a single cluster."""
    groups = counts.any((2, 3)).sum(1)
    return np.asarray(groups - np.sqrt(groups * (groups - 1.0)))


class _Part(NamedTuple):
    """A part of the variance, its upper bound, and the degrees of freedom behind it."""

    variance: float
    bound: float
    dof: float


def _parts(counts: Counts, psi: Floats, runs: list[tuple[Floats, Floats]]) -> list[_Part]:
    """The variance's parts: one for clusters, and one for the seeds of each run.

    Args:
        counts: [S, G, C, C], for the degrees of freedom of clusters.
        psi: What clusters contribute to the estimate, [G].
        runs: Values [S] and contributions [S, G] of the seeds of each run.
    """
    scale, dof = speakers_model(counts)
    seeds = [_seeds(values, np.sqrt(scale) * own) for values, own in runs]
    both = sum(both for _, both in seeds)
    variance = scale * float((psi**2).sum())
    bound = _inflation(dof) * variance
    speakers = _Part(float(np.maximum(variance, both)), float(np.maximum(bound, both)), dof)
    return [speakers, *(part for part, _ in seeds if part)]


def _if_known(part: _Part, counts: Counts, level: float) -> _Part:
    """The part of clusters, which is unknown where these are few and do not differ at all."""
    groups = int(counts.any((0, 2, 3)).sum())
    alike = round(math.sqrt(part.variance), _DIGITS) == 0
    if alike and _least_p(groups) > 1 - level:
        return part._replace(variance=math.nan, bound=math.nan)
    return part


def speakers_model(counts: Counts) -> tuple[float, float]:
    """By how much :eq:`components` underestimates what speakers add, and degrees of freedom, :eq:`speakers`.

    Args:
        counts: [S, G, C, C].

    Returns:
        Factor and degrees of freedom; NaN where no class was spoken by two speakers.
    """
    truth = counts.sum(-1)  # [S, G, C]
    if (truth > 0).sum(1).max(initial=0) < 2:
        return math.nan, math.nan
    total = truth.sum(1, keepdims=True)
    share = truth / np.maximum(total, 1)
    weight = share / ((total > 0).sum(2, keepdims=True) * len(truth))
    taken = weight / np.maximum(1 - _taken_out(counts)[:, None, None] * share, _TINY)
    columns = [np.moveaxis(x, 1, 0).reshape(x.shape[1], -1) for x in (share, taken)]  # [G, S C]
    diagonal = columns[1].sum(1)
    # R = diag(d) − u sᵀ has few columns but many rows: of R Rᵀ = diag(d²) + W M Wᵀ only products Wᵀ W are needed.
    wide = np.concatenate([diagonal[:, None] * columns[0], columns[1]], 1)
    none, one = np.zeros((wide.shape[1] // 2,) * 2), np.eye(wide.shape[1] // 2)
    middle = np.block([[none, -one], [-one, columns[0].T @ columns[0]]])
    low = middle @ (wide.T @ wide)
    expected = (diagonal**2).sum() + np.trace(low)
    squared = (diagonal**4).sum() + (low * low.T).sum()
    squared += 2 * np.trace(middle @ (wide.T @ (diagonal[:, None] ** 2 * wide)))
    true = (weight.sum((0, 2)) ** 2).sum()
    if expected < _TINY * true:
        return math.nan, math.nan
    return float(true / expected), float(expected**2 / squared)


def _seeds(values: Floats, psi: Floats) -> tuple[_Part | None, float]:
    """What a run's seeds add to the variance, and what seeds and clusters have in common; unknown with one seed."""
    count = len(values)
    if count < 2:
        return None, 0.0
    variance = float(values.var(ddof=1)) / count
    both = float(((psi - psi.mean(0)) ** 2).sum()) / (count * (count - 1))
    bound = _inflation(count - 1) * variance
    return _Part(max(0.0, variance - both), max(0.0, bound - both), count - 1), both


def _combined(parts: list[_Part]) -> tuple[float, float]:
    """Standard error and degrees of freedom of a sum of independent parts."""
    error = round(math.sqrt(sum(part.variance for part in parts)), _DIGITS)
    bounds = sum(part.bound for part in parts)
    if not bounds > 0:  # nothing varies, or nothing is known
        return error, parts[0].dof
    return error, bounds**2 / sum(part.bound**2 / part.dof for part in parts)


def _inflation(dof: float) -> float:
    """The factor by which a variance with few degrees of freedom may be underestimated."""
    return float(dof / special.chdtri(dof, 1 - _DOUBT))


def _quantile(level: float, dof: float) -> float:
    return float(special.stdtrit(dof, (1 + level) / 2))


def _p_value(difference: float, error: float, dof: float) -> float:
    if error == 0:  # the same difference with every cluster and seed
        return 1.0 if difference == 0 else 0.0
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
        raise ValueError(
            f"each seed tested other {a.unit}, and the runs have no seed in common: found {a.seeds} and {b.seeds}"
        )
    a, b = a.only(common), b.only(common)
    if different := sorted(set(a.names) ^ set(b.names)):
        raise ValueError(f"the runs tested different {a.unit}: {different[:3]}")
    if wrong := _first_difference(a.tested.sum(-1), b.tested.sum(-1)):
        seed, group = common[wrong[0]], a.names[wrong[1]]
        raise ValueError(f"seed {seed} of the runs tested different utterances of {group}")
    return a, b


def _first_difference(
    one: npt.NDArray[np.int64], two: npt.NDArray[np.int64]
) -> tuple[int, int] | None:
    """Seed and cluster where two arrays [S, G, C] differ."""
    places = np.argwhere((one != two).any(-1))
    return (int(places[0][0]), int(places[0][1])) if len(places) else None
