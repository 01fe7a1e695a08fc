r"""LAM: layers in which languages are similar are anchored across languages.

S. G. Upadhyay, C. Busso, C.-C. Lee, *A Layer-Anchoring Strategy for Enhancing Cross-Lingual Speech Emotion
Recognition*, arXiv 2407.04966, 2024.

A study first measures how similar source and target are in each layer of the speech model, on whole utterances or on
vowels. The most similar layers become anchors: their covariances are aligned while the emotions of the source are
learned.

.. math:: \mathcal{L} = \mathcal{L}_{CE}(\text{source})
          + \lambda \sum_{l \in \text{anchors}} \mathrm{CORAL}(H_S^l, H_T^l)

Deviations
----------

The paper leaves several choices open. They were made as follows; each is a field of `LayerAnchoringConfig`:

* *Similarity* is the debiased linear CKA of the languages' feature covariances over all emotions together (`measure`).
  It needs no label of the target. See `cleser.anchors.LayerSimilarity`.
* *A group* is the sequence of `size` neighbouring layers that is most similar on average.
* *What is aligned* is each layer's projection into the network's common space (`Embedded.layers`), normalised over its
  channels like the hidden states of a Transformer. Frozen features cannot change themselves, and a projection of free
  scale would reduce the loss by removing the directions that vary most, which carry emotion. In training from audio,
  gradients continue into the speech model.
* *λ* is `weight`; the loss is divided by 4D², so that it is small. Ten times as much does harm on a pretrained
  encoder, where batches differ by chance more than languages do. The weights of the last epoch are kept, because
  development speakers of the source cannot judge what is done for the target.
* *The prior* of the predictions for the target is matched (`match_prior`), as in SAPA.

On the command line::

    cleser run layer-anchoring --source emodb:DIR --target ravdess:DIR --out runs/lam
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from cleser.anchors import LayerSimilarity, select_layers
from cleser.losses import LayerAnchorLoss
from cleser.models.batch import Batch
from cleser.models.emotion import Embedded
from cleser.phonetics import is_vowel
from cleser.recipes.erm import ERM, ERMConfig
from cleser.settings import check_ranges
from cleser.studies.figures import save_figure
from cleser.studies.layer_maps import plot_anchors
from cleser.training.dataset import Dataset
from cleser.training.loop import TrainingConfig
from cleser.training.recipe import Task

Units = Literal["utterance", "vowel"]


@dataclass(frozen=True)
class LayerAnchoringConfig(ERMConfig):
    """Settings of layer anchoring.

    Attributes:
        policy: Anchor the "last" layer, the "single" most similar one (LAM-SL), or a "group" (LAM-GL).
        units: What is compared and aligned: whole utterances, or vowels (which need alignments).
        size: Number of layers in a group, or all if there are fewer.
        measure: The measure of similarity, a column of cleser.anchors.LayerSimilarity.compute.
        studied: Largest number of utterances of each side that the languages are compared on. Of more, a random sample
            is taken, which is the same in every run.
        weight: λ, the weight of the anchoring loss.
        distance: The distance between a layer's items in both languages; coral_debiased is coral without the bias of
            small batches.

    Raises:
        ValueError: Vowels are aligned and the network has no token view, which alone they could change.

    >>> from cleser.models import ModelConfig
    >>> config = LayerAnchoringConfig(ModelConfig(token_view=True), policy="single", units="vowel")
    >>> config.size, config.uses_tokens
    (3, True)
    """

    adapts: ClassVar[bool] = True

    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=30, keep="last"))
    match_prior: bool = True
    policy: Literal["last", "single", "group"] = "group"
    units: Units = "utterance"
    size: int = 3
    measure: Literal["cka_debiased", "cka", "coral", "coral_debiased", "cosine"] = "cka_debiased"
    studied: int = 10_000
    weight: float = 1.0
    distance: Literal["coral", "coral_debiased", "mmd"] = "coral"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, least={"size": 1, "studied": 1, "weight": 0})
        if self.units == "vowel" and not self.model.token_view:
            raise ValueError(
                "units is 'vowel', and without the token view vowels have no part in what is recognised: give "
                "--token-view, or --units utterance"
            )

    @property
    def uses_tokens(self) -> bool:
        """Whether batches need tokens beside the summaries, since vowels are compared and aligned."""
        return super().uses_tokens or self.units == "vowel"


class LayerAnchoring(ERM):
    """Layer anchoring: find the layers in which the languages are similar, and align them by CORAL.

    >>> from cleser.training.vocabulary import Vocabulary
    >>> from cleser.training.recipe import Task
    >>> vocabulary = Vocabulary(("anger", "sadness"), ("anna", "ben"), ("en", "zh"), ("mine",), ("a", "h"))
    >>> task = Task(layers=2, channels=8, vocabulary=vocabulary, mix="weighted")
    >>> LayerAnchoring(LayerAnchoringConfig(policy="single"), task).similarity  # not known before the first epoch
    tensor([nan, nan])
    """

    similarity: Tensor

    def __init__(self, config: LayerAnchoringConfig, task: Task) -> None:
        super().__init__(
            config, task, layer_views="tokens" if config.units == "vowel" else "utterances"
        )
        self.config = config
        self.sees_target = True
        vowels = [is_vowel(phoneme) for phoneme in task.vocabulary.phonemes]
        self.vowels = torch.tensor(vowels, dtype=torch.bool)
        # Kept with the weights: a run that goes on must not study layers that it has begun to train.
        self.register_buffer("similarity", torch.full((task.layers,), torch.nan))
        self.anchors: LayerAnchorLoss | None = None

    def begin_epoch(
        self, epoch: int, *, source: Dataset, dev: Dataset, target: Dataset | None
    ) -> None:
        """Choose the layers, once: before training, by features that nobody has trained yet."""
        if self.similarity.isnan().all():
            assert target is not None
            study = self.study(source, target).sort_values("layer")
            self.similarity.copy_(torch.from_numpy(study[self.config.measure].to_numpy(copy=True)))
        if self.anchors is None:
            self.anchors = LayerAnchorLoss(self.chosen(), distance=self.config.distance)

    def study(self, source: Dataset, target: Dataset) -> pd.DataFrame:
        """The similarity of the languages in every layer, a row a layer."""
        similarity: LayerSimilarity | None = None
        for side, dataset in enumerate((source.before_training(), target.before_training())):
            sample = dataset.sample(self.config.studied)
            for at in torch.arange(len(sample)).split(256):
                batch = sample.batch(at)
                layers = batch.summaries
                if self.config.units == "vowel":
                    layers = batch.tokens[self._vowels(batch)]
                if similarity is None:
                    similarity = LayerSimilarity(*layers.shape[1:], chunk=0)
                sides = {"language": torch.full((len(layers),), side)}
                similarity.update(
                    layers.detach().cpu(), sides, units=self.config.units, items_first=True
                )
        assert similarity is not None
        return similarity.compute()

    def chosen(self) -> list[int]:
        """The anchor layers by the policy."""
        config, layers = self.config, self.similarity.tolist()
        study = pd.DataFrame({"layer": range(len(layers)), config.measure: layers})
        return select_layers(
            study.assign(units=config.units, emotion="all"),
            config.policy,
            config.units,
            measure=config.measure,
            size=min(config.size, len(layers)),
        )

    def write(self, folder: Path) -> None:
        """Keep the study beside the run: ``layers.svg`` and ``.png``, the anchors marked."""
        figure = plot_anchors(self.similarity.tolist(), self.chosen(), self.config.measure)
        save_figure(figure, folder / "layers")

    def step(self, source: Batch, target: Batch | None) -> dict[str, Tensor]:
        """Learn from the source, align the anchor layers."""
        assert target is not None
        assert self.anchors is not None
        ours, theirs = self.embed(source), self.embed(target)
        supervised = self.supervised(ours.logits, source)
        distance = self.anchors(self.aligned(ours, source), self.aligned(theirs, target))
        return {"loss": supervised + self.config.weight * distance, "anchors": distance}

    def aligned(self, embedded: Embedded, batch: Batch) -> Tensor:
        """What is aligned [L, N, D]: utterances, or the batch's vowels, normalised over D."""
        states = embedded.layers
        if embedded.token_layers is not None:
            states = embedded.token_layers[:, self._vowels(batch)]
        assert states is not None  # the network keeps one of the two
        return layer_norm(states, states.shape[-1:])

    def _vowels(self, batch: Batch) -> Tensor:
        """Which tokens are vowels, bool [S]; where phones are not known, none is."""
        phonemes = batch.phonemes.cpu()
        if not len(self.vowels):
            raise ValueError(
                "layer anchoring on vowels needs to know the phones, found none: run cleser align, and give its "
                "folder as --alignments, or choose --units utterance"
            )
        return ((phonemes >= 0) & self.vowels[phonemes.clamp_min(0)]).to(batch.phonemes.device)
