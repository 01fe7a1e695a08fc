"""Neighbour search beside faiss, scikit-learn and pynndescent, the matrix product alone, and its memory.

    python benchmarks/graphs.py [--quick] [--skip pynndescent] [--sizes 20000 65000 130000 260000]
                                [--parts first tables many scaling approximate] [--rounds 7]

Embeddings [N, 192] in float32, the 15 nearest by cosine; six emotions and three languages, independent of the
embeddings, which is what fetching too many and filtering is best at. Times are medians of rounds in which all
take turns, with their least and greatest. The floor is the product of all pairs in float32, in tiles, beyond 65536
items eight times that of an eighth of them. Peak memory is
the growth of a fresh process over the search, embeddings not counted. First calls are those of fresh
processes, imports counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch
from scipy.sparse import csr_array
from sklearn.neighbors import NearestNeighbors

from cleser.graphs import cosine_knn, neighbour_recall
from cleser.relations import differ, same

DIM, K, TILE = 192, 15, 1024
PARTS = ("first", "tables", "many", "scaling", "approximate")
WHERE = same("emotion") & differ("language")
Search = Callable[[], Any]


def items(n: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    generator = np.random.default_rng(0)
    x = generator.standard_normal((n, DIM), dtype=np.float32)
    labels = {"emotion": generator.integers(0, 6, n), "language": generator.integers(0, 3, n)}
    return x, labels


def as_graph(neighbours: np.ndarray) -> csr_array:
    """Neighbours [N, M] as a graph without the items themselves; −1 is none."""
    rows = np.repeat(np.arange(len(neighbours)), neighbours.shape[1])
    columns = neighbours.ravel()
    kept = (columns >= 0) & (columns != rows)
    return csr_array((np.ones(kept.sum()), (rows[kept], columns[kept])), (len(neighbours),) * 2)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def floor(x: np.ndarray, share: int = 1) -> None:
    """The product of every ``share``-th tile of rows with all."""
    rows = torch.from_numpy(x)
    product = torch.empty(TILE, TILE)
    for a in rows.split(TILE)[::share]:
        for b in rows.split(TILE):
            torch.mm(a, b.T, out=product[: len(a), : len(b)])


def faiss_index(x: np.ndarray, kind: str) -> Any:
    if kind == "HNSW":
        index = faiss.IndexHNSWFlat(DIM, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efSearch = 128
    else:
        index = faiss.IndexFlatIP(DIM)
    index.add(x)
    return index


def faiss_search(x: np.ndarray, kind: str) -> csr_array:
    rows = unit(x)
    return as_graph(faiss_index(rows, kind).search(rows, K + 1)[1])


def faiss_filtered(x: np.ndarray, labels: dict[str, np.ndarray]) -> csr_array:
    """Fetch too many, keep the admissible, and fetch twice as many where that is too few."""
    rows = unit(x)
    index = faiss_index(rows, "exact")
    found, left, fetched = np.full((len(x), K), -1), np.arange(len(x)), 16 * K
    while len(left):
        near = index.search(rows[left], min(fetched, len(x)))[1]
        allowed = labels["emotion"][near] == labels["emotion"][left, None]
        allowed &= labels["language"][near] != labels["language"][left, None]
        first = np.argsort(~allowed, axis=1, kind="stable")[:, :K]
        full = allowed.sum(1) >= K
        found[left[full]] = np.take_along_axis(near, first, 1)[full]
        left, fetched = left[~full], 2 * fetched
    return as_graph(found)


def sklearn_search(x: np.ndarray) -> csr_array:
    model = NearestNeighbors(n_neighbors=K, metric="cosine", algorithm="brute").fit(x)
    return as_graph(model.kneighbors(return_distance=False))


def pynndescent_search(x: np.ndarray) -> csr_array:
    import pynndescent  # noqa: PLC0415 -- compiles for a minute

    index = pynndescent.NNDescent(
        x, metric="cosine", n_neighbors=K + 1, random_state=0, n_jobs=torch.get_num_threads()
    )
    return as_graph(index.neighbor_graph[0])


def contestants(n: int) -> dict[str, dict[str, Search]]:
    """Searches by table and name; the first of a table is ours, which is exact."""
    x, labels = items(n)
    return {
        "free": {
            "cleser": lambda: cosine_knn(x, K),
            "product alone": lambda: floor(x),
            "faiss exact": lambda: faiss_search(x, "exact"),
            "faiss HNSW": lambda: faiss_search(x, "HNSW"),
            "scikit-learn brute": lambda: sklearn_search(x),
            "pynndescent": lambda: pynndescent_search(x),
        },
        "same emotion, other language": {
            "cleser": lambda: cosine_knn(x, K, where=WHERE, labels=labels),
            "product alone": lambda: floor(x),
            "faiss exact, fetched and filtered": lambda: faiss_filtered(x, labels),
            "faiss exact, by emotion with selectors": lambda: cosine_knn(
                x, K, where=WHERE, labels=labels, approximate=True
            ),
        },
    }


def times(searches: dict[str, Search], rounds: int) -> dict[str, list[float]]:
    """Seconds of each round, in turns; what is slow takes fewer."""
    taken: dict[str, list[float]] = {name: [] for name in searches}
    for number in range(rounds + 1):
        for name, search in searches.items():
            if number > 2 and np.median(taken[name]) > 5:
                continue
            began = time.perf_counter()
            search()
            if number:  # the first round warms up
                taken[name].append(time.perf_counter() - began)
    return taken


def show_times(n: int, rounds: int, first: dict[str, float], skipped: list[str]) -> None:
    for table, every in contestants(n).items():
        searches = {name: search for name, search in every.items() if name not in skipped}
        taken = times(searches, rounds)
        medians = {name: float(np.median(t)) for name, t in taken.items()}
        true = searches["cleser"]()
        peer = next(name for name in searches if name.startswith("faiss"))
        print(f"\n{n} × {DIM}, {table}\n")
        print("| search | s | least–greatest | × faiss | × product | recall | first call, s |")
        print("|---|---|---|---|---|---|---|")
        for name, search in searches.items():
            recall = "" if name == "product alone" else f"{neighbour_recall(search(), true):.3f}"
            began = f"{first[name]:.2f}" if table == "free" and name in first else ""
            print(
                f"| {name} | {medians[name]:.3f} | {min(taken[name]):.3f}–{max(taken[name]):.3f} "
                f"| {medians[name] / medians[peer]:.2f} | {medians[name] / medians['product alone']:.2f} "
                f"| {recall} | {began} |",
                flush=True,
            )


FIRST = {
    "cleser": "from cleser.graphs import cosine_knn; cosine_knn(x)",
    "faiss exact": "import faiss; i = faiss.IndexFlatIP(192); i.add(x); i.search(x, 16)",
    "scikit-learn brute": (
        "from sklearn.neighbors import NearestNeighbors as N;"
        "N(n_neighbors=15, metric='cosine', algorithm='brute').fit(x).kneighbors()"
    ),
    "pynndescent": "import pynndescent; pynndescent.NNDescent(x, metric='cosine')",
}


def first_call(code: str, cache: str | None = None) -> list[float]:
    """Seconds that a fresh process takes from its first import to its first result, and of processors' time.

    PyTorch is there before.
    """
    program = (
        "import time, torch, numpy as np\n"
        "x = np.random.default_rng(0).standard_normal((2000, 192), dtype=np.float32)\n"
        "began = time.perf_counter(), time.process_time()\n"
        f"{code}\n"
        "print(time.perf_counter() - began[0], time.process_time() - began[1])"
    )
    environment = {"NUMBA_CACHE_DIR": cache} if cache else {}
    return [float(seconds) for seconds in fresh(["-c", program], environment).split()]


def fresh(arguments: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, check=True, env=os.environ | (environment or {}),
    )  # fmt: skip
    return done.stdout


def show_first_calls(skipped: list[str]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as empty:
        compiling = first_call(FIRST["cleser"], empty)
    first = {name: first_call(code) for name, code in FIRST.items() if name not in skipped}
    print(f"\n| first call, 2000 × {DIM} | s | of processors' time |\n|---|---|---|")
    for name, (wall, busy) in (first | {"cleser, never compiled": compiling}).items():
        print(f"| {name} | {wall:.2f} | {busy:.2f} |")
    return {name: wall for name, (wall, _) in first.items()}


def show_scaling(sizes: list[int]) -> None:
    print(
        "\n| N | relation | s | s / N² · 10⁹ | product alone, s | peak memory, MB | MB a million items |"
    )
    print("|---|---|---|---|---|---|---|")
    for n in sizes:
        for relation in ("free", "constrained"):
            seconds, product, peak = json.loads(fresh([__file__, "--one", relation, str(n)]))
            print(
                f"| {n} | {relation} | {seconds:.2f} | {1e9 * seconds / n**2:.2f} | {product:.2f} "
                f"| {peak:.0f} | {1e6 * peak / n:.0f} |",
                flush=True,
            )


def product_and_topk(x: np.ndarray, k: int) -> None:
    rows = torch.nn.functional.normalize(torch.from_numpy(x))
    for part in rows.split(TILE):
        (part @ rows.T).topk(k + 1, dim=1)


def show_many(n: int, numbers: tuple[int, ...]) -> None:
    """Searches for many neighbours beside the product of strips of rows and PyTorch's topk, in processor's time."""
    x, _ = items(n)
    cosine_knn(x[:2000], 15)  # what is loaded once
    cosine_knn(x[:2000], 500)
    print("\n| N | k | product and topk, s | cleser, s | × |\n|---|---|---|---|---|")
    for k in numbers:
        taken = []
        for search in (product_and_topk, cosine_knn):
            began = time.process_time()
            search(x, k)
            taken.append(time.process_time() - began)
        theirs, ours = taken
        print(f"| {n} | {k} | {theirs:.2f} | {ours:.2f} | {ours / theirs:.2f} |", flush=True)


def show_approximate(n: int) -> None:
    """What the approximate backend misses, and whether it is worth it: items on their own, and in crowds of 50."""
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((n, DIM), dtype=np.float32)
    crowds = generator.standard_normal((n // 50, DIM), dtype=np.float32)
    alike = crowds[generator.integers(0, len(crowds), n)] + noise
    print("\n| N | items | exact, s | approximate, s | recall |\n|---|---|---|---|---|")
    for name, x in (("independent", noise), ("in crowds of 50", alike)):
        times, graphs = [], []
        for approximate in (False, True):
            began = time.perf_counter()
            graphs.append(cosine_knn(x, K, approximate=approximate))
            times.append(time.perf_counter() - began)
        recall = neighbour_recall(graphs[1], graphs[0])
        print(f"| {n} | {name} | {times[0]:.1f} | {times[1]:.1f} | {recall:.3f} |", flush=True)


def measure_one(relation: str, n: int) -> None:
    """Seconds of a search and of the product, and the search's peak memory, in this process alone."""
    x, labels = items(n)
    given: dict[str, Any] = {"where": WHERE, "labels": labels} if relation == "constrained" else {}
    few = {name: values[:3000] for name, values in labels.items()}
    cosine_knn(x[:3000], K, **(given | {"labels": few}))  # what is loaded once
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now
    before = peak()
    began = time.perf_counter()
    cosine_knn(x, K, **given)
    seconds, grown = time.perf_counter() - began, peak() - before
    began = time.perf_counter()
    share = 8 if n > 8 * 8 * TILE else 1
    if relation == "free":
        floor(x, share)
    product = share * (time.perf_counter() - began) if relation == "free" else float("nan")
    print(json.dumps([seconds, product, grown]))


def peak() -> float:
    """Largest resident memory so far, in MB (Linux)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5000 items, two rounds")
    parser.add_argument(
        "--sizes", nargs="*", type=int, default=[], help="numbers of items to scale to"
    )
    parser.add_argument("--skip", nargs="*", default=[], help="searches to leave out")
    parser.add_argument("--rounds", type=int, default=7, help="of the tables")
    parser.add_argument(
        "--parts", nargs="*", choices=PARTS, default=PARTS, help="what to measure: all by default"
    )
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure_one(arguments.one[0], int(arguments.one[1]))
        return
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    first = show_first_calls(arguments.skip) if "first" in arguments.parts else {}
    n, rounds = (5000, 2) if arguments.quick else (20_000, arguments.rounds)
    if "tables" in arguments.parts:
        show_times(n, rounds, first, arguments.skip)
    if "many" in arguments.parts:
        show_many(n, (15, 200, 1000, 2000))
    if "scaling" in arguments.parts:
        show_scaling(arguments.sizes)
    if "approximate" in arguments.parts:
        show_approximate(30_000 if arguments.quick else 100_000)


if __name__ == "__main__":
    main()
