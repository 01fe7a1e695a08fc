"""The refiner: its steps against dense loops, and what it makes of planted communities."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from cleser.graphs import CommunityRefiner, communities, cosine_knn, modularity
from cleser.graphs.communities.refine_training import neighbour_contrast, soft_modularity
from cleser.graphs.communities.symmetric import convolution, sparse_tensor


def planted(seed, noise=0.5, groups=4, size=20, dim=16):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(groups), size))
    centres = rng.standard_normal((groups, dim)) / np.sqrt(dim)
    x = centres[truth] + noise * rng.standard_normal((len(truth), dim)) / np.sqrt(dim)
    graph = cosine_knn(x, 10, min_similarity=0.0)
    return graph, x, truth


def by_loops(graph, x, start, *, steps, listen, temperature, rounds=50):
    """The docstring's equations, densely and node by node."""
    a = graph.toarray().astype(np.float64)
    a = (a + a.T) / 2
    np.fill_diagonal(a, 0)
    a += listen * a.sum() / len(a) * np.eye(len(a))
    degree = a.sum(1)
    h = x / np.linalg.norm(x, axis=1, keepdims=True)
    for _ in range(steps):
        new = np.zeros_like(h)
        for i in range(len(a)):
            for j in range(len(a)):
                new[i] += a[i, j] / np.sqrt(degree[i] * degree[j]) * h[j]
        h = new
    h = h / np.linalg.norm(h, axis=1, keepdims=True)
    q = np.eye(start.max() + 1)[start]
    for _ in range(rounds):
        mu = q.T @ h
        mu /= np.linalg.norm(mu, axis=1, keepdims=True)
        q = np.exp(h @ mu.T / temperature)
        q /= q.sum(1, keepdims=True)
    return h, q


@pytest.mark.parametrize(("steps", "listen"), [(0, 2.0), (1, 2.0), (2, 0.5), (1, 0.0)])
def test_it_is_its_equations(steps, listen):
    graph, x, truth = planted(0, size=8)
    start = np.where(np.arange(len(truth)) % 5 == 0, (truth + 1) % 4, truth)
    refiner = CommunityRefiner(steps=steps, listen=listen, caution=0.0)
    found = refiner.fit(graph, x, start)
    h, q = by_loops(graph, x, start, steps=steps, listen=listen, temperature=0.1)
    np.testing.assert_allclose(found.embeddings, h, atol=1e-5)
    assert adjusted_rand_score(found.labels, q.argmax(1)) == 1
    order = [int(q.argmax(1)[np.argmax(found.labels == c)]) for c in range(found.labels.max() + 1)]
    np.testing.assert_allclose(found.membership, q[:, order], atol=1e-3)


def test_a_node_without_edges_keeps_its_features_though_it_does_not_listen():
    graph = sparse.csr_array(np.array([[0, 1.0, 0], [1, 0, 0], [0, 0, 0]]))
    found = CommunityRefiner(listen=0.0).fit(graph, np.eye(3), [0, 0, 1])
    np.testing.assert_allclose(found.embeddings, np.eye(3)[[1, 0, 2]], atol=1e-6)


def test_it_repairs_communities_that_were_spoilt():
    better = []
    for seed in range(5):
        graph, x, truth = planted(seed, noise=1.0)
        rng = np.random.default_rng(seed)
        spoilt = np.where(rng.random(len(truth)) < 0.3, rng.integers(0, 4, len(truth)), truth)
        found = CommunityRefiner().fit(graph, x, spoilt)
        before, after = (adjusted_rand_score(truth, c) for c in (spoilt, found.labels))
        better.append(after - before)
    assert min(better) > 0.1


def test_what_leiden_finds_becomes_no_worse_on_average():
    gain = []
    for seed in range(12):
        graph, x, truth = planted(seed, noise=1.6, groups=3, size=24, dim=32)
        start = communities(graph)
        found = CommunityRefiner().fit(graph, x, start).labels
        gain.append(adjusted_rand_score(truth, found) - adjusted_rand_score(truth, start))
    assert np.mean(gain) > 0


@given(st.integers(0, 200))
@settings(max_examples=20, deadline=None)
def test_membership_is_a_distribution_and_labels_are_in_order(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 20))
    graph = sparse.csr_array(np.triu(rng.random((n, n)) < 0.3, 1).astype(float))
    found = CommunityRefiner().fit(graph, rng.standard_normal((n, 4)), rng.integers(0, 3, n))
    np.testing.assert_allclose(found.membership.sum(1), 1, atol=1e-5)
    counts = np.bincount(found.labels)
    assert found.membership.shape == (n, len(counts))
    assert (np.diff(counts) <= 0).all()
    assert (counts > 0).all()


@pytest.mark.parametrize("wanted", [1, 2, 6, 80])
def test_a_number_of_communities_can_be_asked_for(wanted):
    graph, x, _ = planted(3)
    refiner = CommunityRefiner(n_communities=wanted, caution=50.0)  # no node moves afterwards
    assert refiner.fit(graph, x, communities(graph)).labels.max() + 1 == wanted


def test_the_number_that_is_asked_for_is_kept_when_nodes_move():
    for seed in range(20):
        x = np.random.default_rng(seed).standard_normal((24, 4))
        graph = cosine_knn(x, 5, min_similarity=0.0)
        refiner = CommunityRefiner(n_communities=8, caution=0.0, temperature=0.5)
        assert refiner.fit(graph, x, communities(graph)).labels.max() + 1 == 8


def test_merging_takes_the_most_alike():
    x = np.array([[1, 0], [1, 0.1], [0, 1], [1, 0.2]], dtype=float)
    found = CommunityRefiner(n_communities=2, caution=50.0).fit(
        sparse.csr_array((4, 4)), x, [0, 1, 2, 3]
    )
    assert found.labels.tolist() == [0, 0, 1, 0]


def test_caution_keeps_what_is_given():
    graph, x, _ = planted(4)
    start = np.arange(len(x)) % 2
    found = CommunityRefiner(caution=1e9).fit(graph, x, start)
    assert adjusted_rand_score(found.labels, start) == 1


def test_weights_count_like_copies():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((6, 3))
    start, copies = np.array([0, 0, 0, 1, 1, 1]), np.array([1, 3, 1, 2, 1, 1])
    refiner = CommunityRefiner(steps=0, temperature=0.5, caution=0.0)
    weighted = refiner.fit(sparse.csr_array((6, 6)), x, start, weights=copies)
    many = np.repeat(np.arange(6), copies)
    n = len(many)
    copied = refiner.fit(sparse.csr_array((n, n)), x[many], start[many])
    first = [int(np.argmax(many == i)) for i in range(6)]
    odds = [np.sort(m.membership, axis=1) for m in (weighted, copied)]
    np.testing.assert_allclose(odds[0], odds[1][first], atol=1e-3)


def test_training_is_deterministic_and_sensible():
    graph, x, truth = planted(6, noise=0.6)
    refiner = CommunityRefiner(epochs=30, dim=8, seed=1)
    first, second = (refiner.fit(graph, x, communities(graph)) for _ in range(2))
    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.membership, second.membership)
    assert adjusted_rand_score(truth, first.labels) > 0.8


def symmetric(graph):
    dense = graph.toarray().astype(np.float64)
    dense = (dense + dense.T) / 2
    np.fill_diagonal(dense, 0)
    return dense, sparse_tensor(sparse.csr_array(dense)).double()


def test_soft_modularity_of_hard_memberships_is_modularity():
    graph, _, truth = planted(7)
    q = torch.eye(4, dtype=torch.float64)[truth]
    found = soft_modularity(q, symmetric(graph)[1])
    assert float(found) == pytest.approx(modularity(graph, truth), abs=1e-7)


@pytest.mark.parametrize("others", [torch.arange(16), torch.tensor([0, 3, 4, 9, 10])])
def test_contrast_by_loops_and_by_gradients(others):
    graph, x, _ = planted(8, size=4)
    dense, adjacency = symmetric(graph)
    h = torch.nn.functional.normalize(torch.tensor(x), dim=1).requires_grad_()
    anchors = torch.arange(0, len(x), 2)
    found = neighbour_contrast(h, adjacency, anchors, others)
    expected = 0.0
    similarity = (h @ h.T / 0.2).detach().numpy()
    for i in anchors.tolist():
        total = np.mean([np.exp(similarity[i, a]) for a in others.tolist() if a != i]) * 15
        for j in range(len(x)):
            if dense[i, j]:
                share = np.exp(similarity[i, j]) / total
                expected -= dense[i, j] / dense[i].sum() * np.log(share) / len(anchors)
    assert found.item() == pytest.approx(expected)
    assert torch.autograd.gradcheck(lambda h: neighbour_contrast(h, adjacency, anchors, others), h)


def test_the_convolution_is_its_product_and_so_is_its_gradient():
    graph, x, _ = planted(9, size=4)
    dense, adjacency = symmetric(graph)
    values = torch.tensor(x, requires_grad=True)
    np.testing.assert_allclose(convolution()(values, adjacency).detach(), dense @ x, atol=1e-6)
    assert torch.autograd.gradcheck(lambda v: convolution()(v, adjacency), values)


def test_nothing_in_gives_nothing_out():
    found = CommunityRefiner().fit(sparse.csr_array((0, 0)), np.empty((0, 3)), [])
    assert found.labels.shape == (0,)
    assert found.membership.shape == (0, 0)


def test_without_edges_features_decide():
    x = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1.0]])
    found = CommunityRefiner(epochs=2, dim=2).fit(sparse.csr_array((4, 4)), x, [0, 0, 1, 1])
    assert found.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("features", "initial", "said"),
    [
        (np.ones((3, 2)), [0, 0], r"expected \[2, D\]"),
        (np.ones((2, 2)), [0], r"expected \(2,\)"),
        (np.array([[1.0, 1], [np.nan, 1]]), [0, 0], r"features\[1\] is not finite"),
        (np.ones((2, 2)), [0.0, np.nan], "initial is of float64, expected integers"),
    ],
)
def test_bad_input_is_refused(features, initial, said):
    with pytest.raises(ValueError, match=said):
        CommunityRefiner().fit(sparse.csr_array((2, 2)), features, initial)


@pytest.mark.parametrize(
    "weights", [[1.0], [1.0, 2.0, 3.0], [1.0, 0.0], [-1.0, 1.0], [1.0, np.nan], [[1.0], [1.0]]]
)
def test_weights_are_one_a_node_and_above_zero(weights):
    with pytest.raises(ValueError, match="expected 2 finite numbers above 0"):
        CommunityRefiner().fit(sparse.csr_array((2, 2)), np.eye(2), [0, 1], weights=weights)


def test_what_surrounds_the_call_changes_nothing():
    graph, x, _ = planted(5, size=10)
    start, refiner = communities(graph), CommunityRefiner(epochs=3)
    plain = refiner.fit(graph, x, start)
    torch.set_default_dtype(torch.float64)
    try:
        found = [refiner.fit(graph, x, start)]
    finally:
        torch.set_default_dtype(torch.float32)
    for context in (torch.autocast("cpu", torch.bfloat16), torch.no_grad(), torch.inference_mode()):
        with context:
            found.append(refiner.fit(graph, x, start))
    for other in found:
        np.testing.assert_array_equal(other.membership, plain.membership)
        np.testing.assert_array_equal(other.embeddings, plain.embeddings)


def test_bad_settings_are_refused():
    for name, value in (
        ("temperature", 0), ("temperature", float("nan")), ("caution", float("nan")), ("listen", -1),
        ("contrast", float("inf")), ("n_communities", 0), ("n_communities", 2.5), ("dim", 0), ("steps", -1),
        ("n_communities", float("nan")), ("dim", float("inf")), ("epochs", "3"), ("listen", "1"), ("caution", None),
        ("temperature", "0.1"), ("seed", None),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"{name} is {value!r}, expected a"):
            CommunityRefiner(**{name: value})
    with pytest.raises(ValueError, match="at most the 2 nodes"):
        CommunityRefiner(n_communities=3).fit(sparse.csr_array((2, 2)), np.ones((2, 1)), [0, 0])
