"""Mixing: closed forms, Newman's own example, and permutation p-values that are uniform where nothing is there."""

import math
from itertools import permutations

import numpy as np
import pytest
from scipy import sparse

from cleser.graphs import assortativity, language_entropy, permutation_test


def test_entropy_by_hand():
    found = language_entropy([0, 0, 0, 1, 1, 1], ["a", "a", "b", "b", "b", "b"])
    third = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert found == pytest.approx((3 * third + 0) / (6 * third))


def test_entropy_of_one_language_is_unknown():
    assert math.isnan(language_entropy([0, 1], [5, 5]))
    assert math.isnan(language_entropy([], []))


def test_entropy_is_between_its_limits():
    rng = np.random.default_rng(0)
    for _ in range(50):
        value = language_entropy(rng.integers(0, 5, 30), rng.integers(0, 3, 30))
        assert 0 <= value <= 1 + 1e-12


def test_assortativity_is_newmans_formula():
    rng = np.random.default_rng(1)
    edges = rng.random((12, 12)) * (rng.random((12, 12)) < 0.4)
    edges = (edges + edges.T) / 2
    np.fill_diagonal(edges, 0)
    labels = rng.integers(0, 3, 12)
    e = np.zeros((3, 3))
    for i in range(12):
        for j in range(12):
            e[labels[i], labels[j]] += edges[i, j] / edges.sum()
    expected = (np.trace(e) - (e @ e).sum()) / (1 - (e @ e).sum())  # Newman 2003, eq. 2
    assert assortativity(sparse.csr_array(edges), labels) == pytest.approx(expected)


def test_assortativity_at_its_limits():
    two = sparse.csr_array(np.kron(np.eye(2), 1 - np.eye(3)))
    assert assortativity(two, [0, 0, 0, 1, 1, 1]) == 1
    pair = sparse.csr_array([[0.0, 1.0], [1.0, 0.0]])
    assert assortativity(pair, ["de", "en"]) == -1
    assert math.isnan(assortativity(pair, ["de", "de"]))
    assert math.isnan(assortativity(sparse.csr_array((3, 3)), [0, 1, 2]))


def test_p_values_are_near_those_of_all_permutations():
    labels, groups = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 0, 0, 1, 1])

    def statistic(codes):
        return language_entropy(groups, codes)

    every = np.array([statistic(np.array(p)) for p in permutations(labels)])
    found = permutation_test(statistic, labels, permutations=4000)
    assert found.p_low == pytest.approx((every <= found.observed + 1e-12).mean(), abs=0.03)
    assert found.p_high == pytest.approx((every >= found.observed - 1e-12).mean(), abs=0.03)
    assert found.expected == pytest.approx(every.mean(), abs=0.02)
    assert found.sd == pytest.approx(every.std(), abs=0.02)


def test_p_values_hold_their_level_where_nothing_is_there():
    rng = np.random.default_rng(2)
    p = []
    for seed in range(200):
        groups, labels = rng.integers(0, 4, 40), rng.integers(0, 3, 40)
        test = permutation_test(
            lambda codes, g=groups: language_entropy(g, codes), labels, permutations=39, seed=seed
        )
        p.append(test.p_low)
    assert np.mean(np.array(p) <= 0.05) < 0.1
    assert 0.4 < np.mean(p) < 0.6


def test_p_values_find_what_is_there():
    labels = np.repeat([0, 1], 20)
    test = permutation_test(lambda codes: language_entropy(labels, codes), labels)
    assert test.observed == 0
    assert test.p_low == 1 / 1000
    assert test.p_high == 1


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="permutations is 0"):
        permutation_test(lambda codes: 0.0, [0, 1], permutations=0)
    for languages in ([0, 1], [0, 1, 0, 1]):
        with pytest.raises(ValueError, match=r"expected \(3,\): one a node"):
            assortativity(sparse.csr_array(np.ones((3, 3))), languages)
    with pytest.raises(ValueError, match=r"expected \[N\] each"):
        language_entropy([0, 1], [0])
    unknown = permutation_test(lambda codes: float("nan"), [0, 1])
    assert all(math.isnan(value) for value in unknown)
