"""Exact nearest neighbours by cosine similarity, under a relation."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array
from torch import Tensor, distributed

from cleser.graphs.approximate import search_approximately
from cleser.graphs.device_search import first_of, search_on_device
from cleser.graphs.search import search
from cleser.graphs.tiles import tile
from cleser.ranks import gather, world
from cleser.relations import Labels, Relation, integers

Array = npt.NDArray[Any]

_SLICE: Final = 4096  # rows normalised at a time


def cosine_knn(
    embeddings: Any,
    k: int = 15,
    *,
    where: Relation | None = None,
    labels: Labels | None = None,
    mutual: bool = False,
    min_similarity: float | None = None,
    all_ranks: bool = False,
    approximate: bool = False,
) -> csr_array:
    r"""The k most similar items of each item, among those to which a relation holds.

    .. math:: s_{ij} = \sum_d u_{id} u_{jd}, \qquad
              u_{id} = 2^{-30} \left\lfloor 2^{30} x_{id} / \lVert x_i \rVert \right\rceil

    is a sum of whole numbers, the same in whatever order it is added up, and is rounded once, to float32. The
    neighbours of i are the first k of the items j ≠ i to which ``where`` holds, in descending order of s, and
    ascending where s is equal.

    Args:
        embeddings: [N, D], an array or a tensor; no row may be zero.
        k: Neighbours wanted; an item gets fewer where fewer are admissible.
        where: Which pairs are admissible; all by default.
        labels: What the relation reads: name → integers [N], −1 unknown.
        mutual: Keep only the neighbours that have each other.
        min_similarity: Keep only neighbours at least so similar.

        all_ranks: Under `torch.distributed`, the items are those of all ranks in the order of the ranks, and so are
            labels. Ranks share the work, and each gets the whole graph.
        approximate: Search by faiss, for some millions of items: `cleser.graphs.approximate`.

    Returns:
        float32 [N, N]: row i holds the similarities of i's neighbours, columns ascending. Not symmetric, unless
        ``mutual``.

    Raises:
        ValueError: ``embeddings`` is not of two dimensions, or has a row that is zero or not finite; ``k`` is less
            than one; a label is missing or of another length.
        ImportError: faiss is wanted, but not installed.

    >>> from cleser.relations import differ
    >>> x = [[1.0, 0.0], [0.8, 0.6], [0.0, 2.0]]
    >>> cosine_knn(x, k=1).toarray().round(1)
    array([[0. , 0.8, 0. ],
           [0.8, 0. , 0. ],
           [0. , 0.6, 0. ]], dtype=float32)
    >>> cosine_knn(x, k=1, where=differ("language"), labels={"language": [0, 0, 1]}).toarray().round(1)
    array([[0. , 0. , 0. ],
           [0. , 0. , 0.6],
           [0. , 0.6, 0. ]], dtype=float32)
    """
    if k < 1:
        raise ValueError(f"k is {k}, expected at least 1")
    units = unit_rows(embeddings)
    known = {} if where is None else _checked_labels(where, labels, len(units), units.device)
    if all_ranks and world() > 1:
        units, known = gather(units), {name: gather(values) for name, values in known.items()}
    scores, items = _search(
        units, where, known, min(k, max(len(units) - 1, 1)), all_ranks, approximate
    )
    graph = _graph(scores, items, -np.inf if min_similarity is None else min_similarity)
    return _mutual(graph) if mutual else graph


def unit_rows(embeddings: Any) -> Tensor:
    """Rows divided by their length, in fixed point: int32 [N, D] in units of 2⁻³⁰.

    Raises:
        ValueError: As of `cosine_knn`.
    """
    x = embeddings if isinstance(embeddings, Tensor) else torch.as_tensor(np.asarray(embeddings))
    if x.ndim != 2:
        raise ValueError(f"embeddings have shape {list(x.shape)}, expected [N, D]")
    units = torch.empty(x.shape, dtype=torch.int32, device=x.device)
    for start in range(0, len(x), _SLICE):
        part = x[start : start + _SLICE].detach().double()
        lengths = torch.linalg.vector_norm(part, dim=1, keepdim=True)
        for wrong, name in ((~lengths.isfinite(), "not finite"), (lengths == 0, "zero")):
            if wrong.any():
                row = start + int(wrong.flatten().nonzero()[0])
                raise ValueError(f"embeddings[{row}] is {name}; expected rows with a direction")
        units[start : start + _SLICE] = (part / lengths).mul_(2.0**30).round_()
    return units


def _checked_labels(
    where: Relation, labels: Labels | None, n: int, device: torch.device
) -> dict[str, Tensor]:
    if not labels:
        raise ValueError(f"where is {where!r}, but there are no labels")
    known = integers(where.names, labels, "labels")
    for name, values in known.items():
        if len(values) != n:
            raise ValueError(f"labels[{name!r}] are of {len(values)} items, embeddings of {n}")
    return {
        name: torch.as_tensor(values, dtype=torch.int64, device=device)
        for name, values in known.items()
    }


def _search(
    units: Tensor,
    where: Relation | None,
    labels: dict[str, Tensor],
    k: int,
    all_ranks: bool,
    approximate: bool,
) -> tuple[Array, Array]:
    """Similarities and items [N, k] by the means that suit."""
    ranks = world() if all_ranks else 1
    share = (distributed.get_rank() if ranks > 1 else 0, ranks)
    if approximate or units.device.type == "cpu":
        tiles = tile(
            len(units), where, {name: values.cpu().numpy() for name, values in labels.items()}
        )
        if approximate:
            return search_approximately(units.cpu(), tiles, k)
        scores, items = (torch.from_numpy(a) for a in search(units, tiles, k, share=share))
    else:
        scores, items = search_on_device(units, where, labels, k, share=share)
    if ranks > 1:
        scores, items = merge_ranks(scores, items)
    return scores.cpu().numpy(), items.cpu().numpy()


def merge_ranks(scores: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """The first k of what the ranks have found, [N, k], on every rank."""
    k, total = scores.shape[1], (scores, items)
    for rank in range(world()):
        theirs = [own.contiguous().clone() for own in (scores, items)]
        for values in theirs:
            distributed.broadcast(values, rank)
        if rank == 0:
            total = (theirs[0], theirs[1])
        else:
            total = first_of(
                torch.cat([total[0], theirs[0]], 1), torch.cat([total[1], theirs[1]], 1), k
            )
    return total


def _graph(scores: Array, items: Array, least: float) -> csr_array:
    """Neighbours [N, k], an item of −1 being none, as a matrix with sorted columns."""
    kept = (items >= 0) & (scores >= np.float32(least))
    by_item = np.argsort(np.where(kept, items, len(items)), axis=1)
    scores, items, kept = (np.take_along_axis(a, by_item, axis=1) for a in (scores, items, kept))
    ends = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    indices = items[kept]
    graph = csr_array((scores[kept], indices, ends.astype(indices.dtype)), shape=(len(items),) * 2)
    graph.has_canonical_format = True
    return graph


def _mutual(graph: csr_array) -> csr_array:
    """Only the entries whose mirror image is stored too, be they zeros."""
    stored = csr_array((np.ones(graph.nnz, bool), graph.indices, graph.indptr), graph.shape)
    rows = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    keep = np.asarray(stored.T.tocsr()[rows, graph.indices]).ravel()
    return csr_array((graph.data[keep], (rows[keep], graph.indices[keep])), graph.shape)
