"""Communities: modularity against its definition, Leiden against exhaustive search and scikit-network."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import adjusted_rand_score

from cleser.graphs import communities, modularity
from cleser.graphs.communities.leiden import _move
from cleser.graphs.communities.modularity import by_size, undirected


def random_graph(seed, n=8, density=0.5):
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((n, n)) * (rng.random((n, n)) < density), 1)
    return upper + upper.T


def definition(edges, labels, resolution):
    edges = np.asarray(edges)
    strength, total = edges.sum(1), edges.sum()
    value = 0.0
    for i in range(len(edges)):
        for j in range(len(edges)):
            if labels[i] == labels[j]:
                value += edges[i, j] - resolution * strength[i] * strength[j] / total
    return value / total


def partitions(n):
    """All of them, as restricted growth strings."""
    if n == 0:
        yield []
        return
    for head in partitions(n - 1):
        for label in range(max(head, default=-1) + 2):
            yield [*head, label]


def planted(seed, groups=6, size=40, inside=0.3, across=0.02):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(groups), size))
    odds = np.where(truth[:, None] == truth, inside, across)
    upper = np.triu(rng.random(odds.shape) < odds, 1).astype(float)
    return sparse.csr_array(upper + upper.T), truth


@given(st.integers(0, 1000), st.floats(0.2, 3.0))
@settings(max_examples=30, deadline=None)
def test_modularity_is_its_definition(seed, resolution):
    edges = random_graph(seed)
    labels = np.random.default_rng(seed).integers(0, 3, len(edges))
    if edges.sum():
        found = modularity(sparse.csr_array(edges), labels, resolution=resolution)
        assert found == pytest.approx(definition(edges, labels, resolution), abs=1e-12)


@pytest.mark.parametrize("resolution", [0.5, 1.0, 2.0])
def test_small_graphs_get_the_best_partition_there_is(resolution):
    short = []
    for seed in range(15):
        edges = random_graph(seed, n=7)
        best = max(definition(edges, labels, resolution) for labels in partitions(7))
        found = modularity(edges, communities(edges, resolution=resolution), resolution=resolution)
        short.append(best - found)
    assert max(short) < 0.02
    assert np.mean(np.array(short) < 1e-9) > 0.8


def test_planted_groups_are_found_as_well_as_by_the_peer():
    from sknetwork.clustering import Leiden

    for seed in range(3):
        graph, truth = planted(seed)
        found = communities(graph, seed=seed)
        theirs = Leiden(random_state=seed).fit_predict(sparse.csr_matrix(graph))
        assert adjusted_rand_score(truth, found) > 0.97
        assert modularity(graph, found) >= modularity(graph, theirs) - 1e-3


@given(st.integers(0, 1000), st.floats(0.05, 0.6), st.floats(0.1, 3.0))
@settings(max_examples=25, deadline=None)
def test_every_community_is_connected(seed, density, resolution):
    graph = sparse.csr_array(random_graph(seed, n=30, density=density))
    labels = communities(graph, resolution=resolution, seed=seed)
    for community in range(labels.max() + 1):
        inside = labels == community
        assert connected_components(graph[inside][:, inside])[0] == 1


def test_a_node_leaves_for_a_community_that_was_empty():
    """Communities of a smaller graph are fewer than its nodes; of all together, each is better off alone."""
    edges = sparse.csr_array(np.ones((4, 4)) - np.eye(4))
    labels, strength = np.zeros(4, dtype=np.int64), np.full(4, 3.0)
    parts = (edges.indptr.astype(np.int64), edges.indices.astype(np.int64), edges.data)
    _move(*parts, strength, labels, 3.0, np.arange(4), 1e-10)
    assert len(set(labels.tolist())) == 4


def test_a_ring_of_cliques_is_cut_into_its_cliques():
    cliques, size = 12, 5
    edges = np.kron(np.eye(cliques), 1 - np.eye(size))
    for i in range(cliques):
        a, b = i * size, (i + 1) % cliques * size + 1
        edges[a, b] = edges[b, a] = 1
    labels = communities(sparse.csr_array(edges), resolution=1.0)
    assert adjusted_rand_score(labels, np.repeat(np.arange(cliques), size)) == 1


def test_the_seed_is_all_there_is_to_chance():
    graph, _ = planted(0, inside=0.12, across=0.05)
    first = communities(graph, seed=3)
    communities(graph, seed=4)
    assert np.array_equal(first, communities(graph, seed=3))
    assert np.array_equal(first, communities(graph.tocoo(), seed=3))
    assert np.array_equal(first, communities(graph * 1000.0, seed=3))


def test_disconnected_parts_never_share_a_community():
    one, _ = planted(1, groups=2, size=20, inside=0.5)
    graph = sparse.block_diag([one, one, sparse.csr_array((3, 3))], format="csr")
    labels = communities(graph)
    parts = connected_components(graph)[1]
    for community in range(labels.max() + 1):
        assert len(set(parts[labels == community])) == 1
    assert sorted(np.bincount(labels)[labels[-3:]]) == [1, 1, 1]


@pytest.mark.parametrize("n", [0, 1, 4])
def test_without_edges_everyone_is_alone(n):
    graph = sparse.csr_array((n, n))
    assert communities(graph).tolist() == list(range(n))
    assert communities(graph).dtype == np.int64
    assert modularity(graph, np.zeros(n, dtype=int)) == 0


def test_loops_alone_are_no_edges():
    assert communities(sparse.eye_array(3)).tolist() == [0, 1, 2]


def test_one_direction_is_half_an_edge():
    edges = np.array([[0, 1.0, 0], [0, 0, 0], [0.5, 0, 0]])
    assert np.array_equal(undirected(edges).toarray(), (edges + edges.T) / 2)
    assert np.array_equal(communities(edges), communities(edges.T))


def test_labels_are_numbered_from_the_largest_down():
    graph = sparse.csr_array(np.triu(np.ones((3, 3)), 1))
    graph = sparse.block_diag([graph, np.ones((5, 5)), graph], format="csr")
    assert communities(graph).tolist() == [1] * 3 + [0] * 5 + [2] * 3
    assert by_size(np.array([], dtype=np.int64)).tolist() == []


def test_resolution_sets_the_size():
    graph, _ = planted(2)
    counts = [communities(graph, resolution=r).max() + 1 for r in (0.0, 1.0, 20.0)]
    assert counts[0] == 1
    assert counts[0] < counts[1] < counts[2]


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (np.ones((2, 3)), r"shape \(2, 3\)"),
        (np.array([[0, -1.0], [-1.0, 0]]), "weight -1.0"),
        (np.array([[0, np.nan], [1, 0]]), "weight nan"),
    ],
)
def test_bad_graphs_are_refused(graph, said):
    with pytest.raises(ValueError, match=said):
        communities(sparse.csr_array(graph))


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="resolution is nan"):
        communities(sparse.csr_array((2, 2)), resolution=float("nan"))
    with pytest.raises(ValueError, match=r"expected \(2,\)"):
        modularity(sparse.csr_array((2, 2)), [0])


def test_negative_weights_are_refused_with_what_to_do():
    graph = sparse.csr_array(np.array([[0, -0.5], [-0.5, 0]]))
    with pytest.raises(ValueError, match=r"weight -0.5.*cosine_knn\(…, min_similarity=0\)"):
        communities(graph)
    with pytest.raises(ValueError, match=r"from 0 on$"):
        communities(sparse.csr_array(np.array([[0, np.inf], [np.inf, 0]])))
