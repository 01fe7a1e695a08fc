"""Moments of a stream of items in all layers of a model: enough for covariances and their unbiased norms."""

from __future__ import annotations

import torch
from torch import Tensor


class LayerMoments:
    r"""Sums over items x of L layers, from which mean, covariance and the norm of the true covariance follow.

    With x taken from a fixed point near the mean (``origin``, so that differences keep their digits) and
    :math:`a = \lVert x \rVert^2`: the number of items, :math:`\sum x`, :math:`\sum x x^\top`, :math:`\sum a x` and
    :math:`\sum a^2`.

    Args:
        origin: [L, D].
        dtype: Type of the sums, which are L·D² numbers.
    """

    def __init__(self, origin: Tensor, dtype: torch.dtype = torch.float64) -> None:
        self.origin = origin.to(dtype)
        layers, dim = origin.shape
        self.count = 0
        self.first = self.origin.new_zeros(layers, dim)
        self.products = self.origin.new_zeros(layers, dim, dim)
        self.weighted = self.origin.new_zeros(layers, dim)
        self.squares = self.origin.new_zeros(layers)

    def update(self, layers: Tensor) -> None:
        """Add items [L, N, D]."""
        x = layers.to(self.origin) - self.origin[:, None]
        a = x.square().sum(-1)
        self.count += x.shape[1]
        self.first += x.sum(1)
        self.products.baddbmm_(x.mT, x)
        self.weighted += (a[..., None] * x).sum(1)
        self.squares += a.square().sum(1)

    def add(self, other: LayerMoments) -> None:
        """Add another stream's items, of the same origin."""
        self.count += other.count
        for name in ("first", "products", "weighted", "squares"):
            getattr(self, name).add_(getattr(other, name))

    def mean(self) -> Tensor:
        """Mean of the items in each layer, [L, D]."""
        return self.origin + self.first / self.count

    def covariance(self) -> Tensor:
        """C [L, D, D], divided by n − 1."""
        outer = self.first[..., None] * self.first[:, None]
        return (self.products - outer / self.count) / (self.count - 1)

    def unbiased_norm(self) -> Tensor:
        r"""An unbiased estimate of :math:`\lVert \Sigma \rVert_F^2` [L], Σ the true covariance; NaN of under 4 items.

        The squared norm of a sample covariance is too large, by far when there are fewer items than dimensions. This
        is the unbiased HSIC (Song et al., 2012) of a linear kernel with itself, of which neither the Gram matrix
        [n, n] nor the items are needed.
        """
        n = self.count
        if n < 4:
            return torch.full_like(self.squares, torch.nan)
        trace = self.products.diagonal(dim1=-2, dim2=-1).sum(-1)
        through = (self.products @ self.first[..., None]).squeeze(-1)
        squared = self.products.square().sum((-2, -1)) - self.squares  # tr K̃K̃
        whole = self.first.square().sum(-1) - trace  # 1ᵀK̃1
        rows = (self.first * (through - 2 * self.weighted)).sum(-1) + self.squares  # 1ᵀK̃K̃1
        centred = squared + whole.square() / ((n - 1) * (n - 2)) - 2 * rows / (n - 2)
        return centred / (n * (n - 3))
