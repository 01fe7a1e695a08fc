r"""Metrics of several emotions at once: which of them an utterance has, and which were recognised.

With the truth :math:`y_{ik}` and the probability :math:`p_{ik}` of class k of utterance i, class k is recognised where
:math:`p_{ik} \ge .5`, and

* macro F1 is the mean over classes of
  :math:`2 \sum_i y_{ik} [p_{ik} \ge .5] \,/\, \sum_i (y_{ik} + [p_{ik} \ge .5])`;
* macro average precision is the mean over classes of :math:`\sum_t (R_{kt} - R_{k,t+1}) P_{kt}`, where
  :math:`P_{kt}, R_{kt}` are precision and recall of class k if it is recognised where :math:`p_{ik} \ge t`;
* exact match is the share of utterances of which all classes are right.

Means are over the classes that some utterance has. Thresholds t are the hundredths .00, .01 … 1.00, so that all three
follow from counts that can be summed over speakers: by class, truth and hundredth of the probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from cleser.evaluation.metrics import Counts, Floats, mean_over_classes, ratio
from cleser.evaluation.speakers import Clusters, grouping

DECIDED_AT: Final = 0.5  # an emotion whose probability is as great is recognised
_BINS: Final = 101  # hundredths from .00 to 1.00
_THRESHOLDS: Final = np.arange(_BINS) / 100
_DECIDED: Final = 50


@dataclass(frozen=True)
class MultiLabelCounts(Clusters):
    """Counts of every cluster (speaker) and seed, ``counts`` [S, G, 2 K + 1, 101].

    The first K rows are the utterances that have a class by the hundredth of its probability, the next K those that
    have it not, and the last holds how many were not recognised exactly, and how many were.
    """

    @property
    def tested(self) -> Counts:
        """How many utterances of a class and cluster each seed has tested, [S, G, K, 1]."""
        classes = self.counts.shape[2] // 2
        return np.asarray(self.counts[:, :, :classes].sum(-1, keepdims=True))


def multi_label_counts(
    predictions: pd.DataFrame, classes: Sequence[str]
) -> MultiLabelCounts | None:
    """Counts by seed and speaker.

    Args:
        predictions: Rows with ``seed, utterance, speaker``, a probability ``sigmoid_<class>`` and whether the utterance
            has the class, ``true_<class>``. Utterances that have none of the classes are of unknown emotion and are
            left out.
        classes: Names of the K classes.

    Returns:
        None where no probabilities of several emotions were predicted, or no utterance has any.
    """
    columns = [f"sigmoid_{name}" for name in classes]
    if not all(name in predictions for name in columns):
        return None
    truth = predictions[[f"true_{name}" for name in classes]].to_numpy(bool)
    known = truth.any(1)
    if not known.any():
        return None
    rows, truth = predictions.iloc[np.flatnonzero(known)], truth[known]
    p = rows[columns].to_numpy(np.float64)
    groups = grouping(rows)
    counts = np.zeros((*groups.shape, 2 * len(classes) + 1, _BINS), np.int64)
    row = np.arange(len(classes)) + np.where(truth, 0, len(classes))
    hundredth = np.searchsorted(_THRESHOLDS, p, side="right") - 1  # 100 * 0.29 is below 29
    np.add.at(counts, (groups.seed[:, None], groups.group[:, None], row, hundredth), 1)
    exact = (truth == (p >= DECIDED_AT)).all(1).astype(np.int64)
    np.add.at(counts[:, :, -1], (groups.seed, groups.group, exact), 1)
    return MultiLabelCounts.of(counts, groups)


def multi_label_f1(counts: Counts) -> Floats:
    """Macro F1, [..., 2 K + 1, 101] to [...]."""
    having, lacking = _halves(counts)
    hits = having[..., _DECIDED:].sum(-1)
    recognised = hits + lacking[..., _DECIDED:].sum(-1)
    held = having.sum(-1)
    return mean_over_classes(ratio(2 * hits, held + recognised), held > 0)


def average_precision(counts: Counts) -> Floats:
    """Macro average precision, [..., 2 K + 1, 101] to [...]."""
    having, lacking = _halves(counts)
    hits = having[..., ::-1].cumsum(-1)[..., ::-1]
    recognised = hits + lacking[..., ::-1].cumsum(-1)[..., ::-1]
    precision = hits / np.where(recognised > 0, recognised, 1)
    held = having.sum(-1)
    return mean_over_classes(ratio((having * precision).sum(-1), held), held > 0)


def exact_match(counts: Counts) -> Floats:
    """Share of utterances of which all classes are right, [..., 2 K + 1, 101] to [...]."""
    return ratio(counts[..., -1, 1], counts[..., -1, :].sum(-1))


MULTI_LABEL_METRICS: Final = {
    "multi_label_f1": multi_label_f1,
    "average_precision": average_precision,
    "exact_match": exact_match,
}


def _halves(counts: Counts) -> tuple[Counts, Counts]:
    """Those that have a class and those that have it not, [..., K, 101] each."""
    classes = counts.shape[-2] // 2
    return counts[..., :classes, :], counts[..., classes : 2 * classes, :]
