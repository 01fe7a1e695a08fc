"""Recipes on a store of the size of MSP-Podcast: peak memory, and an epoch beside the reading of its features.

    python benchmarks/scale.py [--utterances 1000 10000 100000 264705] [--layers 2] [--channels 64] [--quick]

The store is written by this script: random features with planted emotions, languages and speaker styles, for
utterances whose lengths are distributed as in spontaneous speech (log-normal, 5.6 s on average, ten tokens a second).
It takes utterances × (1 + tokens) × layers × channels × 2 bytes; --tokens none leaves tokens out. Each row is a
process of its own, whose peak of resident memory is the system's count; "read" is one pass over what an epoch
reads. One seed; of --epochs the last one is timed, in which SAPA has found its styles and refreshed its pseudo-labels.
--batch-size is that of networks: the utterances of a step, of which zero-shot takes more of each language and emotion.
With --cold, the system forgets the store before it is read and before each epoch of a network (on Linux), so that both
come from the disk, as where a store is larger than memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cleser.experiments.methods import METHODS
from cleser.features import PooledStore, Record, StoredFeatures, StoreSettings
from cleser.features.standards import measure
from cleser.recipes.classical import Classical, ClassicalConfig
from cleser.recipes.probe import Probe, ProbeConfig
from cleser.recipes.zero_shot import ZeroShotConfig
from cleser.speech import utterance_key
from cleser.training.dataset import Dataset, balance
from cleser.training.loop import train
from cleser.training.recipe import Task
from cleser.training.sources import StoredSource
from cleser.training.vocabulary import Vocabulary

EMOTIONS = ("anger", "happiness", "neutral", "sadness")
LANGUAGES = ("en", "zh", "fr")
PHONES = tuple("aeioupbtdkɡmnszlr")
STYLES = 4
RECIPES = ("erm", "sapa", "layer-anchoring", "zero-shot", "classical", "probe")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--utterances", type=int, nargs="*", default=[1000, 10_000, 100_000, 264_705]
    )
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--tokens", choices=["phone", "none"], default="phone")
    parser.add_argument("--recipes", nargs="*", default=RECIPES)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--cold", action="store_true", help="from the disk, not from memory")
    parser.add_argument("--folder", type=Path, help="keeps the stores; by default they are removed")
    parser.add_argument("--one", nargs=2, metavar=("RECIPE", "STORE"), help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="a thousand utterances")
    arguments = parser.parse_args()
    if arguments.one:
        recipe, folder = arguments.one
        took = run(
            recipe, Path(folder), arguments.epochs, arguments.batch_size, cold=arguments.cold
        )
        print(json.dumps(took))
        return
    counts = [1000] if arguments.quick else arguments.utterances
    print(
        "| utterances | store, GB | recipe | peak memory, GB | read, s | statistics, s | epoch, s | epoch / read |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.folder or Path(temporary)
        for count in counts:
            folder = root / f"{count}-{arguments.layers}x{arguments.channels}-{arguments.tokens}"
            size = fill(folder, count, arguments.layers, arguments.channels, arguments.tokens)
            for recipe in arguments.recipes:
                _row(recipe, folder, count, size, arguments)


def _row(recipe: str, folder: Path, count: int, size: int, arguments: argparse.Namespace) -> None:
    command = [sys.executable, __file__, "--one", recipe, str(folder), "--epochs", str(arguments.epochs),
               "--batch-size", str(arguments.batch_size), *["--cold"] * arguments.cold]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1]
        print(f"| {count:,} | {size / 1e9:.2f} | {recipe} | failed: {why} | | | | |", flush=True)
        return
    took = json.loads(done.stdout.splitlines()[-1])
    ratio = took["epoch"] / took["read"]
    print(
        f"| {count:,} | {size / 1e9:.2f} | {recipe} | {took['peak'] / 1e9:.2f} | {took['read']:.1f} | "
        f"{took['statistics']:.1f} | {took['epoch']:.1f} | {ratio:.1f} |",
        flush=True,
    )


def manifest_of(count: int) -> pd.DataFrame:
    """Utterances of a hundred each on average by speakers, who share four styles across languages."""
    draw = np.random.default_rng(0)
    speakers = max(12, count * 2500 // 264_705)
    speaker = draw.integers(0, speakers, count)
    seconds = np.clip(draw.lognormal(1.6, 0.5, count), 1, 20)
    return pd.DataFrame(
        {
            "utterance": [f"u{i}" for i in range(count)],
            "language": np.array(LANGUAGES, dtype=object)[speaker % len(LANGUAGES)],
            "corpus": np.array(LANGUAGES, dtype=object)[speaker % len(LANGUAGES)],
            "speaker": [f"s{i}" for i in speaker],
            "emotion": np.array(EMOTIONS, dtype=object)[draw.integers(0, len(EMOTIONS), count)],
            "path": [f"u{i}.wav" for i in range(count)],
            "style": speaker // len(LANGUAGES) % STYLES,
            "tokens": np.maximum(1, (10 * seconds).astype(int)),
        }
    )


def fill(folder: Path, count: int, layers: int, channels: int, tokens: str) -> int:
    """Write the store, if it is not there, and say how large it is."""
    record = Record("phone" if tokens == "phone" else "none")
    settings = StoreSettings("random", tuple(range(layers)), channels, str(record))
    store = PooledStore.create(folder, settings)
    rows = manifest_of(count)
    draw = np.random.default_rng(1)
    emotional = draw.standard_normal((len(EMOTIONS), STYLES, channels)).astype(np.float32)
    spoken = draw.standard_normal((len(LANGUAGES), channels)).astype(np.float32)
    if len(store) < count:
        with store.writer(0) as writer:
            for i, row in enumerate(rows.itertuples()):
                emotion, language = EMOTIONS.index(row.emotion), LANGUAGES.index(row.language)
                length = row.tokens if tokens == "phone" else 0
                values = draw.standard_normal((1 + length, layers, channels), dtype=np.float32)
                values += 0.5 * emotional[emotion, row.style] + spoken[language]
                phones = [PHONES[p] for p in draw.integers(0, len(PHONES), length)]
                frames = [10 * max(length, 1), *[10] * length]
                writer.add(key_of(i), values, frames=frames, labels=["", *phones])
        store.refresh()
    return store.nbytes


def key_of(number: int) -> str:
    """The name of an utterance in the store."""
    return utterance_key(f"utterance {number}")


def dataset_of(
    store: PooledStore, rows: pd.DataFrame, at: Sequence[int], names: Vocabulary
) -> Dataset:
    """Some of the utterances, standardised by speaker."""
    part = rows.iloc[list(at)].reset_index(drop=True)
    stored = StoredFeatures(store, part["utterance"].tolist(), [key_of(i) for i in at], list(at))
    lexical = "tokens" in store.settings.pooling
    standards, _ = measure(stored, part, part["speaker"], lexical=lexical)
    phonemes = {name: i for i, name in enumerate(names.phonemes)}
    return Dataset(
        part, StoredSource(stored, standards), names.encode(part), phonemes, balance(part), []
    )


def run(
    name: str, folder: Path, epochs: int, size: int = 32, *, cold: bool = False
) -> dict[str, float]:
    """Train a recipe from English and French to Mandarin; seconds, and bytes at the peak."""
    torch.manual_seed(0)
    store = PooledStore.open(folder)
    rows = manifest_of(len(store))
    names = Vocabulary(
        EMOTIONS, tuple(sorted(rows["speaker"].unique())), ("en", "fr"), ("en", "fr"), PHONES
    )
    number = rows["speaker"].str[1:].astype(int)
    home = rows["language"] != "zh"
    held = number % 10 == 1
    method = METHODS[name]
    config = method.config()
    uses = getattr(config, "uses_tokens", False)
    began = time.perf_counter()
    source, dev, target = (
        replace(dataset_of(store, rows, np.flatnonzero(which), names), tokens=uses)
        for which in (home & ~held, home & held, ~home)
    )
    statistics = time.perf_counter() - began
    reads = [source, target] if getattr(config, "adapts", False) else [source]
    if cold:
        _forget(store)
    began = time.perf_counter()
    for dataset in reads:
        for at in torch.arange(len(dataset)).split(128):
            dataset.source.features.take(dataset.at[at], tokens=uses)
    read = time.perf_counter() - began
    if METHODS[name].build is None:
        began = time.perf_counter()
        _fitted(config, source, target).predict(target)
        epoch = time.perf_counter() - began
    else:
        config = _with_batches(config, epochs, size)
        epoch = _trained(name, config, store, names, source, dev, target, cold=cold)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"read": read, "statistics": statistics, "epoch": epoch, "peak": peak}


def _forget(store: PooledStore) -> None:
    """Let the system drop the store's files from memory, which it does to pages that nobody has mapped."""
    for path in store.folder.glob("*.bin"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _fitted(config: object, source: Dataset, target: Dataset) -> Classical | Probe:
    """A classical row: with C given, which a run chooses by 21 fits; or the probe."""
    if isinstance(config, ClassicalConfig):
        return Classical.fit(replace(config, c=1.0), source, len(EMOTIONS))
    assert isinstance(config, ProbeConfig)
    uniform = torch.full((len(EMOTIONS),), 1 / len(EMOTIONS), dtype=torch.float64)
    return Probe.fit(config, source, target, uniform)


def _with_batches(config: Any, epochs: int, size: int) -> Any:
    """A network's settings, with as many epochs, and as many utterances in a step."""
    if isinstance(config, ZeroShotConfig):
        config = replace(config, samples=max(1, size // (2 * config.emotions)))  # two languages
    return replace(config, training=replace(config.training, epochs=epochs, batch_size=size))


def _trained(
    name: str, config: Any, store: PooledStore, names: Vocabulary,
    source: Dataset, dev: Dataset, target: Dataset, *, cold: bool,
) -> float:  # fmt: skip
    """Seconds of the last epoch; the first one's begin with what is prepared before all training."""
    task = Task(len(store.settings.layers), store.settings.dim, names, "concat")
    build = METHODS[name].build
    assert build is not None
    recipe = build(config, task)
    begun: list[float] = []
    ended: list[float] = []

    def note(_: object = None) -> None:
        ended.append(time.perf_counter())
        if cold:
            _forget(store)
        begun.append(time.perf_counter())

    note()
    blank = target.subset(
        target.manifest.assign(emotion=pd.Series([None] * len(target), dtype="str"))
    )
    with tempfile.TemporaryDirectory() as folder:
        train(
            recipe, config.training, source=source, dev=dev,
            target=blank if recipe.sees_target else None, seed=0,
            checkpoint=Path(folder) / "seed0.safetensors",
            on_epoch=note,
        )  # fmt: skip
    return ended[-1] - begun[-2]


if __name__ == "__main__":
    main()
