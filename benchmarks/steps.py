"""Where a training step spends its time, recipe by recipe: on stored features, beside its floor, and from audio.

    python benchmarks/steps.py [SOURCE TARGET] [--alignments FOLDER] [--model NAME] [--mode full|lora|head …] [--quick]
    python benchmarks/steps.py --stored [--layers 7] [--channels 1024] [--batch-size 32] [--recipes erm sapa …]

With ``--stored``, features as a store keeps them (random ones, by default of the shape that Whisper base has, 35
phones an utterance) are gathered, standardised and learned from. The floor of a step is the time of its matrix
products, forward and backward, at the rate that this machine reaches on large matrices, and of what it must move, at
the rate at which it copies memory: the features once, from float16 to float32, and for each weight that learns the four
numbers that AdamW reads (weight, gradient, two moments) and the three that it writes. The products are counted as the
equations have them, each layer projected by itself; a step that mixes the layers first takes fewer. ``beside`` is the
same ratio where another core gathers the next batch meanwhile, as the training loop has it. ``refresh`` is what a
recipe finds anew before an epoch, as a share of an epoch on --utterances. One thread; CPU seconds, which do not count
what other programs take.

From audio, utterances of two corpora (by default of the synthetic one) through a backbone with random weights, whose
speed is a trained one's. A step is cut where its parts meet: forward and backward pass of the backbone; pooling of
frames into tokens and summaries with their standardisation; the recipe's network (its embedding of the same batches,
by itself); and what remains, which is losses and anchors. A batch is encoded in one piece, so that each part happens
once; by default training takes as many as keep padding small. ``epoch`` is what is refreshed between epochs
(communities, pseudo-labels), as a share of the steps of an epoch. Medians over steps; on a GPU each part is waited for.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from backbones import MODELS, save_model
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from cleser.corpora import load
from cleser.corpora.protocol import Protocol
from cleser.experiments.data import Data
from cleser.experiments.methods import METHODS
from cleser.experiments.neural import encoder_for
from cleser.features import PooledStore, Record, StoredFeatures, StoreSettings
from cleser.features.standards import measure
from cleser.memory import keep_freed
from cleser.models import Batch, LayerMix
from cleser.speech import Backbone, load_backbone, utterance_key
from cleser.speech.backbones.fine_tuning import FineTuning
from cleser.training.audio import AudioEncoder, WaveformBatch
from cleser.training.dataset import Dataset, balance
from cleser.training.recipe import Recipe, Task
from cleser.training.sharding import clip_gradients
from cleser.training.sources import StoredSource
from cleser.training.vocabulary import Vocabulary

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
_WARM = 5  # steps that are not counted: memory is new to them
_BLOCK = 5  # steps between two measurements of the machine
EMOTIONS = ("anger", "happiness", "neutral", "sadness")
PHONES = tuple("aeioupbtdkɡmnszlr")
NAMES = Vocabulary(
    EMOTIONS,
    tuple(f"{c}{i}" for c in ("de", "en") for i in range(4)),
    ("de", "en"),
    ("de", "en"),
    PHONES,
)


class Times(NamedTuple):
    """Seconds of the parts of a step."""

    backbone: float
    pooling: float
    network: float
    losses: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("specs", nargs="*", default=["synthetic:de", "synthetic:en"])
    parser.add_argument("--alignments")
    parser.add_argument("--model", default="wav2vec2-small", choices=MODELS)
    parser.add_argument("--mode", default="full")
    parser.add_argument("--recipes", nargs="*")
    parser.add_argument("--precision", default="bfloat16" if DEVICE.type == "cuda" else "float32")
    parser.add_argument("--utterances", type=int, default=96, help="of each corpus")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--stored", action="store_true", help="on stored features")
    parser.add_argument("--layers", type=int, default=7, help="with --stored")
    parser.add_argument("--channels", type=int, default=1024, help="with --stored")
    parser.add_argument("--batch-size", type=int, default=32, help="with --stored")
    parser.add_argument("--quick", action="store_true", help="two steps of two recipes")
    arguments = parser.parse_args()
    if arguments.stored:
        _stored(arguments)
        return
    tuning = FineTuning(arguments.mode, precision=arguments.precision)
    names = [name for name, method in METHODS.items() if method.build is not None]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        backbone = load_backbone(str(save_model(arguments.model, root))).to(DEVICE)
        specs = [_some(spec, arguments.utterances, root) for spec in arguments.specs]
        cast = Protocol([specs[0]], [specs[1]], target_access="audio").load()
        data = Data(cast, backbone, auxiliary=False, tuning=tuning, alignments=arguments.alignments)
        print(
            f"{arguments.model}, {arguments.mode}, {DEVICE.type}, {torch.get_num_threads()} threads\n"
        )
        print("| recipe | step, s | backbone | pooling | network | losses and anchors | epoch |")
        print("|---|---|---|---|---|---|---|")
        for name in arguments.recipes or (["erm", "sapa"] if arguments.quick else names):
            _row(name, data, tuning, 2 if arguments.quick else arguments.steps)


def _stored(arguments: argparse.Namespace) -> None:
    """The table of steps on stored features."""
    torch.set_num_threads(1)
    keep_freed()  # as the training loop does
    shape = arguments.layers, arguments.channels
    names = [name for name, method in METHODS.items() if method.build is not None]
    chosen = arguments.recipes or (["erm", "sapa"] if arguments.quick else names)
    print("One thread. Shares of a step: gathered, learned, optimiser.\n")
    print(
        "| recipe | step, ms | gathered | learned | optimiser | GFLOP/s | GB/s | floor, ms | times the floor | beside "
        "| refresh |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        data = _random_data(Path(folder), arguments.utterances, *shape)
        for name in chosen:
            steps = 2 if arguments.quick else arguments.steps
            _stored_row(name, data, _Rates(), steps, arguments.batch_size)


class _Rates:
    """What this machine reaches: of large matrix products, and of copies (read and written).

    Processors that others use too change their speed within seconds, so both are measured again and again between the
    steps that are compared with them.
    """

    def __init__(self) -> None:
        self.matrix, self.values = torch.randn(2048, 2048), torch.randn(1 << 25)
        self.copied = self.values.clone()  # memory that is new would be cleared first
        self.products: list[float] = []
        self.copies: list[float] = []

    def measure(self) -> None:
        """Time a product and a copy once more."""
        self.products.append(_seconds(lambda: self.matrix @ self.matrix))
        self.copies.append(_seconds(lambda: self.copied.copy_(self.values)))

    @property
    def operations(self) -> float:
        """Floating-point operations a second."""
        return 2 * len(self.matrix) ** 3 / statistics.median(self.products)

    @property
    def bandwidth(self) -> float:
        """Bytes a second."""
        return 2 * self.values.nbytes / statistics.median(self.copies)


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _random_data(folder: Path, count: int, layers: int, channels: int) -> tuple[Dataset, ...]:
    """Source, development and target utterances of four speakers each, in three languages."""
    draw = torch.Generator().manual_seed(0)
    record = Record("phone")
    store = PooledStore.create(
        folder, StoreSettings("random", tuple(range(layers)), channels, str(record))
    )
    keys = [utterance_key(str(i)) for i in range(3 * count)]
    with store.writer(0) as writer:
        for key in keys:
            length = int(torch.randint(20, 51, (), generator=draw))
            values = torch.randn(1 + length, layers, channels, generator=draw)
            said = torch.randint(0, len(PHONES), (length,), generator=draw).tolist()
            writer.add(
                key, values, frames=[10] * (1 + length), labels=["", *(PHONES[p] for p in said)]
            )
    store.refresh()
    number = torch.arange(count)
    datasets = []
    for part, language in enumerate(("de", "en", "pl")):
        rows = pd.DataFrame({
            "utterance": [f"{language}{i}" for i in range(count)],
            "path": [f"{language}{i}.wav" for i in range(count)],
            "corpus": language, "language": language,
            "speaker": [f"{language}{i}" for i in (number % 4).tolist()],
            "emotion": [EMOTIONS[i] for i in (number // 4 % 4).tolist()],
        })  # fmt: skip
        stored = StoredFeatures(
            store,
            rows["utterance"].tolist(),
            keys[part * count : (part + 1) * count],
            list(range(count)),
        )
        standards, _ = measure(stored, rows, rows["speaker"], lexical=False)
        if language == "pl":
            rows["emotion"] = pd.Series([None] * count, dtype="str")
        datasets.append(Dataset(rows, StoredSource(stored, standards), NAMES.encode(rows),
                                {p: i for i, p in enumerate(PHONES)}, balance(rows), []))  # fmt: skip
    return tuple(datasets)


def _stored_row(name: str, data: tuple[Dataset, ...], rates: _Rates, steps: int, size: int) -> None:
    method = METHODS[name]
    assert method.build is not None
    config = method.config()
    torch.manual_seed(0)
    recipe = method.build(config, Task(*data[0].shape, NAMES, Backbone.mix))
    source, dev, target = (
        replace(d, labels=dict(d.labels), tokens=config.uses_tokens) for d in data
    )
    seen = target if recipe.sees_target else None
    last = config.training.epochs - 1  # what a recipe adds later shall be measured too
    recipe.train()
    for epoch in (last - 1, last):
        refresh = _seconds(
            lambda epoch=epoch: recipe.begin_epoch(epoch, source=source, dev=dev, target=seen)
        )
    optimiser = torch.optim.AdamW(recipe.parameters(), fused=True)  # as the training loop's
    recipe.train()
    times = []
    for number in range(-_WARM, steps):
        if number % _BLOCK == 0:
            rates.measure()
        began = time.process_time()
        at = torch.arange(size).add(number * size) % len(source)
        batches = [source.batch(at), None if seen is None else seen.batch(at)]
        gathered = time.process_time()
        recipe.step(*batches)["loss"].backward()
        learned = time.process_time()
        clip_gradients(recipe.parameters(), config.training.clip)
        optimiser.step()
        optimiser.zero_grad()
        times.append((gathered - began, learned - gathered, time.process_time() - learned))
    parts = [statistics.median(part) for part in zip(*times[_WARM:], strict=True)]
    whole = sum(parts)
    moved = sum(b.tokens.nbytes + b.summaries.nbytes for b in batches if b is not None) * 1.5
    updated = 7 * sum(weight.nbytes for weight in optimiser.state)  # by AdamW
    floor = _operations(recipe, batches) / rates.operations + (moved + updated) / rates.bandwidth
    epoch = refresh + whole * -(-len(source) // size)
    shares = " | ".join(f"{part / whole:.0%}" for part in parts)
    beside = max(parts[0], parts[1] + parts[2])
    reached = f"{rates.operations / 1e9:.0f} | {rates.bandwidth / 1e9:.1f}"
    print(f"| {name} | {1e3 * whole:.1f} | {shares} | {reached} | {1e3 * floor:.1f} | {whole / floor:.1f} | "
          f"{beside / floor:.1f} | {refresh / epoch:.0%} |", flush=True)  # fmt: skip


def _operations(recipe: Recipe, batches: list[Batch | None]) -> int:
    """Floating-point operations of a step's matrix products, forward and backward, each layer projected by itself."""
    forward = LayerMix.forward
    LayerMix.forward = lambda self, x: self.join(self.states(x))  # type: ignore[method-assign]
    try:
        with FlopCounterMode(display=False) as counter:
            recipe.step(*batches)["loss"].backward()  # type: ignore[arg-type]
    finally:
        LayerMix.forward = forward  # type: ignore[method-assign]
        recipe.zero_grad()
    return int(counter.get_total_flops())


def _some(spec: str, count: int, root: Path) -> str:
    """Some utterances of a corpus, of all its speakers and emotions, as a corpus."""
    manifest = load(spec)
    chosen = manifest.sample(min(count, len(manifest)), random_state=0).sort_index()
    path = root / f"{manifest['corpus'].iloc[0]}.csv"
    chosen.to_csv(path, index=False)
    return f"manifest:{path}"


def _row(name: str, data: Data, tuning: FineTuning, steps: int) -> None:
    method = METHODS[name]
    assert method.build is not None
    config = method.config()
    torch.manual_seed(0)
    recipe = method.build(config, Task(*data.shape, data.vocabulary, data.backbone.mix)).to(DEVICE)
    encoder = encoder_for(data.backbone, tuning, data.vocabulary, data.cast.protocol)
    assert encoder is not None
    encoder.to(DEVICE).whole_batch = True
    parts = data.cast.parts(0)
    source, dev = (
        d.encoded_by(encoder) for d in (data.learned(parts), data.seen.subset(parts.dev))
    )
    target = data.target.subset(parts.adapt).encoded_by(encoder) if recipe.sees_target else None
    last = config.training.epochs - 1  # what a recipe adds later shall be measured too
    for epoch in (last - 1, last):
        began = time.perf_counter()
        recipe.begin_epoch(epoch, source=source, dev=dev, target=target)
        between = time.perf_counter() - began
    recipe.train(), encoder.train()
    size = config.training.batch_size
    times = []
    for number in range(steps + 1):
        at = torch.arange(size).add(number * size)
        batches = [
            _loaded(d, at % len(d), tuning.crop).to(DEVICE)
            for d in (source, target)
            if d is not None
        ]
        times.append(_step(recipe, encoder, batches))
    median = Times(*(statistics.median(part) for part in zip(*times[1:], strict=True)))
    whole = sum(median)
    shares = " | ".join(f"{part / whole:.1%}" for part in median)
    epoch_steps = -(-len(source) // size)
    print(
        f"| {name} | {whole:.3f} | {shares} | {between / (whole * epoch_steps):.1%} |", flush=True
    )


def _loaded(dataset: Dataset, at: Tensor, crop: float) -> Any:
    """Stretches of recordings, as a training step is given them."""
    wanted = dataset.wanted(at, crop)
    return dataset.load(at, read=dataset.source.excerpts.read(wanted))


def _step(recipe: Recipe, encoder: AudioEncoder, sounds: list[WaveformBatch]) -> Times:
    """One step, cut where gradients pass from one part to the next."""
    watch = _Watch()
    frames = [encoder.frames(s, encoder.backbone) for s in sounds]
    watch.note("backbone")
    heard = [f._replace(hidden_states=_leaf(f.hidden_states)) for f in frames]
    batches = [encoder.batch(encoder.pooled(f, s), s) for f, s in zip(heard, sounds, strict=True)]
    watch.note("pooling")
    ends = [_cut(batch) for batch in batches]
    embedded = [recipe.embed(batch) for batch in ends]
    torch.stack([e.logits.sum() + e.utterances.sum() for e in embedded]).sum().backward()
    watch.note("network")
    ends = [_cut(batch) for batch in batches]
    recipe.step(ends[0], ends[1] if len(ends) > 1 else None)["loss"].backward()
    watch.note("step")
    _backward([t for b in batches for t in (b.tokens, b.summaries)],
              [t for b in ends for t in (b.tokens, b.summaries)])  # fmt: skip
    watch.note("pooling")
    _backward([f.hidden_states for f in frames], [f.hidden_states for f in heard])
    watch.note("backbone")
    recipe.zero_grad(), encoder.zero_grad()
    spent = watch.seconds
    network = min(spent["network"], spent["step"])
    return Times(spent["backbone"], spent["pooling"], network, spent["step"] - network)


def _cut(batch: Batch) -> Batch:
    """The same batch, at which gradients stop and are kept."""
    return replace(batch, tokens=_leaf(batch.tokens), summaries=_leaf(batch.summaries))


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_(True)


def _backward(outputs: list[Tensor], leaves: list[Tensor]) -> None:
    """Let the gradients that arrived at leaves go on into what they were cut from."""
    pairs = [(o, leaf.grad) for o, leaf in zip(outputs, leaves, strict=True)
             if leaf.grad is not None and o.requires_grad]  # fmt: skip
    if pairs:
        torch.autograd.backward([o for o, _ in pairs], [g for _, g in pairs])


class _Watch:
    """Seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def note(self, name: str) -> None:
        """Give the time since the last note to a name."""
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self.last
        self.last = now


if __name__ == "__main__":
    main()
