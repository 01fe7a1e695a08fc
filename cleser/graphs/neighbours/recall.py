"""How many of the true neighbours an approximate graph has found."""

from __future__ import annotations

from typing import Any

from scipy.sparse import issparse


def neighbour_recall(found: Any, true: Any) -> float:
    r"""Share of the true graph's neighbours that the found graph holds as well.

    .. math:: R = \frac{\sum_i |F_i \cap T_i|}{\sum_i |T_i|}

    Args:
        found: SciPy sparse matrix or sparse array [N, M]; a row's stored entries are its neighbours F, whatever their
            values.
        true: Likewise, with the neighbours T.

    Returns:
        0 to 1, and 1 where there is nothing to find.

    Raises:
        ValueError: The shapes differ, or a graph is not sparse.

    >>> from scipy.sparse import csr_array
    >>> neighbour_recall(csr_array([[0, 1, 0]]), csr_array([[0.5, 0.7, 0]]))
    0.5
    """
    for name, graph in (("found", found), ("true", true)):
        if not issparse(graph):
            raise ValueError(
                f"{name} is a {type(graph).__name__}, expected a sparse matrix: write scipy.sparse.csr_array({name})"
            )
    if found.shape != true.shape:
        raise ValueError(f"found has shape {found.shape}, true {true.shape}; expected the same")
    if not true.nnz:
        return 1.0
    return float(_stored(found).multiply(_stored(true)).sum() / true.nnz)


def _stored(graph: Any) -> Any:
    """Ones where entries are stored, be they zeros."""
    ones = graph.tocsr().astype("float64")  # a copy
    ones.data[:] = 1
    return ones
