r"""Cross-entropy with the votes of several annotators instead of one class.

A. Ando et al., *Soft-Target Training with Ambiguous Emotional Utterances for DNN-Based Speech Emotion Classification*,
ICASSP 2018.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cleser.losses.blockwise import check_tensor, tensor_of
from cleser.ranks import sum_over_ranks
from cleser.tracing import unseen


def soft_cross_entropy(logits: Tensor, votes: Any, *, all_ranks: bool = True) -> Tensor:
    r"""Mean cross-entropy between shares of votes and predictions.

    .. math:: \mathcal{L} = -\frac{1}{|I|} \sum_{i \in I} \sum_k q_{ik} \log \mathrm{softmax}(z_i)_k, \qquad
              q_{ik} = \frac{v_{ik}}{\sum_l v_{il}}

    I are the items with a vote; where there is none, the loss is zero, with a zero gradient.

    Args:
        logits: z [N, K].
        votes: v [N, K], at least 0: numbers of annotators, or shares, as a tensor, an array or a list. A row of zeros
            is an unknown label.
        all_ranks: Under `torch.distributed`, the mean is over the items of all ranks (`cleser.ranks`).

    Returns:
        [].

    Raises:
        ValueError: Shapes do not fit, or votes are negative or not finite, which is not checked on a GPU, under
            `torch.compile` or in a transform of `torch.func`.

    >>> votes = torch.tensor([[3, 1], [0, 0]])
    >>> round(soft_cross_entropy(torch.zeros(2, 2), votes).item(), 4)  # log 2
    0.6931
    """
    check_tensor(logits, "logits are")
    given = tensor_of(votes)
    if logits.ndim != 2 or logits.shape != given.shape:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)}, votes {tuple(given.shape)}: expected [items, classes] of both"
        )
    _check_votes(given)
    with torch.autocast(logits.device.type, enabled=False):
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        v = given.to(wide)
        whole = v.sum(1, keepdim=True)
        shares = v / torch.where(whole > 0, whole, 1)
        total, count = 0 - (shares * wide.log_softmax(1)).sum(), (whole > 0).sum()  # not −0
    if all_ranks:
        total, count = sum_over_ranks(total), sum_over_ranks(count)
    return total / count.clamp_min(1).to(total.dtype)


def _check_votes(votes: Tensor) -> None:
    if unseen(votes):
        return
    wrong = votes[~((votes >= 0) & votes.isfinite())]
    if len(wrong):
        raise ValueError(
            f"votes hold {wrong[0].item():g}, expected 0 or more, and finite; a row of zeros is an unknown label"
        )


class SoftCrossEntropy(nn.Module):
    """`soft_cross_entropy` as a module, whose argument it shares.

    Shapes:
        ``logits`` [N, K], ``votes`` [N, K]; result [].

    >>> round(SoftCrossEntropy()(torch.zeros(1, 4), torch.ones(1, 4)).item(), 4)  # log 4
    1.3863
    """

    def __init__(self, *, all_ranks: bool = True) -> None:
        super().__init__()
        self.all_ranks = all_ranks

    def forward(self, logits: Tensor, votes: Any) -> Tensor:
        """The loss of a batch."""
        return soft_cross_entropy(logits, votes, all_ranks=self.all_ranks)
