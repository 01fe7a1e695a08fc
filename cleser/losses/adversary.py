r"""Adversaries: classifiers of what embeddings should not contain, whose reversed gradient removes it from them.

Y. Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 17(59), 2016; J. Mi, D. Ma, T. Toda, *Learning
Emotion-discriminative Representations for Zero-Shot Cross-Lingual Speech Emotion Recognition*, Interspeech 2026,
Eqs. 9–10.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cleser.losses.blockwise import check_floats
from cleser.losses.gradient_reversal import GradientReversal, Schedule
from cleser.ranks import sum_over_ranks
from cleser.relations import integer_column
from cleser.tracing import unseen


class Adversary(nn.Module):
    r"""Cross-entropy of a classifier behind a gradient reversal.

    .. math::

        z_i = W_2 \operatorname{Dropout}(\operatorname{ReLU}(W_1 R_\lambda(h_i) + b_1)) + b_2, \qquad
        \mathcal{L} = \frac{1}{|K|} \sum_{i \in K} -\log \operatorname{softmax}(z_i)_{y_i}

    (Eqs. 9–10 of Mi et al.) over the items K whose label is known. The classifier's own parameters descend on the loss,
    the embeddings ascend λ times as fast.

    Shapes:
        ``embeddings`` [N, D], ``labels`` [N]; result [].

    Args:
        dim: Channels D of an embedding.
        n_classes: Number of classes.
        hidden: Width of the hidden layer.
        dropout: Dropout after the hidden layer.
        schedule: λ, a number or a schedule such as `Warmup`.
        all_ranks: Under `torch.distributed`, take the mean over the items of all ranks (`cleser.ranks`).

    Raises:
        ValueError: ``n_classes`` is below 1, shapes do not fit, embeddings are no floats, or a label is not from −1 to
            ``n_classes`` − 1; labels are not checked on a GPU, under `torch.compile` or in a transform of `torch.func`.

    >>> adversary = Adversary(4, n_classes=2, hidden=8)
    >>> loss = adversary(torch.randn(6, 4, requires_grad=True), torch.tensor([0, 1, 0, 1, -1, -1]))  # two are unknown
    >>> loss.shape, adversary.training
    (torch.Size([]), True)
    """

    def __init__(
        self,
        dim: int,
        n_classes: int,
        *,
        hidden: int = 256,
        dropout: float = 0.1,
        schedule: float | Schedule = 1.0,
        all_ranks: bool = True,
    ) -> None:
        super().__init__()
        if n_classes < 1:
            raise ValueError(f"the adversary has {n_classes} classes, expected at least 1")
        self.dim, self.n_classes, self.all_ranks = dim, n_classes, all_ranks
        self.reversal = GradientReversal(schedule)
        self.classifier = nn.Sequential(
            nn.Linear(dim, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, n_classes)
        )

    def logits(self, embeddings: Tensor) -> Tensor:
        """Z [N, n_classes] of embeddings [N, D]."""
        logits: Tensor = self.classifier(self.reversal(embeddings))
        return logits

    def forward(self, embeddings: Tensor, labels: Any) -> Tensor:
        """The mean cross-entropy over items whose label is known.

        Args:
            embeddings: h [N, D].
            labels: Integers [N], as a tensor, an array, a list or a column; −1 is unknown, and contributes nothing.
        """
        check_floats(embeddings, "embeddings are")
        labels = torch.as_tensor(integer_column(labels, "labels"), device=embeddings.device)
        self._check(embeddings, labels)
        logits = self.logits(embeddings)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        losses = cross_entropy(wide, labels.long(), ignore_index=-1, reduction="sum")
        count = (labels >= 0).sum()
        if self.all_ranks:
            losses, count = sum_over_ranks(losses), sum_over_ranks(count)
        mean: Tensor = losses / count.clamp_min(1)
        return mean

    def _check(self, embeddings: Tensor, labels: Tensor) -> None:
        if embeddings.ndim != 2 or embeddings.shape[1] != self.dim:
            shape = tuple(embeddings.shape)
            raise ValueError(f"embeddings have shape {shape}, expected [items, {self.dim}]")
        if labels.shape != embeddings.shape[:1]:
            raise ValueError(
                f"labels have shape {tuple(labels.shape)}, expected ({len(embeddings)},)"
            )
        if unseen(labels):
            return  # on a device the loss asserts
        if len(labels) and not -1 <= labels.min() <= labels.max() < self.n_classes:
            found = f"{int(labels.min())} to {int(labels.max())}"
            raise ValueError(f"labels are {found}, expected −1 to {self.n_classes - 1}")


class SpeakerAdversary(Adversary):
    """An `Adversary` that recognises speakers: embeddings learn to forget who speaks (Mi et al., Eqs. 9–10).

    >>> adversary = SpeakerAdversary(4, 2, hidden=8)
    >>> adversary(torch.ones(3, 4), torch.tensor([-1, -1, -1])).item()  # unknown speakers contribute nothing
    0.0
    """

    def __init__(
        self,
        dim: int,
        n_speakers: int,
        *,
        hidden: int = 256,
        dropout: float = 0.1,
        schedule: float | Schedule = 1.0,
        all_ranks: bool = True,
    ) -> None:
        super().__init__(
            dim, n_speakers, hidden=hidden, dropout=dropout, schedule=schedule, all_ranks=all_ranks
        )


class DomainAdversary(Adversary):
    """An `Adversary` that recognises languages, corpora or domains: DANN (Ganin et al., 2016).

    Without emotion labels, target utterances take part too.

    >>> adversary = DomainAdversary(4, hidden=8)
    >>> x = torch.randn(6, 4, requires_grad=True)
    >>> adversary(x, torch.tensor([0, 0, 0, 1, 1, 1])).backward()
    >>> x.grad.shape
    torch.Size([6, 4])
    """

    def __init__(
        self,
        dim: int,
        n_domains: int = 2,
        *,
        hidden: int = 256,
        dropout: float = 0.1,
        schedule: float | Schedule = 1.0,
        all_ranks: bool = True,
    ) -> None:
        super().__init__(
            dim, n_domains, hidden=hidden, dropout=dropout, schedule=schedule, all_ranks=all_ranks
        )
