"""The search that a GPU does, done on the processor (and on a GPU where there is one)."""

import numpy as np
import pytest
import torch

from cleser.graphs import cosine_knn, device_search
from cleser.graphs.neighbours import unit_rows
from cleser.relations import differ, same
from tests.graphs.cases import by_hand, crowded, edges, random_labels, stored


@pytest.mark.parametrize("k", [1, 12, 400])
@pytest.mark.parametrize("where", [None, same("emotion") & differ("language")])
@pytest.mark.parametrize("spread", [0, 1e-4, 1])
def test_whole_rows_find_the_same_neighbours(spread, where, k, monkeypatch):
    monkeypatch.setattr(device_search, "_PAIRS", 100 * 300)  # blocks of a hundred rows
    generator = np.random.default_rng(7)
    x = crowded(generator, 300, 24, spread)
    labels = random_labels(generator, len(x))
    found = device_search.search_on_device(unit_rows(x), where, labels, k)
    assert edges(found) == by_hand(x, k, where, labels)
    assert (found[:, 1:] <= found[:, :-1]).all()


def test_rows_too_crowded_for_their_spare_candidates_are_searched_whole(monkeypatch):
    monkeypatch.setattr(device_search, "_SPARE", 2)
    x = np.tile(np.random.default_rng(0).standard_normal((3, 9)), (40, 1))
    found = device_search.search_on_device(unit_rows(x), None, {}, 5)
    assert edges(found) == by_hand(x, 5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_gpu_gives_the_graph_of_the_processor():
    generator = np.random.default_rng(7)
    x = torch.as_tensor(crowded(generator, 3000, 24, 0.1)).float()
    labels = random_labels(generator, len(x))
    where = same("emotion") & differ("language")
    expected = stored(cosine_knn(x, 12, where=where, labels=labels))
    assert stored(cosine_knn(x.cuda(), 12, where=where, labels=labels)) == expected
