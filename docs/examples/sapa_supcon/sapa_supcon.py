"""SAPA with supervised contrast in place of its triplets: a recipe of cleser in a package of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cleser.experiments.neural import network
from cleser.losses import CrossLingualSupCon
from cleser.models import Batch, Embedded
from cleser.recipes import SAPA, SAPAConfig
from cleser.training.recipe import Task


@dataclass(frozen=True)
class SupConConfig(SAPAConfig):
    """Settings of SAPA with supervised contrast; the weights of its triplets have no effect.

    Attributes:
        phoneme_weight: No effect in this recipe, which compares utterances alone; at 0, batches hold no phones.
        contrast_weight: Weight of the supervised contrast between utterances in the loss.
        temperature: Temperature of the supervised contrast; the lower, the more the nearest utterances count.
    """

    phoneme_weight: float = 0.0
    contrast_weight: float = 0.1
    temperature: float = 0.1


class SapaSupCon(SAPA):
    """SAPA with supervised contrast: utterances of an emotion attract, those of different languages more."""

    config: SupConConfig

    def __init__(self, config: SupConConfig, task: Task) -> None:
        super().__init__(config, task)
        self.contrast = CrossLingualSupCon(temperature=config.temperature)

    def anchoring_loss(
        self, source: Batch, target: Batch, ours: Embedded, theirs: Embedded
    ) -> dict[str, Tensor]:
        """The contrast among source and confident target utterances."""
        names = ("emotion", "language")
        labels = {name: torch.cat([source.labels[name], target.labels[name]]) for name in names}
        utterances = torch.cat([ours.utterances, theirs.utterances])
        return {"contrast": self.config.contrast_weight * self.contrast(utterances, labels)}


recipe = network(SupConConfig, SapaSupCon)
