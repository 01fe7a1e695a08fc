r"""Offsets that groups of items share, removed by least squares.

With :math:`g_1(i), g_2(i), \dots` the groups of item :math:`i` and weights :math:`w_i`,

.. math:: \min_{a} \sum_i w_i \Bigl\lVert x_i - \sum_r a^{(r)}_{g_r(i)} \Bigr\rVert^2

is an additive model without interaction; its residual is what belongs to the item and to none of its groups. Unlike
subtracting means one after another, it does not depend on which groups happen to meet in which numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_ROUNDS, _TOLERANCE = 1000, 1e-9


def remove_offsets(
    values: npt.ArrayLike, groups: Sequence[npt.ArrayLike], weights: npt.ArrayLike | None = None
) -> Floats:
    """The residual of the additive model, by alternating between its groupings until nothing moves.

    Args:
        values: Items [N, D].
        groups: The groupings, each with the group of each item, integers from 0 on, [N]. They may have gaps.
        weights: Weights of the items, above 0, [N]; by default all the same.

    Returns:
        float64 [N, D]; its weighted mean is zero within every group.

    Raises:
        ValueError: The values are not of two dimensions, or groups or weights are none of N items.

    >>> cells = [[1.0], [2.0], [11.0], [12.0]]  # a row adds 10, a column 1
    >>> remove_offsets(cells, [[0, 0, 1, 1], [0, 1, 0, 1]]).ravel().round(6) + 0.0
    array([0., 0., 0., 0.])
    """
    residual = np.array(values, dtype=np.float64)
    if residual.ndim != 2:
        raise ValueError(f"values have shape {residual.shape}, expected [N, D]")
    n = len(residual)
    weight = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != (n,) or not (weight > 0).all():
        raise ValueError(f"weights of shape {weight.shape}, expected {n} numbers above 0")
    means = [_Means(np.asarray(group), weight, number) for number, group in enumerate(groups)]
    if not n:
        return residual
    limit = _TOLERANCE * max(np.abs(residual).max(), np.finfo(float).tiny)
    for _ in range(_ROUNDS):
        moved = 0.0
        for mean in means:
            offsets = mean(residual)
            residual -= offsets[mean.codes]
            moved = max(moved, float(np.abs(offsets).max()))
        if moved <= limit or len(means) < 2:
            break
    return residual


class _Means:
    """Weighted means of groups."""

    def __init__(self, codes: npt.NDArray[Any], weight: Floats, number: int) -> None:
        if codes.shape != weight.shape or codes.dtype.kind not in "iu" or (codes < 0).any():
            raise ValueError(
                f"groups[{number}] is of {codes.dtype} {codes.shape}, expected {len(weight)} integers from 0 on"
            )
        # A group's number may be larger than any memory.
        codes = np.unique(codes, return_inverse=True)[1]
        self.codes = codes
        mass = np.bincount(codes, weights=weight)
        share = weight / mass[codes]
        shape = (len(mass), len(codes))
        self.of = sparse.csr_array((share, (codes, np.arange(len(codes)))), shape=shape)

    def __call__(self, values: Floats) -> Floats:
        return np.asarray(self.of @ values)
