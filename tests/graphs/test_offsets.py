"""Offsets: the residual against a least-squares solver on the design written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleser.graphs import remove_offsets


def design(*groups):
    return np.concatenate([np.eye(max(g) + 1)[g] for g in groups], axis=1)


@given(st.integers(0, 500), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_the_residual_is_that_of_least_squares(seed, groupings):
    rng = np.random.default_rng(seed)
    n = 25
    groups = [rng.integers(0, 4, n) for _ in range(groupings)]
    x, w = rng.standard_normal((n, 3)), rng.uniform(0.2, 2.0, n)
    root = np.sqrt(w)[:, None]
    solved = np.linalg.lstsq(root * design(*groups), root * x, rcond=None)[0]
    expected = x - design(*groups) @ solved
    np.testing.assert_allclose(remove_offsets(x, groups, w), expected, atol=1e-6)


def test_planted_offsets_leave_the_interaction():
    rng = np.random.default_rng(0)
    rows, columns = (a.ravel() for a in np.indices((5, 4)))
    inner = rng.standard_normal((5, 4, 2))
    inner -= inner.mean(0, keepdims=True)
    inner -= inner.mean(1, keepdims=True)
    offsets = 10 * rng.standard_normal((5, 1, 2)) + 10 * rng.standard_normal((1, 4, 2))
    found = remove_offsets((inner + offsets).reshape(20, 2), [rows, columns])
    np.testing.assert_allclose(found, inner.reshape(20, 2), atol=1e-7)


def test_a_group_of_one_leaves_nothing():
    assert np.allclose(remove_offsets([[3.0], [1.0], [2.0]], [[0, 1, 1]]), [[0], [-0.5], [0.5]])


def test_nothing_in_gives_nothing_out():
    assert remove_offsets(np.empty((0, 3)), [np.empty(0, int)]).shape == (0, 3)
    x = np.ones((2, 2))
    assert np.array_equal(remove_offsets(x, []), x)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="expected \\[N, D\\]"):
        remove_offsets([1.0], [[0]])
    with pytest.raises(ValueError, match=r"groups\[1\] .* expected 2 integers"):
        remove_offsets(np.ones((2, 1)), [[0, 0], [0, -1]])
    with pytest.raises(ValueError, match="numbers above 0"):
        remove_offsets(np.ones((2, 1)), [[0, 0]], [1.0, 0.0])


def test_a_group_s_number_may_be_as_large_as_it_likes():
    values = np.arange(8.0).reshape(4, 2)
    small, large = [0, 0, 1, 1], [10**9, 10**9, 2**62, 2**62]
    np.testing.assert_array_equal(remove_offsets(values, [large]), remove_offsets(values, [small]))
