r"""Arousal, valence and dominance, learned together with the emotions or instead of them.

This is supervised training as in :mod:`cleser.recipes.erm`, with a second linear head of the network. The loss is

.. math:: \mathcal{L} = \mathcal{L}_{CE} + w \sum_a (1 - \mathrm{CCC}_a)

over the attributes a. Each is computed over the utterances of the batch for which the attribute is known
(:func:`cleser.losses.concordance_loss`). Under ``--task avd`` there are no classes, and :math:`\mathcal{L}_{CE}` is
left out.

On the command line::

    cleser run erm --task both --source msp-podcast:DIR --target iemocap:DIR --out runs/both
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cleser.evaluation.concordance import ccc, moment_matrix
from cleser.losses import concordance_loss
from cleser.models.batch import Batch
from cleser.recipes.erm import ERM, ERMConfig
from cleser.training.dataset import Dataset, by_corpus
from cleser.training.recipe import Task
from cleser.training.recognition import predict_attributes


def attribute_loss(predicted: Tensor, actual: Tensor, *, all_ranks: bool = True) -> Tensor:
    """Sum over attributes of 1 − CCC.

    Args:
        predicted: [N, A].
        actual: [N, A]; NaN where an attribute is not known, which then counts nothing.
        all_ranks: Under `torch.distributed`, take the utterances of all ranks as one batch.

    Returns:
        []. An attribute that is known of nobody adds zero, with a zero gradient.

    >>> x = torch.tensor([[1.0], [2.0], [3.0]])
    >>> round(attribute_loss(x, x + 1).item(), 4)
    0.4286
    """
    known = ~actual.isnan()
    single = [
        concordance_loss(predicted[here, a], actual[here, a], all_ranks=all_ranks)
        for a, here in enumerate(known.T)
    ]
    return torch.stack(single).sum()


class AttributeRegression(ERM):
    """Supervised training with a head for attributes, beside that for emotions or alone.

    Args:
        config: Settings, of which ``attribute_weight`` is w.
        task: Shapes and names of the data.

    Raises:
        ValueError: Classes' shares are to be matched, and there are none.
    """

    learns_attributes = True

    def __init__(self, config: ERMConfig, task: Task) -> None:
        super().__init__(config, task)
        self.classifies = bool(task.vocabulary.emotions)
        if config.match_prior and not self.classifies:
            raise ValueError("match_prior is about classes, and task='avd' has none: leave it out")

    def step(self, source: Batch, target: Batch | None) -> dict[str, Tensor]:
        """The source's emotions, where they are learned, and attributes."""
        embedded = self.embed(source)
        assert embedded.attributes is not None  # the network was built with that head
        concordance = attribute_loss(embedded.attributes, source.labels["attributes"])
        loss = self.settings.attribute_weight * concordance
        if self.classifies:
            loss = loss + self.supervised(embedded.logits, source)
        return {"loss": loss, "concordance": concordance}

    def dev_scores(self, dev: Dataset) -> dict[str, float]:
        """Mean CCC over corpora and the attributes that each of them has, beside what there is to say of emotions."""
        found = predict_attributes(self, dev)
        actual = dev.labels["attributes"]
        reached = {"dev_ccc": dev_ccc(found, actual, by_corpus(dev))}
        if self.classifies:
            return {**super().dev_scores(dev), **reached}
        return {**reached, "dev_loss": float(attribute_loss(found, actual, all_ranks=False))}


def dev_ccc(predicted: Tensor, actual: Tensor, corpora: Sequence[Tensor]) -> float:
    """Mean CCC over corpora and the attributes that each of them has; 0 where none has any.

    Args:
        predicted: [N, A].
        actual: [N, A]; NaN where an attribute is not known.
        corpora: Which utterances are of each corpus, bool [N].
    """
    each = [
        float(ccc(moment_matrix(actual[at, a].numpy(), predicted[at, a].numpy())))
        for at in corpora
        for a in range(actual.shape[1])
    ]
    known = [value for value in each if not np.isnan(value)]
    return float(np.mean(known)) if known else 0.0


def build_erm(config: ERMConfig, task: Task) -> ERM:
    """Supervised training on the source's labels: emotions, attributes (--task avd) or both."""
    kind: type[ERM] = AttributeRegression if task.vocabulary.attributes else ERM
    return kind(config, task)
