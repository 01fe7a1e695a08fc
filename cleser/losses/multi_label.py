r"""Supervised contrast between items that have several labels each.

P. Zhang, M. Wu, *Multi-Label Supervised Contrastive Learning*, AAAI 2024; of one label an item, P. Khosla et al.,
*Supervised Contrastive Learning*, NeurIPS 2020, Eq. 2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cleser.losses.blockwise import Block, check_tensor, inner, mean_over_anchors, pair, tensor_of
from cleser.relations import Labels
from cleser.tracing import unseen


def multi_label_supcon(
    embeddings: Tensor, labels: Any, *, temperature: float = 0.07, all_ranks: bool = True
) -> Tensor:
    """The function of `MultiLabelSupCon`, whose arguments and result it shares.

    >>> x = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    >>> good = multi_label_supcon(x, [[1, 0], [1, 1], [0, 1]])  # neighbours share labels
    >>> bool(good < multi_label_supcon(x, [[1, 0], [0, 1], [1, 0]]))
    True
    """
    _check(temperature)
    columns = _columns(labels, embeddings)
    names = tuple(columns)
    pairs = pair(embeddings, columns, None, None, names=names, all_ranks=all_ranks)

    def logits(x: Tensor, r: Tensor) -> Tensor:
        y = x / temperature**0.5
        return inner(y, y if r is x else r / temperature**0.5)

    def rule(block: Block) -> tuple[Tensor, Tensor]:
        everyone = _stacked(block.labels, names, block.similarity)  # [M, K]
        own = everyone[block.items]  # [n, K]
        # How many others have each label of each anchor.
        shared = own * (everyone.sum(0) - own)
        has = (shared > 0) & (shared < block.others)
        weights = torch.where(has, own / shared.clamp_min(1), 0) @ everyone.T  # [n, M]
        weights.diagonal(block.items.start).fill_(0)
        away = torch.finfo(weights.dtype).min / 4  # as in `cross_lingual_supcon`
        log_probability = block.without_self(away).log_softmax(1)
        return 0 - (weights * log_probability).sum(), has.sum()  # not −0

    return mean_over_anchors(pairs, rule, similarity=logits, all_ranks=all_ranks)


class MultiLabelSupCon(nn.Module):
    r"""Pull items together that have labels in common; the more labels, the more strongly.

    Each label of each item is an anchor of its own, whose positives are the others that have this label:

    .. math::

        \mathcal{L} = \frac{1}{|A|} \sum_{(i, k) \in A} \frac{-1}{|P_k(i)|} \sum_{p \in P_k(i)}
            \log \frac{e^{\cos(h_i, h_p) / \tau}}{\sum_{a \ne i} e^{\cos(h_i, h_a) / \tau}}, \qquad
        P_k(i) = \{p \ne i : y_{pk} = 1\}

    A are the pairs of an item and one of its labels that some, but not all, of the others have. Two items with several
    labels in common are positives of each other once for each of them, and a rare label binds more strongly than a
    frequent one. Of one label an item this is supervised contrast, `CrossLingualSupCon` with weight 1.

    Shapes:
        ``embeddings`` [N, D], ``labels`` [N, K]; result [].

    Args:
        temperature: The temperature τ.
        all_ranks: Under `torch.distributed`, take the items of all ranks as one batch (`cleser.ranks`).

    Raises:
        ValueError: The temperature is not positive, shapes do not fit, or labels are not from −1 to 1, which is not
            checked on a GPU, under `torch.compile` or in a transform of `torch.func`.

    Without a positive, or where all share all labels, the loss is zero, with a zero gradient.

    >>> embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> labels = torch.tensor([[1, 1], [1, 0], [0, 0]])
    >>> loss = MultiLabelSupCon(temperature=1.0)
    >>> round(loss(embeddings, labels).item(), 4)  # (log 2 + log(1 + 1/e)) / 2
    0.5032
    """

    def __init__(self, *, temperature: float = 0.07, all_ranks: bool = True) -> None:
        super().__init__()
        _check(temperature)
        self.temperature, self.all_ranks = temperature, all_ranks

    def forward(self, embeddings: Tensor, labels: Any) -> Tensor:
        """The loss of a batch.

        Args:
            embeddings: h [N, D], of any length.
            labels: y, integers or bools [N, K]: 1 has the label, 0 has it not, −1 is unknown, which counts as not.
        """
        return multi_label_supcon(
            embeddings, labels, temperature=self.temperature, all_ranks=self.all_ranks
        )


def _check(temperature: float) -> None:
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}, expected more than 0")


def _columns(labels: Any, embeddings: Tensor) -> dict[str, Tensor]:
    """The labels by the number of their column, so that they are checked and gathered as those of other losses."""
    check_tensor(embeddings, "embeddings are")
    hot = tensor_of(labels).to(embeddings.device)
    if hot.ndim != 2 or not hot.shape[1] or len(hot) != len(embeddings):
        raise ValueError(
            f"labels have shape {tuple(hot.shape)}, expected [{len(embeddings)}, labels], 1 where an item has a label"
        )
    if not unseen(hot) and not bool(((hot >= -1) & (hot <= 1)).all()):
        raise ValueError("labels have values beyond −1 to 1, expected 1, 0 or −1 (unknown)")
    return {str(k): hot[:, k] for k in range(hot.shape[1])}


def _stacked(labels: Labels, names: tuple[str, ...], like: Tensor) -> Tensor:
    return torch.stack([labels[name] == 1 for name in names], 1).to(like.dtype)
