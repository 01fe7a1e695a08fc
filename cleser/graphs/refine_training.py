"""Training of the refiner's map: soft modularity and contrast of neighbours, by Adam on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_ANCHORS = (
    2048  # nodes whose neighbours one step contrasts with all of them: beyond, they are sampled
)
_CONTRAST_TEMPERATURE, _RATE, _DECAY = 0.2, 0.01, 1e-3


def train_map(
    edges: Any,
    x: Tensor,
    start: Tensor,
    propagate: Callable[[Tensor], Tensor],
    *,
    dim: int,
    epochs: int,
    temperature: float,
    contrast: float,
    seed: int,
) -> Tensor:
    """Features after the trained map, [N, dim].

    Args:
        edges: Undirected weights, sparse [N, N].
        x: Unit features [N, D].
        start: Communities to start from, [N].
        propagate: Message passing [N, dim] → [N, dim].
        dim: Dimensions kept.
        epochs: Steps.
        temperature: Of the membership.
        contrast: Weight of the contrast.
        seed: Of the start and of the sampling.
    """
    generator = torch.Generator().manual_seed(seed)
    matrix = _orthogonal(x.shape[1], dim, generator).requires_grad_()
    with torch.no_grad():
        smooth = F.normalize(propagate(x @ matrix), dim=1)
        centres = F.normalize(F.one_hot(start).to(x.dtype).T @ smooth, dim=1)
    centres.requires_grad_()
    rows, columns = (torch.from_numpy(c.astype(np.int64)) for c in edges.tocoo().coords)
    weight = torch.from_numpy(edges.tocoo().data.astype(np.float32))
    strength = torch.from_numpy(np.asarray(edges.sum(axis=1), dtype=np.float32).ravel())
    optimiser = torch.optim.Adam([matrix, centres], lr=_RATE, weight_decay=_DECAY)
    for _ in range(epochs):
        h = F.normalize(propagate(x @ matrix), dim=1)
        q = torch.softmax(h @ F.normalize(centres, dim=1).T / temperature, dim=1)
        loss = -soft_modularity(q, rows, columns, weight, strength)
        anchors = torch.randperm(len(x), generator=generator)[:_ANCHORS].sort().values
        loss = loss + contrast * neighbour_contrast(h, anchors, rows, columns, weight, strength)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return (x @ matrix).detach()


def soft_modularity(
    q: Tensor, rows: Tensor, columns: Tensor, weight: Tensor, strength: Tensor
) -> Tensor:
    """Modularity of memberships q [N, K]; for hard ones that of the partition."""
    total = weight.sum()
    inside = (weight * (q[rows] * q[columns]).sum(1)).sum() / total
    by_chance: Tensor = (strength @ q / total).square().sum()
    return inside - by_chance


def neighbour_contrast(
    h: Tensor, anchors: Tensor, rows: Tensor, columns: Tensor, weight: Tensor, strength: Tensor
) -> Tensor:
    """Mean over anchors of −log of the share that neighbours have in all similarities, weighted by edges."""
    similarity = h[anchors] @ h.T / _CONTRAST_TEMPERATURE
    similarity = similarity.index_put(
        (torch.arange(len(anchors)), anchors), similarity.new_tensor(-torch.inf)
    )
    logs = similarity - similarity.logsumexp(1, keepdim=True)
    place = torch.full((len(h),), -1)
    place[anchors] = torch.arange(len(anchors))
    kept = place[rows] >= 0
    share = weight[kept] / strength[rows[kept]]
    chosen: Tensor = share * logs[place[rows[kept]], columns[kept]]
    loss: Tensor = -chosen.sum() / len(anchors)
    return loss


def _orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    full = torch.randn(max(rows, columns), min(rows, columns), generator=generator)
    basis: Tensor = torch.linalg.qr(full).Q
    return (basis if rows >= columns else basis.T).contiguous()
