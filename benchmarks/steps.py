"""Where a training step from audio spends its time, recipe by recipe.

    python benchmarks/steps.py [SOURCE TARGET] [--alignments FOLDER] [--model NAME] [--mode full|lora|head …] [--quick]

Utterances of two corpora (by default of the synthetic one) through a backbone with random weights, whose speed is a
trained one's. A step is cut where its parts meet: forward and backward pass of the backbone; pooling of frames into
tokens and summaries with their standardisation; the recipe's network (its embedding of the same batches, by itself);
and what remains, which is losses and anchors. ``epoch`` is what is refreshed between epochs (communities,
pseudo-labels), as a share of the steps of an epoch. Medians over steps; on a GPU each part is waited for.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from backbones import MODELS, save_model
from torch import Tensor

from cleser.corpora import load
from cleser.corpora.protocol import Protocol
from cleser.experiments.experiment import Data
from cleser.experiments.methods import METHODS
from cleser.experiments.neural import encoder_for
from cleser.models import Batch
from cleser.speech import load_backbone
from cleser.speech.backbones.fine_tuning import FineTuning
from cleser.training.audio import AudioEncoder, Sounds
from cleser.training.loop import Recipe, Task

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


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
    parser.add_argument("--quick", action="store_true", help="two steps of two recipes")
    arguments = parser.parse_args()
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
    encoder.to(DEVICE)
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
        batches = [d.sounds(torch.arange(size).add(number * size) % len(d), crop=tuning.crop).to(DEVICE)
                   for d in (source, target) if d is not None]  # fmt: skip
        times.append(_step(recipe, encoder, batches))
    median = Times(*(statistics.median(part) for part in zip(*times[1:], strict=True)))
    whole = sum(median)
    shares = " | ".join(f"{part / whole:.1%}" for part in median)
    epoch_steps = -(-len(source) // size)
    print(
        f"| {name} | {whole:.3f} | {shares} | {between / (whole * epoch_steps):.1%} |", flush=True
    )


def _step(recipe: Recipe, encoder: AudioEncoder, sounds: list[Sounds]) -> Times:
    """One step, cut where gradients pass from one part to the next."""
    watch = _Watch()
    frames = [encoder._frames(s) for s in sounds]
    watch.note("backbone")
    heard = [f._replace(hidden_states=_leaf(f.hidden_states)) for f in frames]
    batches = [_pooled(encoder, f, s) for f, s in zip(heard, sounds, strict=True)]
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


def _pooled(encoder: AudioEncoder, frames: Any, sounds: Sounds) -> Batch:
    """The encoder's batch of frames that are there already."""
    own = encoder._frames
    encoder._frames = lambda _: frames  # type: ignore[method-assign]
    try:
        batch: Batch = encoder(sounds)
        return batch
    finally:
        encoder._frames = own  # type: ignore[method-assign]


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
