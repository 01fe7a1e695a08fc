"""What training from audio waits for: recordings decoded ahead by processes, by threads, or when a step needs them.

    python benchmarks/loading.py [--utterances 256] [--seconds 6] [--step 0.3] [--workers 0 1 2] [--quick]

Recordings of noise, FLAC at 44.1 kHz with two channels, are read, mixed, resampled to 16 kHz and cropped in steps of
32; the network is a pause as long as a step, as if a GPU computed it. Each row is a process of its own, so that its
peak of resident memory is known; "twice as many" is the same with twice the utterances. Last, what share of batches
of usual lengths is padding, encoded in one piece and in pieces of like length.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import torch

from cleser.speech.batching import batches_by_length
from cleser.training.audio import PADDING, WaveformBatch
from cleser.training.dataset import Dataset
from cleser.training.loading import StepLoader
from cleser.training.reading import Excerpts

BATCH, RATE, DISTINCT = 32, 16000, 64


class Waves:
    """Recordings as a source, without features."""

    at_once, shape = BATCH, (1, 1)

    def __init__(self, excerpts: Excerpts) -> None:
        self.excerpts = excerpts

    def load(self, at: torch.Tensor, *, tokens: bool = True, read: Any = ()) -> WaveformBatch:
        """What has been read, padded."""
        waves = [torch.from_numpy(one.wave) for one in read]
        padded = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
        lengths = torch.tensor([len(w) for w in waves])
        nothing: Any = ()
        return WaveformBatch(padded, lengths, [None] * len(read), [{}] * len(read), nothing)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--utterances", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--step", type=float, default=0.3, help="seconds that a step computes")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true", help="four steps, a worker")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.utterances, arguments.workers, arguments.step = 4 * BATCH, [1], 0.01
    count = arguments.utterances
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder), arguments.seconds)
        print("| decoded | an epoch, s | of it waiting | peak memory, MB | twice as many, MB |")
        print("|---|---|---|---|---|")
        for workers in (None, *arguments.workers):
            how = "not ahead" if workers is None else f"ahead, {workers} workers"
            how = "ahead, by threads" if workers == 0 else how
            small, large = (measured(paths, n, arguments.step, workers) for n in (count, 2 * count))
            print(
                f"| {how} | {small[0]:.2f} | {1 - count / BATCH * arguments.step / small[0]:.0%} | "
                f"{small[1]:.0f} | {large[1]:.0f} |",
                flush=True,
            )
    print(
        f"\npadding in batches of {BATCH}: {padding(None):.1%} in one piece, {padding(PADDING):.1%} in pieces"
    )


def write(folder: Path, seconds: float) -> list[str]:
    """Some recordings; a corpus names them again and again."""
    draw = np.random.default_rng(0)
    paths = []
    for number in range(DISTINCT):
        noise = 0.1 * draw.standard_normal((round(44100 * seconds), 2)).astype(np.float32)
        paths.append(str(folder / f"{number}.flac"))
        soundfile.write(paths[-1], noise, 44100)
    return paths


def measured(paths: list[str], count: int, step: float, workers: int | None) -> tuple[float, float]:
    """Seconds of an epoch, once the workers have begun, and the process' peak of resident memory in MB."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(epoch, paths, count, step, workers).result()


def epoch(paths: list[str], count: int, step: float, workers: int | None) -> tuple[float, float]:
    torch.set_num_threads(1)
    chosen = [paths[i % len(paths)] for i in range(count)]
    nothing = float("nan")
    excerpts = Excerpts(chosen, [0.0] * count, [nothing] * count, [None] * count, RATE)
    rows = pd.DataFrame({"utterance": range(count)})
    source: Any = Waves(excerpts)
    dataset = Dataset(rows, source, {}, {}, torch.ones(count), [])
    steps = [(at, None) for at in torch.arange(count).split(BATCH)]
    loader = StepLoader((dataset, None), crop=4.0, workers=workers or 0)
    if workers is None:  # every step by itself: nothing to read ahead
        began = time.perf_counter()
        for number, one in enumerate(steps):
            for _ in loader((dataset, None), [one], (number,)):
                time.sleep(step)
    else:
        list(loader((dataset, None), steps[:1], (0,)))  # the workers have begun
        began = time.perf_counter()
        for _ in loader((dataset, None), steps, (1,)):
            time.sleep(step)
    spent = time.perf_counter() - began
    loader.close()
    unit = 1 if sys.platform == "darwin" else 1024
    return spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def padding(share: float | None) -> float:
    """Of what a backbone hears of cropped utterances, 1 to 11 s with a median of 4 s."""
    draw = np.random.default_rng(0)
    lengths = np.clip(draw.lognormal(np.log(4.0), 0.5, 100 * BATCH), 1, 11).clip(max=6.0)
    spoken = padded = 0.0
    for batch in lengths.reshape(-1, BATCH):
        pieces = [list(range(BATCH))]
        if share is not None:
            pieces = batches_by_length(batch.tolist(), float("inf"), padding=share)
        spoken += batch.sum()
        padded += sum(len(piece) * batch[piece].max() for piece in pieces)
    return float(1 - spoken / padded)


if __name__ == "__main__":
    main()
