"""Losses forward and backward beside pytorch-metric-learning's, their matrix products alone, and their memory.

    python benchmarks/losses.py [--quick]

Embeddings [N, 256] in float32, eight classes, three languages. Times are medians of rounds in which all take
turns. The floor is the three matrix products that any such loss needs: similarities, and their gradient into both
sides. Memory is the growth of a fresh process' peak over one forward and backward pass.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.distances import CosineSimilarity

from cleser.losses import CrossLingualSupCon, RelationalTripletLoss
from cleser.relations import differ, same

DIM = 256
Labels = dict[str, torch.Tensor]


def ours_triplet(mining: str) -> Callable[[torch.Tensor, Labels], torch.Tensor]:
    return RelationalTripletLoss(same("emotion"), differ("emotion"), mining=mining)  # type: ignore[arg-type]


def their_triplet(x: torch.Tensor, labels: Labels) -> torch.Tensor:
    return losses.TripletMarginLoss(margin=0.2, distance=CosineSimilarity())(x, labels["emotion"])


def their_supcon(x: torch.Tensor, labels: Labels) -> torch.Tensor:
    return losses.SupConLoss(temperature=0.07)(x, labels["emotion"])


CONTESTANTS: dict[str, Callable[[torch.Tensor, Labels], torch.Tensor]] = {
    "all triplets": ours_triplet("all"),
    "all triplets, PML": their_triplet,
    "semihard triplets": ours_triplet("semihard"),
    "hard triplets": ours_triplet("hard"),
    "soft triplets": ours_triplet("soft"),
    "SupCon": CrossLingualSupCon(cross_lingual_weight=1.0),
    "SupCon, PML": their_supcon,
    "cross-lingual SupCon": CrossLingualSupCon(),
}


def batch(n: int) -> tuple[torch.Tensor, Labels]:
    torch.manual_seed(0)
    x = torch.randn(n, DIM)
    labels = {"emotion": torch.randint(0, 8, (n,)), "language": torch.randint(0, 3, (n,))}
    return x.requires_grad_(), labels


def step(name: str, n: int) -> Callable[[], None]:
    """One forward and backward pass, ready to be called."""
    x, labels = batch(n)
    if name == "floor":
        y = x.detach()

        def products() -> None:
            s = y @ y.T
            s @ y
            s.T @ y

        return products

    def run() -> None:
        x.grad = None
        CONTESTANTS[name](x, labels).backward()

    return run


def times(names: list[str], n: int, rounds: int) -> dict[str, float]:
    """Median seconds of each, in turns."""
    steps = {name: step(name, n) for name in names}
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name, run in steps.items():
            if number > 3 and np.median(taken[name]) > 2:
                continue  # slow ones need no more rounds
            began = time.perf_counter()
            run()
            if number:  # the first round warms up
                taken[name].append(time.perf_counter() - began)
    return {name: float(np.median(t)) for name, t in taken.items()}


def memory(name: str, n: int) -> float:
    """MB that one pass adds to the peak of a fresh process."""
    command = [sys.executable, __file__, "--memory", name, str(n)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(json.loads(found.stdout)) if found.returncode == 0 else float("nan")


def measure_memory(name: str, n: int) -> None:
    step(name, 16)()  # what is loaded once
    run = step(name, n)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now
    before = peak()
    run()
    print(peak() - before)


def peak() -> float:
    """Largest resident memory so far, in MB (Linux)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def import_time(rounds: int) -> tuple[float, float]:
    """Median seconds of ``import torch`` and of ``import cleser.losses``."""
    taken: dict[str, list[float]] = {"torch": [], "cleser.losses": []}
    for _ in range(rounds):
        for module, seconds in taken.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
            seconds.append(time.perf_counter() - began)
    return float(np.median(taken["torch"])), float(np.median(taken["cleser.losses"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        measure_memory(arguments.memory[0], int(arguments.memory[1]))
        return
    sizes = [256, 512] if arguments.quick else [256, 512, 1024, 2048, 4096, 16384]
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    print("| N | loss | ms | × floor | PML's time over ours | MB |")
    print("|---|---|---|---|---|---|")
    for n in sizes:
        show(n, list(CONTESTANTS), 5 if arguments.quick or n > 4096 else 15)
    torch_alone, with_losses = import_time(3 if arguments.quick else 9)
    print(
        f"\nimport torch {torch_alone:.2f} s, import cleser.losses {with_losses:.2f} s: "
        f"{with_losses / torch_alone:.2f} times"
    )


def show(n: int, names: list[str], rounds: int) -> None:
    if n > 512:
        names = [name for name in names if name != "all triplets, PML"]  # it lists N³ triplets
    if n > 4096:
        names = [name for name in names if "PML" not in name]
    taken = times(["floor", *names], n, rounds)
    for name in names:
        peer = taken.get(f"{name}, PML")
        ratio = f"{peer / taken[name]:.1f}" if peer else ""
        over = taken[name] / taken["floor"]
        print(
            f"| {n} | {name} | {1e3 * taken[name]:.2f} | {over:.1f} | {ratio} | {memory(name, n):.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
