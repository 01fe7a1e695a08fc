"""The neighbour graph against a search pair by pair."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cleser.graphs import cosine_knn
from cleser.graphs.neighbours import search
from cleser.graphs.neighbours.cosine_knn import unit_rows
from cleser.relations import differ, same
from tests.graphs.cases import RELATIONS, by_hand, crowded, random_labels, stored


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(1, 60),
    d=st.integers(1, 20),
    k=st.integers(1, 70),
    where=st.sampled_from(RELATIONS),
    distinct=st.integers(1, 60),
    seed=st.integers(0, 10**6),
)
def test_graph_is_what_a_search_pair_by_pair_finds(n, d, k, where, distinct, seed):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((distinct, d))[generator.integers(0, distinct, n)]  # duplicates
    labels = random_labels(generator, n)
    assert stored(cosine_knn(x, k, where=where, labels=labels)) == by_hand(x, k, where, labels)


def test_units_are_the_rows_divided_by_their_length():
    x = np.random.default_rng(3).standard_normal((40, 17)) * 10.0 ** np.arange(-20, 20)[:, None]
    expected = x / np.sqrt((x**2).sum(1, keepdims=True))
    np.testing.assert_allclose(unit_rows(x).numpy() / 2**30, expected, atol=2**-30)


def test_equal_similarities_are_taken_in_the_order_of_the_items():
    x = np.tile([[1.0, 2.0, -1.0]], (9, 1))
    graph = cosine_knn(x, 3)
    assert [list(graph[[i]].indices) for i in (0, 1, 8)] == [[1, 2, 3], [0, 2, 3], [0, 1, 2]]


def test_fewer_neighbours_where_there_are_fewer():
    generator = np.random.default_rng(0)
    x = generator.standard_normal((5, 4))
    assert np.diff(cosine_knn(x, 50).indptr).tolist() == [4] * 5
    labels = {"emotion": [0, 0, 0, 1, -1]}
    counts = np.diff(cosine_knn(x, 50, where=same("emotion"), labels=labels).indptr)
    assert counts.tolist() == [2, 2, 2, 0, 0]
    assert cosine_knn(x[:1]).nnz == 0
    assert cosine_knn(x[:0]).shape == (0, 0)


def test_mutual_keeps_what_holds_both_ways():
    x = np.random.default_rng(1).standard_normal((80, 6))
    edges = stored(cosine_knn(x, 4))
    graph = cosine_knn(x, 4, mutual=True)
    assert stored(graph) == {(i, j): s for (i, j), s in edges.items() if (j, i) in edges}
    assert abs(graph - graph.T).nnz == 0
    assert 0 < graph.nnz < len(edges)


def test_min_similarity_leaves_the_least_similar_out():
    x = np.random.default_rng(2).standard_normal((50, 6))
    edges = stored(cosine_knn(x, 8))
    threshold = sorted(edges.values())[len(edges) // 2]  # of one that is to stay
    found = stored(cosine_knn(x, 8, min_similarity=threshold))
    assert found == {pair: s for pair, s in edges.items() if s >= threshold}


def test_orthogonal_neighbours_are_stored_with_their_zero():
    graph = cosine_knn(np.eye(3), 1, mutual=False)
    assert stored(graph) == {(0, 1): 0, (1, 0): 0, (2, 0): 0}
    assert stored(cosine_knn(np.eye(3), 1, mutual=True)) == {(0, 1): 0, (1, 0): 0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int32])
def test_embeddings_and_labels_may_be_tensors_of_any_kind(dtype):
    x = torch.randint(1, 50, (30, 5)).to(dtype)
    labels = {"language": torch.arange(30) % 3}
    graph = cosine_knn(x, 4, where=differ("language"), labels=labels)
    expected = by_hand(x.double().numpy(), 4, differ("language"), labels)
    assert stored(graph) == expected
    assert graph.dtype == np.float32
    assert graph.has_canonical_format


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"embeddings": np.ones(4)}, r"shape \[4\], expected \[N, D\]"),
        ({"embeddings": np.ones((2, 3, 4))}, r"shape \[2, 3, 4\]"),
        ({"embeddings": [[1.0, 2.0], [np.nan, 1.0]]}, r"embeddings\[1\] is not finite"),
        ({"embeddings": [[1.0, 2.0], [np.inf, 1.0]]}, r"embeddings\[1\] is not finite"),
        ({"embeddings": [[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]}, r"embeddings\[1\] is zero"),
        ({"k": 0}, "k is 0"),
        ({"where": same("emotion")}, "no labels"),
        ({"where": same("emotion"), "labels": {"language": [0, 1]}}, "no 'emotion'"),
        ({"where": same("emotion"), "labels": {"emotion": [0, 1, 1]}}, "3"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        cosine_knn(**({"embeddings": np.eye(2)} | arguments))


@pytest.mark.parametrize("low_precision", [False, True])
@pytest.mark.parametrize("where", [None, differ("speaker"), same("emotion") & differ("language")])
@pytest.mark.parametrize("spread", [0, 1e-4, 1])
def test_large_graphs_are_exact_in_either_precision(spread, where, low_precision, monkeypatch):
    monkeypatch.setattr(search, "has_fast_bfloat16", lambda: low_precision)
    generator = np.random.default_rng(7)
    x = crowded(generator, 2300, 24, spread)
    labels = random_labels(generator, len(x))
    assert stored(cosine_knn(x, 12, where=where, labels=labels)) == by_hand(x, 12, where, labels)


def test_mutual_neighbours_of_nobody():
    x = np.random.default_rng(0).standard_normal((5, 3))
    alone = {"where": differ("a"), "labels": {"a": np.zeros(5, dtype=int)}}
    for asked in ({"min_similarity": 2.0}, alone):
        assert cosine_knn(x, 3, mutual=True, **asked).shape == (5, 5)
        assert cosine_knn(x, 3, mutual=True, **asked).nnz == 0
    assert cosine_knn(np.zeros((0, 3)), 3, mutual=True).shape == (0, 0)


def test_embeddings_and_labels_come_as_they_are():
    x = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    labels = np.arange(20) % 3
    expected = cosine_knn(x, 3, where=same("a"), labels={"a": labels})
    backwards = x[::-1].copy()[::-1], labels[::-1].copy()[::-1]
    for embeddings, known in (
        backwards, (x.astype(">f4"), labels.astype(">i8")), (x.astype(object), labels.tolist()),
        (torch.tensor(x, requires_grad=True), torch.tensor(labels)),
    ):  # fmt: skip
        found = cosine_knn(embeddings, np.int64(3), where=same("a"), labels={"a": known})
        assert (found != expected).nnz == 0
    half = torch.from_numpy(x).bfloat16()
    assert (cosine_knn(half, 3) != cosine_knn(half.float(), 3)).nnz == 0
    with torch.autocast("cpu", torch.bfloat16):
        assert (cosine_knn(x, 3) != cosine_knn(x, 3, where=None)).nnz == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"k": 3.0}, r"k is 3\.0, expected a whole number"),
        ({"where": "same", "labels": {}}, "where is 'same', expected a relation"),
        ({"min_similarity": float("nan")}, "min_similarity is nan"),
        ({"embeddings": np.ones((2, 2), dtype=complex)}, "embeddings are of complex128"),
        ({"embeddings": torch.ones(2, 2, dtype=torch.complex64)}, "embeddings are of complex64"),
        ({"embeddings": [["a"], ["b"]]}, "embeddings are of <U1, expected real numbers"),
    ],
)
def test_what_is_none_is_refused_by_name(changes, said):
    with pytest.raises(ValueError, match=said):
        cosine_knn(**{"embeddings": np.eye(3), **changes})
