"""Our Leiden beside graspologic-native's, where it is installed: modularity, time, repeatability.

    python benchmarks/leiden.py [--quick]

Graphs of the 15 nearest neighbours of planted groups, from apart to hardly any. Modularity is the mean over seeds;
times are the shortest of the seeds'; found is the adjusted Rand index with the planted groups; repeats says whether the
same seed gives the same communities twice. Both have up to ten passes over the whole graph.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from sklearn.metrics import adjusted_rand_score

from cleser.graphs import communities, cosine_knn, modularity

Ints = np.ndarray[Any, np.dtype[np.int64]]
Finder = Callable[[csr_array, int], Ints]


def planted(n: int, noise: float, groups: int = 20) -> tuple[csr_array, Ints]:
    """A neighbour graph of groups around random centres, made symmetric, and the groups."""
    random = np.random.default_rng(0)
    truth = random.integers(0, groups, n)
    points = random.standard_normal((groups, 64))[truth] + noise * random.standard_normal((n, 64))
    graph = cosine_knn(points.astype(np.float32), k=15, min_similarity=0.0)
    return csr_array((graph + graph.T) / 2, dtype=np.float64), truth


def finders() -> dict[str, Finder]:
    found: dict[str, Finder] = {"cleser": lambda graph, seed: communities(graph, seed=seed)}
    try:
        native = importlib.import_module("graspologic_native")
    except ImportError:
        print("graspologic-native is not installed: ours alone\n")
        return found

    def theirs(graph: csr_array, seed: int) -> Ints:
        _, labels = native.leiden_csr(
            graph.indptr.astype(np.int64),
            graph.indices.astype(np.int32),
            graph.data,
            graph.shape[0],
            iterations=10,
            seed=seed,
        )
        return np.array([labels.get(node, -1) for node in range(graph.shape[0])])

    found["graspologic-native"] = theirs
    return found


def compare(quick: bool) -> None:
    """Print the table."""
    contestants, seeds = finders(), range(3 if quick else 10)
    for find in contestants.values():
        find(planted(200, 1.0)[0], 0)  # compiled before it is timed
    print(
        "| N | noise | Leiden | modularity | found | s | repeats |\n|---|---|---|---|---|---|---|"
    )
    for n in (2_000,) if quick else (2_000, 20_000):
        for noise in (0.5, 2.0, 4.0):
            graph, truth = planted(n, noise)
            for name, find in contestants.items():
                qualities, agreed, times = [], [], []
                for seed in seeds:
                    began = time.perf_counter()
                    labels = find(graph, seed)
                    times.append(time.perf_counter() - began)
                    qualities.append(modularity(graph, labels))
                    agreed.append(adjusted_rand_score(truth, labels))
                same = np.array_equal(find(graph, 0), find(graph, 0))
                print(
                    f"| {n} | {noise} | {name} | {np.mean(qualities):.4f} | {np.mean(agreed):.3f} "
                    f"| {min(times):.3f} | {'yes' if same else 'no'} |",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer seeds and items")
    compare(parser.parse_args().quick)


if __name__ == "__main__":
    main()
