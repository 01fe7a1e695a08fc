"""Holm's correction against an explicit loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleser.evaluation import holm


def by_steps(ps):
    """Reject one after the other, as Holm (1979) does: the corrected p is the level from which on it is rejected."""
    known = [(p, i) for i, p in enumerate(ps) if p is not None and not np.isnan(p)]
    result, so_far = [np.nan] * len(ps), 0.0
    for rank, (p, i) in enumerate(sorted(known)):
        so_far = max(so_far, p * (len(known) - rank))
        result[i] = min(so_far, 1.0)
    return result


@given(st.lists(st.none() | st.just(float("nan")) | st.floats(0, 1)))
@settings(deadline=None)
def test_it_equals_a_loop(ps):
    np.testing.assert_array_equal(holm(ps), np.array(by_steps(ps), dtype=float))


def test_a_known_table():
    np.testing.assert_allclose(
        holm([0.01, 0.04, 0.03, 0.005, None]), [0.03, 0.06, 0.06, 0.02, np.nan]
    )
    assert holm([]).shape == (0,)
    assert holm([0.03]).tolist() == [0.03]
    with pytest.raises(ValueError, match=r"p-value 1 is 1\.5, expected 0 to 1"):
        holm([0.5, 1.5])
