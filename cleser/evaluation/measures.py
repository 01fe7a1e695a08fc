"""Metrics of a run: of confusion matrices if it predicts emotions, of moments if it predicts numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from cleser.evaluation.concordance import ccc, mean_ccc, moments, rmse
from cleser.evaluation.metrics import METRICS
from cleser.evaluation.multi_label import MULTI_LABEL_METRICS, multi_label_counts
from cleser.evaluation.numbers_as_text import OF_VOTES
from cleser.evaluation.soft_labels import kl_divergence, soft_accuracy, vote_sums
from cleser.evaluation.speakers import Clusters, cluster
from cleser.evaluation.variance import Metric


class Measure(NamedTuple):
    """A metric of a run's predictions.

    Attributes:
        clusters: What it is computed from, by speaker and seed.
        metric: The metric.
        bounds: Least and greatest value that it can take.
    """

    clusters: Clusters
    metric: Metric
    bounds: tuple[float, float] = (0.0, 1.0)


class Truths(NamedTuple):
    """What a metric takes for right.

    Attributes:
        words: What it is.
        columns: Columns of predictions that hold it.
        missing: What stands where nobody knows.
    """

    words: str
    columns: list[str]
    missing: float | str


def truths_of(metric: str, classes: Sequence[str], attributes: Sequence[str]) -> Truths:
    """What one of :func:`measures` takes for right.

    >>> truths_of("kl", ["anger"], []).columns, truths_of("rmse_arousal", [], ["arousal", "valence"]).columns
    (['votes.anger'], ['arousal'])
    """
    if metric in METRICS:
        return Truths("the emotions", ["emotion"], "")
    if metric in MULTI_LABEL_METRICS:
        columns = [f"true_{name}" for name in classes]
        return Truths("the emotions by share of votes (--vote-threshold)", columns, "")
    if metric in OF_VOTES:
        return Truths("the annotators' votes", [f"votes.{name}" for name in classes], 0.0)
    columns = [name for name in attributes if metric in ("ccc", f"ccc_{name}", f"rmse_{name}")]
    return Truths(f"the truths of {', '.join(columns)}", columns, math.inf)


def measures(
    predictions: pd.DataFrame, classes: Sequence[str], attributes: Sequence[str]
) -> dict[str, Measure]:
    """Metrics by name.

    Args:
        predictions: Rows of ``predictions.parquet``.
        classes: The emotions that were told apart, may be none: ``uar, macro_f1, accuracy``, and where
            annotators' votes are known ``kl, soft_accuracy``, and where several at once were recognised
            ``multi_label_f1, average_precision, exact_match``.
        attributes: The predicted attributes, may be none: ``ccc``, their mean, and ``ccc_arousal, rmse_arousal`` and
            so on.
    """
    found: dict[str, Measure] = {}
    if classes:
        confusions = cluster(predictions, list(classes))
        found |= {name: Measure(confusions, metric) for name, metric in METRICS.items()}
    voted = vote_sums(predictions, classes) if classes else None
    if voted is not None:
        found["kl"] = Measure(voted, kl_divergence, (0.0, np.inf))
        found["soft_accuracy"] = Measure(voted, soft_accuracy)
    several = multi_label_counts(predictions, classes) if classes else None
    if several is not None:
        found |= {name: Measure(several, metric) for name, metric in MULTI_LABEL_METRICS.items()}
    if attributes:
        found["ccc"] = Measure(moments(predictions, attributes), mean_ccc, (-1.0, 1.0))
    for name in attributes:
        own = moments(predictions, [name])
        found[f"ccc_{name}"] = Measure(own, ccc, (-1.0, 1.0))
        found[f"rmse_{name}"] = Measure(own, rmse, (0.0, np.inf))
    return found
