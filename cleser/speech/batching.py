"""Which recordings to encode together: as much sound as fits, as little padding as can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def batches_by_length(
    lengths: Sequence[float], budget: float, *, padding: float = 0.05
) -> list[list[int]]:
    r"""Cut recordings, longest first, into batches.

    A batch of B recordings whose longest is :math:`n_1` costs :math:`B n_1`, padding included. It is closed before
    that exceeds the budget, or before padding becomes more than the given share of it. The longest come first,
    so that what does not fit in memory fails at once.

    Args:
        lengths: Lengths of the recordings, in any unit.
        budget: What a batch may cost, in the same unit; a recording that is longer goes alone.
        padding: Share of a batch that may be padding.

    Returns:
        Positions in ``lengths``, a list a batch; ties stay in their order.

    Raises:
        ValueError: A length is not positive, or the padding no share.

    >>> batches_by_length([1.0, 3.0, 1.0, 2.9, 1.0], budget=6.0)
    [[1, 3], [0, 2, 4]]
    """
    if not 0 <= padding < 1:
        raise ValueError(f"padding is {padding}, expected a share from 0 to below 1")
    sizes = np.asarray(lengths, dtype=np.float64)
    if len(sizes) and not sizes.min() > 0:
        raise ValueError(f"lengths[{int(sizes.argmin())}] is {sizes.min()}, expected more than 0")
    batches: list[list[int]] = []
    longest = filled = 0.0
    for i in np.argsort(-sizes, kind="stable").tolist():
        size = float(sizes[i])
        cost = (len(batches[-1]) + 1) * longest if batches else 0.0
        if not batches or cost > budget or filled + size < (1 - padding) * cost:
            batches.append([])
            longest, filled = size, 0.0
        batches[-1].append(i)
        filled += size
    return batches
