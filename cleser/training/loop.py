"""The training loop that all recipes share: seeds, selection on the source, checkpoints, resume.

Every epoch begins by seeding all randomness from (seed, epoch), so that a run continued from its last
checkpoint walks the same path as one never interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from torch import Tensor, nn

from cleser.memory import keep_freed
from cleser.progress import each
from cleser.settings import check_ranges
from cleser.speech.backbones.fine_tuning import FineTuning, parameter_groups
from cleser.training.audio import AudioEncoder
from cleser.training.checkpoint import Checkpoint
from cleser.training.dataset import Dataset
from cleser.training.learner import Learner
from cleser.training.loading import Loaded, StepLoader
from cleser.training.processes import on_cpu
from cleser.training.recipe import Recipe, Task  # noqa: F401  (recipes of others import Task from here)
from cleser.training.sharding import clip_gradients, set_gradient_sync, shard

# Steps of an epoch from which on its progress is shown.
_MANY_STEPS = 1000


@dataclass(frozen=True)
class TrainingConfig:
    """How a recipe is trained.

    Attributes:
        epochs: Passes over the source. More epochs learn the source better but transfer worse.
        batch_size: Utterances in a step, over all processes.
        learning_rate: Peak learning rate.
        weight_decay: Weight decay of AdamW.
        warmup: Share of the steps in which the learning rate rises; it then falls along a cosine.
        clip: Largest gradient norm; larger gradients are scaled down to it.
        keep: Keep the weights of the epoch that was "best" on the source's development speakers, or of the "last"
            epoch, for methods that adapt to the target, which those speakers cannot judge.
        members: Number of networks trained for each seed, from different initial weights and in different order; their
            logits are averaged.

    Raises:
        ValueError: A number is one that no training can have.
    """

    epochs: int = 15
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup: float = 0.2
    clip: float = 5.0
    keep: Literal["best", "last"] = "best"
    members: int = 1

    def __post_init__(self) -> None:
        check_ranges(
            self,
            least={"epochs": 1, "batch_size": 1, "weight_decay": 0, "warmup": 0, "members": 1},
            above={"learning_rate": 0, "clip": 0},
            most={"warmup": 1},
        )


def train(
    recipe: Recipe,
    config: TrainingConfig,
    *,
    source: Dataset,
    dev: Dataset,
    target: Dataset | None,
    seed: int,
    checkpoint: Path,
    encoder: AudioEncoder | None = None,
    tuning: FineTuning | None = None,
    workers: int = 0,
    on_epoch: Callable[[list[dict[str, float]]], None] = lambda history: None,
) -> list[dict[str, float]]:
    """Train a recipe, continuing from its checkpoint where there is one.

    Under ``accelerate launch`` every process takes its share of each batch.

    Args:
        recipe: The recipe, freshly built under this seed; it ends with the weights of the best epoch, in eval mode.
        config: Settings of the training.
        source: Labelled utterances to learn from.
        dev: Labelled source utterances; the epoch with the best UAR there is kept.
        target: Unlabelled target utterances, for recipes that see them.
        seed: Seed of the order of the batches and of all noise.
        checkpoint: File that an interruption is resumed from.
        encoder: Encoder that turns recordings into batches when training from audio; None for stored features.
        tuning: How the encoder's backbone is trained.
        workers: Number of processes that decode recordings ahead; results do not depend on it.
        on_epoch: Called after each epoch with the history so far, on the main process.

    Returns:
        One line of numbers an epoch.

    Raises:
        ValueError: The training has diverged.
    """
    keep_freed()
    tuning = tuning or FineTuning()
    accelerator = _accelerator()
    learner = Learner(recipe, encoder)
    backbone = None if encoder is None else encoder.backbone
    if tuning.shard and backbone is not None and accelerator.num_processes > 1:
        shard(learner, backbone, accelerator.device, accelerator.num_processes)
    optimiser = _optimiser(learner, config, tuning)
    state = Checkpoint.load(checkpoint, learner, optimiser)
    if state.epoch and accelerator.is_main_process:
        on_epoch(state.history)
    source, dev = learner.sees(source), learner.sees(dev)
    target = None if target is None else learner.sees(target)
    module, wrapped = accelerator.prepare(learner, optimiser)
    loader = StepLoader(
        (source, target),
        crop=tuning.crop,
        workers=workers,
        rank=accelerator.process_index,
        ranks=accelerator.num_processes,
    )
    steps = _Steps(accelerator, module, wrapped, backbone, config, tuning.accumulate)
    for epoch in range(state.epoch, config.epochs):
        _begin_epoch(recipe, (seed, epoch), loader.rank, source=source, dev=dev, target=target)
        module.train()
        batches, number = _batches(recipe, loader, source, target, config, (seed, epoch))
        slow = encoder is not None or number >= _MANY_STEPS
        if slow and accelerator.is_main_process:  # somebody waits for it
            batches = each(batches, f"seed {seed}, epoch {epoch}", number)
        means = steps.take(batches, number, epoch)
        line = {"seed": seed, "epoch": epoch, **{f"train_{name}": m for name, m in means.items()}}
        _check_finite(line, config, tuning)
        line |= learner.eval().recipe.dev_scores(dev)
        state.record(learner, line, optimiser, keep=config.keep)
        if accelerator.is_main_process:
            state.save(checkpoint)
            on_epoch(state.history)
    loader.close()
    learner.load_weights(state.best_weights)
    learner.eval()
    recipe.finish(target)
    return state.history


@dataclass(frozen=True)
class _Steps:
    """The steps of an epoch: gradients of one or several batches, clipped, and the weights changed by them.

    Attributes:
        accelerator: Shares the work between processes.
        module: The learner, as the accelerator has wrapped it.
        optimiser: The learner's optimiser, wrapped likewise.
        backbone: The backbone that encodes recordings, if they are encoded in training.
        config: Settings of the training.
        accumulate: Number of batches whose gradients are gathered before the weights change.
    """

    accelerator: Accelerator
    module: nn.Module
    optimiser: torch.optim.Optimizer
    backbone: nn.Module | None
    config: TrainingConfig
    accumulate: int

    def take(self, batches: Iterable[Loaded], number: int, epoch: int) -> dict[str, float]:
        """Take an epoch's steps; gives the mean of each term of the loss over ``number`` batches and all processes."""
        totals: dict[str, float] = {}
        for at, batch in enumerate(batches):
            first = at - at % self.accumulate
            gathered = min(self.accumulate, number - first)
            complete = at + 1 == first + gathered
            terms = self._differentiate(batch, gathered, complete=complete)
            if complete:
                self._change_weights((epoch + first / number) / self.config.epochs)
            for name, value in terms.items():
                totals[name] = totals.get(name, 0.0) + value.item() / number
        return _over_processes(totals, self.accelerator)

    def _differentiate(self, batch: Loaded, gathered: int, *, complete: bool) -> dict[str, Tensor]:
        """Add a batch's gradients to those of the others gathered; processes exchange them once all are there."""
        set_gradient_sync(self.backbone, complete)
        with nullcontext() if complete else self.accelerator.no_sync(self.module):
            placed = (s if s is None else s.to(self.accelerator.device) for s in batch)
            terms: dict[str, Tensor] = self.module(*placed)
            self.accelerator.backward(terms["loss"] / gathered)
        return terms

    def _change_weights(self, progress: float) -> None:
        """Step along the gradients when a share of the training is done."""
        _set_rates(self.optimiser, self.config, progress)
        clip_gradients(self.module.parameters(), self.config.clip)
        self.optimiser.step()
        self.optimiser.zero_grad()


def _begin_epoch(recipe: Recipe, seeds: tuple[int, int], rank: int, **datasets: Any) -> None:
    """Let a recipe find labels anew, and seed the noise of the steps: the same whenever the epoch is repeated."""
    set_seed(derive(*seeds))  # all processes have to find the same
    recipe.begin_epoch(seeds[1], **datasets)
    set_seed(derive(*seeds, rank))  # and each has its own noise


def _accelerator() -> Accelerator:
    # A step need not touch every weight: a recipe may leave a view of the utterance out, a backbone its last norm.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(cpu=on_cpu(), kwargs_handlers=[unused])


def _optimiser(learner: Learner, config: TrainingConfig, tuning: FineTuning) -> torch.optim.AdamW:
    """AdamW, whose changes of weights are counted for whoever keeps something computed from the weights."""
    optimiser = torch.optim.AdamW(
        _groups(learner, config, tuning),
        config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,  # one pass over a weight and its moments, not ten
    )
    if learner.encoder is not None:
        optimiser.register_step_post_hook(_count_changes)
    return optimiser


def _count_changes(optimiser: torch.optim.Optimizer, *_unused: Any) -> None:
    """Count a change of each weight, as torch does whenever one is written to, but not in a fused step."""
    for group in optimiser.param_groups:
        for weight in group["params"]:
            torch.autograd.graph.increment_version(weight)


def _groups(learner: Learner, config: TrainingConfig, tuning: FineTuning) -> list[dict[str, Any]]:
    """Groups of parameters to optimise, each with its peak learning rate."""
    groups: list[dict[str, Any]] = [
        {"params": list(learner.recipe.parameters()), "peak": config.learning_rate}
    ]
    if learner.encoder is not None:
        groups += parameter_groups(learner.encoder.backbone, tuning)
    return groups


def derive(*numbers: int) -> int:
    """A seed that follows from others."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _set_rates(optimiser: torch.optim.Optimizer, config: TrainingConfig, progress: float) -> None:
    """Set the learning rates for a step, when a share of the training is done."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * _schedule(config, progress)


def _schedule(config: TrainingConfig, progress: float) -> float:
    """Share of the peak learning rate: it rises in a line, then falls along a cosine."""
    if progress < config.warmup:
        return max(progress / config.warmup, 0.01)
    fall = (progress - config.warmup) / (1 - config.warmup)
    return 0.5 * (1 + math.cos(math.pi * fall))


def _batches(
    recipe: Recipe,
    loader: StepLoader,
    source: Dataset,
    target: Dataset | None,
    config: TrainingConfig,
    seeds: tuple[int, int],
) -> tuple[Iterator[Loaded], int]:
    """An epoch's batches, with the labels that the recipe has found, and their number."""
    ours = source.labelled(recipe.found.source).weighted(recipe.weights(source))
    theirs = None if target is None else target.labelled(recipe.found.target)
    drawn = list(_positions(recipe, ours, theirs, config.batch_size, seeds, loader.ranks))
    return loader((ours, theirs), drawn, seeds), len(drawn)


def _positions(
    recipe: Recipe,
    source: Dataset,
    target: Dataset | None,
    size: int,
    seeds: tuple[int, int],
    least: int = 1,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Positions of each source batch, with as many target utterances where the recipe sees them.

    An epoch's rest with fewer than ``least`` utterances, one for each process, is left out.
    """
    drawn = None
    if target is not None and len(target):
        if len(target) < least:
            raise ValueError(
                f"found {len(target)} target utterances, expected one for each of {least} processes"
            )
        chosen = recipe.target_batches(target, size, np.random.default_rng([*seeds, 1]))
        drawn = (at for at in chosen if len(at) >= least)
    for at in recipe.batches(source, size, np.random.default_rng([*seeds, 0])):
        if len(at) >= least:
            yield at, next(drawn) if drawn else None


def _over_processes(totals: dict[str, float], accelerator: Accelerator) -> dict[str, float]:
    """Means over processes, each of which has seen its own share."""
    names = sorted(totals)
    values = torch.tensor([totals[n] for n in names], dtype=torch.float64)
    mean = accelerator.reduce(values.to(accelerator.device), "mean")
    means = dict(zip(names, mean.tolist(), strict=True))
    return {name: means[name] for name in totals}


def _check_finite(line: dict[str, float], config: TrainingConfig, tuning: FineTuning) -> None:
    """Stop where the loss of an epoch is no number.

    Raises:
        ValueError: The loss is no number.
    """
    if math.isfinite(line["train_loss"]):
        return
    rates = f"--learning-rate (it is {config.learning_rate:g})"
    if tuning.from_audio:
        rates += f" or --tune.learning-rate (it is {tuning.learning_rate:g})"
    raise ValueError(
        f"seed {line['seed']}, epoch {line['epoch']}: the loss is {line['train_loss']}, expected a number: "
        f"the training has diverged; give a smaller {rates}"
    )
