r"""Cross-entropy that learns little from well-recognised items and more from the others.

T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, *Focal Loss for Dense Object Detection*, ICCV 2017.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cleser.losses.blockwise import check_tensor, tensor_of
from cleser.ranks import sum_over_ranks
from cleser.relations import integer_column
from cleser.tracing import unseen


def focal_loss(
    logits: Tensor,
    labels: Any,
    *,
    gamma: float = 2.0,
    class_weights: Any = None,
    all_ranks: bool = True,
) -> Tensor:
    """The function of `FocalLoss`, whose arguments and result it shares.

    >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    >>> cross_entropy = focal_loss(logits, [0, 1], gamma=0.0)
    >>> bool(focal_loss(logits, [0, 1], gamma=2.0) < cross_entropy)  # what is known well counts less
    True
    """
    alpha = _checked(gamma, class_weights)
    check_tensor(logits, "logits are")
    y = torch.as_tensor(integer_column(labels, "labels"), device=logits.device).long()
    _check_batch(logits, y, alpha)
    with torch.autocast(logits.device.type, enabled=False):
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        known = y >= 0
        log_p = wide.log_softmax(1).gather(1, y.clamp_min(0)[:, None])[:, 0]
        # 1 − p without cancellation. It is zero only where p is one, and there a power below 1 has no derivative.
        missed = (0 - torch.expm1(log_p)).clamp_min(torch.finfo(wide.dtype).tiny)
        weights = torch.ones_like(log_p)
        if alpha is not None:
            weights = alpha.to(wide)[y.clamp_min(0)]
        weights = weights * known
        total = 0 - (weights * missed**gamma * log_p).sum()  # not −0
        whole = weights.sum()
    if all_ranks:
        total, whole = sum_over_ranks(total), sum_over_ranks(whole)
    return total / torch.where(whole > 0, whole, 1)


class FocalLoss(nn.Module):
    r"""Cross-entropy in which an item has less weight if it is already recognised well.

    .. math:: \mathcal{L} = \frac{-1}{\sum_{i \in I} \alpha_{y_i}}
              \sum_{i \in I} \alpha_{y_i} (1 - p_i)^\gamma \log p_i, \qquad
              p_i = \mathrm{softmax}(z_i)_{y_i}

    (As by Lin et al., of several classes instead of two, and as a mean over the items I whose label is known.) γ = 0
    is cross-entropy. Where no item with a weight is known, the loss is zero, with a zero gradient.

    Shapes:
        ``logits`` [N, K], ``labels`` [N]; result [].

    Args:
        gamma: γ, at least 0.
        class_weights: α [K], at least 0, as a tensor, an array or a list; by default all classes count alike.
        all_ranks: Under `torch.distributed`, the mean is over the items of all ranks (`cleser.ranks`).

    Raises:
        ValueError: γ or a weight is negative, shapes do not fit, or a label is not from −1 to K − 1; labels are not
            checked on a GPU, under `torch.compile` or in a transform of `torch.func`.

    >>> loss = FocalLoss(gamma=2.0)
    >>> round(loss(torch.zeros(2, 2), [1, -1]).item(), 4)  # (1 − 1/2)² log 2
    0.1733
    """

    class_weights: Tensor | None

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        class_weights: Any = None,
        all_ranks: bool = True,
    ) -> None:
        super().__init__()
        self.gamma, self.all_ranks = gamma, all_ranks
        self.register_buffer("class_weights", _checked(gamma, class_weights), persistent=False)

    def forward(self, logits: Tensor, labels: Any) -> Tensor:
        """The loss of a batch.

        Args:
            logits: z [N, K].
            labels: y, integers [N], as a tensor, an array, a list or a column; −1 is unknown.
        """
        return focal_loss(
            logits, labels, gamma=self.gamma, class_weights=self.class_weights,
            all_ranks=self.all_ranks,
        )  # fmt: skip


def _checked(gamma: float, class_weights: Any) -> Tensor | None:
    """The weights as a tensor."""
    if not gamma >= 0:
        raise ValueError(f"gamma is {gamma}, expected at least 0")
    if class_weights is None:
        return None
    weights = tensor_of(class_weights)
    if weights.ndim != 1:
        raise ValueError(f"class_weights have shape {tuple(weights.shape)}, expected [classes]")
    if not unseen(weights) and not bool((weights >= 0).all()):
        raise ValueError(f"class_weights are {weights.tolist()}, expected at least 0")
    return weights


def _check_batch(logits: Tensor, labels: Tensor, class_weights: Tensor | None) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)}, labels {tuple(labels.shape)}: "
            "expected [items, classes] and [items]"
        )
    classes = logits.shape[1]
    if class_weights is not None and len(class_weights) != classes:
        raise ValueError(f"found {len(class_weights)} class_weights, expected {classes}")
    if unseen(labels):
        return  # on a device the loss asserts
    if len(labels) and not -1 <= labels.min() <= labels.max() < classes:
        found = f"{int(labels.min())} to {int(labels.max())}"
        raise ValueError(f"labels are {found}, expected −1 to {classes - 1}")
