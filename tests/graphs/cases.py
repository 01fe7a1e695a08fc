"""Items, labels and relations that the tests search, and a search by definition."""

import numpy as np
import torch

from cleser.graphs.neighbours.cosine_knn import unit_rows
from cleser.graphs.neighbours.packing import unpack
from cleser.relations import differ, same

NAMES = ("emotion", "language", "speaker")
RELATIONS = [
    None,
    same("emotion"),
    differ("language"),
    same("emotion") & differ("language"),
    same("emotion", "speaker"),
    same("emotion") | same("speaker"),
    ~same("speaker"),
    ~(differ("emotion") | same("language")),
    same("emotion") & ~same("emotion"),
]


def by_hand(x, k, where=None, labels=None):
    """Similarities and neighbours as their definition says them, with all pairs at hand."""
    units = unit_rows(x).numpy().astype(np.int64)
    similarity = (units @ units.T).astype(np.float32) / np.float32(2**60)
    allowed = ~np.eye(len(units), dtype=bool) if where is None else np.asarray(where.mask(labels))
    graph = {}
    for i, (row, admissible) in enumerate(zip(similarity, allowed, strict=True)):
        candidates = np.flatnonzero(admissible)
        best = candidates[np.lexsort((candidates, -row[candidates]))][:k]
        graph |= {(i, int(j)): row[j] for j in best}
    return graph


def stored(graph):
    coo = graph.tocoo()
    return {(int(i), int(j)): s for i, j, s in zip(*coo.coords, coo.data, strict=True)}


def edges(found):
    """Pairs and similarities of neighbours [N, k]."""
    scores, items = unpack(found)
    rows, ranks = torch.nonzero(items >= 0, as_tuple=True)
    pairs = zip(rows.tolist(), items[rows, ranks].tolist(), strict=True)
    return dict(zip(pairs, scores[rows, ranks].numpy(), strict=True))


def random_labels(generator, n):
    return {name: generator.integers(-1, 3, n) for name in NAMES}


def crowded(generator, n, dim, spread):
    """Groups of like items, some of them the same, all pointing one way."""
    centres = generator.standard_normal((20, dim))
    x = 3 + centres[generator.integers(0, 20, n)] + spread * generator.standard_normal((n, dim))
    x[generator.integers(0, n, n // 2)] = x[generator.integers(0, 50, n // 2)]
    return x
