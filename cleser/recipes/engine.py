"""The training loop that all recipes share: seeds, selection on the source, checkpoints, resume.

Every epoch begins by seeding all randomness from (seed, epoch), so that a run continued from its last
checkpoint walks the same path as one never interrupted.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from cleser.evaluation.metrics import confusion_matrix, uar
from cleser.models.batch import Batch
from cleser.models.emotion import Embedded
from cleser.models.layer_mix import Mix
from cleser.recipes.checkpoint import Checkpoint
from cleser.recipes.data import Dataset, Vocabulary


@dataclass(frozen=True)
class TrainingConfig:
    """How a recipe is trained.

    Attributes:
        epochs: Passes over the source. Few: more learn the source better and transfer worse.
        batch_size: Utterances a step, over all processes.
        learning_rate: At its peak.
        weight_decay: Of AdamW.
        warmup: Share of the steps in which the rate rises; it then falls along a cosine.
        clip: Largest gradient norm.
    """

    epochs: int = 15
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup: float = 0.2
    clip: float = 5.0


class Task(NamedTuple):
    """What a recipe has to know of its data to build its parts."""

    layers: int
    channels: int
    vocabulary: Vocabulary
    mix: Mix


class Recipe(nn.Module, ABC):
    """A method: its parts, and the loss of one step.

    Attributes:
        sees_target: Whether it is given the target's unlabelled utterances.
    """

    sees_target: bool = False

    @abstractmethod
    def embed(self, batch: Batch) -> Embedded:
        """Embed and classify a batch."""

    @abstractmethod
    def step(self, source: Batch, target: Batch | None) -> dict[str, Tensor]:
        """The loss of a step under ``"loss"``, and its named terms for the log."""

    def batches(self, source: Dataset, size: int, rng: np.random.Generator) -> Iterator[Tensor]:
        """Positions of the source utterances of each step of an epoch: all, shuffled, by default."""
        yield from torch.from_numpy(rng.permutation(len(source))).split(size)

    def begin_epoch(self, epoch: int, source: Dataset, target: Dataset | None) -> None:
        """What has to be refreshed before an epoch; nothing by default.

        Labels found here are put into ``source.labels`` and ``target.labels``, where batches take them from. They must
        follow from the weights, so that a run that goes on from a checkpoint finds the same.
        """

    def prepare(self, dataset: Dataset) -> Dataset:
        """The utterances to be recognised together, with what is found out about them from their sound alone."""
        return dataset

    def finish(self, target: Dataset | None) -> None:
        """What remains to be done with the weights of the best epoch; nothing by default."""


def train(
    recipe: Recipe,
    config: TrainingConfig,
    *,
    source: Dataset,
    dev: Dataset,
    target: Dataset | None,
    seed: int,
    checkpoint: Path,
    on_epoch: Callable[[list[dict[str, float]]], None] = lambda history: None,
) -> list[dict[str, float]]:
    """Train a recipe, continuing from its checkpoint where there is one.

    Under ``accelerate launch`` every process takes its share of each batch.

    Args:
        recipe: Freshly built under this seed; ends with the weights of the best epoch, in eval mode.
        config: How to train.
        source: Labelled utterances to learn from.
        dev: Labelled source utterances; the epoch with the best UAR there is kept.
        target: Unlabelled target utterances, for recipes that see them.
        seed: Decides the order of the batches and all noise.
        checkpoint: File that an interruption is resumed from.
        on_epoch: Called after each epoch with the history so far, on the main process.

    Returns:
        One line of numbers an epoch.
    """
    accelerator = Accelerator()
    optimiser = torch.optim.AdamW(
        recipe.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    state = Checkpoint.load(checkpoint, recipe, optimiser)
    if state.epoch:
        on_epoch(state.history)
    module, wrapped = accelerator.prepare(_Step(recipe), optimiser)
    for epoch in range(state.epoch, config.epochs):
        recipe.begin_epoch(epoch, source, target)
        # Each process its own noise, the same whenever this epoch is walked again.
        torch.manual_seed(_derive(seed, epoch, accelerator.process_index))
        module.train()
        steps = list(_steps(recipe, source, target, config.batch_size, (seed, epoch)))
        totals: dict[str, float] = {}
        for number, (at, other) in enumerate(steps):
            rate = _learning_rate(config, (epoch + number / len(steps)) / config.epochs)
            for group in wrapped.param_groups:
                group["lr"] = rate
            terms = module(_share(source, at, accelerator), _share(target, other, accelerator))
            wrapped.zero_grad()
            accelerator.backward(terms["loss"])
            accelerator.clip_grad_norm_(module.parameters(), config.clip)
            wrapped.step()
            for name, value in terms.items():
                totals[name] = totals.get(name, 0.0) + value.item() / len(steps)
        if not math.isfinite(totals["loss"]):
            raise FloatingPointError(f"seed {seed}, epoch {epoch}: the loss is {totals['loss']}")
        scores = _dev_scores(recipe.eval(), dev, accelerator.device)
        train_terms = {f"train_{name}": value for name, value in totals.items()}
        state.record(recipe, {"seed": seed, "epoch": epoch, **train_terms, **scores})
        if accelerator.is_main_process:
            state.save(checkpoint, optimiser)
            on_epoch(state.history)
    recipe.load_state_dict(state.best_weights)
    recipe.eval()
    recipe.finish(target)
    return state.history


class _Step(nn.Module):
    """Puts a recipe's step behind ``forward``, where distributed wrappers look for it."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe

    def forward(self, source: Batch, target: Batch | None) -> dict[str, Tensor]:
        return self.recipe.step(source, target)


def _derive(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _learning_rate(config: TrainingConfig, progress: float) -> float:
    if progress < config.warmup:
        return config.learning_rate * max(progress / config.warmup, 0.01)
    fall = (progress - config.warmup) / (1 - config.warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * fall))


def _steps(
    recipe: Recipe, source: Dataset, target: Dataset | None, size: int, seeds: tuple[int, int]
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Each source batch, with as many target utterances where the recipe sees them."""
    drawn = _forever(len(target), size, np.random.default_rng([*seeds, 1])) if target else None
    for at in recipe.batches(source, size, np.random.default_rng([*seeds, 0])):
        yield at, next(drawn) if drawn else None


def _forever(count: int, size: int, rng: np.random.Generator) -> Iterator[Tensor]:
    while True:
        yield from torch.from_numpy(rng.permutation(count)).split(size)


def _share(dataset: Dataset | None, at: Tensor | None, accelerator: Accelerator) -> Batch | None:
    """This process's share of a batch, on its device."""
    if dataset is None or at is None:
        return None
    return dataset.batch(at[accelerator.process_index :: accelerator.num_processes]).to(
        accelerator.device
    )


def predict(
    recipe: Recipe, dataset: Dataset, *, size: int = 256, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Logits [N, K] and utterance embeddings [N, D] of a dataset, on the CPU."""
    recipe.eval()
    dataset = recipe.prepare(dataset)
    with torch.inference_mode():
        parts = [
            recipe.embed(dataset.batch(at).to(device or "cpu"))
            for at in torch.arange(len(dataset)).split(size)
        ]
    return torch.cat([p.logits for p in parts]).cpu(), torch.cat(
        [p.utterances for p in parts]
    ).cpu()


def _dev_scores(recipe: Recipe, dev: Dataset, device: torch.device) -> dict[str, float]:
    """UAR, averaged over the source corpora so that a large one does not decide alone, and loss."""
    logits, _ = predict(recipe, dev, device=device)
    truth = dev.labels["emotion"]
    loss = nn.functional.cross_entropy(logits, truth, reduction="none")
    predicted = logits.argmax(-1)
    scores = []
    for corpus in dev.labels["corpus"].unique():
        inside = dev.labels["corpus"] == corpus
        counts = confusion_matrix(truth[inside].numpy(), predicted[inside].numpy(), logits.shape[1])
        scores.append(float(uar(counts)))
    return {"dev_uar": float(np.mean(scores)), "dev_loss": float((loss * dev.weight).mean())}
