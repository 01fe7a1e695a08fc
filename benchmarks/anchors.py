"""How fast anchors are served: TextGrids read, frames pooled over phones, batches read and drawn, layers compared.

    python benchmarks/anchors.py [--quick] [--only GROUP …]

Each group of rows is a function that prints its table. Contestants take turns in rounds, and a row shows the fastest
and the median round; ratios are between the fastest, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from itertools import combinations_with_replacement, islice
from pathlib import Path

import numpy as np
import torch
from alignment import compare
from safetensors.torch import load_file, save_file

from cleser.anchors import (
    AnchorBatchSampler,
    HierarchicalBatchSampler,
    LayerSimilarity,
    ResumableBatchSampler,
    pool_phones,
)
from cleser.anchors.layers.pairs import LayerPairs
from cleser.features.shards import RECORD
from cleser.relations import Relation, differ, same
from cleser.speech import PooledStore, StoreSettings, utterance_key

Timed = Mapping[str, Callable[[], object]]


def times(
    contestants: Timed, rounds: int, prepare: Callable[[], object] = lambda: None
) -> dict[str, list[float]]:
    """Seconds of each contestant's rounds, in turns; the first round warms up."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            prepare()
            began = time.perf_counter()
            run()
            if number:
                taken[name].append(time.perf_counter() - began)
    return taken


def show(taken: Mapping[str, list[float]], beside: str, *, prefix: str = "") -> None:
    """A row for each contestant, with its time as a multiple of one's."""
    for name, seconds in taken.items():
        fastest, median = 1e3 * min(seconds), 1e3 * float(np.median(seconds))
        ratio = min(seconds) / min(taken[beside])
        print(f"| {prefix}{name} | {fastest:.3f} | {median:.3f} | {ratio:.3f} |", flush=True)


# Pooling ----------------------------------------------------------------------------------------------------------


def pooling(quick: bool) -> None:
    """Frames pooled over phones, beside reading every frame once (a sum of all)."""
    print("\n| pooling | fastest, ms | median, ms | × reading once |")
    print("|---|---|---|---|")
    shapes = {"[16, 500, 1024] in 60 phones": (16, 500, 1024, 60)}
    if not quick:
        shapes["[1, 300, 25·1024] in 40 phones"] = (1, 300, 25 * 1024, 40)
    for name, (B, T, D, S) in shapes.items():
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            kind = str(dtype).removeprefix("torch.")
            show(
                times(pooling_contestants(B, T, D, S, dtype), 5 if quick else 25),
                "reading once",
                prefix=f"{name}, {kind}: ",
            )


def pooling_contestants(B: int, T: int, D: int, S: int, dtype: torch.dtype) -> Timed:
    torch.manual_seed(0)
    frames = torch.randn(B, T, D).to(dtype)
    ragged = [x.clone() for x in frames]
    bounds = [phones(T, S) for _ in range(B)]
    lengths = torch.cat([b[:, 1] - b[:, 0] for b in bounds])
    leaf = frames.clone().requires_grad_()

    def loop() -> torch.Tensor:
        spans = zip(frames, bounds, strict=True)
        return torch.stack([x[b:e].mean(0) for x, pairs in spans for b, e in pairs.tolist()])

    def gradient() -> None:
        leaf.grad = None
        pool_phones(leaf, bounds).backward(torch.ones(B * S, D, dtype=dtype))

    def gradient_in_float32() -> None:
        leaf.grad = None
        pooled = pool_phones(leaf.float(), bounds).to(dtype)
        pooled.backward(torch.ones(B * S, D, dtype=dtype))

    return {
        "reading once": frames.sum,
        "a copy": frames.clone,
        "pool_phones": lambda: pool_phones(frames, bounds),
        "pool_phones, ragged": lambda: pool_phones(ragged, bounds),
        "pool_phones, mean and std": lambda: pool_phones(frames, bounds, std=True),
        "pool_phones, and its gradient": gradient,
        "converted to float32 and back, and its gradient": gradient_in_float32,
        "torch.segment_reduce": lambda: torch.segment_reduce(
            frames.flatten(0, 1), "mean", lengths=lengths
        ),
        "a loop over phones": loop,
    }


def phones(count: int, number: int) -> torch.Tensor:
    """Random bounds [S, 2] that leave no frame out."""
    inner = torch.randperm(count - 1)[: number - 1].sort().values + 1
    edges = torch.cat([torch.tensor([0]), inner, torch.tensor([count])])
    return torch.stack([edges[:-1], edges[1:]], 1)


# Store ------------------------------------------------------------------------------------------------------------

_BATCH = 36  # 3 languages × 4 emotions × 3
_ALL = 264_705  # utterances of MSP-Podcast 2.0


def store(quick: bool) -> None:
    """A random batch of 36 utterances of 25 layers × 1024 channels, float16, beside one file an utterance."""
    print("\n| a batch of 36 | fastest, ms | median, ms | × np.load of a file each |")
    print("|---|---|---|---|")
    kinds = {"a summary each (51 kB)": (1, 4000), "40 phones each (2 MB)": (40, 500)}
    for name, (rows, count) in kinds.items():
        with tempfile.TemporaryDirectory(dir=os.environ.get("CLESER_CACHE")) as folder:
            keys = write_all(Path(folder), rows, count // 10 if quick else count)
            for state in ("warm", "cold"):
                rounds = 10 if quick else 25
                taken = read_all(Path(folder), keys, rounds=rounds, cold=state == "cold")
                show(taken, "np.load", prefix=f"{name}, {state}: ")
    opening(1000 if quick else _ALL)


def write_all(folder: Path, rows: int, count: int) -> list[str]:
    """The same utterances in a store, and in a file each of NumPy's and of safetensors."""
    settings = StoreSettings("benchmark", tuple(range(25)), 1024, f"{rows} rows")
    made = PooledStore.create(folder / "store", settings)
    keys = [utterance_key(str(n)) for n in range(count)]
    draw = torch.Generator().manual_seed(0)
    with made.writer(0) as writer:
        for key in keys:
            values = torch.randn(rows, 25, 1024, generator=draw).half()
            writer.add(key, values)
            np.save(folder / f"{key}.npy", values.numpy())
            save_file({"values": values}, folder / f"{key}.safetensors")
    return keys


def read_all(folder: Path, keys: list[str], *, rounds: int, cold: bool) -> dict[str, list[float]]:
    draw = np.random.default_rng(0)
    opened = PooledStore.open(folder / "store")
    asked: list[str] = []

    def prepare() -> None:
        nonlocal opened
        asked[:] = [keys[i] for i in draw.integers(0, len(keys), _BATCH)]
        if cold:
            del opened  # pages that are mapped cannot be dropped
            for key in asked:
                drop(folder / f"{key}.npy")
                drop(folder / f"{key}.safetensors")
            drop(folder / "store" / "shard-0.bin")
            opened = PooledStore.open(folder / "store")

    def views() -> list[torch.Tensor]:
        return opened.views(asked)

    def numpy_files() -> list[np.ndarray]:
        return [np.load(folder / f"{key}.npy") for key in asked]

    def safetensors_files() -> list[torch.Tensor]:
        return [load_file(folder / f"{key}.safetensors")["values"] for key in asked]

    def prefetched() -> list[torch.Tensor]:
        opened.prefetch(asked)
        return [x.sum() for x in views()]

    kept = opened.batch(keys[:_BATCH]).values

    contestants: Timed = {
        "np.load": numpy_files,
        "safetensors": safetensors_files,
        "np.load, every value summed": lambda: [torch.from_numpy(x).sum() for x in numpy_files()],
        "store, views": views,
        "store, views, every value summed": lambda: [x.sum() for x in views()],
        "store, views prefetched, every value summed": prefetched,
        "store.batch": lambda: opened.batch(asked),
        "store.batch, into the one before": lambda: opened.batch(asked, out=kept),
        "store.batch, one layer": lambda: opened.batch(asked, layers=[12]),
    }
    return times(contestants, rounds, prepare)


def drop(path: Path) -> None:
    """Ask the system to forget what it holds of a file, so that the disk is read again."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def opening(count: int) -> None:
    """Seconds to open a store of as many utterances; the records are made at once, as their data is not read."""
    with tempfile.TemporaryDirectory() as folder:
        made = PooledStore.create(folder, StoreSettings("benchmark", (0,), 1, "one row"))
        records = np.zeros(count, dtype=RECORD)
        records["key"] = [utterance_key(str(n)).encode() for n in range(count)]
        records["offset"] = 128 * np.arange(count)
        records["rows"] = 1
        raw = records.tobytes()
        size = RECORD.itemsize
        records["seal"] = [zlib.crc32(raw[b : b + size - 4]) for b in range(0, len(raw), size)]
        (made.folder / "shard-0.idx").write_bytes(records.tobytes())
        with (made.folder / "shard-0.bin").open("wb") as file:
            file.truncate(128 * count)
        began = time.perf_counter()
        found = len(PooledStore.open(folder))
        print(f"\nopening a store of {found:,} utterances: {time.perf_counter() - began:.2f} s")


# Samplers ---------------------------------------------------------------------------------------------------------


def samplers(quick: bool) -> None:
    """Batches over the labels of MSP-Podcast 2.0's size: planned, drawn, and what is in them."""
    labels = podcast_labels(_ALL // 20 if quick else _ALL)
    style, other = same("emotion", "community") & differ("language"), differ("emotion", "language")
    voice = same("emotion", "community") & differ("language", "speaker")
    makers: dict[str, Callable[[], ResumableBatchSampler]] = {
        "HierarchicalBatchSampler, 3 × 4 × 3": lambda: HierarchicalBatchSampler(labels),
        "AnchorBatchSampler, 32, SAPA": lambda: AnchorBatchSampler(labels, style, other),
        "AnchorBatchSampler, 32, another speaker too": lambda: AnchorBatchSampler(
            labels, voice, other
        ),
    }
    found = len(labels["emotion"])
    print(f"\n| {found:,} utterances | plan, s | batches a minute | have both, % | random, % |")
    print("|---|---|---|---|---|")
    for name, make in makers.items():
        rounds = [plan_and_draw(make, 500 if quick else 2000) for _ in range(1 if quick else 3)]
        plan, rate = min(r[0] for r in rounds), max(r[1] for r in rounds)
        positive = voice if "speaker" in name else style
        batches = rounds[0][2]
        have = served(labels, positive, other, batches[:200])
        draw = np.random.default_rng(0)
        alike = [draw.integers(0, found, len(batch)).tolist() for batch in batches[:200]]
        by_chance = served(labels, positive, other, alike)
        print(f"| {name} | {plan:.2f} | {rate:,.0f} | {have:.0f} | {by_chance:.0f} |", flush=True)


def podcast_labels(count: int) -> dict[str, np.ndarray]:
    """Uneven emotions and languages, 3000 speakers, fifty communities of (speaker, emotion)."""
    draw = np.random.default_rng(0)
    emotion = draw.choice(8, count, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.03, 0.02])
    speaker = draw.integers(0, 3000, count)
    language = np.array([0] * 7 + [1] * 2 + [2])[speaker % 10]
    community = draw.integers(0, 50, (3000, 8))[speaker, emotion]
    return {"emotion": emotion, "speaker": speaker, "language": language, "community": community}


def plan_and_draw(
    make: Callable[[], ResumableBatchSampler], count: int
) -> tuple[float, float, list[list[int]]]:
    """Processor seconds until the first batch, batches a minute from then on, and those batches."""
    began = time.process_time()  # of one thread: what else runs on the machine does not count
    batches = iter(make())
    next(batches)
    planned = time.process_time()
    drawn = list(islice(batches, count))
    return planned - began, 60 * len(drawn) / (time.process_time() - planned), drawn


def served(
    labels: dict[str, np.ndarray], positive: Relation, negative: Relation, batches: list[list[int]]
) -> float:
    """Of a batch's utterances those with a positive and a negative in it, in %."""
    shares = []
    for batch in batches:
        of_batch = {name: values[batch] for name, values in labels.items()}
        shares.append((positive.mask(of_batch).any(1) & negative.mask(of_batch).any(1)).mean())
    return 100 * float(np.mean(shares))


# Layers -----------------------------------------------------------------------------------------------------------


def layers(quick: bool) -> None:
    """Debiased CKA of all pairs of 25 layers, 256 items × 768, beside a function called for each pair."""
    torch.manual_seed(0)
    states = torch.randn(25, 256, 768).cumsum(0)
    found: dict[str, torch.Tensor] = {}

    def at_once(dtype: torch.dtype) -> Callable[[], None]:
        def run() -> None:
            pairs = LayerPairs(dtype=dtype)
            pairs.update(states)
            found[f"LayerPairs, {dtype}"] = pairs.cka()

        return run

    def loop(dtype: torch.dtype) -> Callable[[], None]:
        def run() -> None:
            x = states.to(dtype)
            table = torch.zeros(25, 25, dtype=dtype)
            for i, j in combinations_with_replacement(range(25), 2):
                table[i, j] = table[j, i] = pair_cka(x[i], x[j])
            found[f"loop, {dtype}"] = table

        return run

    print("\n| CKA of 25 × 25 layers | fastest, ms | median, ms | × LayerPairs |")
    print("|---|---|---|---|")
    for dtype in (torch.float32, torch.float64):
        kind = str(dtype).removeprefix("torch.")
        contestants = {"LayerPairs": at_once(dtype), "a loop over pairs": loop(dtype)}
        show(times(contestants, 1 if quick else 3), "LayerPairs", prefix=f"{kind}: ")
        gap = (found[f"LayerPairs, {dtype}"] - found[f"loop, {dtype}"]).abs().max()
        print(f"| {kind}: largest difference {gap:.1e} | | | |")
    similarity = LayerSimilarity(25, 768, dtype=torch.float32)
    count = 256 if quick else 1024
    began = time.perf_counter()
    for _ in range(count // 256):
        similarity.update(states, {"language": torch.arange(256) % 2})
    similarity.compute()
    took = time.perf_counter() - began
    print(f"\nlanguages and layers, 25 × 768, float32: {count / took:.0f} utterances a second")


def pair_cka(x: torch.Tensor, y: torch.Tensor) -> float:
    """Debiased linear CKA as its papers print it (Song et al. 2012, Eq. 5)."""
    k, m = x @ x.T, y @ y.T
    k.fill_diagonal_(0)
    m.fill_diagonal_(0)

    def hsic(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        n = len(a)
        rows = a.sum(0) @ b.sum(1)
        return (a * b).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 * rows / (n - 2)

    return float(hsic(k, m) / (hsic(k, k) * hsic(m, m)).sqrt())


GROUPS: dict[str, Callable[[bool], None]] = {
    "textgrids": compare,
    "pooling": pooling,
    "store": store,
    "samplers": samplers,
    "layers": layers,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    arguments = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    for name in arguments.only:
        GROUPS[name](arguments.quick)


if __name__ == "__main__":
    main()
