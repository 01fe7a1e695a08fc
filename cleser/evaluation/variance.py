r"""How uncertain a metric is: what speakers add to its variance, and what seeds add.

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

**Degrees of freedom** are Satterthwaite's (1946), :math:`\nu = (\sum_c U_c)^2 / \sum_c (U_c^2 / \nu_c)` over the
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

**Speakers who do not differ.** Two speakers with the very same score have :math:`V_\mathrm{speakers} = 0`, and an
interval of width zero would say that all speakers are known. Whatever their distribution, the median of speakers lies
between the least and the greatest of G scores but for a probability of :math:`2^{1 - G}`. From six speakers on this is
below .05, and if all have the score x, their interval is :math:`[x, x]` (of their mean, at 100 %, that is still too
narrow). With fewer, how speakers vary is as unknown as with a single one: there is no interval, and tables show "–".
In a difference of two groups of speakers, this holds for each group. A paired difference that is zero with every
speaker is another matter: both runs have recognised the same, and its interval is :math:`[0, 0]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import special

from cleser.evaluation.metrics import Counts, Floats

Metric = Callable[[Counts], Floats]
_DOUBT = 0.25  # quantile of the variances' distribution that gives their upper bounds
_TINY = 1e-9  # a share that is none but for rounding
DIGITS = 12  # what differs by less is rounding


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


class Part(NamedTuple):
    """A part of the variance, its upper bound, and the degrees of freedom behind it."""

    variance: float
    bound: float
    dof: float


def variance_parts(counts: Counts, psi: Floats, runs: list[tuple[Floats, Floats]]) -> list[Part]:
    """The variance's parts: one for clusters, and one for the seeds of each run.

    Args:
        counts: [S, G, C, C], for the degrees of freedom of clusters.
        psi: What clusters contribute to the estimate, [G].
        runs: Values [S] and contributions [S, G] of the seeds of each run.
    """
    scale, dof = speakers_model(counts)
    seeds = [of_seeds(values, np.sqrt(scale) * own) for values, own in runs]
    both = sum(both for _, both in seeds)
    variance = scale * float((psi**2).sum())
    bound = _inflation(dof) * variance
    speakers = Part(float(np.maximum(variance, both)), float(np.maximum(bound, both)), dof)
    return [speakers, *(part for part, _ in seeds if part)]


def if_known(part: Part, counts: Counts, level: float) -> Part:
    """The part of clusters, which is unknown where these are few and do not differ at all."""
    groups = int(counts.any((0, 2, 3)).sum())
    alike = round(math.sqrt(part.variance), DIGITS) == 0
    if alike and least_p(groups) > 1 - level:
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


def of_seeds(values: Floats, psi: Floats) -> tuple[Part | None, float]:
    """What a run's seeds add to the variance, and what seeds and clusters have in common; unknown with one seed."""
    count = len(values)
    if count < 2:
        return None, 0.0
    variance = float(values.var(ddof=1)) / count
    both = float(((psi - psi.mean(0)) ** 2).sum()) / (count * (count - 1))
    bound = _inflation(count - 1) * variance
    return Part(max(0.0, variance - both), max(0.0, bound - both), count - 1), both


def combined(parts: list[Part]) -> tuple[float, float]:
    """Standard error and degrees of freedom of a sum of independent parts."""
    error = round(math.sqrt(sum(part.variance for part in parts)), DIGITS)
    bounds = sum(part.bound for part in parts)
    if not bounds > 0:  # nothing varies, or nothing is known
        return error, parts[0].dof
    return error, bounds**2 / sum(part.bound**2 / part.dof for part in parts)


def _inflation(dof: float) -> float:
    """The factor by which a variance with few degrees of freedom may be underestimated."""
    return float(dof / special.chdtri(dof, 1 - _DOUBT))


def least_p(groups: int) -> float:
    """The least p-value of a test that assumes no distribution but swaps two runs for whole clusters."""
    return min(1.0, 2.0 ** (1 - groups))
