"""Supervised training: the baseline that every recipe extends and is compared with.

``erm`` (empirical risk minimisation, ERM) trains the shared network on labels alone: those of the source or, with
``all_languages``, those of all languages except the target.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import ClassVar, Final, Literal

import torch
from torch import Tensor, nn

from cleser.models.batch import Batch
from cleser.models.emotion import Embedded, EmotionModel, LayerViews, ModelConfig
from cleser.recipes.pseudo_labels import decision_shift
from cleser.recipes.several_emotions import has_emotions, multi_label_losses, vote_shares
from cleser.recipes.test_time import adapt
from cleser.settings import check_ranges
from cleser.training.dataset import Dataset
from cleser.training.loop import TrainingConfig
from cleser.training.recipe import Recipe, Task
from cleser.training.recognition import predict

_AT_ONCE: Final = 64  # utterances that the network adapts to in a step


@dataclass(frozen=True)
class ERMConfig:
    """Settings of supervised training, which all recipes share.

    Attributes:
        model: The network.
        training: The training loop.
        label_smoothing: Probability taken from the true class; keeps the network from overconfidence in one language.
        all_languages: Learn from the protocol's auxiliary corpora too.
        match_prior: Shift the logits after training so that the average prediction over the unlabelled target
            utterances has the class shares that the protocol assumes; equal shares by default (transductive; see
            cleser.recipes.pseudo_labels.decision_shift).
        targets: Learn from one emotion for each utterance ("hard"), from the shares of its annotators' votes where
            there are votes ("soft"), or that each utterance may have several emotions ("multi"): those with a share of
            its votes of at least vote_threshold. Labels of "soft" and "multi" are not smoothed.
        vote_threshold: Share of votes from which an utterance has an emotion, if targets is "multi"; by default one
            divided by the number of classes.
        attribute_weight: Weight of the loss of the attributes, if they are learned (--task); see
            cleser.recipes.attributes.
        test_time: How the trained network adapts to the utterances that it recognises together (transductive): by
            templates ("t3a"), by the entropy of its predictions ("tent"), or by the entropy of its more confident
            predictions ("sar"); see cleser.recipes.test_time.

    >>> from cleser.training.loop import TrainingConfig
    >>> config = ERMConfig(training=TrainingConfig(epochs=5), all_languages=True)
    >>> config.training.epochs, config.adapts
    (5, False)
    """

    adapts: ClassVar[bool] = False  # whether unlabelled target utterances are trained on

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    label_smoothing: float = 0.3
    all_languages: bool = False
    match_prior: bool = False
    targets: Literal["hard", "soft", "multi"] = "hard"
    vote_threshold: float | None = None
    attribute_weight: float = 1.0
    test_time: Literal["none", "t3a", "tent", "sar"] = "none"

    def __post_init__(self) -> None:
        check_ranges(
            self,
            least={"label_smoothing": 0, "attribute_weight": 0},
            most={"label_smoothing": 1},
        )

    @property
    def uses_tokens(self) -> bool:
        """Whether batches need tokens beside the summaries."""
        return self.model.token_view


class ERM(Recipe):
    """Supervised training: L = L_CE(source).

    Args:
        config: Settings.
        task: Shapes and names of the data.
        communities: Largest number of speaker-style communities of an emotion, for recipes that find communities.
        layer_views: What each layer's view is kept of, for recipes that use it: "utterances", "tokens" or "none".

    Raises:
        ValueError: The task has attributes, and the recipe does not learn any; or several emotions are to be learned
            at once, and a setting or the recipe takes an utterance to have one.

    >>> from cleser.training.vocabulary import Vocabulary
    >>> from cleser.training.recipe import Task
    >>> vocabulary = Vocabulary(("anger", "sadness"), ("anna", "ben"), ("en", "zh"), ("mine",), ("a", "h"))
    >>> task = Task(layers=2, channels=8, vocabulary=vocabulary, mix="weighted")
    >>> ERM(ERMConfig(), task).sees_target, ERM(ERMConfig(match_prior=True), task).sees_target
    (False, True)
    """

    shift: Tensor
    prior: Tensor | None

    def __init__(
        self,
        config: ERMConfig,
        task: Task,
        *,
        communities: int = 0,
        layer_views: LayerViews = "none",
    ) -> None:
        super().__init__()
        if task.vocabulary.attributes and not self.learns_attributes:
            raise ValueError(
                f"{type(self).__name__} learns emotions alone, expected the task 'emotion'"
            )
        self.settings = config
        self.sees_target = config.match_prior
        if config.targets == "multi":
            self.vote_threshold = _checked_threshold(config, task)
        elif config.vote_threshold is not None:
            raise ValueError(
                f"vote_threshold is {config.vote_threshold}, but targets is {config.targets!r}, which does not use it, "
                "expected 'multi'"
            )
        self.model = EmotionModel(
            config.model,
            layers=task.layers,
            channels=task.channels,
            classes=len(task.vocabulary.emotions),
            mix=task.mix,
            communities=communities,
            layer_views=layer_views,
            attributes=len(task.vocabulary.attributes),
        )
        self.register_buffer("shift", torch.zeros(len(task.vocabulary.emotions)))
        prior = torch.tensor(task.prior) if task.prior else None
        self.register_buffer("prior", prior, persistent=False)  # a term of the protocol, no weight

    def embed(self, batch: Batch) -> Embedded:
        """Embed and classify a batch."""
        embedded: Embedded = self.model(batch)
        return embedded._replace(logits=embedded.logits + self.shift)

    def step(self, source: Batch, target: Batch | None) -> dict[str, Tensor]:
        """Cross-entropy on the source, every emotion of every corpus counting alike."""
        return {"loss": self.supervised(self.embed(source).logits, source)}

    def supervised(self, logits: Tensor, batch: Batch) -> Tensor:
        """Weighted cross-entropy with the batch's emotions or votes; unknown ones count nothing.

        Raises:
            ValueError: Votes are to be learned from, and the corpora have none.
        """
        targets = self.settings.targets
        if targets != "hard":
            if "votes" not in batch.labels:
                raise ValueError(
                    f"targets is {targets!r}, but no corpus has votes, expected columns as votes.anger in the source"
                )
            shares = vote_shares(batch.labels["votes"], batch.labels["emotion"])
            if self.vote_threshold is not None:
                has = has_emotions(shares, self.vote_threshold)
                return (multi_label_losses(logits, has) * batch.weight).mean()
            softly = nn.functional.cross_entropy(logits, shares, reduction="none")
            return (softly * batch.weight).mean()
        loss = nn.functional.cross_entropy(
            logits,
            batch.labels["emotion"],
            reduction="none",
            ignore_index=-1,
            label_smoothing=self.settings.label_smoothing,
        )
        return (loss * batch.weight).mean()

    def adapted_to(self, dataset: Dataset) -> ERM:
        """A copy whose network has seen all utterances once, as the setting ``test_time`` says; or itself."""
        how = self.settings.test_time
        if how == "none" or not len(dataset):
            return self
        device = self.shift.device
        # Neighbours in a corpus are alike, and batches of one class would teach that there is no other.
        order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))
        adapted = copy.deepcopy(self)
        adapted.model = adapt(
            self.model, (dataset.batch(at).to(device) for at in order.split(_AT_ONCE)), how
        )
        return adapted

    def finish(self, target: Dataset | None) -> None:
        """Match the prior, where that is asked for."""
        if self.settings.match_prior and target is not None and len(target):
            self.shift.copy_(decision_shift(predict(self, target)[0].to(self.shift), self.prior))


def _checked_threshold(config: ERMConfig, task: Task) -> float:
    """The share of votes from which an utterance has an emotion."""
    classes = len(task.vocabulary.emotions)
    if not classes:
        raise ValueError("targets 'multi' is about emotions, and task='avd' has none: leave it out")
    of_one_emotion = {
        "match_prior": config.match_prior,
        f"test_time {config.test_time!r}": config.test_time != "none",
        "adaptation to unlabelled utterances": config.adapts,
    }
    if name := next((name for name, there in of_one_emotion.items() if there), None):
        raise ValueError(
            f"targets is 'multi', but {name} takes each utterance to have one emotion, expected supervised training "
            "(the recipe erm) without match_prior and test_time"
        )
    threshold = config.vote_threshold
    if threshold is None:
        return 1 / classes
    if not 0 < threshold <= 1:
        raise ValueError(
            f"vote_threshold is {threshold}, expected a share of votes above 0 and up to 1"
        )
    return threshold
