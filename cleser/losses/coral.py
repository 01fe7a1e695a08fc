r"""Correlation alignment: the distance between two sets' covariances.

From B. Sun, K. Saenko, *Deep CORAL: Correlation Alignment for Deep Domain Adaptation*, ECCV Workshops 2016, Eqs. 1–3.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cleser.losses.blockwise import check_floats
from cleser.ranks import gather, gather_items
from cleser.running_statistics import RunningStatistics


def coral(source: Tensor, target: Tensor, *, all_ranks: bool = True) -> Tensor:
    r"""Squared distance of covariances.

    .. math:: \mathcal{L} = \frac{1}{4 D^2} \lVert C_S - C_T \rVert_F^2, \qquad
              C = \frac{1}{n - 1} \sum_i (x_i - \bar x)(x_i - \bar x)^\top

    (Sun and Saenko, Eqs. 1–3.) With few items of many dimensions, covariances are never formed: of the matrix
    :math:`Z` of all centred items, each divided by :math:`\sqrt{n - 1}`, and signs σ (+ source, − target),
    :math:`\lVert C_S - C_T \rVert_F^2 = \sum_{ij} \sigma_i \sigma_j (z_i^\top z_j)^2`.

    Args:
        source: [..., N, D]; leading dimensions, such as layers, are separate problems.
        target: [..., M, D].
        all_ranks: Under `torch.distributed`, take the items of all ranks as one set (`cleser.ranks`).

    Returns:
        [...]: zero, with a zero gradient, where either set has fewer than two items.

    Raises:
        ValueError: Shapes do not fit.

    >>> x = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    >>> coral(x, 0 * x)  # C_S has one entry of 2: 4 / (4 * 2²)
    tensor(0.2500)
    """
    source, target = _sides(source, target, all_ranks)
    with torch.autocast(source.device.type, enabled=False):
        n, m, d = source.shape[-2], target.shape[-2], source.shape[-1]
        if min(n, m) < 2:
            return _nothing(source, target)
        if 2 * (n + m) > d:
            return covariance_distance(covariance(source), covariance(target))
        # What is left of sums that are almost equal would be rounding, in float32.
        z = torch.cat([_scaled(source.double()), _scaled(target.double())], dim=-2)
        signs = torch.ones(n + m, dtype=z.dtype, device=z.device)
        signs[n:] = -1
        gram = (z @ z.mT).square()
        # Rounding may leave a difference of equals a little below zero.
        total: Tensor = (signs * (gram * signs).sum(-1)).sum(-1).clamp_min(0)
        return (total / (4 * d * d)).to(source.dtype)


def coral_debiased(source: Tensor, target: Tensor, *, all_ranks: bool = True) -> Tensor:
    r"""Squared distance of the true covariances Σ, estimated without bias from few items.

    Two batches of one distribution differ: :math:`E \lVert C_S - C_T \rVert_F^2` exceeds
    :math:`\lVert \Sigma_S - \Sigma_T \rVert_F^2` by the variance of both estimates, which with 32 items of a hundred
    dimensions is most of it, and a network makes that small by letting its representations shrink. Here

    .. math:: \mathcal{L} = \frac{1}{4 D^2} \left( u(X_S) + u(X_T) - 2 \operatorname{tr} C_S C_T \right), \qquad
              u(X) = \frac{1}{n (n - 3)} \left( \operatorname{tr} K^2 + \frac{(1^\top K 1)^2}{(n - 1)(n - 2)}
              - \frac{2}{n - 2} 1^\top K^2 1 \right)

    with :math:`K = X X^\top` and a zero diagonal: u is the unbiased HSIC of the items with themselves (L. Song, A.
    Smola, A. Gretton, J. Bedo, K. Borgwardt, *Feature Selection via Dependence Maximization*, JMLR 13, 2012), whose
    expectation is :math:`\lVert \Sigma \rVert_F^2`. It may be negative.

    Args:
        source: [..., N, D]; leading dimensions, such as layers, are separate problems.
        target: [..., M, D].
        all_ranks: Under `torch.distributed`, take the items of all ranks as one set (`cleser.ranks`).

    Returns:
        [...]: zero, with a zero gradient, where either set has fewer than four items.

    Raises:
        ValueError: Shapes do not fit.

    >>> x = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    >>> coral_debiased(x, 0 * x)  # the mean of (a - b)²(c - d)² / 4 over all four items that differ is 8/3
    tensor(0.6667)
    """
    source, target = _sides(source, target, all_ranks)
    with torch.autocast(source.device.type, enabled=False):
        n, m, d = source.shape[-2], target.shape[-2], source.shape[-1]
        if min(n, m) < 4:
            return _nothing(source, target)
        a, b = _centred(source.double()), _centred(target.double())
        both = (a @ b.mT).square().sum((-2, -1)) / ((n - 1) * (m - 1))
        total: Tensor = _squared_covariance(a) + _squared_covariance(b) - 2 * both
        return (total / (4 * d * d)).to(source.dtype)


def _squared_covariance(x: Tensor) -> Tensor:
    """u(X) of centred items [..., N, D]; it does not depend on their mean, but rounding does."""
    n = x.shape[-2]
    gram = x @ x.mT
    gram = gram - torch.diag_embed(gram.diagonal(dim1=-2, dim2=-1))
    sums = gram.sum(-1)
    found: Tensor = (
        gram.square().sum((-2, -1))
        + sums.sum(-1).square() / ((n - 1) * (n - 2))
        - 2 / (n - 2) * sums.square().sum(-1)
    )
    return found / (n * (n - 3))


def covariance(x: Tensor) -> Tensor:
    """Covariance [..., D, D] of items [..., N, D], divided by N − 1."""
    z = _scaled(x)
    return z.mT @ z


def covariance_distance(a: Tensor, b: Tensor) -> Tensor:
    """‖A − B‖²_F / 4D² of covariances [..., D, D]."""
    return (a - b).square().sum((-2, -1)) / (4 * a.shape[-1] ** 2)


class StreamingCovariance(RunningStatistics):
    r"""The covariance of a stream, batch after batch, exact at any point.

    Batches are joined by the pairwise update of T. F. Chan, G. H. Golub, R. J. LeVeque, *Updating Formulae and a
    Pairwise Algorithm for Computing Sample Variances*, 1979: no cancellation, whatever the mean. Counts, means and sums
    of products are buffers, so that checkpoints carry them, in float64, to whatever a model is cast.

    Args:
        dim: Channels D of an embedding.

    >>> x = torch.tensor([[0.0, 1.0], [2.0, 5.0], [4.0, 0.0]])
    >>> stream = StreamingCovariance(2)
    >>> stream.update(x[:1]); stream.update(x[1:])
    >>> torch.allclose(stream.covariance, torch.cov(x.T).double())
    True
    """

    least = torch.float64
    count: Tensor
    mean: Tensor
    products: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_running("mean", dim)
        self.register_running("products", dim, dim)

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Add items [N, D]; N may be 0.

        Raises:
            ValueError: The shape does not fit.
        """
        if x.ndim != 2 or x.shape[1] != len(self.mean):
            raise ValueError(f"x has shape {tuple(x.shape)}, expected [items, {len(self.mean)}]")
        if not len(x):
            return
        x = x.to(self.mean)
        mean, centred = x.mean(0), x - x.mean(0)
        self._join(torch.tensor(len(x), device=x.device), mean, centred.T @ centred)

    @torch.no_grad()
    def merge(self, other: StreamingCovariance) -> None:
        """Add another stream's items, as of another worker."""
        if other.count:
            self._join(other.count, other.mean, other.products)

    def _join(self, count: Tensor, mean: Tensor, products: Tensor) -> None:
        total = (self.count + count).double()  # integers would divide in float32
        gap = mean - self.mean
        self.products += products + torch.outer(gap, gap) * (self.count * count / total)
        self.mean += gap * (count / total)
        self.count += count

    @property
    def covariance(self) -> Tensor:
        """C [D, D] in float64, divided by n − 1.

        Raises:
            ValueError: There are fewer than two items.
        """
        if self.count < 2:
            raise ValueError(f"a covariance needs 2 items at least, found {int(self.count)}")
        return self.products / (self.count - 1)


class CoralLoss(RunningStatistics):
    r"""`coral` of two batches, of equal or unequal size, or of running covariances.

    A covariance of a small batch is rough. Without a momentum the loss compares the covariances of the two batches.
    With a momentum μ it compares running means :math:`\hat C_t` of each side, corrected for their start at zero as in
    Adam, whose gradient flows through the batch:

    .. math:: R_t = \mu R_{t-1} + (1 - \mu) C_{\text{batch}}, \qquad R_0 = 0, \qquad
              \hat C_t = \frac{R_t}{1 - \mu^t}

    Running covariances are kept in float32 at least, also in a model of half precision.

    In eval mode the loss is computed in the same way, but R and t stay as they are; so they do after a batch with a
    value that is not finite, such as one of float16 that overflows and whose step a gradient scaler skips. The loss of
    that batch is not finite.

    Shapes:
        ``source`` [N, D], ``target`` [M, D]; result [].

    Args:
        momentum: μ, 0 for none.
        dim: D, needed with a momentum.
        all_ranks: Under `torch.distributed`, take the items of all ranks as one batch.

    Raises:
        ValueError: The momentum is out of [0, 1), or comes without ``dim``.

    >>> x = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    >>> CoralLoss()(x, 0 * x).item(), CoralLoss()(x, x + 5).item()  # means do not count
    (0.25, 0.0)
    """

    running_source: Tensor
    running_target: Tensor
    updates: Tensor

    def __init__(
        self, *, momentum: float = 0.0, dim: int | None = None, all_ranks: bool = True
    ) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum}, expected a number in [0, 1)")
        if momentum and dim is None:
            raise ValueError("momentum needs dim, the number of dimensions")
        self.momentum, self.all_ranks = momentum, all_ranks
        if momentum:
            size = dim or 0
            self.register_running("running_source", size, size)
            self.register_running("running_target", size, size)
            self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch of each side.

        Raises:
            ValueError: The shapes are not [N, D] and [M, D], or D is not ``dim`` beside a momentum.
        """
        check_sides(source, target)
        if source.ndim != 2:
            raise ValueError(
                f"source has shape {tuple(source.shape)}, expected [N, D]; of several layers at once: coral"
            )
        if self.momentum and source.shape[1] != len(self.running_source):
            raise ValueError(
                f"source and target have {source.shape[1]} dimensions, expected dim = {len(self.running_source)}"
            )
        if self.all_ranks:
            source, target = gather(source), gather(target)
        if not self.momentum or min(len(source), len(target)) < 2:
            return coral(source, target, all_ranks=False)
        with torch.autocast(source.device.type, enabled=False):
            sides = [covariance(widen(x)) for x in (source, target)]
            running = [self.running_source, self.running_target]
            # As in Adam: early means are corrected for their start at zero, by 1 − μᵗ without cancellation.
            updates = (self.updates + 1).to(self.running_source.dtype)
            correction = 0 - torch.expm1(math.log(self.momentum) * updates)
            mixed = [
                self.momentum * old + (1 - self.momentum) * new
                for old, new in zip(running, sides, strict=True)
            ]
            if self.training:
                # What is not finite would stay in the means for ever. To ask in Python would wait for the device.
                finite = torch.stack([side.isfinite().all() for side in sides]).all()
                for old, new in zip(running, mixed, strict=True):
                    old.copy_(torch.where(finite, new.detach(), old))
                self.updates.add_(finite)
            return covariance_distance(mixed[0] / correction, mixed[1] / correction)

    def extra_repr(self) -> str:
        """The momentum."""
        return f"momentum={self.momentum}"


def _sides(source: Tensor, target: Tensor, all_ranks: bool) -> tuple[Tensor, Tensor]:
    """Both sides checked, of all ranks where these are asked for, and in float32 at least."""
    check_sides(source, target)
    if all_ranks:
        source, target = gather_items(source), gather_items(target)
    return widen(source), widen(target)


def _nothing(source: Tensor, target: Tensor) -> Tensor:
    """Zero [...], with a zero gradient."""
    return source[..., :0, :].sum((-2, -1)) + target[..., :0, :].sum((-2, -1))


def _scaled(x: Tensor) -> Tensor:
    """Centred items over √(N − 1): their Gram matrix is the covariance."""
    return _centred(x) / math.sqrt(x.shape[-2] - 1)


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(-2, keepdim=True)


def widen(x: Tensor) -> Tensor:
    """The tensor in float32 at least: squares of bfloat16 keep two digits."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def check_sides(source: Tensor, target: Tensor) -> None:
    """Refuse what is no floats [..., N, D] and [..., M, D] with a ValueError."""
    check_floats(source, "source is")
    check_floats(target, "target is")
    a, b = tuple(source.shape), tuple(target.shape)
    if len(a) < 2 or len(a) != len(b) or a[-1] != b[-1] or a[:-2] != b[:-2]:
        raise ValueError(f"source has shape {a}, target {b}: expected [..., N, D] and [..., M, D]")
