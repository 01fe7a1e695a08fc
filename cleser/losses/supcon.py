r"""Supervised contrast that favours positives from other languages.

J. Mi, D. Ma, T. Toda, *Learning Emotion-discriminative Representations for Zero-Shot Cross-Lingual Speech Emotion
Recognition*, Interspeech 2026, Eqs. 7–8; with weight 1, P. Khosla et al., *Supervised Contrastive Learning*, NeurIPS
2020, Eq. 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cleser.losses.blockwise import Block, inner, mean_over_anchors, pair
from cleser.relations import Labels, Relation, checked_relation, differ, same

POSITIVE = same("emotion")
BOOST = same("emotion") & differ("language")


def cross_lingual_supcon(
    embeddings: Tensor,
    labels: Labels,
    ref_embeddings: Tensor | None = None,
    ref_labels: Labels | None = None,
    *,
    temperature: float = 0.07,
    cross_lingual_weight: float = 2.5,
    positive: Relation = POSITIVE,
    boost: Relation = BOOST,
    all_ranks: bool = True,
) -> Tensor:
    """The function of `CrossLingualSupCon`, whose arguments and result it shares.

    >>> from cleser.losses import CrossLingualSupCon
    >>> x = torch.randn(8, 4)
    >>> labels = {"emotion": [0, 1] * 4, "language": [0] * 4 + [1] * 4}
    >>> torch.equal(cross_lingual_supcon(x, labels), CrossLingualSupCon()(x, labels))
    True
    """
    _check(temperature, cross_lingual_weight, positive, boost)
    boosted = cross_lingual_weight != 1
    names = (positive & boost).names if boosted else positive.names
    pairs = pair(embeddings, labels, ref_embeddings, ref_labels, names=names, all_ranks=all_ranks)

    def logits(x: Tensor, r: Tensor) -> Tensor:
        y = x / temperature**0.5
        return inner(y, y if r is x else r / temperature**0.5)

    def rule(block: Block) -> tuple[Tensor, Tensor]:
        mask = block.where(positive)
        w = mask.to(block.similarity.dtype)
        number = whole = w.sum(1, keepdim=True)
        if boosted:
            w = torch.where(mask & block.where(boost), cross_lingual_weight, w)
            whole = w.sum(1, keepdim=True)
        has = (whole > 0) & (number < block.others)
        w *= torch.where(has, 1 / torch.where(has, whole, 1), 0)
        # An item is not in its own denominator; −inf · 0 would be NaN.
        away = torch.finfo(w.dtype).min / 4
        log_probability = block.without_self(away).log_softmax(1)
        return 0 - (w * log_probability).sum(), has.sum()  # not −0

    return mean_over_anchors(pairs, rule, similarity=logits, all_ranks=all_ranks)


class CrossLingualSupCon(nn.Module):
    r"""Gather an emotion's utterances, and those of other languages more strongly.

    .. math::

        \mathcal{L} = \frac{1}{|I|} \sum_{i \in I} \frac{-1}{\sum_{p \in P(i)} w_{ip}} \sum_{p \in P(i)} w_{ip}
            \log \frac{e^{\cos(h_i, h_p) / \tau}}{\sum_{a \ne i} e^{\cos(h_i, h_a) / \tau}}, \qquad
        w_{ip} = \begin{cases} \lambda & \text{if } \mathtt{boost} \text{ holds for } (i, p) \\
                 1 & \text{otherwise} \end{cases}

    (Eqs. 8 and 7 of Mi et al.; the normalisation by :math:`\sum w` is our interpretation.) I are the items that have a
    positive and, among the others, an item that is none; the denominator runs over all other items, those of unknown
    emotion included. With ``ref_embeddings`` positives and denominator come from them alone. λ = 1 is plain supervised
    contrast (Eq. 2 of Khosla et al.).

    If all others are positives, there is nothing to contrast them with: all log-probabilities are best at
    −log(N − 1), and a batch of one class would add that number and pull at nothing but differences between positives.
    Such an item counts as one without a positive (so in pytorch-metric-learning too).

    Above 1,024 items, rows are treated block by block and only [N, D] is kept for the backward pass: memory is linear
    in N.

    Shapes:
        ``embeddings`` [N, D] and each label [N]; ``ref_embeddings`` [M, D] and each of their labels [M]; result [].

    Args:
        temperature: The temperature τ.
        cross_lingual_weight: The weight λ of positives of another language.
        positive: Which items attract each other, by default ``same("emotion")``.
        boost: Which of them have the weight λ, by default ``same("emotion") & differ("language")``.
        all_ranks: Under `torch.distributed`, take the items of all ranks as one batch (`cleser.ranks`).

    Raises:
        ValueError: The temperature is not positive or the weight is negative.

    NaN among the embeddings makes the loss NaN. Without a positive, or of one class only, it is zero, with a zero
    gradient.

    >>> embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> labels = {"emotion": [0, 0, 1], "language": [0, 1, 1]}
    >>> loss = CrossLingualSupCon(temperature=1.0)
    >>> round(loss(embeddings, labels).item(), 4)  # (log 2 + log(1 + 1/e)) / 2
    0.5032
    """

    def __init__(
        self,
        *,
        temperature: float = 0.07,
        cross_lingual_weight: float = 2.5,
        positive: Relation = POSITIVE,
        boost: Relation = BOOST,
        all_ranks: bool = True,
    ) -> None:
        super().__init__()
        _check(temperature, cross_lingual_weight, positive, boost)
        self.temperature, self.cross_lingual_weight = temperature, cross_lingual_weight
        self.positive, self.boost, self.all_ranks = positive, boost, all_ranks

    def forward(
        self,
        embeddings: Tensor,
        labels: Labels,
        ref_embeddings: Tensor | None = None,
        ref_labels: Labels | None = None,
    ) -> Tensor:
        """The loss of a batch.

        Args:
            embeddings: h [N, D], of any length.
            labels: Name → integers [N]; −1 is unknown.
            ref_embeddings: Items to contrast with, [M, D]; by default the batch itself, in which no item is paired with
                itself (nor where these are the very tensor ``embeddings``).
            ref_labels: Their labels.

        Raises:
            ValueError: Shapes do not fit, or a label is missing.
        """
        return cross_lingual_supcon(
            embeddings, labels, ref_embeddings, ref_labels, temperature=self.temperature,
            cross_lingual_weight=self.cross_lingual_weight, positive=self.positive, boost=self.boost,
            all_ranks=self.all_ranks,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """What differs from loss to loss."""
        return (
            f"temperature={self.temperature}, cross_lingual_weight={self.cross_lingual_weight}, "
            f"positive={self.positive}, boost={self.boost}"
        )


def _check(temperature: float, weight: float, positive: Relation, boost: Relation) -> None:
    checked_relation(positive, "positive")
    checked_relation(boost, "boost")
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}, expected a positive number")
    if not weight >= 0:
        raise ValueError(f"cross_lingual_weight is {weight}, expected a number of at least 0")
