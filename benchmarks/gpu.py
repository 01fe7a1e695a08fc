"""What a GPU makes of cleser: extraction, a step of fine-tuning, the tests that need CUDA, and neighbours.

    python benchmarks/gpu.py [--whisper FOLDER] [--sections extraction step tests graphs] [--minutes 7.5] [--quick]

It needs what pyproject.toml requires, save panphon and tyro, and soundfile and soxr, without which rows that begin with
files are left out. The tests need pytest and hypothesis; some need more, and are skipped without. LoRA needs peft. No
data: WavLM-large has random weights, and so has Whisper base where no folder is given; speed does not depend on them.
Utterances are noise, as long as those of emotion corpora (log-normal, median 4.5 s,
within 1 and 12 s). On one GPU; with ``--quick`` tiny sizes on any device, to see that everything works.

- `extraction`: utterances from the host's memory through `TransformersBackbone.stream` and `StreamingPool`, all layers,
  in batches by length. Operations are those carried out, padding included, and their share is that of the rate that a
  large bfloat16 product reaches in the same run. The last rows begin with files and end with a store.
- `step`: a step of fine-tuning, cut where its parts meet, by events in the device's own stream. A batch is encoded in
  one piece, so that each part happens once; by default training takes as many as keep padding small. Losses include the
  network on top of the pooled layers; a checkpointed backbone computes its blocks once more in its backward pass.
- `tests`: those marked ``cuda``, by pytest.
- `graphs`: `cosine_knn` of tensors on the device, beside a product and `topk` in float32 alone, whose neighbours are
  not exact; and whether both devices give one graph.

Times are medians after warming up. A row that fails says so and does not stop the others; the exit status is 1 then.
Measurements that would begin after `--minutes` are left out.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import transformers
from torch import Tensor, nn
from torch.autograd.graph import register_multi_grad_hook
from torch.nn.functional import cross_entropy, normalize
from torch.nn.utils.rnn import pad_sequence
from torch.utils.flop_counter import FlopCounterMode

from cleser.anchors.streaming import StreamingPool
from cleser.features.extraction import extract_to_store
from cleser.features.moments import Moments
from cleser.features.utterance import read_file
from cleser.graphs import cosine_knn
from cleser.losses import CrossLingualSupCon, DualSpaceTriplet, LayerAnchorLoss, SpeakerAdversary
from cleser.models import Batch, EmotionModel, ModelConfig
from cleser.precision import float32_products
from cleser.relations import Relation, differ, same
from cleser.speech import Alignment, TransformersBackbone
from cleser.speech.backbones.fine_tuning import FineTuning, parameter_groups, tune
from cleser.speech.batching import batches_by_length
from cleser.training.audio import AudioEncoder, WaveformBatch

ROOT = Path(__file__).resolve().parents[1]
RATE = 16000
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# Dense bfloat16, TFLOP/s, of the vendor's data sheet; ``--nominal`` says it for other cards.
NOMINAL = {"NVIDIA H100 80GB HBM3": 990.0, "NVIDIA H200": 990.0}
PRECISIONS = ("float32", "TF32", "bfloat16")

WAVLM_LARGE = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
    "do_stable_layer_norm": True, "feat_extract_norm": "layer",
}  # fmt: skip
# One layer of the decoder and a few of its words: transformers wants them, the encoder never meets them.
NO_DECODER = {
    "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 8, "vocab_size": 8,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip
WHISPER_BASE = {
    "d_model": 512, "encoder_layers": 6, "encoder_attention_heads": 8, "encoder_ffn_dim": 2048, **NO_DECODER,
}  # fmt: skip
TINY_WAVLM = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "conv_dim": (8,) * 7, "num_conv_pos_embedding_groups": 4, "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
}  # fmt: skip
TINY_WHISPER = {
    "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, **NO_DECODER,
}  # fmt: skip
PHONES = tuple("aeioubdfghklmnprstvz")


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        product: Rows and columns of the products that tell the card's rates.
        sound: Seconds that a pass of extraction encodes.
        batches: Seconds that a batch holds at most, padding included.
        files: Recordings of the rows that begin with files.
        rounds: Timed passes.
        utterances: Of a training step.
        crop: Longest of them, in seconds.
        steps: Timed steps.
        graphs: Items among which neighbours are searched.
        dim: Dimensions of an item.
        tests: Files of tests; None for all in which some are marked.
    """

    product: int = 8192
    sound: float = 1200.0
    batches: tuple[float, ...] = (60.0, 240.0, 960.0)
    files: int = 400
    rounds: int = 3
    utterances: int = 32
    crop: float = 6.0
    steps: int = 9
    graphs: tuple[int, ...] = (50_000, 200_000)
    dim: int = 256
    tests: tuple[str, ...] | None = None


QUICK = Sizes(256, 6.0, (3.0,), 4, 1, 6, 6.0, 2, (300, 600), 16, ("tests/losses/test_supcon.py",))


class Report:
    """Prints tables row by row, keeps what failed, and begins nothing when the time is used up."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes
        self.failed: list[str] = []
        self.problems: list[str] = []

    @property
    def seconds_left(self) -> float:
        """Before the time is used up."""
        return self.end - time.monotonic()

    def head(self, title: str, *columns: str) -> None:
        """Begin a table."""
        self.flush_problems()
        say(f"\n{title}\n")
        say(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")

    def row(self, label: Sequence[str], measure: Callable[[], Sequence[str]]) -> None:
        """A row that begins with a label and goes on with what is measured."""
        if self.seconds_left <= 0:
            cells: Sequence[str] = ["left out: the time is used up"]
        else:
            try:
                cells = measure()
            except torch.OutOfMemoryError:
                cells = ["out of memory"]
            except Exception as error:  # the other rows shall be measured
                cells = [f"failed: {type(error).__name__}"]
                self.failed.append(" ".join(label))
                self.problems.append(traceback.format_exc())
        say(f"| {' | '.join([*label, *cells])} |")
        gc.collect()
        if DEVICE.type == "cuda":
            torch.cuda.empty_cache()

    def flush_problems(self) -> None:
        """Tracebacks would tear a table apart: they follow it."""
        for problem in self.problems:
            say(f"\n```\n{problem.strip()}\n```")
        self.problems.clear()


def say(text: str) -> None:
    print(text, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--whisper", type=Path, help="folder of a Whisper base; random weights without"
    )
    parser.add_argument("--sections", nargs="*", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--minutes", type=float, default=7.5)
    parser.add_argument(
        "--nominal", type=float, help="the card's dense bfloat16 TFLOP/s by its data sheet"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, on any device")
    given = parser.parse_args(arguments)
    if DEVICE.type == "cpu" and not given.quick:
        parser.error("found no CUDA device, expected one, or --quick")
    transformers.utils.logging.disable_progress_bar()
    report = Report(given.minutes)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            Path(folder), report, QUICK if given.quick else Sizes(), given.whisper, given.nominal
        )
        say(about(job))
        for name in given.sections:
            try:
                SECTIONS[name](job)
            except Exception:  # the next section shall be measured
                report.failed.append(name)
                report.problems.append(traceback.format_exc())
            report.flush_problems()
    if report.failed:
        say(f"\n{len(report.failed)} failed: {', '.join(report.failed)}")
    return int(bool(report.failed))


class Model(NamedTuple):
    """An encoder in a folder, as `save_pretrained` writes it."""

    name: str
    folder: Path


@dataclass(frozen=True)
class Job:
    """Where files may lie, what to measure, and whom to tell."""

    root: Path
    report: Report
    sizes: Sizes
    whisper: Path | None
    nominal: float | None

    @property
    def quick(self) -> bool:
        """Whether sizes are tiny."""
        return self.sizes == QUICK

    def models(self) -> Iterator[Model]:
        """Whisper base and WavLM-large, written when they are first asked for."""
        if self.whisper is not None:
            yield Model(f"Whisper base ({self.whisper.name})", self.whisper)
        else:
            settings = TINY_WHISPER if self.quick else WHISPER_BASE
            yield self._random("Whisper base, random", "Whisper", settings)
        yield self._random(
            "WavLM-large, random", "WavLM", TINY_WAVLM if self.quick else WAVLM_LARGE
        )

    def _random(self, name: str, family: str, settings: dict[str, Any]) -> Model:
        folder = self.root / family
        if not folder.exists():
            torch.manual_seed(0)
            config = getattr(transformers, f"{family}Config")(**settings)
            getattr(transformers, f"{family}Model")(config).save_pretrained(folder)
            wave = transformers.Wav2Vec2FeatureExtractor
            extractor = transformers.WhisperFeatureExtractor if family == "Whisper" else wave
            extractor().save_pretrained(folder)
        return Model(f"{name}{', tiny' * self.quick}", folder)


def about(job: Job) -> str:
    """Device, versions and what weights are random."""
    cards = torch.cuda.get_device_properties(0).total_memory if DEVICE.type == "cuda" else 0
    name = (
        torch.cuda.get_device_name()
        if DEVICE.type == "cuda"
        else platform.processor() or "processor"
    )
    memory = f", {cards / 2**30:.0f} GiB" if cards else ""
    whisper = f"from {job.whisper.name}" if job.whisper else "random"
    return (
        f"{name}{memory}; {os.cpu_count()} cores; torch {torch.__version__}, CUDA {torch.version.cuda}, "
        f"transformers {transformers.__version__}, Python {platform.python_version()}. "
        f"Weights of Whisper: {whisper}; of WavLM: random."
    )


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Products in float32, in TensorFloat-32, or by autocast in bfloat16."""
    half = torch.autocast(DEVICE.type, torch.bfloat16, enabled=name == "bfloat16")
    with float32_products(rounded=name == "TF32"), half:
        yield


def synchronise() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Median time of some work, until the device has done it."""
    times = []
    for _ in range(rounds):
        synchronise()
        began = time.perf_counter()
        work()
        synchronise()
        times.append(time.perf_counter() - began)
    return median(times)


@contextmanager
def memory() -> Iterator[Callable[[], str]]:
    """Tells how much of the device's memory was taken at most, in GiB."""
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def most() -> str:
        return f"{torch.cuda.max_memory_allocated() / 2**30:.1f}" if DEVICE.type == "cuda" else "–"

    yield most


@cache
def rate(name: str, size: int) -> float:
    """Operations a second of a large product of random numbers."""
    dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
    a, b = (torch.randn(size, size, device=DEVICE, dtype=dtype) for _ in range(2))
    with precision("TF32" if name == "TF32" else "float32"):
        seconds(lambda: a @ b, 3)
        return 2 * size**3 / seconds(lambda: a @ b, 10)


# --- extraction


def extraction(job: Job) -> None:
    """Sound a second of both encoders, by precision and size of a batch."""
    sizes, report = job.sizes, job.report
    nominal = job.nominal
    if nominal is None and DEVICE.type == "cuda":
        nominal = NOMINAL.get(torch.cuda.get_device_name())
    report.head(f"Products {sizes.product}³", "precision", "TFLOP/s", "nominal, dense bfloat16")
    for name in PRECISIONS:
        told = f"{nominal:.0f}" if nominal and name == "bfloat16" else "–"
        report.row(
            [name], lambda name=name, told=told: [f"{rate(name, sizes.product) / 1e12:.3g}", told]
        )
    report.head(
        f"Extraction of {sizes.sound:.0f} s of utterances, all layers",
        "encoder", "precision", "batch, s", "padding", "sound, s/s", "TFLOP/s", "of the bfloat16 product", "GiB",
    )  # fmt: skip
    for model in job.models():
        backbone = TransformersBackbone(model.folder).to(DEVICE)
        for budget in sizes.batches:
            batches = Batches(backbone, lengths(sizes.sound), budget)
            for name in PRECISIONS:
                label = [model.name, name, f"{budget:.0f}", f"{batches.padding:.1%}"]
                report.row(label, lambda b=batches, name=name: _extracted(job, b, name))
        del backbone, batches
    if absent := missing("soundfile", "soxr"):
        say(f"\nnot installed: {absent}; files to a store are left out")
        return
    report.head(
        f"{sizes.files} files to a store, weights in bfloat16",
        "encoder", "batch, s", "files", "sound, s", "sound, s/s",
    )  # fmt: skip
    manifest = recordings(job.root / "sound", sizes.files)
    for model in job.models():
        report.row([model.name], lambda model=model: _from_files(job, model, manifest))


def lengths(total: float, *, seed: int = 0) -> list[int]:
    """Samples of utterances that last so many seconds together."""
    generator = np.random.default_rng(seed)
    found: list[int] = []
    while sum(found) < total * RATE:
        found.append(int(np.clip(4.5 * generator.lognormal(0.0, 0.45), 1.0, 12.0) * RATE))
    return found


class Batches:
    """Utterances in the host's memory, padded in batches by length, and a pass of them through a backbone."""

    def __init__(self, backbone: TransformersBackbone, samples: list[int], budget: float) -> None:
        self.backbone = backbone
        self.samples = samples
        generator = torch.Generator().manual_seed(0)
        self.batches: list[tuple[Tensor, Tensor, list[Tensor]]] = []
        for places in batches_by_length(samples, budget * RATE):
            own = torch.tensor([samples[i] for i in places])
            waves = [0.1 * torch.randn(int(n), generator=generator) for n in own]
            padded = pad_sequence(waves, batch_first=True)
            bounds = [torch.tensor([[0, c]]) for c in backbone.count_frames(own).tolist()]
            self.batches.append(
                (padded.pin_memory() if DEVICE.type == "cuda" else padded, own, bounds)
            )
        self.padding = 1 - sum(samples) / sum(waves.numel() for waves, *_ in self.batches)

    def encode(self) -> None:
        """Means over each utterance of all layers, back in the host's memory."""
        pools = []
        for waves, own, bounds in self.batches:
            pools.append(StreamingPool(bounds, self.backbone.n_layers))
            self.backbone.stream(waves.to(DEVICE, non_blocking=True), own, pools[-1])
        for pool in pools:
            for values, _ in pool.values():
                assert values.isfinite().all()


def _extracted(job: Job, batches: Batches, name: str) -> list[str]:
    with precision(name):
        # Warms up, too. Operations of weight-normalised convolutions cannot be counted in inference mode.
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            batches.encode()
        with torch.inference_mode(), memory() as most:
            spent = seconds(batches.encode, job.sizes.rounds)
            taken = most()
    speed = counter.get_total_flops() / spent
    share = speed / rate("bfloat16", job.sizes.product)
    sound = sum(batches.samples) / RATE
    return [f"{sound / spent:,.0f}", f"{speed / 1e12:.3g}", f"{share:.1%}", taken]


def missing(*packages: str) -> str:
    """Those of some packages that are not installed."""
    return ", ".join(p for p in packages if importlib.util.find_spec(p) is None)


def recordings(folder: Path, count: int) -> pd.DataFrame:
    """A manifest of recordings of noise."""
    import soundfile  # noqa: PLC0415  (not everywhere)

    folder.mkdir()
    generator = np.random.default_rng(0)
    rows = []
    for i, samples in enumerate(lengths(12.0 * count)[:count]):
        path = folder / f"{i}.wav"
        soundfile.write(path, 0.1 * generator.standard_normal(samples), RATE)
        rows.append({"path": str(path), "start": 0.0, "end": np.nan, "seconds": samples / RATE})
    return pd.DataFrame(rows)


def _from_files(job: Job, model: Model, manifest: pd.DataFrame) -> list[str]:
    backbone = TransformersBackbone(model.folder, dtype=torch.bfloat16).to(DEVICE)
    backbone.name  # noqa: B018  (its digest is kept)
    budget = job.sizes.batches[len(job.sizes.batches) // 2]

    def extract() -> None:
        read_file.cache_clear()  # else files are hashed in the first pass alone, which is not timed
        with tempfile.TemporaryDirectory(dir=job.root) as folder:
            found = extract_to_store(manifest, backbone, folder, seconds=budget)
            assert not found.left_out, found.left_out[:3]

    extract()
    sound = manifest["seconds"].sum()
    spent = seconds(extract, job.sizes.rounds)
    return [f"{budget:.0f}", str(len(manifest)), f"{sound:.0f}", f"{sound / spent:,.0f}"]


# --- step


def step(job: Job) -> None:
    """Where a step of fine-tuning spends its time, and the memory that it takes."""
    sizes, report = job.sizes, job.report
    parts = ("backbone", "pooling", "losses")
    report.head(
        f"A step on {sizes.utterances} utterances of at most {sizes.crop:g} s, bfloat16 by autocast; milliseconds",
        "encoder", "trained", "checkpointed", "step",
        *(f"{part} {way}" for part in parts for way in ("forward", "backward")), "optimiser", "sound, s/s", "GiB",
    )  # fmt: skip
    modes = ["full"] if missing("peft") else ["full", "lora"]
    for model in job.models():
        for mode in modes:
            for checkpointing in (False, True):
                label = [model.name, mode, "yes" if checkpointing else "no"]
                tuning = FineTuning(mode, precision="bfloat16", checkpointing=checkpointing)
                report.row(label, lambda model=model, tuning=tuning: _steps(job, model, tuning))
    if "lora" not in modes:
        say("\npeft is not installed: LoRA is left out")


class Objective(nn.Module):
    """The recipes' network on pooled layers, and losses of all kinds over it."""

    def __init__(self, layers: int, channels: int) -> None:
        super().__init__()
        config = ModelConfig()
        self.network = EmotionModel(
            config, layers=layers, channels=channels, classes=4, layer_views="utterances"
        )
        self.contrast = CrossLingualSupCon()
        self.anchors = DualSpaceTriplet()
        self.adversary = SpeakerAdversary(config.dim, 8)
        self.aligned = LayerAnchorLoss([-1])

    def forward(self, batch: Batch) -> Tensor:
        """The sum of all losses of a batch of two languages."""
        found = self.network(batch)
        first = batch.labels["language"] == 0
        total: Tensor = (
            cross_entropy(found.logits, batch.labels["emotion"])
            + self.contrast(found.utterances, batch.labels)
            + self.anchors(found.utterances, batch.labels, found.tokens, batch.token_labels())
            + self.adversary(found.utterances, batch.labels["speaker"])
            + self.aligned(found.layers[:, first], found.layers[:, ~first])
        )
        return total


class Marks:
    """Milliseconds between the marks of a step, by name; on a GPU as its stream comes by them."""

    def __init__(self) -> None:
        self.points: list[tuple[str, Any]] = []
        self("begin")

    def __call__(self, name: str) -> None:
        """What was done since the last mark was this."""
        point: Any = time.perf_counter()
        if DEVICE.type == "cuda":
            point = torch.cuda.Event(enable_timing=True)
            point.record()
        self.points.append((name, point))

    def times(self) -> dict[str, float]:
        """Milliseconds by name."""
        synchronise()
        found: dict[str, float] = {}
        for (_, begin), (name, end) in zip(self.points, self.points[1:], strict=False):
            spent = begin.elapsed_time(end) if DEVICE.type == "cuda" else 1e3 * (end - begin)
            found[name] = found.get(name, 0.0) + spent
        return found


def _steps(job: Job, model: Model, tuning: FineTuning) -> list[str]:
    sizes = job.sizes
    backbone = tune(TransformersBackbone(model.folder), tuning)
    encoder = AudioEncoder(
        backbone, PHONES, by_utterance=False, precision=tuning.precision, whole_batch=True
    )
    encoder.to(DEVICE).train()
    objective = Objective(backbone.n_layers, 2 * backbone.dim).to(DEVICE).train()
    groups = [{"params": list(objective.parameters())}, *parameter_groups(backbone, tuning)]
    optimiser = torch.optim.AdamW(groups, lr=1e-5)
    batches = [sounds(sizes, backbone, seed).to(DEVICE) for seed in range(3)]
    for batch in batches:
        one_step(encoder, objective, optimiser, batch)
    with memory() as most:
        found = [
            one_step(encoder, objective, optimiser, batches[i % len(batches)])
            for i in range(sizes.steps)
        ]
        taken = most()
    whole = median(sum(times.values()) for times in found)
    cells = [f"{median(times[name] for times in found):.1f}" for name in ORDER]
    sound = float(torch.stack([b.lengths.sum() for b in batches]).float().mean()) / RATE
    return [f"{whole:.1f}", *cells, f"{1e3 * sound / whole:,.0f}", taken]


ORDER = (
    "backbone", "backbone backward", "pooling", "pooling backward", "losses", "losses backward", "optimiser",
)  # fmt: skip


def one_step(
    encoder: AudioEncoder,
    objective: Objective,
    optimiser: torch.optim.Optimizer,
    batch: WaveformBatch,
) -> dict[str, float]:
    """A step, with its parts' milliseconds; gradients mark where they leave a part, so that nothing is cut."""
    marks = Marks()

    def heard(module: nn.Module, inputs: Any, frames: Any) -> None:
        marks("backbone")
        frames.hidden_states.register_hook(lambda _: marks("pooling backward"))

    handle = encoder.backbone.register_forward_hook(heard)
    pooled = encoder(batch)
    handle.remove()
    marks("pooling")
    register_multi_grad_hook((pooled.tokens, pooled.summaries), lambda _: marks("losses backward"))
    loss = objective(pooled)
    marks("losses")
    loss.backward()
    marks("backbone backward")
    optimiser.step()
    optimiser.zero_grad()
    marks("optimiser")
    times = marks.times()
    assert len(marks.points) == 1 + len(ORDER), f"marked {[name for name, _ in marks.points]}"
    assert loss.isfinite()
    return times


def sounds(sizes: Sizes, backbone: TransformersBackbone, seed: int) -> WaveformBatch:
    """A batch of two languages, with phones of .08 s."""
    count = sizes.utterances
    longest = round(sizes.crop * RATE)
    samples = [min(n, longest) for n in lengths(12.0 * count, seed=seed)[:count]]
    generator = torch.Generator().manual_seed(seed)
    draw = np.random.default_rng(seed)
    waves = [0.1 * torch.randn(n, generator=generator) for n in samples]
    shape = (count, backbone.n_layers, 2 * backbone.dim)
    zero, one = torch.zeros(shape), torch.ones(shape)
    numbers = torch.arange(count)
    return WaveformBatch(
        pad_sequence(waves, batch_first=True),
        torch.tensor(samples),
        [_phones(n / RATE, draw) for n in samples],
        [{} for _ in samples],
        Moments(zero, one, zero, one),
        {"emotion": numbers // 2 % 4, "language": numbers % 2, "community": numbers // 8 % 2,
         "speaker": numbers % 8},
        torch.ones(count),
    )  # fmt: skip


def _phones(duration: float, draw: np.random.Generator) -> Alignment:
    edges = np.linspace(0, duration, max(2, round(duration / 0.08) + 1))
    return Alignment(edges[:-1], edges[1:], tuple(draw.choice(PHONES, len(edges) - 1)))


# --- tests


def marked() -> tuple[str, ...]:
    """Files in which tests are marked cuda."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return tuple(
        f.relative_to(ROOT).as_posix() for f in files if "pytest.mark.cuda" in f.read_text("utf-8")
    )


def tests(job: Job) -> None:
    """Those that need CUDA, each by itself in the summary if it failed."""
    report = job.report
    if missing("pytest"):
        say("\npytest is not installed: the tests are left out")
        return
    chosen = job.sizes.tests or marked()
    report.head(
        f"Tests marked cuda, in {len(chosen)} files", "passed", "failed", "skipped", "seconds"
    )
    if report.seconds_left <= 0:
        say("| left out: the time is used up |")
        return
    results = job.root / "tests.xml"
    command = [
        sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider", "-o", "addopts=",
        "--continue-on-collection-errors", f"--junitxml={results}", *chosen,
    ]  # fmt: skip
    if not job.quick and not missing("xdist"):
        command += ["-n", "4"]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
            timeout=max(report.seconds_left, 60),
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        say("| not finished in time |")
        report.failed.append("tests")
        report.problems.append(f"{(error.stdout or b'')[-4000:].decode(errors='replace')}")
        return
    if not results.exists():
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    suite = next(ET.parse(results).getroot().iter("testsuite"))
    total, failed, errors, skipped = (
        int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")
    )
    passed = total - failed - errors - skipped
    say(f"| {passed} | {failed + errors} | {skipped} | {float(suite.get('time', 0)):.0f} |")
    for case in suite.iter("testcase"):
        for problem in [*case.findall("failure"), *case.findall("error")]:
            name = f"{case.get('classname')}::{case.get('name')}"
            report.failed.append(name)
            report.problems.append(f"{name}\n{(problem.text or '')[-3000:]}")
    if DEVICE.type == "cuda" and not passed:
        raise RuntimeError(f"no test passed, expected some:\n{done.stdout[-3000:]}")


# --- graphs


def graphs(job: Job) -> None:
    """Neighbours found on the device: the same as the processor's, and how fast beside a product and topk."""
    sizes, report = job.sizes, job.report
    report.head(
        f"{min(15, sizes.graphs[0] - 1)} neighbours of items of {sizes.dim} dimensions in crowds, float32; seconds",
        "items", "relation", "setting", "cosine_knn", "product and topk", "ratio", "alike there",
        "GiB", "processor", "same graph",
    )  # fmt: skip
    small, large = sizes.graphs
    related = same("emotion") & differ("language")
    for count, where, name in ((small, None, "float32"), (small, None, "TF32"), (small, related, "float32"),
                               (large, None, "float32")):  # fmt: skip
        label = [f"{count:,}", "–" if where is None else str(where), name]
        report.row(label, lambda c=count, w=where, n=name: _neighbours(job, c, w, n))


def crowds(count: int, dim: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Items around as many centres as there are dimensions, and labels."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(dim, dim, generator=generator)
    own = torch.randint(dim, (count,), generator=generator)
    labels = {
        "emotion": torch.randint(4, (count,), generator=generator),
        "language": torch.randint(3, (count,), generator=generator),
    }
    return centres[own] + torch.randn(count, dim, generator=generator), labels


def _neighbours(job: Job, count: int, where: Relation | None, name: str) -> list[str]:
    items, labels = crowds(count, job.sizes.dim)
    k = min(15, count - 1)
    there = items.to(DEVICE)
    labels_there = {n: values.to(DEVICE) for n, values in labels.items()}
    with precision(name):
        graph = cosine_knn(there, k, where=where, labels=labels_there)
        plain = by_product(there, k, where, labels_there)
        with memory() as most:
            ours = seconds(
                lambda: cosine_knn(there, k, where=where, labels=labels_there), job.sizes.rounds
            )
            taken = most()
        theirs = seconds(lambda: by_product(there, k, where, labels_there), job.sizes.rounds)
    found = torch.from_numpy(graph.indices.reshape(count, k).astype(np.int64))
    alike = (found[:, :, None] == plain.cpu()[:, None]).any(2).float().mean()
    cells = [f"{ours:.3f}", f"{theirs:.3f}", f"{ours / theirs:.2f}", f"{alike:.4%}", taken]
    return [*cells, *_on_processor(job, items, k, where, labels, graph)]


def by_product(items: Tensor, k: int, where: Relation | None, labels: Any) -> Tensor:
    """Neighbours int64 [N, k] by what PyTorch has, block by block."""
    units = normalize(items, dim=1)
    found = torch.empty(len(units), k, dtype=torch.int64, device=units.device)
    height = max(1, 2**28 // len(units))
    for start in range(0, len(units), height):
        rows = slice(start, min(start + height, len(units)))
        similarity = units[rows] @ units.T
        similarity.diagonal(start).fill_(-torch.inf)
        if where is not None:
            similarity.masked_fill_(~where.mask(labels, rows=rows), -torch.inf)
        found[rows] = similarity.topk(k, dim=1).indices
    return found


_TIMES: dict[int, float] = {}  # of the processor, by number of items


def _on_processor(
    job: Job, items: Tensor, k: int, where: Relation | None, labels: dict[str, Tensor], graph: Any
) -> list[str]:
    """The processor's time, and whether its graph is the same to the last bit."""
    count = len(items)
    if not _TIMES:
        cosine_knn(items[:200], min(k, 199))  # compiles
    for other, before in _TIMES.items():
        if before * (count / other) ** 2 > job.report.seconds_left:
            return ["left out: no time", "–"]
    began = time.perf_counter()
    expected = cosine_knn(items, k, where=where, labels=labels)
    spent = time.perf_counter() - began
    if where is None:
        _TIMES[count] = spent
    equal = all(
        np.array_equal(getattr(graph, part), getattr(expected, part))
        for part in ("indptr", "indices", "data")
    )
    if not equal:
        differing = (graph != expected).nnz
        raise AssertionError(
            f"found {differing} neighbours that the processor has not or has otherwise"
        )
    return [f"{spent:.2f}", "yes"]


SECTIONS: dict[str, Callable[[Job], None]] = {
    "extraction": extraction,
    "step": step,
    "tests": tests,
    "graphs": graphs,
}


if __name__ == "__main__":
    sys.exit(main())
