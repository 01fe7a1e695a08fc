"""Search by faiss: what it finds is admissible and exactly scored, and little is missed."""

import numpy as np
import pytest

from cleser.graphs import cosine_knn, neighbour_recall
from cleser.graphs.neighbours import approximate
from cleser.relations import differ, same
from tests.graphs.cases import RELATIONS, crowded, random_labels, stored

pytest.importorskip("faiss")


@pytest.mark.parametrize("where", RELATIONS)
def test_groups_of_few_items_lose_nothing(where):
    generator = np.random.default_rng(3)
    x = generator.standard_normal((400, 12))
    labels = random_labels(generator, len(x))
    found = cosine_knn(x, 7, where=where, labels=labels, approximate=True)
    assert stored(found) == stored(cosine_knn(x, 7, where=where, labels=labels))


@pytest.mark.parametrize("where", [None, same("emotion") & differ("language")])
def test_cells_find_nearly_all(where, monkeypatch):
    monkeypatch.setattr(approximate, "_FEW", 500)
    generator = np.random.default_rng(3)
    x = crowded(generator, 4000, 16, 0.5)
    labels = random_labels(generator, len(x))
    found = cosine_knn(x, 7, where=where, labels=labels, approximate=True)
    true = cosine_knn(x, 7, where=where, labels=labels)
    assert 0.9 < neighbour_recall(found, true) <= 1
    if where is not None:
        rows, columns = found.nonzero()
        assert where.mask(labels)[rows, columns].all()
    exact = stored(true)
    assert all(exact[pair] == s for pair, s in stored(found).items() if pair in exact)
