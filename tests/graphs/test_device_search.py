"""The search that a GPU does, done on the processor (and on a GPU where there is one)."""

import numpy as np
import pytest
import torch

from cleser.graphs import cosine_knn
from cleser.graphs.neighbours import device_search
from cleser.graphs.neighbours.cosine_knn import unit_rows
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


@pytest.mark.cuda
def test_gpu_gives_the_graph_of_the_processor():
    generator = np.random.default_rng(7)
    x = torch.as_tensor(crowded(generator, 3000, 24, 0.1)).float()
    labels = random_labels(generator, len(x))
    where = same("emotion") & differ("language")
    expected = stored(cosine_knn(x, 12, where=where, labels=labels))
    assert stored(cosine_knn(x.cuda(), 12, where=where, labels=labels)) == expected


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch before 2.9"
)
@pytest.mark.parametrize("legacy", [False, True])
def test_rows_are_as_sure_where_the_process_allows_tensorfloat_32(legacy, monkeypatch):
    """Items that all point one way differ by less than TensorFloat-32 can tell."""
    x = 10 + np.random.default_rng(0).standard_normal((400, 24))
    unsure, searched_whole = device_search._unsure, []
    monkeypatch.setattr(
        device_search, "_unsure", lambda *a: searched_whole.append(unsure(*a)) or searched_whole[-1]
    )
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        if legacy:
            torch.set_float32_matmul_precision("high")
        else:
            matmul.fp32_precision = "tf32"
        found = device_search.search_on_device(unit_rows(x), None, {}, 5)
        assert matmul.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision("highest")
        matmul.fp32_precision = before
    assert edges(found) == by_hand(x, 5)
    assert not torch.cat(searched_whole).any()
