r"""Correction of p-values for the number of tests (Holm, 1979).

If there is no true difference in m independent tests, at least one p-value is below .05 with probability
1 − .95\ :sup:`m`: in about two of three tables with twenty rows. With the p-values sorted,
:math:`p_{(1)} \le \dots \le p_{(m)}`, those of

.. math:: \tilde p_{(i)} = \min\Big(1,\; \max_{j \le i}\, (m - j + 1)\, p_{(j)}\Big)
   :label: holm

are below .05 anywhere in the table in at most 5 % of such tables, whether or not the tests are independent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def holm(p_values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    """P-values corrected for their number, :eq:`holm`.

    Args:
        p_values: One a test; None or NaN where there was none, which counts as no test.

    Returns:
        Corrected values in the same order, NaN where there was no test.

    Raises:
        ValueError: A value is not between 0 and 1.

    >>> holm([0.01, None, 0.04, 0.03])
    array([0.03,  nan, 0.06, 0.06])
    """
    found = np.array([np.nan if p is None else p for p in p_values], dtype=np.float64)
    known = np.flatnonzero(~np.isnan(found))
    wrong = known[(found[known] < 0) | (found[known] > 1)]
    if len(wrong):
        raise ValueError(f"p-value {wrong[0]} is {found[wrong[0]]}, expected 0 to 1")
    order = known[np.argsort(found[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    found[order] = np.minimum(1, np.maximum.accumulate(factors * found[order]))
    return found
