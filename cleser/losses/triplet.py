r"""Triplet loss over relations, exact over all triplets in O(N²) memory.

F. Schroff, D. Kalenichenko, J. Philbin, *FaceNet: A Unified Embedding for Face Recognition and Clustering*, CVPR 2015,
Eq. 3; A. Hermans, L. Beyer, B. Leibe, *In Defense of the Triplet Loss for Person Re-Identification*, 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from cleser.losses.blockwise import Block, Pairs, Rule, inner, mean_over_anchors, oriented, pair
from cleser.losses.mining import SELECTIONS, Triplets, all_triplets, soft_triplets
from cleser.losses.violations import count_violations
from cleser.ranks import world
from cleser.relations import Labels, Relation, checked_relation

Mining = Literal["all", "hard", "semihard", "soft"]


def relational_triplet_loss(
    embeddings: Tensor,
    labels: Labels,
    ref_embeddings: Tensor | None = None,
    ref_labels: Labels | None = None,
    *,
    positive: Relation,
    negative: Relation,
    anchors: Tensor | None = None,
    margin: float = 0.2,
    mining: Mining = "all",
    sharpness: float = 10.0,
    distance: Any = None,
    reducer: Any = None,
    all_ranks: bool = True,
) -> Tensor:
    """The function of `RelationalTripletLoss`, whose arguments and result it shares.

    >>> from cleser.relations import differ, same
    >>> x = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> labels = {"emotion": [0, 0, 1], "language": [0, 1, 1]}
    >>> positive, negative = same("emotion") & differ("language"), differ("emotion")
    >>> round(relational_triplet_loss(x, labels, positive=positive, negative=negative, margin=0.5).item(), 4)
    0.7
    """
    mined = _Mining(positive, negative, margin, mining, sharpness)
    mined.check()
    pairs = pair(
        embeddings, labels, ref_embeddings, ref_labels, anchors=anchors,
        names=(positive & negative).names, cosine=distance is None, all_ranks=all_ranks,
    )  # fmt: skip
    similarity = inner if distance is None else oriented(distance)
    if reducer is not None and not _averages_violations(reducer):
        if all_ranks and world() > 1:
            raise ValueError(
                f"{type(reducer).__name__} reduces one rank alone: set all_ranks=False"
            )
        everyone = slice(0, len(pairs.anchors))
        with torch.autocast(pairs.anchors.device.type, enabled=False):
            block = pairs.block(everyone, similarity(pairs.anchors, pairs.candidates))
            return mined.reduced(reducer, block, pairs)
    return mean_over_anchors(pairs, mined.rule(), similarity=similarity, all_ranks=all_ranks)


class RelationalTripletLoss(nn.Module):
    r"""Pull each anchor's positives closer than its negatives; relations say which items these are.

    .. math::

        \mathcal{L} = \frac{1}{|V|} \sum_{(a, p, n) \in V} \big( s(a, n) - s(a, p) + m \big), \qquad
        V = \{(a, p, n) : s(a, n) - s(a, p) + m > 0\}

    over the triplets that ``mining`` admits (`cleser.losses.mining`), with s the cosine similarity: Eq. 3 of Schroff
    et al. (2015), averaged over violating triplets as Hermans et al. (2017) recommend. With ``"all"`` the value and the
    gradient are exact although no triplet is listed (`cleser.losses.violations`). ``"soft"`` averages over anchors.

    Shapes:
        ``embeddings`` [N, D] and each label [N]; ``ref_embeddings`` [M, D] and each of their labels [M]; result [].

    Args:
        positive: Which items attract an anchor.
        negative: Which items repel it.
        margin: The margin m.
        mining: ``"all"``, ``"hard"``, ``"semihard"`` or ``"soft"``.
        sharpness: κ of soft mining; the larger, the more do the most violated triplets outweigh the others.
        distance: A distance object of pytorch-metric-learning; cosine similarity if None.
        reducer: A reducer object of pytorch-metric-learning, which gets a loss per triplet (per anchor under soft
            mining) and, where it asks for labels, those of the first name in ``positive``. All but
            ``AvgNonZeroReducer``, which is what None means, have every triplet listed: with mining ``"all"`` that is
            memory O(N³). Over several ranks a reducer needs ``all_ranks=False``.
        all_ranks: Under `torch.distributed`, take the items of all ranks as one batch (`cleser.ranks`).

    Raises:
        ValueError: An argument is out of range.

    NaN among the embeddings that take part makes the loss NaN, and among the others its gradient (with ``"all"`` the
    loss, too): leave such items out. Without a triplet the loss is zero, with a zero gradient.

    >>> import torch
    >>> from cleser.relations import differ, same
    >>> loss = RelationalTripletLoss(same("emotion") & differ("language"), differ("emotion"), margin=0.5)
    >>> embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> labels = {"emotion": [0, 0, 1], "language": [0, 1, 1]}
    >>> round(loss(embeddings, labels).item(), 4)  # anchor 1: 0.8 − 0.6 + 0.5; anchor 0 violates nothing
    0.7
    """

    def __init__(
        self,
        positive: Relation,
        negative: Relation,
        *,
        margin: float = 0.2,
        mining: Mining = "all",
        sharpness: float = 10.0,
        distance: Any = None,
        reducer: Any = None,
        all_ranks: bool = True,
    ) -> None:
        super().__init__()
        _Mining(positive, negative, margin, mining, sharpness).check()
        self.positive, self.negative = positive, negative
        self.margin, self.mining, self.sharpness = margin, mining, sharpness
        self.distance, self.reducer, self.all_ranks = distance, reducer, all_ranks

    def forward(
        self,
        embeddings: Tensor,
        labels: Labels,
        ref_embeddings: Tensor | None = None,
        ref_labels: Labels | None = None,
        *,
        anchors: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch.

        Args:
            embeddings: [N, D], of any length.
            labels: Name → integers [N]; −1 is unknown.
            ref_embeddings: Positives and negatives come from here, [M, D]; by default from the batch itself, in which
                no item is paired with itself (nor where these are the very tensor ``embeddings``).
            ref_labels: Their labels.
            anchors: Which items may be anchors, bool [N]; by default all.

        Raises:
            ValueError: Shapes do not fit, or a label is missing.
        """
        return relational_triplet_loss(
            embeddings, labels, ref_embeddings, ref_labels, anchors=anchors,
            positive=self.positive, negative=self.negative, margin=self.margin, mining=self.mining,
            sharpness=self.sharpness, distance=self.distance, reducer=self.reducer, all_ranks=self.all_ranks,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """The relations and what differs from loss to loss."""
        return (
            f"positive={self.positive}, negative={self.negative}, "
            f"margin={self.margin}, mining={self.mining!r}"
        )


@dataclass(frozen=True)
class _Mining:
    """Which triplets count, and how much: what the function and the class of the loss are given alike."""

    positive: Relation
    negative: Relation
    margin: float
    mining: Mining
    sharpness: float

    def check(self) -> None:
        """Raise a ValueError if an argument is out of range."""
        checked_relation(self.positive, "positive")
        checked_relation(self.negative, "negative")
        if self.mining not in get_args(Mining):
            raise ValueError(f"mining is {self.mining!r}, expected one of {get_args(Mining)}")
        if not self.margin >= 0:
            raise ValueError(f"margin is {self.margin}, expected a number of at least 0")
        if not self.sharpness > 0:
            raise ValueError(f"sharpness is {self.sharpness}, expected a positive number")

    def rule(self) -> Rule:
        """What a block of anchors adds to the loss."""
        positive, negative, margin = self.positive, self.negative, self.margin
        if self.mining == "all":
            disjoint = not (positive & negative).can_hold()

            def rule(block: Block) -> tuple[Tensor, Tensor]:
                s = block.similarity
                counts, number = count_violations(
                    s, block.where(positive), block.where(negative), margin, disjoint=disjoint
                )
                margins = (margin * number).to(s.dtype)
                return torch.dot(counts.flatten(), s.flatten()) + margins, number

        elif self.mining == "soft":
            sharpness = self.sharpness

            def rule(block: Block) -> tuple[Tensor, Tensor]:
                masks = block.where(positive), block.where(negative)
                losses, has = soft_triplets(block.similarity, *masks, margin, sharpness)
                return losses.sum(), has.sum()

        else:
            select = SELECTIONS[self.mining]

            def rule(block: Block) -> tuple[Tensor, Tensor]:
                masks = block.where(positive), block.where(negative)
                hinge = select(block.similarity, *masks).violations(block.similarity, margin).relu()
                return hinge.sum(), (hinge > 0).sum()

        return rule

    def reduced(self, reducer: Any, block: Block, pairs: Pairs) -> Tensor:
        """The loss by a reducer of pytorch-metric-learning, which wants losses one by one."""
        s, masks = block.similarity, (block.where(self.positive), block.where(self.negative))
        if self.mining == "soft":
            losses, has = soft_triplets(s, *masks, self.margin, self.sharpness)
            indices: Tensor | Triplets = has.nonzero().squeeze(1)
            found, kind = losses[indices], "element"
        else:
            select = SELECTIONS.get(self.mining)
            indices = all_triplets(*masks) if select is None else select(s, *masks).triplets()
            anchor, p, n = indices
            found = (s[anchor, n] - s[anchor, p] + self.margin).relu()
            kind = "triplet"
        if not len(found):
            return pairs.zero()
        entry = {"losses": found, "indices": indices, "reduction_type": kind}
        labels = pairs.labels[self.positive.names[0]]
        reduced: Tensor = reducer({"loss": entry}, pairs.anchors, labels)
        return reduced


def _averages_violations(reducer: Any) -> bool:
    """Whether it is that library's own ``AvgNonZeroReducer``, and not one that somebody calls so."""
    kind = type(reducer)
    library = kind.__module__.partition(".")[0]
    return library == "pytorch_metric_learning" and kind.__name__ == "AvgNonZeroReducer"
