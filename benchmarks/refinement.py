"""How long communities and their refinement take, and what they need, on graphs of planted communities.

    python benchmarks/refinement.py [--sizes 20000 100000 300000] [--epochs 20]

N nodes of 64 dimensions in 50 communities, with the 15 nearest neighbours by cosine. Each row is a process of its own:
seconds of the search, of Leiden, and of the refiner without and with training; adjusted Rand index with the planted
communities of Leiden, refined, and trained; and how far the process' memory grew at most over what it held before the
refinements, after the first and after both (Linux).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from cleser import memory
from cleser.graphs import CommunityRefiner, communities, cosine_knn

DIM, GROUPS, NOISE = 64, 50, 1.5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", nargs="*", type=int, default=[20_000, 100_000])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measured(arguments.one, arguments.epochs)))
        return
    print(
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, {arguments.epochs} epochs\n"
    )
    print(
        "| N | communities | search, s | Leiden, s | refined, s | trained, s | ARI | memory, MB |"
    )
    print("|---" * 8 + "|")
    for n in arguments.sizes:
        command = [sys.executable, __file__, "--one", str(n), "--epochs", str(arguments.epochs)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print("| " + " | ".join(json.loads(done.stdout)) + " |", flush=True)


def measured(n: int, epochs: int) -> list[str]:
    """A row of the table."""
    generator = np.random.default_rng(0)
    truth = generator.integers(0, GROUPS, n)
    centres = generator.standard_normal((GROUPS, DIM))
    x = (centres[truth] + NOISE * generator.standard_normal((n, DIM))).astype(np.float32)
    few = cosine_knn(x[:2000])  # what is compiled or loaded once
    CommunityRefiner(epochs=1).fit(few, x[:2000], communities(few))
    graph, searched = timed(lambda: cosine_knn(x, 15, min_similarity=0.0))
    found, parted = timed(lambda: communities(graph))
    memory.reset_peak()  # the search held more
    before = peak()
    refined, lasted = timed(lambda: CommunityRefiner().fit(graph, x, found).labels)
    grown = peak() - before
    trainer = CommunityRefiner(epochs=epochs)
    trained, took = timed(lambda: trainer.fit(graph, x, found).labels)
    scores = [adjusted_rand_score(truth, labels) for labels in (found, refined, trained)]
    return [
        str(n), str(found.max() + 1), f"{searched:.1f}", f"{parted:.1f}", f"{lasted:.1f}", f"{took:.1f}",
        " ".join(f"{score:.3f}" for score in scores), f"{grown:.0f}, {peak() - before:.0f}",
    ]  # fmt: skip


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def peak() -> float:
    """Largest resident memory since it was forgotten, in MB; NaN where nobody knows."""
    found = memory.peak()
    return float("nan") if found is None else found / 2**20


if __name__ == "__main__":
    main()
