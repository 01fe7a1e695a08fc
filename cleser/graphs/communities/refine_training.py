"""Training of the refiner's map: soft modularity and contrast of neighbours, by Adam on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cleser.graphs.communities.symmetric import multiply, sparse_tensor

_SAMPLE = 1024  # nodes whose neighbours a step contrasts with as many others: all, or where there are more, sampled
_CONTRAST_TEMPERATURE, _RATE, _DECAY = 0.2, 0.01, 1e-3


@torch.enable_grad()
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
        temperature: Temperature of the membership.
        contrast: Weight of the contrast.
        seed: Seed of the start and of the sampling.
    """
    generator = torch.Generator().manual_seed(seed)
    matrix = _orthogonal(x.shape[1], dim, generator).requires_grad_()
    with torch.no_grad():
        smooth = F.normalize(propagate(x @ matrix), dim=1)
        centres = F.normalize(F.one_hot(start).to(x.dtype).T @ smooth, dim=1)
    centres.requires_grad_()
    adjacency = sparse_tensor(edges)
    optimiser = torch.optim.Adam([matrix, centres], lr=_RATE, weight_decay=_DECAY)
    for _ in range(epochs):
        h = F.normalize(propagate(x @ matrix), dim=1)
        q = torch.softmax(h @ F.normalize(centres, dim=1).T / temperature, dim=1)
        loss = -soft_modularity(q, adjacency)
        if contrast:
            anchors, others = (_sample(len(x), generator) for _ in range(2))
            loss = loss + contrast * neighbour_contrast(h, adjacency, anchors, others)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return (x @ matrix).detach()


def soft_modularity(q: Tensor, adjacency: Tensor) -> Tensor:
    """Modularity of memberships q [N, K] in a graph, sparse [N, N]; for hard ones that of the partition."""
    strength = _strength(adjacency, q)
    inside = (q * multiply(adjacency, q)).sum() / strength.sum()
    by_chance: Tensor = (strength @ q / strength.sum()).square().sum()
    return inside - by_chance


def neighbour_contrast(h: Tensor, adjacency: Tensor, anchors: Tensor, others: Tensor) -> Tensor:
    """Mean over anchors of −log of the share that neighbours have in all similarities, weighted by edges.

    Args:
        h: Unit rows [N, D].
        adjacency: Sparse [N, N].
        anchors: Numbers of nodes; those without edges count as zero.
        others: Nodes that stand for all N in the denominator, where an anchor is left out of its own.
    """
    strength = _strength(adjacency, h)[anchors]
    logits = h[anchors] @ h[others].T / _CONTRAST_TEMPERATURE
    logits = logits.masked_fill(anchors[:, None] == others, -torch.inf)
    counted = (anchors[:, None] != others).sum(1)
    log_sum = logits.logsumexp(1) + torch.log((len(h) - 1) / counted)
    near = (h * multiply(adjacency, h)).sum(1)[anchors] / strength.clamp_min(1e-30)
    log_share = torch.where(strength > 0, near / _CONTRAST_TEMPERATURE - log_sum, 0.0)
    loss: Tensor = -log_share.mean()
    return loss


def _strength(adjacency: Tensor, like: Tensor) -> Tensor:
    strength: Tensor = (adjacency @ like.new_ones(len(like), 1)).squeeze(1)
    return strength


def _sample(n: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(n, generator=generator)[:_SAMPLE].sort().values


def _orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    shape = max(rows, columns), min(rows, columns)
    full = torch.randn(shape, generator=generator, dtype=torch.float32)
    basis: Tensor = torch.linalg.qr(full).Q
    return (basis if rows >= columns else basis.T).contiguous()
