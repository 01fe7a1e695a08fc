r"""Which triplets of an anchor, a positive and a negative count.

==========  ====================================================================================================
all         every triplet
hard        each anchor with its least similar positive and its most similar negative (batch hard; A. Hermans,
            L. Beyer, B. Leibe, *In Defense of the Triplet Loss*, 2017, Eq. 5)
semihard    each positive pair with the most similar of the negatives that are less similar than the positive
            (F. Schroff, D. Kalenichenko, J. Philbin, *FaceNet*, CVPR 2015, Sec. 3.2)
soft        every triplet, weighted smoothly by how badly it is violated (see `soft_triplets`)
==========  ====================================================================================================

All are functions of the similarities [N, M] and the masks of positives and negatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

Triplets = tuple[Tensor, Tensor, Tensor]
"""Anchors' rows, positives' columns and negatives' columns, int64 [T] each."""


@dataclass(frozen=True)
class ChosenTriplets:
    """At most K triplets per anchor: columns of positives and of negatives [N, K], and which are triplets at all."""

    positives: Tensor
    negatives: Tensor
    valid: Tensor

    def violations(self, similarity: Tensor, margin: float) -> Tensor:
        """s(a, n) − s(a, p) + margin, zero where there is no triplet, [N, K]."""
        gap = similarity.gather(1, self.negatives) - similarity.gather(1, self.positives)
        return torch.where(self.valid, gap + margin, 0)

    def triplets(self) -> Triplets:
        """The same triplets as a list."""
        anchors, column = self.valid.nonzero(as_tuple=True)
        return anchors, self.positives[anchors, column], self.negatives[anchors, column]


def hard(similarity: Tensor, positive: Tensor, negative: Tensor) -> ChosenTriplets:
    """The least similar positive and the most similar negative of each anchor, K = 1."""
    detached = similarity.detach()
    return ChosenTriplets(
        detached.masked_fill(~positive, torch.inf).argmin(1, keepdim=True),
        detached.masked_fill(~negative, -torch.inf).argmax(1, keepdim=True),
        positive.any(1, keepdim=True) & negative.any(1, keepdim=True),
    )


def semihard(similarity: Tensor, positive: Tensor, negative: Tensor) -> ChosenTriplets:
    """For each positive the most similar of the negatives that are less similar, K = M."""
    detached = similarity.detach()
    values, order = detached.masked_fill(~negative, torch.inf).sort(dim=1)
    rank = torch.searchsorted(values, detached.contiguous()) - 1
    rank = torch.where(values[:, -1:].isnan(), similarity.shape[1] - 1, rank)  # NaN is not hidden
    columns = torch.arange(similarity.shape[1], device=similarity.device)
    return ChosenTriplets(
        columns.expand_as(rank), order.gather(1, rank.clamp_min(0)), positive & (rank >= 0)
    )


SELECTIONS = {"hard": hard, "semihard": semihard}


def all_triplets(positive: Tensor, negative: Tensor) -> Triplets:
    """Every triplet, listed: as many as there are, which grows with N³.

    >>> mask = torch.tensor([[False, True, False, False]])
    >>> [column.tolist() for column in all_triplets(mask, torch.tensor([[False, False, True, True]]))]
    [[0, 0], [1, 1], [2, 3]]
    """
    anchors, positives = positive.nonzero(as_tuple=True)
    columns = negative.nonzero(as_tuple=True)[1]
    number = negative.sum(1)
    first = (number.cumsum(0) - number)[anchors]
    # Each positive pair meets all negatives of its anchor, which lie next to each other in columns.
    repeats = number[anchors]
    pair = torch.repeat_interleave(repeats)
    within = torch.arange(len(pair), device=pair.device) - (repeats.cumsum(0) - repeats)[pair]
    return anchors[pair], positives[pair], columns[first[pair] + within]


def soft_triplets(
    similarity: Tensor, positive: Tensor, negative: Tensor, margin: float, sharpness: float
) -> tuple[Tensor, Tensor]:
    r"""A smooth loss per anchor [N] in which each triplet weighs by its violation, and which anchors have any.

    .. math::

        \ell_a = \frac{1}{\kappa} \log \Big( 1 + \frac{1}{|P_a| |N_a|}
                 \sum_{p \in P_a} \sum_{n \in N_a} e^{\kappa (s_{an} - s_{ap} + m)} \Big)

    This is Eq. 1 of Y. Sun et al., *Circle Loss*, CVPR 2020, divided by κ and with the mean over triplets in place of
    their sum, so that its size does not depend on the batch. The gradient gives each triplet a weight proportional to
    :math:`e^{\kappa h}` of its violation h. For κ → ∞ the loss is that of the hardest triplet (``hard``). The double
    sum is a product of two sums, hence O(N²).
    """
    away = torch.finfo(similarity.dtype).min / 4  # −inf would have a NaN gradient
    scaled = sharpness * similarity
    has = positive.any(1) & negative.any(1)
    worst_negative = _log_mean_exp(scaled.masked_fill(~negative, away), negative)
    worst_positive = _log_mean_exp((-scaled).masked_fill(~positive, away), positive)
    violation = torch.where(has, worst_negative + worst_positive, 0) + sharpness * margin
    return torch.where(has, softplus(violation) / sharpness, 0), has


def _log_mean_exp(values: Tensor, mask: Tensor) -> Tensor:
    return values.logsumexp(1) - mask.sum(1).clamp_min(1).to(values.dtype).log()
