"""Exact nearest neighbours by cosine similarity, under a relation."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, distributed

from cleser.graphs.neighbours.approximate import search_approximately
from cleser.graphs.neighbours.device_search import nearest, search_on_device
from cleser.graphs.neighbours.inputs import matrix
from cleser.graphs.neighbours.packing import unpack
from cleser.graphs.neighbours.row_search import search_rows, wants_rows
from cleser.graphs.neighbours.search import search
from cleser.graphs.neighbours.tiles import tile
from cleser.ranks import gather, world
from cleser.relations import Labels, Relation, integers

_SLICE: Final = 1024  # rows normalised at a time
_ENTRIES: Final = 2**16  # neighbours put into their order at a time


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
        approximate: Search by faiss, for some millions of items: `cleser.graphs.neighbours.approximate`. Under a
            relation that admits nearly all pairs, as ``differ("speaker")`` does, it is slower than the exact search.

    Returns:
        float32 [N, N]: row i holds the similarities of i's neighbours, columns ascending. Not symmetric, unless
        ``mutual``.

    Raises:
        ValueError: ``embeddings`` is not of two dimensions, or has a row that is zero or not finite; ``k`` is
            no whole number of at least 1; a label is missing or of another length; ``where`` is no relation, or
            ``min_similarity`` NaN.
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
    _check(k, where, min_similarity)
    units = unit_rows(embeddings)
    known = {} if where is None else _checked_labels(where, labels, len(units), units.device)
    if all_ranks and world() > 1:
        units, known = gather(units), {name: gather(values) for name, values in known.items()}
    with torch.autocast(units.device.type, enabled=False):  # the bounds are those of whole float32
        found = _search(units, where, known, min(k, max(len(units) - 1, 1)), all_ranks, approximate)
    graph = _graph(found.cpu(), -np.inf if min_similarity is None else min_similarity)
    return _mutual(graph) if mutual else graph


def _check(k: int, where: Relation | None, min_similarity: float | None) -> None:
    if not isinstance(k, (int, np.integer)):
        raise ValueError(f"k is {k!r}, expected a whole number")
    if k < 1:
        raise ValueError(f"k is {k}, expected at least 1")
    if where is not None and not isinstance(where, Relation):
        raise ValueError(f"where is {where!r}, expected a relation, such as same('emotion')")
    if min_similarity is not None and np.isnan(min_similarity):
        raise ValueError("min_similarity is nan, expected a number, or None for all")


def unit_rows(embeddings: Any) -> Tensor:
    """Rows divided by their length, in fixed point: int32 [N, D] in units of 2⁻³⁰.

    Raises:
        ValueError: What `cosine_knn` refuses.
    """
    x = embeddings
    if not isinstance(x, Tensor) or x.is_complex():
        x = torch.from_numpy(matrix(embeddings, "embeddings"))
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
    if labels is None:
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
) -> Tensor:
    """Neighbours int64 [N, k] by the means that suit; see `cleser.graphs.neighbours.packing`."""
    ranks = world() if all_ranks else 1
    share = (distributed.get_rank() if ranks > 1 else 0, ranks)
    if units.device.type != "cpu" and not approximate:
        found = search_on_device(units, where, labels, k, share=share)
    else:
        on_host = {name: values.cpu().numpy() for name, values in labels.items()}
        tiles = tile(len(units), where, on_host)
        if approximate:
            return search_approximately(units.cpu(), tiles, k)
        found = (search_rows if wants_rows(tiles, k) else search)(units, tiles, k, share=share)
    return merge_ranks(found) if ranks > 1 else found


def merge_ranks(found: Tensor) -> Tensor:
    """The first k of what the ranks have found, [N, k], on every rank."""
    merged = found
    for rank in range(world()):
        theirs = found.clone()
        distributed.broadcast(theirs, rank)
        if rank != distributed.get_rank():
            merged = nearest(torch.cat([merged, theirs], dim=1), found.shape[1])
    return merged


def _graph(found: Tensor, least: float) -> csr_array:
    """Neighbours [N, k] as a matrix with sorted columns."""
    n, k = found.shape
    # A few rows at a time: what is in between stays in the cache.
    parts = [_by_column(rows, least, n) for rows in found.split(max(1, _ENTRIES // k))]
    counts, items, scores = (np.concatenate(every) for every in zip(*parts, strict=True))
    ends = np.concatenate([[0], np.cumsum(counts)])
    indices = np.int32 if ends[-1] < 2**31 else np.int64
    graph = csr_array((scores, items.astype(indices), ends.astype(indices)), shape=(n, n))
    graph.has_canonical_format = True
    return graph


def _by_column(found: Tensor, least: float, n: int) -> tuple[Any, Any, Any]:
    """How many neighbours rows [·, k] have, and the items, ascending in each row, with their similarities."""
    scores, items = unpack(found)
    kept = (items >= 0) & (scores >= float(np.float32(least)))
    # Item and similarity in one number, which NumPy sorts several times as fast as PyTorch would their positions.
    bits = scores.view(torch.int32).long() & 0xFFFFFFFF
    pairs = (items.masked_fill(~kept, n) << 32 | bits).numpy()
    pairs.sort(axis=1)
    counts = kept.sum(1).numpy()
    pairs = pairs[np.arange(pairs.shape[1]) < counts[:, None]]  # those left out are the last
    return counts, (pairs >> 32).astype(np.int32), pairs.astype(np.uint32).view(np.float32)


def _mutual(graph: csr_array) -> csr_array:
    """Only the entries whose mirror image is stored too, be they zeros."""
    if not graph.nnz:  # SciPy cannot look up no entries
        return graph
    stored = csr_array((np.ones(graph.nnz, bool), graph.indices, graph.indptr), graph.shape)
    rows = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    keep = np.asarray(stored.T.tocsr()[rows, graph.indices]).ravel()
    return csr_array((graph.data[keep], (rows[keep], graph.indices[keep])), graph.shape)
