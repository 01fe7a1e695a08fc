"""Exact nearest neighbours by cosine similarity, under a relation."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array
from torch import Tensor

from cleser.relations import Labels, Relation, integers

_BLOCK: Final = 256

Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""Rows [E] in ascending order, their neighbours [E] and their similarities [E]."""


def cosine_knn(
    embeddings: Any,
    k: int = 15,
    *,
    where: Relation | None = None,
    labels: Labels | None = None,
    mutual: bool = False,
    min_similarity: float | None = None,
) -> csr_array:
    r"""The k most similar items of each item, among those to which a relation holds.

    .. math:: s_{ij} = \mathrm{fl}_{32} \sum_d u_{id} u_{jd}, \qquad u_i = \mathrm{fl}_{32}(x_i / \lVert x_i \rVert)

    is summed in float64. The neighbours of i are the first k of the items j ≠ i to which ``where`` holds, in
    descending order of s, and of the smaller index where s is equal.

    Args:
        embeddings: [N, D], an array or a tensor; no row may be zero.
        k: Neighbours wanted; an item gets fewer where fewer are admissible.
        where: Which pairs are admissible; all by default.
        labels: What the relation reads: name → integers [N], −1 unknown.
        mutual: Keep only the neighbours that have each other.
        min_similarity: Keep only neighbours at least so similar.

    Returns:
        float32 [N, N]: row i holds the similarities of i's neighbours, columns ascending. Not symmetric, unless
        ``mutual``.

    Raises:
        ValueError: ``embeddings`` is not of two dimensions, or has a row that is zero or not finite; ``k`` is less
            than one; a label is missing or of another length.

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
    known = {} if where is None else _checked_labels(where, labels, len(units))
    rows, columns, similarities = _search(units, k, where, known)
    if min_similarity is not None:
        keep = similarities >= np.float32(min_similarity)
        rows, columns, similarities = rows[keep], columns[keep], similarities[keep]
    graph = csr_array((similarities, (rows, columns)), shape=(len(units),) * 2)
    return _mutual(graph) if mutual else graph


def unit_rows(embeddings: Any) -> Tensor:
    """Rows divided by their length, float32 [N, D], after checks.

    Raises:
        ValueError: As of `cosine_knn`.
    """
    x = embeddings if isinstance(embeddings, Tensor) else torch.as_tensor(np.asarray(embeddings))
    if x.ndim != 2:
        raise ValueError(f"embeddings have shape {list(x.shape)}, expected [N, D]")
    x = x.detach().double()
    lengths = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    for wrong, name in ((~lengths.isfinite(), "not finite"), (lengths == 0, "zero")):
        if wrong.any():
            row = int(wrong.flatten().nonzero()[0])
            raise ValueError(
                f"embeddings[{row}] is {name}, and so are {int(wrong.sum())} rows in all"
            )
    units: Tensor = (x / lengths).float()
    return units


def _checked_labels(where: Relation, labels: Labels | None, n: int) -> dict[str, npt.NDArray[Any]]:
    if not labels:
        raise ValueError(f"where is {where!r}, but there are no labels")
    known = integers(where.names, labels, "labels")
    for name, values in known.items():
        if len(values) != n:
            raise ValueError(f"labels[{name!r}] are of {len(values)} items, embeddings of {n}")
    return {
        name: values.cpu().numpy() if isinstance(values, Tensor) else values
        for name, values in known.items()
    }


def _search(units: Tensor, k: int, where: Relation | None, labels: Labels) -> Found:
    wide = units.double()
    parts = []
    for start in range(0, len(units), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(units)))
        similarity = (wide[rows] @ wide.T).float().numpy()
        if where is None:
            similarity[np.arange(len(similarity)), np.arange(rows.start, rows.stop)] = -np.inf
        else:
            similarity[~np.asarray(where.mask(labels, rows=rows))] = -np.inf
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        best = np.take_along_axis(similarity, order, axis=1)
        row, rank = np.nonzero(np.isfinite(best))
        parts.append((start + row, order[row, rank], best[row, rank]))
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    row, column, similarity = (np.concatenate(part) for part in zip(*parts, strict=True))
    return row, column, similarity


def _mutual(graph: csr_array) -> csr_array:
    """Only the entries whose mirror image is stored too, be they zeros."""
    stored = csr_array((np.ones(graph.nnz, bool), graph.indices, graph.indptr), graph.shape)
    rows = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    keep = np.asarray(stored.T.tocsr()[rows, graph.indices]).ravel()
    return csr_array((graph.data[keep], (rows[keep], graph.indices[keep])), graph.shape)
