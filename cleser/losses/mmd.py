r"""Maximum mean discrepancy with several kernels at once.

A. Gretton et al., *A Kernel Two-Sample Test*, JMLR 13, 2012, Eq. 5 and Lemma 6; M. Long et al., *Learning Transferable
Features with Deep Adaptation Networks*, ICML 2015.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cleser.losses.coral import check_sides, widen
from cleser.ranks import gather_items


def mmd(
    source: Tensor,
    target: Tensor,
    *,
    bandwidths: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0),
    unbiased: bool = False,
    all_ranks: bool = True,
) -> Tensor:
    r"""Squared maximum mean discrepancy under a mean of Gaussian kernels.

    .. math::

        \mathcal{L} = \frac{1}{N^2} \sum_{ij} k(x_i, x_j) + \frac{1}{M^2} \sum_{ij} k(y_i, y_j)
                      - \frac{2}{NM} \sum_{ij} k(x_i, y_j), \qquad
        k(x, y) = \frac{1}{B} \sum_b e^{-\lVert x - y \rVert^2 / (b \sigma^2)}

    with σ² the mean squared distance between different items of both sets, as a constant (Gretton et al., Eq. 5). The
    unbiased estimate leaves i = j out of the first two means (Lemma 6), and may be negative.

    Args:
        source: x [..., N, D]; leading dimensions, such as layers, are separate problems.
        target: y [..., M, D].
        bandwidths: Multiples b of the mean squared distance.
        unbiased: Leave items' similarity to themselves out.
        all_ranks: Under `torch.distributed`, take the items of all ranks as one set (`cleser.ranks`).

    Returns:
        [...]: zero, with a zero gradient, where a set is empty (or, unbiased, has one item).

    Raises:
        ValueError: Shapes do not fit, or a bandwidth is not positive.

    >>> x = torch.tensor([[0.0], [1.0]])
    >>> mmd(x, x).item()
    0.0
    """
    check_sides(source, target)
    _check(bandwidths)
    if all_ranks:
        source, target = gather_items(source), gather_items(target)
    n, m = source.shape[-2], target.shape[-2]
    with torch.autocast(source.device.type, enabled=False):
        x, y = widen(source), widen(target)
        if min(n, m) < (2 if unbiased else 1):
            return x[..., :0, :].sum((-2, -1)) + y[..., :0, :].sum((-2, -1))
        distances = _squared_distances(torch.cat([x, y], dim=-2))
        scale = distances.detach().sum((-2, -1), keepdim=True) / ((n + m) * (n + m - 1))
        # Where all items are the same, so are all kernels' values, whatever the scale.
        scaled = distances / torch.where(scale > 0, scale, 1)
        kernel = torch.stack([torch.exp(-scaled / b) for b in bandwidths]).mean(0)
        within = [
            _mean_within(kernel[..., :n, :n], unbiased),
            _mean_within(kernel[..., n:, n:], unbiased),
        ]
        return within[0] + within[1] - 2 * kernel[..., :n, n:].mean((-2, -1))


class MmdLoss(nn.Module):
    """`mmd` of two batches, whose arguments it shares.

    Shapes:
        ``source`` [N, D], ``target`` [M, D]; result [].

    >>> MmdLoss(unbiased=True)(torch.eye(3), torch.eye(3)).item() < 0
    True
    """

    def __init__(
        self,
        *,
        bandwidths: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0),
        unbiased: bool = False,
        all_ranks: bool = True,
    ) -> None:
        super().__init__()
        _check(bandwidths)
        self.bandwidths, self.unbiased, self.all_ranks = tuple(bandwidths), unbiased, all_ranks

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch of each side."""
        return mmd(
            source,
            target,
            bandwidths=self.bandwidths,
            unbiased=self.unbiased,
            all_ranks=self.all_ranks,
        )

    def extra_repr(self) -> str:
        """The kernels."""
        return f"bandwidths={self.bandwidths}, unbiased={self.unbiased}"


def _check(bandwidths: Sequence[float]) -> None:
    if not bandwidths or not all(b > 0 for b in bandwidths):
        raise ValueError(f"bandwidths are {tuple(bandwidths)}, expected positive numbers")


def _squared_distances(x: Tensor) -> Tensor:
    # Of centred items inner products cancel less.
    x = x - x.mean(-2, keepdim=True)
    norms = x.square().sum(-1)
    distances = norms[..., :, None] + norms[..., None, :] - 2 * x @ x.mT
    own = torch.eye(x.shape[-2], dtype=torch.bool, device=x.device)
    return distances.clamp_min(0).masked_fill(own, 0)


def _mean_within(kernel: Tensor, unbiased: bool) -> Tensor:
    n = kernel.shape[-1]
    if not unbiased:
        return kernel.mean((-2, -1))
    return (kernel.sum((-2, -1)) - n) / (n * (n - 1))
