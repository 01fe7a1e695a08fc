"""Tiles hold every admissible pair once, and what is forbidden is marked so or left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleser.graphs.neighbours.tiles import tile
from cleser.relations import differ, same
from tests.graphs.cases import NAMES, RELATIONS


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(0, 40),
    where=st.sampled_from(RELATIONS),
    size=st.integers(1, 50),
    values=st.integers(1, 12),
    seed=st.integers(0, 10**6),
)
def test_blocks_hold_every_admissible_pair_once(n, where, size, values, seed):
    generator = np.random.default_rng(seed)
    labels = {name: generator.integers(-1, values, n) for name in NAMES}
    tiles = tile(n, where, labels, size)
    seen = np.zeros((n, n), int)
    for pair in tiles.blocks():
        block = tiles.block(*pair)
        if block is None:
            continue
        rows, columns = tiles.order[block.rows], tiles.order[block.columns]
        assert 0 < len(rows) <= size
        assert 0 < len(columns) <= size
        allowed = np.repeat(block.allowed, np.diff(block.row_runs), axis=0)
        allowed = np.repeat(allowed, np.diff(block.column_runs), axis=1)
        seen[np.ix_(rows, columns)] += allowed
        if pair[0] != pair[1]:
            seen[np.ix_(columns, rows)] += allowed.T
    np.fill_diagonal(seen, 0)
    every = 1 - np.eye(n, dtype=int)
    assert (seen == (every if where is None else where.mask(labels))).all()


@pytest.mark.parametrize(
    ("where", "share"),
    [
        (same("emotion"), 0.3),
        (same("emotion") & differ("language"), 0.25),
        (differ("language"), 0.75),
    ],
)
def test_products_that_a_relation_forbids_are_not_computed(where, share):
    generator = np.random.default_rng(0)
    labels = {"emotion": generator.integers(0, 5, 2000), "language": generator.integers(0, 3, 2000)}
    tiles = tile(2000, where, labels, 64)
    pairs = 0
    for pair in tiles.blocks():
        if (block := tiles.block(*pair)) is not None:
            factor = 1 if pair[0] == pair[1] else 2
            pairs += factor * np.diff(block.row_runs).sum() * np.diff(block.column_runs).sum()
    assert where.mask(labels).mean() <= pairs / 2000**2 < share
