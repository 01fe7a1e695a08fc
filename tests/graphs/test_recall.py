"""Recall of one graph's neighbours in another."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from cleser.graphs import cosine_knn, neighbour_recall


def test_recall_counts_the_neighbours_found():
    generator = np.random.default_rng(0)
    found, true = (cosine_knn(generator.standard_normal((40, 5)), 7) for _ in range(2))
    shared = sum(len(set(found[[i]].indices) & set(true[[i]].indices)) for i in range(40))
    assert neighbour_recall(found, true) == pytest.approx(shared / (40 * 7))
    assert neighbour_recall(true, true) == 1


def test_entries_that_are_zero_count():
    graph = cosine_knn(np.eye(4), 2)
    assert not graph.data.any()
    assert neighbour_recall(graph, graph) == 1


def test_degenerate_graphs():
    assert neighbour_recall(csr_array((0, 0)), csr_array((0, 0))) == 1
    assert neighbour_recall(csr_array((3, 3)), csr_array(np.eye(3))) == 0
    for name, graphs in (
        ("found", (np.eye(3), csr_array((3, 3)))),
        ("true", (csr_array((3, 3)), [[1]])),
    ):
        with pytest.raises(ValueError, match=f"{name} is a .*, expected a sparse matrix: write"):
            neighbour_recall(*graphs)
    with pytest.raises(ValueError, match="shape"):
        neighbour_recall(csr_array((3, 3)), csr_array((3, 4)))
