"""The Leiden algorithm on a CSR graph (Traag, Waltman & van Eck, *Scientific Reports* 9, 5233, 2019), in Numba.

Nodes move to the neighbouring community that gains most modularity; each community is then cut into parts that
are certainly connected; the parts become the nodes of a smaller graph, and so on. All chance comes from random
numbers that the caller draws, so that the result depends on nothing but graph and seed: not on threads, on earlier
calls, or on the C library.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from scipy import sparse

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_GREED = 0.01  # θ of the paper: merges of less gain are drawn too, with probability ∝ exp(gain / θ)
# Passes over the whole graph at most; each starts from the last one's communities.
_ROUNDS = 10
# Gains below this share of the mean edge are rounding, and following them may never end.
_ROUNDING = 1e-10


def leiden(graph: sparse.csr_array, *, resolution: float, rng: np.random.Generator) -> Ints:
    """Communities of a symmetric graph with weights ≥ 0, as arbitrary numbers [N].

    Args:
        graph: Edges [N, N], at least one of positive weight.
        resolution: γ; larger values give smaller communities.
        rng: Draws the order of visits and the merges.
    """
    labels = np.arange(graph.shape[0])
    for _ in range(_ROUNDS):
        improved = _pass(graph, labels, resolution, rng)
        if np.array_equal(_numbered(improved), _numbered(labels)):
            break
        labels = improved
    return labels


def _pass(
    graph: sparse.csr_array, labels: Ints, resolution: float, rng: np.random.Generator
) -> Ints:
    """Move, cut, shrink the graph, until nothing moves."""
    where = np.arange(graph.shape[0])  # of each node of the whole graph, in the graph at hand
    labels = labels.copy()
    while True:
        edges = (graph.indptr.astype(np.int64), graph.indices.astype(np.int64), graph.data)
        strength = np.asarray(graph.sum(axis=1)).ravel()
        unit = _ROUNDING * graph.data.mean()
        _move(*edges, strength, labels, resolution, rng.permutation(len(strength)), unit)
        theta = _GREED * graph.data.mean()
        chance, order = rng.random(len(strength)), rng.permutation(len(strength))
        parts = _numbered(_cut(*edges, strength, labels, resolution, order, chance, theta))
        if parts.max() + 1 == len(parts):
            return np.asarray(labels[where])
        member = sparse.csr_array((np.ones(len(parts)), (np.arange(len(parts)), parts)))
        graph = sparse.csr_array(member.T @ graph @ member)
        shrunk = np.empty(parts.max() + 1, dtype=np.int64)
        shrunk[parts] = _numbered(labels)
        labels, where = shrunk, parts[where]


def _numbered(labels: Ints) -> Ints:
    """The same partition, numbered by first occurrence."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


@numba.njit(cache=True)
def _move(
    indptr: Any, indices: Any, data: Any, strength: Any, labels: Any,
    resolution: float, order: Any, unit: float,
) -> None:  # fmt: skip
    """Local moving with a queue: a node is looked at again only when a neighbour has moved away."""
    n = len(strength)
    price = resolution / strength.sum()
    total = np.zeros(n)  # strength of each community
    size = np.zeros(n, np.int64)
    for i in range(n):
        total[labels[i]] += strength[i]
        size[labels[i]] += 1
    empty = [-1]  # gives the list its type, and lies below those that are empty
    empty.extend([c for c in range(n) if size[c] == 0])
    link = np.zeros(n)  # weight between the node at hand and each community
    queue, waiting = order.copy(), np.ones(n, np.bool_)
    head, length = 0, n
    while length:
        i = queue[head]
        head, length = (head + 1) % n, length - 1
        waiting[i] = False
        own = labels[i]
        for e in range(indptr[i], indptr[i + 1]):
            if indices[e] != i:
                link[labels[indices[e]]] += data[e]
        total[own] -= strength[i]
        best, gain = own, link[own] - price * strength[i] * total[own]
        for e in range(indptr[i], indptr[i + 1]):
            c = labels[indices[e]]
            other = link[c] - price * strength[i] * total[c]
            if other > gain + unit:
                best, gain = c, other
        if gain < -unit and size[own] > 1 and empty[-1] != -1:
            best = empty.pop()
        for e in range(indptr[i], indptr[i + 1]):
            link[labels[indices[e]]] = 0.0
        total[best] += strength[i]
        if best == own:
            continue
        labels[i] = best
        size[own] -= 1
        size[best] += 1
        if size[own] == 0:
            empty.append(own)
        for e in range(indptr[i], indptr[i + 1]):
            j = indices[e]
            if not waiting[j] and labels[j] != best:
                queue[(head + length) % n] = j
                waiting[j] = True
                length += 1


@numba.njit(cache=True)
def _cut(
    indptr: Any, indices: Any, data: Any, strength: Any, labels: Any,
    resolution: float, order: Any, chance: Any, theta: float,
) -> Any:  # fmt: skip
    """Parts of each community: single nodes merge where both sides are well connected within the community."""
    n = len(strength)
    price = resolution / strength.sum()
    whole = np.zeros(n)  # strength of each community
    for i in range(n):
        whole[labels[i]] += strength[i]
    parts, size, total = np.arange(n), np.ones(n, np.int64), strength.copy()
    outward = _inside(indptr, indices, data, labels)
    link, candidates, gains = np.zeros(n), np.empty(n, np.int64), np.empty(n)
    for i in order:
        expected = price * strength[i] * (whole[labels[i]] - strength[i])
        if size[parts[i]] > 1 or outward[i] < expected:
            continue
        for e in range(indptr[i], indptr[i + 1]):
            if indices[e] != i and labels[indices[e]] == labels[i]:
                link[parts[indices[e]]] += data[e]
        found = 0
        for e in range(indptr[i], indptr[i + 1]):
            c = parts[indices[e]]
            gain = link[c] - price * strength[i] * total[c]
            connected = outward[c] >= price * total[c] * (whole[labels[i]] - total[c])
            if link[c] > 0.0 and gain >= 0.0 and connected:
                candidates[found], gains[found] = c, gain
                found += 1
            link[c] = -abs(link[c])  # seen: an edge list may lead to a part many times
        own = parts[i]
        if found:
            c = candidates[_drawn(gains[:found], theta, chance[i])]
            # What joined them is no longer outward; link is negative.
            outward[c] += outward[i] + 2 * link[c]
            total[c] += strength[i]
            size[c] += 1
            size[own], total[own], outward[own] = 0, 0.0, 0.0
        for e in range(indptr[i], indptr[i + 1]):
            link[parts[indices[e]]] = 0.0
        if found:
            parts[i] = c
    return parts


@numba.njit(cache=True)
def _inside(indptr: Any, indices: Any, data: Any, labels: Any) -> Any:
    """Weight between each node and the others of its community, [N]."""
    weight = np.zeros(len(labels))
    for i in range(len(labels)):
        for e in range(indptr[i], indptr[i + 1]):
            if indices[e] != i and labels[indices[e]] == labels[i]:
                weight[i] += data[e]
    return weight


@numba.njit(cache=True)
def _drawn(gains: Any, theta: float, chance: float) -> int:
    """Index of a gain, drawn with probability ∝ exp(gain / θ) by a uniform number."""
    odds = np.exp((gains - gains.max()) / theta).cumsum()
    return min(int((odds <= chance * odds[-1]).sum()), len(gains) - 1)
