r"""Metrics of predicted numbers, such as arousal: how well they agree with those that annotators gave.

With truths t, predictions p, and moments over N utterances,

.. math::

    \mathrm{CCC} = \frac{2 s_{tp}}{s_t^2 + s_p^2 + (\bar t - \bar p)^2}, \qquad
    \mathrm{RMSE} = \sqrt{\tfrac1N \textstyle\sum (t - p)^2}

(L. I. Lin, *A Concordance Correlation Coefficient to Evaluate Reproducibility*, Biometrics 45, 1989; variances are
divided by N, as there). CCC is 1 if both are equal, 0 if they are uncorrelated, and negative if one falls as the other
rises.

Both follow from sums. These sums serve for numbers as a confusion matrix serves for classes: those of a speaker can be
removed or weighted. A moment matrix is

.. math:: M = \sum_i \begin{pmatrix} 1 \\ t_i \\ p_i \end{pmatrix} \begin{pmatrix} 1 & t_i & p_i \end{pmatrix}.

Matrices may be stacked, as those of :mod:`cleser.evaluation.metrics`; those of several attributes stand side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from cleser.evaluation.metrics import Counts, Floats
from cleser.evaluation.speakers import Clusters, Grouping, grouping

_TINY = 1e-13  # of the mean squares: a spread below is rounding


def moment_matrix(truth: npt.ArrayLike, predicted: npt.ArrayLike) -> Floats:
    """The moment matrix M [3, 3] of N pairs; pairs without a truth, NaN, are left out.

    Raises:
        ValueError: The two differ in length.

    >>> moment_matrix([1, 2], [1, 0])
    array([[2., 3., 1.],
           [3., 5., 1.],
           [1., 1., 1.]])
    """
    t, p = (np.asarray(x, dtype=np.float64) for x in (truth, predicted))
    if t.shape != p.shape or t.ndim != 1:
        raise ValueError(f"truth and predicted have shapes {t.shape} and {p.shape}")
    known = ~np.isnan(t)
    columns = np.stack([np.ones(known.sum()), t[known], p[known]])
    return np.asarray(columns @ columns.T)


def ccc(moments: Counts) -> Floats:
    """Concordance correlation coefficient, [..., 3, 3] to [...].

    NaN where there is no utterance, 1 where all truths and predictions are one number.

    >>> float(ccc(moment_matrix([1, 2, 3], [2, 3, 4])).round(4))  # (4/3) / (2/3 + 2/3 + 1)
    0.5714
    """
    n, t, p, tt, pp, tp = _means(moments)
    # E(t − p)²: the CCC is one minus its share of the most that it could be.
    apart = tt - 2 * tp + pp
    spread = (tt - t**2) + (pp - p**2) + (t - p) ** 2
    alike = spread <= _TINY * (tt + pp)
    value = 1 - np.where(alike, 0, apart) / np.where(alike, 1, spread)
    return np.asarray(np.where(n > 0, value, np.nan))


def rmse(moments: Counts) -> Floats:
    """Root mean square error, [..., 3, 3] to [...]; NaN where there is no utterance.

    >>> float(rmse(moment_matrix([0, 0], [3, 4])).round(4))  # sqrt(25 / 2)
    3.5355
    """
    n, _, _, tt, pp, tp = _means(moments)
    return np.asarray(np.where(n > 0, np.sqrt(np.maximum(tt - 2 * tp + pp, 0)), np.nan))


def mean_ccc(moments: Counts) -> Floats:
    """Mean of the attributes' CCC, [..., 3, 3 A] to [...]."""
    single = [ccc(m) for m in np.split(moments, moments.shape[-1] // 3, axis=-1)]
    return np.asarray(np.mean(single, axis=0))


def _means(moments: Counts) -> tuple[Floats, ...]:
    n = moments[..., 0, 0]
    count = np.where(n > 0, n, 1)
    places = ((0, 1), (0, 2), (1, 1), (2, 2), (1, 2))
    return (n, *(moments[..., i, j] / count for i, j in places))


@dataclass(frozen=True)
class ClusterMoments(Clusters):
    """Moment matrices of every cluster (speaker) and seed, in ``counts`` [S, G, 3, 3 A]."""

    @property
    def tested(self) -> Counts:
        """How many utterances of a cluster with each attribute a seed has tested, [S, G, A, 1].

        The mean over attributes is one of equal shares, as UAR is over classes.
        """
        return self.counts[..., 0, ::3, None]


def moments(predictions: pd.DataFrame, attributes: Sequence[str]) -> ClusterMoments:
    """Moments per speaker and seed.

    Args:
        predictions: Rows with ``seed, utterance, speaker``, and of each attribute, as ``arousal``, the truth and, as
            ``predicted_arousal``, the prediction.
        attributes: Their names; of several, the A matrices stand side by side.

    Raises:
        ValueError: No row has a truth.
    """
    known = predictions[predictions[list(attributes)].notna().any(axis=1)]
    if known.empty:
        raise ValueError(f"no prediction has a truth of {list(attributes)}, expected at least one")
    groups = grouping(known)
    matrices = [_sums(known, name, groups) for name in attributes]
    return ClusterMoments.of(np.concatenate(matrices, axis=-1), groups)


def _sums(rows: pd.DataFrame, name: str, groups: Grouping) -> Floats:
    """Moment matrices [S, G, 3, 3] of one attribute."""
    truth = rows[name].to_numpy(np.float64)
    here = ~np.isnan(truth)
    predicted = rows[f"predicted_{name}"].to_numpy(np.float64)
    columns = np.stack([here.astype(float), np.where(here, truth, 0), np.where(here, predicted, 0)])
    sums = np.stack([groups.add_up(a * b) for a in columns for b in columns], axis=-1)
    return sums.reshape(*groups.shape, 3, 3)
