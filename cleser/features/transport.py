r"""Sources moved onto a target by optimal transport, in closed form: no label and no training is needed.

Between two normal distributions, the map that moves one onto the other at the least mean squared distance is affine
(M. Knott, C. S. Smith, *On the Optimal Mapping of Distributions*, Journal of Optimization Theory and Applications,
1984):

.. math:: T(x) = \mu_t + A (x - \mu_s), \qquad
          A = \Sigma_s^{-1/2} \left( \Sigma_s^{1/2} \Sigma_t \Sigma_s^{1/2} \right)^{1/2} \Sigma_s^{-1/2} \qquad (1)

Of any two distributions it matches means and covariances, as whitening and colouring does, but moves points
as little as that takes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class MongeMap(NamedTuple):
    """The map of Eq. 1, x ↦ A (x − μ_s) + μ_t.

    Attributes:
        matrix: A [D, D], symmetric.
        source: μ_s [D].
        target: μ_t [D].
    """

    matrix: Tensor
    source: Tensor
    target: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Move points [N, D]; reckoned in double precision, given back as they came."""
        moved = self.target + (x.to(self.matrix) - self.source) @ self.matrix
        return moved.to(x.dtype)


def monge_map(source: Tensor, target: Tensor, *, ridge: float = 1e-6) -> MongeMap:
    r"""The map of Eq. 1 between the empirical distributions of two sets of points.

    Args:
        source: [N, D].
        target: [M, D].
        ridge: Added to the diagonals of both covariances (which divide by N and M), so that few points in many
            dimensions have a map.

    Raises:
        ValueError: They are not of one width, there are no points, or the ridge is not positive.

    >>> moved = monge_map(torch.tensor([[0.0], [2.0]]), torch.tensor([[5.0], [9.0]]))(torch.tensor([[1.0], [2.0]]))
    >>> [round(x, 3) for x in moved.flatten().tolist()]
    [7.0, 9.0]
    """
    if source.ndim != 2 or target.ndim != 2 or source.shape[1] != target.shape[1]:
        raise ValueError(
            f"source has shape {tuple(source.shape)} and target {tuple(target.shape)}, expected [N, D] and [M, D]"
        )
    if not len(source) or not len(target):
        raise ValueError(
            f"found {len(source)} source and {len(target)} target points, expected some"
        )
    if not ridge > 0:
        raise ValueError(f"ridge is {ridge}, expected more than 0")
    (from_mean, from_covariance), (to_mean, to_covariance) = (
        _moments(x.double(), ridge) for x in (source, target)
    )
    root = matrix_power(from_covariance, 0.5)
    inverse = matrix_power(from_covariance, -0.5)
    matrix = inverse @ matrix_power(root @ to_covariance @ root, 0.5) @ inverse
    return MongeMap(matrix, from_mean, to_mean)


def align_sources(source: Tensor, domain: Tensor, target: Tensor) -> Tensor:
    """Move each of several sources onto the target by a map of its own.

    Args:
        source: [N, D].
        domain: Which source each point belongs to, say its corpus, integers [N].
        target: [M, D].

    Returns:
        [N, D], in the order of the source.

    Raises:
        ValueError: There is not one domain a point, or as for :func:`monge_map`.
    """
    if domain.shape != source.shape[:1]:
        raise ValueError(
            f"domain has shape {tuple(domain.shape)}, expected one for each of {len(source)} points"
        )
    moved = torch.empty_like(source)
    for number in domain.unique().tolist():
        own = domain == number
        moved[own] = monge_map(source[own], target)(source[own])
    return moved


def _moments(x: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    mean = x.mean(0)
    centred = x - mean
    diagonal = ridge * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    return mean, centred.T @ centred / len(x) + diagonal


def matrix_power(symmetric: Tensor, exponent: float) -> Tensor:
    """A power of positive semidefinite matrices [..., D, D]."""
    values, vectors = torch.linalg.eigh(symmetric)
    least = torch.finfo(values.dtype).tiny  # rounding may leave a root of zero below it
    scaled = vectors * (values.clamp_min(least) ** exponent)[..., None, :]
    power: Tensor = scaled @ vectors.mT
    return power
