r"""Several emotions of an utterance at once, told apart from those that it does not have.

With the share :math:`q_{ik}` of annotators' votes for class k of utterance i, the utterance has the emotions

.. math:: y_{ik} = [q_{ik} \ge \theta], \qquad \theta = 1 / K \text{ by default}.
   :label: has-emotion

At the default no emotion that more annotators chose than would by chance is left out, and every utterance has at least
one. The network learns each class by itself: with logits :math:`z_{ik}`, the loss of an utterance is

.. math:: \mathcal{L}_i = -\frac1K \sum_k \big( y_{ik} \log \sigma(z_{ik}) + (1 - y_{ik}) \log \sigma(-z_{ik}) \big)
   :label: multi-label-loss

and the probability of each emotion is :math:`\sigma(z_{ik})`, the sigmoid; these do not sum to one.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

_ROUNDING: Final = 1e-6  # of a share of votes in single precision


def vote_shares(votes: Tensor, emotion: Tensor) -> Tensor:
    """Shares of votes [N, K]; all for the emotion [N] where nobody voted, and none where that is unknown too (−1).

    >>> vote_shares(torch.tensor([[3.0, 1.0], [0.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1, -1])).tolist()
    [[0.75, 0.25], [0.0, 1.0], [0.0, 0.0]]
    """
    whole = votes.sum(1, keepdim=True)
    one = nn.functional.one_hot(emotion.clamp_min(0), votes.shape[1]).to(votes)
    one = one * (emotion >= 0)[:, None]
    return torch.where(whole > 0, votes / whole.clamp_min(1e-9), one)


def has_emotions(shares: Tensor, threshold: float) -> Tensor:
    """Which emotions utterances have, :eq:`has-emotion`, bool [N, K]; none where nothing is known.

    Args:
        shares: q, as of `vote_shares`, [N, K].
        threshold: The threshold θ.

    >>> has_emotions(torch.tensor([[0.6, 0.2, 0.2], [0.0, 0.0, 0.0]]), 0.2).tolist()
    [[True, True, True], [False, False, False]]
    """
    return shares >= threshold - _ROUNDING


def multi_label_losses(logits: Tensor, has: Tensor) -> Tensor:
    """The loss of each utterance, :eq:`multi-label-loss`, [N]; zero where it has no emotion, which is then unknown.

    Args:
        logits: z [N, K].
        has: y [N, K].

    >>> multi_label_losses(torch.zeros(1, 2), torch.tensor([[True, False]])).item()  # log 2
    0.6931471824645996
    """
    losses = nn.functional.binary_cross_entropy_with_logits(
        logits, has.to(logits), reduction="none"
    )
    return losses.mean(1) * has.any(1)
