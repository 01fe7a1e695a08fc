r"""Domain adaptation without phones, speakers or layers: the methods that the papers compare themselves with.

``coral`` (B. Sun, K. Saenko, *Deep CORAL*, ECCV Workshops 2016) aligns the covariances of the utterance embeddings of
source and target. ``dann`` (Y. Ganin et al., *Domain-Adversarial Training of Neural Networks*, JMLR 2016) trains
embeddings from which source and target cannot be told apart. Both use the target's audio but none of its labels.

.. math:: \mathcal{L} = \mathcal{L}_{CE}(\text{source}) + w \, d(\text{source}, \text{target})
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from cleser.losses import DomainAdversary, Warmup, coral
from cleser.models.batch import Batch
from cleser.recipes.erm import ERM, ERMConfig
from cleser.settings import check_ranges
from cleser.training.recipe import Task


@dataclass(frozen=True)
class CoralConfig(ERMConfig):
    """Settings of Deep CORAL.

    Attributes:
        weight: w, the weight of the distance, which is small because it is divided by 4D².

    >>> CoralConfig(weight=10.0).adapts
    True
    """

    adapts: ClassVar[bool] = True

    weight: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, least={"weight": 0})


class Coral(ERM):
    """Deep CORAL: align the covariances of the utterance embeddings of source and target.

    >>> from cleser.training.vocabulary import Vocabulary
    >>> from cleser.training.recipe import Task
    >>> vocabulary = Vocabulary(("anger", "sadness"), ("anna", "ben"), ("en", "zh"), ("mine",), ("a", "h"))
    >>> task = Task(layers=2, channels=8, vocabulary=vocabulary, mix="weighted")
    >>> Coral(CoralConfig(weight=10.0), task).sees_target
    True
    """

    def __init__(self, config: CoralConfig, task: Task) -> None:
        super().__init__(config, task)
        self.sees_target = True
        self.weight = config.weight

    def step(self, source: Batch, target: Batch | None) -> dict[str, Tensor]:
        """Learn from the source, align with the target."""
        assert target is not None
        ours = self.embed(source)
        supervised = self.supervised(ours.logits, source)
        aligned = coral(ours.utterances, self.embed(target).utterances)
        return {"loss": supervised + self.weight * aligned, "coral": aligned}


@dataclass(frozen=True)
class DannConfig(ERMConfig):
    """Settings of domain-adversarial training.

    Attributes:
        weight: w, the weight of the adversary.
        warm_up: Number of steps in which the reversal of the gradient rises to full strength.

    >>> DannConfig(weight=0.1).warm_up
    200
    """

    adapts: ClassVar[bool] = True

    weight: float = 0.3
    warm_up: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, least={"weight": 0, "warm_up": 1})


class Dann(ERM):
    """Domain-adversarial training: embeddings from which source and target cannot be told apart.

    >>> from cleser.training.vocabulary import Vocabulary
    >>> from cleser.training.recipe import Task
    >>> vocabulary = Vocabulary(("anger", "sadness"), ("anna", "ben"), ("en", "zh"), ("mine",), ("a", "h"))
    >>> task = Task(layers=2, channels=8, vocabulary=vocabulary, mix="weighted")
    >>> Dann(DannConfig(warm_up=100), task).adversary.training
    True
    """

    def __init__(self, config: DannConfig, task: Task) -> None:
        super().__init__(config, task)
        self.sees_target = True
        self.weight = config.weight
        self.adversary = DomainAdversary(config.model.dim, 2, schedule=Warmup(config.warm_up))

    def step(self, source: Batch, target: Batch | None) -> dict[str, Tensor]:
        """Learn from the source, confuse it with the target."""
        assert target is not None
        ours, theirs = self.embed(source), self.embed(target)
        supervised = self.supervised(ours.logits, source)
        both = torch.cat([ours.utterances, theirs.utterances])
        sides = torch.arange(len(both), device=both.device) >= len(source)
        confused = self.adversary(both, sides.long())
        return {"loss": supervised + self.weight * confused, "domain": confused}
