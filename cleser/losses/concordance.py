r"""Loss for numbers such as arousal: one minus the concordance of predicted and actual values.

From L. I. Lin, *A Concordance Correlation Coefficient to Evaluate Reproducibility*, Biometrics 45, 1989.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cleser.losses.blockwise import check_tensor, tensor_of
from cleser.ranks import gather


def concordance_loss(predicted: Tensor, actual: Any, *, all_ranks: bool = True) -> Tensor:
    r"""One minus the concordance correlation coefficient (CCC) of a batch, averaged over dimensions.

    .. math:: \mathcal{L} = 1 - \frac{2 s_{xy}}{s_x^2 + s_y^2 + (\bar x - \bar y)^2}

    with variances and covariance divided by N, as in Lin (1989). From 0, where both are equal, to 2.

    Args:
        predicted: x [N] or [N, D], D dimensions such as arousal, valence and dominance.
        actual: y, of the same shape, as a tensor, an array or a list.
        all_ranks: Under `torch.distributed`, take the items of all ranks as one batch (`cleser.ranks`).

    Returns:
        []. A dimension in which all x and y are one number has the loss 0, and so has a batch without items.

    Raises:
        ValueError: Shapes do not fit.

    >>> x = torch.tensor([1.0, 2.0, 3.0])
    >>> round(concordance_loss(x, x + 1).item(), 4)  # 1 - (4/3) / (2/3 + 2/3 + 1)
    0.4286
    """
    check_tensor(predicted, "predicted is")
    true = tensor_of(actual).to(predicted.device)
    if predicted.ndim not in (1, 2) or predicted.shape != true.shape:
        raise ValueError(
            f"predicted has shape {tuple(predicted.shape)}, actual {tuple(true.shape)}: "
            "expected [items] or [items, dimensions] of both"
        )
    if all_ranks:
        predicted, true = gather(predicted), gather(true)
    if not len(predicted):
        return predicted.sum()
    with torch.autocast(predicted.device.type, enabled=False):
        x = predicted.to(torch.promote_types(predicted.dtype, torch.float32))
        y = true.to(x)
        apart = (x.mean(0) - y.mean(0)).square()
        cx, cy = x - x.mean(0), y - y.mean(0)
        spread = cx.square().mean(0) + cy.square().mean(0) + apart
        # 1 − CCC = E(x − y)² / spread: nothing cancels where they agree.
        return ((x - y).square().mean(0) / torch.where(spread > 0, spread, 1)).mean()


class ConcordanceLoss(nn.Module):
    """`concordance_loss` as a module, whose argument it shares.

    Shapes:
        ``predicted`` [N] or [N, D], ``actual`` the same; result [].

    >>> ConcordanceLoss()(torch.eye(2), torch.eye(2)).item()
    0.0
    """

    def __init__(self, *, all_ranks: bool = True) -> None:
        super().__init__()
        self.all_ranks = all_ranks

    def forward(self, predicted: Tensor, actual: Any) -> Tensor:
        """The loss of a batch."""
        return concordance_loss(predicted, actual, all_ranks=self.all_ranks)
