"""The training loop that all recipes share: seeds, selection on the source, checkpoints, resume.

Every epoch begins by seeding all randomness from (seed, epoch), so that a run continued from its last
checkpoint walks the same path as one never interrupted.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from torch import Tensor, nn

from cleser.evaluation.metrics import confusion_matrix, uar
from cleser.models.batch import Batch
from cleser.models.emotion import Embedded
from cleser.models.layer_mix import Mix
from cleser.progress import each, track
from cleser.ranks import gather, own_share, world
from cleser.settings import check_ranges
from cleser.speech.backbones.fine_tuning import (
    FineTuning,
    load_trained,
    parameter_groups,
    trained_tensors,
)
from cleser.training.audio import AudioEncoder, Sounds
from cleser.training.checkpoint import Checkpoint
from cleser.training.dataset import Dataset, Vocabulary
from cleser.training.loading import StepLoader, prefetched
from cleser.training.processes import on_cpu
from cleser.training.sharding import alike, clip_gradients, gather_gradients, shard, whole

_MANY_STEPS = 1000  # of an epoch, from which on somebody waits for it


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


class Task(NamedTuple):
    """What a recipe has to know of its data to build its parts.

    Attributes:
        layers: L of the features.
        channels: C of a layer.
        vocabulary: Names behind the integers of the labels.
        mix: How layers are weighed.
        prior: Class shares that the protocol assumes of the target; uniform where it is empty.
    """

    layers: int
    channels: int
    vocabulary: Vocabulary
    mix: Mix
    prior: tuple[float, ...] = ()


@dataclass(frozen=True)
class Found:
    """Labels that training has found: beside the utterances' own in batches, or in place of these.

    Attributes:
        source: Of the N source utterances by name, such as ``"community"`` [N]; −1 is unknown.
        target: Of the target's, such as a pseudo-label under ``"emotion"``.

    >>> found = Found(target={"emotion": torch.tensor([1, -1])})
    >>> found.tensors()
    {'target.emotion': tensor([ 1, -1])}
    >>> Found.of(found.tensors()).target["emotion"].tolist()
    [1, -1]
    """

    source: Mapping[str, Tensor] = field(default_factory=dict)
    target: Mapping[str, Tensor] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """All by one name each, for a checkpoint."""
        sides = {"source": self.source, "target": self.target}
        return {f"{side}.{name}": t for side, of in sides.items() for name, t in of.items()}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Found:
        """What :meth:`tensors` gave."""
        sides: dict[str, dict[str, Tensor]] = {"source": {}, "target": {}}
        for key, tensor in tensors.items():
            side, name = key.split(".", 1)
            sides[side][name] = tensor
        return cls(**sides)


class Recipe(nn.Module, ABC):
    """A method: its parts, and the loss of one step.

    Attributes:
        sees_target: Whether it is given the target's unlabelled utterances.
        vote_threshold: If it recognises several emotions at once, the share of votes from which an utterance has one;
            the sigmoid of a logit is then the probability of an emotion. None if it recognises one.
        learns_attributes: Whether it learns arousal and the like, beside or instead of emotions.
        found: Labels that it has found in training, by :meth:`begin_epoch`.
    """

    sees_target: bool = False
    vote_threshold: float | None = None
    learns_attributes: bool = False
    found: Found = Found()

    @abstractmethod
    def embed(self, batch: Batch) -> Embedded:
        """Embed and classify a batch."""

    @abstractmethod
    def step(self, source: Batch, target: Batch | None) -> dict[str, Tensor]:
        """The loss of a step under ``"loss"``, and its named terms for the log."""

    def batches(self, source: Dataset, size: int, rng: np.random.Generator) -> Iterator[Tensor]:
        """Positions of the source utterances of each step of an epoch: all, shuffled, by default."""
        yield from torch.from_numpy(rng.permutation(len(source))).split(size)

    def weights(self, source: Dataset) -> Tensor:
        """How much each source utterance counts in a supervised loss [N], one on average over a batch.

        By default the dataset's own weights, by which every emotion of every corpus counts alike. Batches in which they
        occur alike already need others.
        """
        return source.weight

    def target_batches(
        self, target: Dataset, size: int, rng: np.random.Generator
    ) -> Iterator[Tensor]:
        """Positions of the target utterances of one step after another, without end: shuffled passes, by default."""
        while True:
            yield from torch.from_numpy(rng.permutation(len(target))).split(size)

    def dev_scores(self, dev: Dataset) -> dict[str, float]:
        """How well the development utterances are recognised; the epoch with the most ``dev_uar`` is kept.

        Returns:
            ``dev_uar``, averaged over the source corpora so that a large one does not decide alone, and ``dev_loss``,
            which decides between epochs alike in that. A recipe that learns attributes adds ``dev_ccc``: the epoch with
            the greatest sum of the two is kept.
        """
        logits, _ = recognise(self, self.prepare(dev))
        truth = dev.labels["emotion"]
        loss = nn.functional.cross_entropy(logits, truth, reduction="none", ignore_index=-1)
        predicted = logits.argmax(-1)
        scores = []
        for inside in by_corpus(dev):
            counts = confusion_matrix(
                truth[inside].numpy(), predicted[inside].numpy(), logits.shape[1]
            )
            scores.append(float(uar(counts)))
        return {"dev_uar": float(np.mean(scores)), "dev_loss": float((loss * dev.weight).mean())}

    def begin_epoch(
        self, epoch: int, *, source: Dataset, dev: Dataset, target: Dataset | None
    ) -> None:
        """What has to be refreshed before an epoch; nothing by default.

        Labels found here become the recipe's ``found``, from where the epoch's batches take them; datasets stay as they
        are. Checkpoints keep it, so that a run that goes on need not find anything anew.
        """

    def prepare(self, dataset: Dataset) -> Dataset:
        """The utterances to be recognised together, with what is found out about them from their sound alone."""
        return dataset

    def adapted_to(self, dataset: Dataset) -> Recipe:
        """What recognises utterances together: a copy that has learned from their sound, or itself, by default."""
        return self

    def finish(self, target: Dataset | None) -> None:
        """What remains to be done with the weights of the best epoch; nothing by default."""

    def write(self, folder: Path) -> None:
        """Put what a reader of the run should see beside its results; nothing by default."""


class Learner(nn.Module):
    """What is trained: a recipe and, from audio, what encodes its batches.

    The step stands behind ``forward``, where distributed wrappers look for it.
    """

    def __init__(self, recipe: Recipe, encoder: AudioEncoder | None = None) -> None:
        super().__init__()
        self.recipe = recipe
        self.encoder = encoder

    def forward(self, source: Batch | Sounds, target: Batch | Sounds | None) -> dict[str, Tensor]:
        """A step's loss and its terms."""
        return self.recipe.step(
            self._encoded(source), None if target is None else self._encoded(target)
        )

    def _encoded(self, batch: Batch | Sounds) -> Batch:
        if isinstance(batch, Batch):
            return batch
        assert self.encoder is not None  # recordings come from datasets that have an encoder
        encoded: Batch = self.encoder(batch)
        return encoded

    def sees(self, dataset: Dataset) -> Dataset:
        """The same utterances, encoded by this learner's encoder where they are recordings."""
        return dataset if self.encoder is None else dataset.encoded_by(self.encoder)

    def found(self) -> dict[str, Tensor]:
        """Labels that training has found, by name."""
        return {n: t.cpu().contiguous() for n, t in self.recipe.found.tensors().items()}

    def load_found(self, tensors: dict[str, Tensor]) -> None:
        """Put back what :meth:`found` gave."""
        self.recipe.found = Found.of(tensors)

    def weights(self) -> dict[str, Tensor]:
        """Copies on the CPU of everything that training changes."""
        found = dict(self.recipe.state_dict())
        if self.encoder is not None:
            found |= {f"encoder:{n}": t for n, t in trained_tensors(self.encoder.backbone)}
        return {n: whole(t.detach()).cpu().clone().contiguous() for n, t in found.items()}

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Put back what :meth:`weights` gave.

        Raises:
            ValueError: The backbone is another one, or is tuned in another way.
        """
        encoder = {n: t for n, t in weights.items() if n.startswith("encoder:")}
        self.recipe.load_state_dict({n: t for n, t in weights.items() if n not in encoder})
        if self.encoder is not None:
            backbone = self.encoder.backbone
            placed = backbone.state_dict()
            tensors = {n.split(":", 1)[1]: t for n, t in encoder.items()}
            load_trained(
                backbone, {n: alike(t, placed[n]) if n in placed else t for n, t in tensors.items()}
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
        recipe: Freshly built under this seed; ends with the weights of the best epoch, in eval mode.
        config: How to train.
        source: Labelled utterances to learn from.
        dev: Labelled source utterances; the epoch with the best UAR there is kept.
        target: Unlabelled target utterances, for recipes that see them.
        seed: Decides the order of the batches and all noise.
        checkpoint: File that an interruption is resumed from.
        encoder: From audio, what turns recordings into batches; is trained as it is tuned.
        tuning: How.
        workers: Processes that decode recordings ahead; the numbers do not depend on them.
        on_epoch: Called after each epoch with the history so far, on the main process.

    Returns:
        One line of numbers an epoch.

    Raises:
        ValueError: The training has diverged.
    """
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
    for epoch in range(state.epoch, config.epochs):
        _begin_epoch(recipe, (seed, epoch), loader.rank, source=source, dev=dev, target=target)
        module.train()
        ours = source.labelled(recipe.found.source).weighted(recipe.weights(source))
        theirs = None if target is None else target.labelled(recipe.found.target)
        steps = list(_steps(recipe, ours, theirs, config.batch_size, (seed, epoch), loader.ranks))
        totals: dict[str, float] = {}
        batches = loader((ours, theirs), steps, (seed, epoch))
        slow = encoder is not None or len(steps) >= _MANY_STEPS
        if slow and accelerator.is_main_process:  # somebody waits for it
            batches = each(batches, f"seed {seed}, epoch {epoch}", len(steps))
        for number, shares in enumerate(batches):
            first = number - number % tuning.accumulate
            gathered = min(tuning.accumulate, len(steps) - first)
            complete = number + 1 == first + gathered
            gather_gradients(backbone, complete)
            with nullcontext() if complete else accelerator.no_sync(module):
                terms = module(*(s if s is None else s.to(accelerator.device) for s in shares))
                accelerator.backward(terms["loss"] / gathered)
            if complete:
                _set_rates(wrapped, config, (epoch + first / len(steps)) / config.epochs)
                clip_gradients(module.parameters(), config.clip)
                wrapped.step()
                wrapped.zero_grad()
            for name, value in terms.items():
                totals[name] = totals.get(name, 0.0) + value.item() / len(steps)
        line = {"seed": seed, "epoch": epoch, **_over_processes(totals, accelerator)}
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


def _begin_epoch(recipe: Recipe, seeds: tuple[int, int], rank: int, **datasets: Any) -> None:
    """What a recipe finds anew, and the noise of the steps after it: the same whenever this epoch is walked again."""
    set_seed(derive(*seeds))  # all processes have to find the same
    recipe.begin_epoch(seeds[1], **datasets)
    set_seed(derive(*seeds, rank))  # and each has its own noise


def _accelerator() -> Accelerator:
    # A step need not touch every weight: a recipe may leave a view of the utterance out, a backbone its last norm.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(cpu=on_cpu(), kwargs_handlers=[unused])


def _optimiser(learner: Learner, config: TrainingConfig, tuning: FineTuning) -> torch.optim.AdamW:
    """AdamW, whose steps are seen by whoever keeps something of the weights until they change."""
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
    """What is optimised, with its peak learning rate."""
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


def _steps(
    recipe: Recipe,
    source: Dataset,
    target: Dataset | None,
    size: int,
    seeds: tuple[int, int],
    least: int = 1,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Each source batch, with as many target utterances where the recipe sees them.

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
    """Means over processes, each of which has seen its own share, named as those of training."""
    names = sorted(totals)
    values = torch.tensor([totals[n] for n in names], dtype=torch.float64)
    mean = accelerator.reduce(values.to(accelerator.device), "mean")
    means = dict(zip(names, mean.tolist(), strict=True))
    return {f"train_{name}": means[name] for name in totals}


def _check_finite(line: dict[str, float], config: TrainingConfig, tuning: FineTuning) -> None:
    """Stop where the loss of an epoch is no number.

    Raises:
        ValueError: It is none.
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


def predict(recipe: Recipe, dataset: Dataset, *, size: int | None = None) -> tuple[Tensor, Tensor]:
    """Logits [N, K] and utterance embeddings [N, D] of utterances recognised together, on the CPU.

    Args:
        recipe: Is put into eval mode.
        dataset: What to predict.
        size: Utterances at a time; recordings are fewer by default, since the backbone's layers are larger.
    """
    recipe.eval()
    known = recipe.prepare(dataset)
    return recognise(recipe.adapted_to(known), known, size=size)


def recognise(
    recipe: Recipe, dataset: Dataset, *, size: int | None = None
) -> tuple[Tensor, Tensor]:
    """As `predict`, of utterances that the recipe has been prepared for or does without."""
    logits, utterances = embedded(recipe, dataset, ("logits", "utterances"), size=size)
    return logits, utterances


def embedded(
    recipe: Recipe, dataset: Dataset, names: Sequence[str], *, size: int | None = None
) -> list[Tensor]:
    """What the recipe makes of utterances, on the CPU: the named fields of :class:`~cleser.models.Embedded`.

    Of several processes each encodes a share of the recordings, and gets what the others have made of theirs. All of
    them have to call this.

    Args:
        recipe: Is put into eval mode.
        dataset: The utterances.
        names: Of fields with a row for each utterance.
        size: Utterances at a time.

    Raises:
        ValueError: The recipe makes nothing of that name.
    """
    recipe.eval()
    device = next(recipe.parameters()).device
    shared = dataset.source.shared_out and len(dataset) >= world()
    at = torch.arange(len(dataset))[own_share(len(dataset)) if shared else slice(None)]
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    parts = at.split(size or dataset.at_once)
    # Only from audio does it take so long that somebody waits for it.
    progress = track("recognising", len(at)) if dataset.source.shared_out else nullcontext()
    # Weights spread over processes cannot be gathered in inference mode.
    with torch.no_grad(), progress as advance:
        for taken, loaded in zip(parts, prefetched(parts, dataset.load), strict=True):
            batch = loaded if isinstance(loaded, Batch) else loaded.encoded()
            part = recipe.embed(batch.to(device))
            for name, values in found.items():
                value = getattr(part, name)
                if value is None:
                    raise ValueError(f"{type(recipe).__name__} predicts no {name}")
                values.append(value.cpu())
            if advance is not None:
                advance(len(taken))
    own = [torch.cat(values) for values in found.values()]
    return [gather(values.to(device)).cpu() for values in own] if shared else own


def predict_attributes(recipe: Recipe, dataset: Dataset, *, size: int | None = None) -> Tensor:
    """Attributes [N, A] of utterances, on the CPU.

    Args:
        recipe: Is put into eval mode.
        dataset: What to predict.
        size: Utterances at a time.

    Raises:
        ValueError: The recipe has not learned any.
    """
    recipe.eval()
    return embedded(recipe, recipe.prepare(dataset), ["attributes"], size=size)[0]


def by_corpus(dataset: Dataset) -> list[Tensor]:
    """Which utterances are of each corpus, bool [N] each."""
    corpus = dataset.labels["corpus"]
    return [corpus == code for code in corpus.unique()]
