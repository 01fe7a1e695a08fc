"""What a recipe is: a method's network, the loss of a step, and the hooks of the training loop around it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cleser.evaluation.metrics import confusion_matrix, uar
from cleser.models.batch import Batch
from cleser.models.emotion import Embedded
from cleser.models.layer_mix import Mix
from cleser.training.dataset import Dataset, by_corpus
from cleser.training.recognition import recognise
from cleser.training.vocabulary import Vocabulary


class Task(NamedTuple):
    """What a recipe has to know of its data to build its parts.

    Attributes:
        layers: Number L of layers of the features.
        channels: Number C of channels of a layer.
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
class FoundLabels:
    """Labels that training has found: beside the utterances' own in batches, or in place of these.

    Attributes:
        source: Labels of the N source utterances by name, such as ``"community"`` [N]; −1 is unknown.
        target: Labels of the target utterances, such as a pseudo-label under ``"emotion"``.

    >>> found = FoundLabels(target={"emotion": torch.tensor([1, -1])})
    >>> found.tensors()
    {'target.emotion': tensor([ 1, -1])}
    >>> FoundLabels.of(found.tensors()).target["emotion"].tolist()
    [1, -1]
    """

    source: Mapping[str, Tensor] = field(default_factory=dict)
    target: Mapping[str, Tensor] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """All labels, each by one name, for a checkpoint."""
        sides = {"source": self.source, "target": self.target}
        return {f"{side}.{name}": t for side, of in sides.items() for name, t in of.items()}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> FoundLabels:
        """Restore what :meth:`tensors` gave."""
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
    found: FoundLabels = FoundLabels()

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
        """Refresh what has to be new in each epoch; nothing by default.

        Labels found here become the recipe's ``found``, from where the epoch's batches take them; datasets stay as they
        are. Pseudo-labels of the target, say, are ``self.found = FoundLabels(target={"emotion": labels})``, int64 [M],
        −1 for utterances without. Checkpoints keep ``found``, so that a run that goes on need not find anything anew.
        All processes have to find the same: they are seeded alike before this is called.

        Args:
            epoch: Number of the epoch that begins, from 0 on.
            source: Labelled utterances to learn from, N; ``source.labels["emotion"]`` is int64 [N],
                ``source.summary_blocks()`` are their standardised features, some utterances [n, L, C] after the other
                (all at once may not fit into memory), and
                :func:`~cleser.training.recognition.embedded` gives what the recipe makes of them now.
            dev: Labelled utterances that are not learned from, by which epochs are compared.
            target: The target's utterances, M, whose emotions are unknown (−1); None where :attr:`sees_target` is false
                or the run is given none.
        """

    def prepare(self, dataset: Dataset) -> Dataset:
        """The utterances to be recognised together, with what is found out about them from their sound alone."""
        return dataset

    def adapted_to(self, dataset: Dataset) -> Recipe:
        """The recipe that recognises utterances together: itself, or a copy that has learned from their sound."""
        return self

    def finish(self, target: Dataset | None) -> None:
        """Do what remains to be done with the weights of the best epoch; nothing by default."""

    def write(self, folder: Path) -> None:
        """Put what a reader of the run should see beside its results; nothing by default."""
