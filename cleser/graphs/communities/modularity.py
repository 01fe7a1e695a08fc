r"""Communities of a graph by modularity.

.. math:: Q = \frac{1}{2m} \sum_{ij} \Bigl(A_{ij} - \gamma \frac{k_i k_j}{2m}\Bigr) [c_i = c_j]
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Ints = npt.NDArray[np.int64]
_TRIES, _SMALL = 4, 20_000  # graphs of fewer nodes are cheap: the best of some tries is kept


def communities(graph: Any, *, resolution: float = 1.0, seed: int = 0) -> Ints:
    """Communities that Leiden finds (Traag, Waltman & van Eck, 2019).

    Each community is connected; a node without edges is a community of its own.

    Args:
        graph: Sparse edge weights [N, N], at least 0. Neighbour lists need not be mutual: an edge weighs the mean of
            both directions. Loops are ignored.
        resolution: γ; larger values give smaller communities.
        seed: Seed of the order in which nodes are visited. The result depends on nothing else.

    Returns:
        int64 [N]: 0 is the largest community, and of equal ones the first to occur comes first.

    Raises:
        ValueError: The graph is not square, or a weight or the resolution is negative or not finite.

    >>> pairs = sparse.csr_array(np.kron(np.eye(2), 1 - np.eye(3)))  # two triangles
    >>> communities(pairs)
    array([0, 0, 0, 1, 1, 1])
    """
    from cleser.graphs.communities.leiden import leiden  # noqa: PLC0415  (compiles, or loads what it compiled)

    edges = undirected(graph)
    if not 0 <= resolution < np.inf:
        raise ValueError(f"resolution is {resolution}, expected a finite number from 0 on")
    if not edges.nnz:
        return np.arange(edges.shape[0])
    tries = _TRIES if edges.shape[0] < _SMALL else 1
    rngs = np.random.default_rng(seed).spawn(tries)
    found = [leiden(edges, resolution=resolution, rng=rng) for rng in rngs]
    return by_size(max(found, key=lambda labels: modularity(edges, labels, resolution=resolution)))


def modularity(graph: Any, labels: npt.ArrayLike, *, resolution: float = 1.0) -> float:
    """Q of a partition, between −γ and 1; 0 for a graph without edges (Newman & Girvan, 2004).

    Args:
        graph: The graph, as `communities` takes it.
        labels: Community of each node, integers [N].
        resolution: The resolution γ; larger values give smaller communities.

    Raises:
        ValueError: The graph is none that `communities` takes, or the labels are not N.

    >>> triangles = sparse.csr_array(np.kron(np.eye(2), 1 - np.eye(3)))
    >>> modularity(triangles, [0, 0, 0, 1, 1, 1])
    0.5
    """
    edges = undirected(graph)
    found = np.asarray(labels)
    if found.shape != edges.shape[:1]:
        raise ValueError(f"labels has shape {found.shape}, expected {edges.shape[:1]}: one a node")
    if not edges.nnz:
        return 0.0
    codes = np.unique(found, return_inverse=True)[1]
    rows, columns = edges.tocoo().coords
    total = edges.data.sum()
    inside = edges.data[codes[rows] == codes[columns]].sum()
    strength = np.bincount(codes, weights=np.asarray(edges.sum(axis=1)).ravel())
    return float(inside / total - resolution * np.square(strength / total).sum())


def undirected(graph: Any) -> sparse.csr_array:
    """The mean of both directions of each edge, without loops and zeros, float64.

    Raises:
        ValueError: The graph is not square, or a weight is negative or not finite.
    """
    edges = sparse.csr_array(graph, dtype=np.float64)
    if edges.ndim != 2 or edges.shape[0] != edges.shape[1]:
        raise ValueError(f"graph has shape {edges.shape}, expected [N, N]")
    if not (np.isfinite(edges.data).all() and (edges.data >= 0).all()):
        worst = edges.data[~(edges.data >= 0) | ~np.isfinite(edges.data)][0]
        remedy = "; cosine_knn(…, min_similarity=0) makes no others" if worst < 0 else ""
        raise ValueError(
            f"graph has an edge of weight {worst}, expected finite weights from 0 on{remedy}"
        )
    edges = (edges + edges.T) / 2
    edges.setdiag(0)
    edges.eliminate_zeros()
    return sparse.csr_array(edges)


def by_size(labels: Ints) -> Ints:
    """The same partition, numbered from the largest community down; the first to occur wins ties.

    >>> by_size(np.array([7, 3, 3, 5]))
    array([1, 0, 0, 2])
    """
    _, first, codes, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.lexsort((first, -sizes))] = np.arange(len(first))
    return rank[codes]
