r"""How well predicted probabilities agree with the shares of annotators' votes.

With the share :math:`q_{ik}` of votes for class k of utterance i, and the predicted probability :math:`p_{ik}`,

.. math::

    \mathrm{KL} = \frac1N \sum_i \sum_k q_{ik} \log \frac{q_{ik}}{p_{ik}}, \qquad
    \text{soft accuracy} = \frac1N \sum_i \sum_k \min(q_{ik}, p_{ik}).

Soft accuracy is one minus the total variation distance: the share of votes that the probabilities agree with. If votes
and probabilities have one class each, it is plain accuracy. Votes for classes outside the protocol are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cleser.evaluation.concordance import ClusterMoments
from cleser.evaluation.metrics import Counts, Floats, ratio
from cleser.evaluation.speakers import grouping

_LEAST = 1e-12  # probability, so that a logarithm is finite


def agreement_with_votes(votes: Floats, probabilities: Floats) -> Floats:
    """KL divergence and overlap of each of N utterances, [N, 2].

    Args:
        votes: [N, K], some of each.
        probabilities: [N, K].

    >>> agreement_with_votes(np.array([[1, 1]]), np.array([[0.5, 0.5]])).tolist()
    [[0.0, 1.0]]
    """
    q = votes / votes.sum(1, keepdims=True)
    p = np.maximum(probabilities, _LEAST)
    kl = (q * np.log(np.where(q > 0, q, 1) / p)).sum(1)
    return np.stack([kl, np.minimum(q, probabilities).sum(1)], 1)


def vote_sums(predictions: pd.DataFrame, classes: Sequence[str]) -> ClusterMoments | None:
    """Sums [S, G, 1, 3] by seed and speaker: utterances with votes, their KL divergences and their overlaps.

    Args:
        predictions: Rows with ``seed, utterance, speaker``, a probability ``p_<class>`` and votes ``votes.<class>``.
        classes: Names of the K classes.

    Returns:
        None where nobody voted.
    """
    columns = [f"votes.{name}" for name in classes]
    if not any(name in predictions for name in columns):
        return None
    votes = predictions.reindex(columns=columns).fillna(0.0).to_numpy(np.float64)
    voted = votes.sum(1) > 0
    if not voted.any():
        return None
    rows = predictions[voted]
    shares = rows[[f"p_{name}" for name in classes]].to_numpy(np.float64)
    found = agreement_with_votes(votes[voted], shares)
    groups = grouping(rows)
    sums = [groups.add_up(values) for values in (np.ones(len(rows)), *found.T)]
    return ClusterMoments.of(np.stack(sums, -1)[:, :, None], groups)


def kl_divergence(sums: Counts) -> Floats:
    """Mean KL divergence, [..., 1, 3] to [...]."""
    return ratio(sums[..., 0, 1], sums[..., 0, 0])


def soft_accuracy(sums: Counts) -> Floats:
    """Mean overlap, [..., 1, 3] to [...]."""
    return ratio(sums[..., 0, 2], sums[..., 0, 0])
