"""The search for many neighbours against a search pair by pair."""

import numpy as np
import pytest
import torch

from cleser.graphs import cosine_knn
from cleser.graphs.neighbours import row_search
from cleser.graphs.neighbours.cosine_knn import unit_rows
from cleser.graphs.neighbours.row_search import search_rows, wants_rows
from cleser.graphs.neighbours.search import search
from cleser.graphs.neighbours.tiles import tile
from cleser.relations import differ, same
from tests.graphs.cases import RELATIONS, by_hand, crowded, edges, random_labels, stored


@pytest.mark.parametrize("k", [1, 150, 400])
@pytest.mark.parametrize("where", RELATIONS, ids=str)
@pytest.mark.parametrize("spread", [1e-4, 1])
def test_whole_rows_find_the_same_neighbours(spread, where, k):
    generator = np.random.default_rng(7)
    x = crowded(generator, 300, 24, spread)
    labels = random_labels(generator, len(x))
    found = search_rows(unit_rows(x), tile(len(x), where, labels), k)
    assert edges(found) == by_hand(x, k, where, labels)
    assert (found[:, 1:] <= found[:, :-1]).all()


def test_similarities_halfway_between_two_numbers_are_rounded_as_whole_numbers_are():
    """Sums of whole numbers to which one added or taken away decides the float32, and zeros of many terms."""
    generator = np.random.default_rng(0)
    signs = generator.choice([-1, 1], (40, 64))
    half = 2**24 + 1  # between two numbers of float32
    rows = np.zeros((4, 64), np.int64)
    rows[0, 0], rows[1, :2], rows[2, :2], rows[3, :2] = 2**30, (half, 0), (half, 1), (half - 1, 0)
    rows[0, 1] = 1
    units = torch.from_numpy(np.concatenate([rows, signs * 2**27])).int()
    tiles = tile(len(units), None, {})
    for k in (1, 3, 43):
        assert torch.equal(search_rows(units, tiles, k), search(units, tiles, k))


def test_strips_are_shared_by_ranks():
    units = unit_rows(np.random.default_rng(3).standard_normal((200, 8)))
    tiles = tile(len(units), None, {})
    alone = search_rows(units, tiles, 90)
    shares = [search_rows(units, tiles, 90, share=(rank, 2)) for rank in range(2)]
    assert torch.equal(torch.maximum(*shares), alone)
    assert not any(torch.equal(share, alone) for share in shares)


def test_a_sample_that_misleads_is_not_believed():
    """Every 16th item is near, the others are not: the sample has more to offer than there is."""
    x = np.tile([[0.0, 1.0]], (640, 1)) + np.random.default_rng(0).standard_normal((640, 2)) / 9
    x[::16] = [1.0, 0.01]
    assert stored(cosine_knn(x, 100)) == by_hand(x, 100)


def test_whole_rows_are_taken_where_many_are_wanted(monkeypatch):
    everyone = tile(6400, None, {})
    assert wants_rows(everyone, 100)
    assert not wants_rows(everyone, 99)
    assert not wants_rows(tile(640, None, {}), 20)
    third = tile(6400, same("emotion"), {"emotion": np.arange(6400) % 3})
    assert wants_rows(third, 64)
    calls = []
    x = np.random.default_rng(0).standard_normal((200, 5))
    monkeypatch.setattr(row_search, "in_threads", lambda task, turns: calls.extend(turns))
    cosine_knn(x, 80, where=~differ("speaker"), labels={"speaker": np.zeros(200, int)})
    assert len(calls) == 4
