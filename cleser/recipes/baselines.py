"""What every method is measured against: plain supervised training, and a classical classifier.

``baseline`` (empirical risk minimisation, ERM) trains the shared network on labels and nothing else: the source's,
or with ``all_languages`` all languages' but the target's. ``classical`` is what a user would otherwise pick: utterance
statistics and a support-vector machine or logistic regression from scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from cleser.models.batch import Batch
from cleser.models.emotion import Embedded, EmotionModel, ModelConfig
from cleser.recipes.data import Dataset
from cleser.recipes.engine import Recipe, Task, TrainingConfig, predict
from cleser.recipes.experiment import Experiment, Fitted, Fold, run_experiment
from cleser.recipes.pseudo_labels import prior_shift
from cleser.speech.backbones import Backbone


@dataclass(frozen=True)
class BaselineConfig:
    """Settings of supervised training, which all recipes share.

    Attributes:
        model: The network.
        training: The loop.
        label_smoothing: Mass taken from the true class; keeps the network from being sure of one language.
        all_languages: Learn from the protocol's auxiliary corpora too.
        match_prior: Shift the logits at the end so that the target's utterances, unlabelled, are on average given every
            class alike (transductive; see :func:`cleser.recipes.pseudo_labels.prior_shift`).
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    label_smoothing: float = 0.3
    all_languages: bool = False
    match_prior: bool = False


class Baseline(Recipe):
    """Supervised training: L = L_CE(source).

    Args:
        config: Settings.
        task: Shapes and names of the data.
        communities: Most speaker-style communities of an emotion, for recipes that find some.
    """

    shift: Tensor

    def __init__(self, config: BaselineConfig, task: Task, *, communities: int = 0) -> None:
        super().__init__()
        self.settings = config
        self.sees_target = config.match_prior
        self.model = EmotionModel(
            config.model,
            layers=task.layers,
            channels=task.channels,
            classes=len(task.vocabulary.emotions),
            mix=task.mix,
            communities=communities,
        )
        self.register_buffer("shift", torch.zeros(len(task.vocabulary.emotions)))

    def embed(self, batch: Batch) -> Embedded:
        """Embed and classify a batch."""
        embedded: Embedded = self.model(batch)
        return embedded._replace(logits=embedded.logits + self.shift)

    def step(self, source: Batch, target: Batch | None) -> dict[str, Tensor]:
        """Cross-entropy on the source, every corpus and every emotion counting alike."""
        return {"loss": self.supervised(self.embed(source).logits, source)}

    def supervised(self, logits: Tensor, batch: Batch) -> Tensor:
        """Weighted cross-entropy with the batch's emotions; unknown ones count nothing."""
        loss = nn.functional.cross_entropy(
            logits,
            batch.labels["emotion"],
            reduction="none",
            ignore_index=-1,
            label_smoothing=self.settings.label_smoothing,
        )
        return (loss * batch.weight).mean()

    def finish(self, target: Dataset | None) -> None:
        """Match the prior, where that is asked for."""
        if self.settings.match_prior and target is not None and len(target):
            self.shift.copy_(prior_shift(predict(self, target)[0].to(self.shift)))


@dataclass(frozen=True)
class ClassicalConfig:
    """Settings of the classical row.

    Attributes:
        classifier: ``"svm"`` (RBF kernel) or ``"linear"`` (logistic regression).
        c: Inverse strength of the regularisation; None chooses it by speaker-grouped cross-validation on
            the source.
    """

    classifier: Literal["svm", "linear"] = "svm"
    c: float | None = None


class Classical:
    """Utterance statistics and a scikit-learn classifier; nothing in it is random."""

    def __init__(self, config: ClassicalConfig, source: Dataset) -> None:
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
        from sklearn.model_selection import GridSearchCV, GroupKFold  # noqa: PLC0415
        from sklearn.svm import SVC  # noqa: PLC0415

        if config.classifier == "svm":
            estimator, grid = SVC(decision_function_shape="ovr"), (0.1, 0.3, 1.0, 3.0)
        else:
            estimator, grid = LogisticRegression(max_iter=1000), (1e-4, 1e-3, 1e-2, 1e-1)
        speakers = source.manifest["speaker"].fillna(source.manifest["utterance"])
        folds = GroupKFold(min(5, speakers.nunique()))
        choices = {"C": list(grid) if config.c is None else [config.c]}
        search = GridSearchCV(estimator, choices, scoring="balanced_accuracy", cv=folds)
        x, y = _flat(source), source.labels["emotion"].numpy()
        self.classes = len(source.labels["emotion"].unique())
        self.estimator = search.fit(x, y, groups=speakers, sample_weight=source.weight.numpy())

    def predict(self, dataset: Dataset) -> tuple[Tensor, Tensor]:
        """Scores turned into shares by softmax (they are no calibrated probabilities)."""
        x = _flat(dataset)
        scores = torch.from_numpy(self.estimator.decision_function(x)).float()
        return scores.softmax(-1), torch.from_numpy(x)

    def tensors(self) -> dict[str, Tensor]:
        """Nothing: fitting again takes seconds, and scikit-learn's own format is pickle."""
        return {}

    def write(self, folder: Path) -> None:
        """Nothing."""


def _flat(dataset: Dataset) -> Any:
    return dataset.features.summaries.flatten(1).numpy()


def run_classical(
    experiment: Experiment, config: ClassicalConfig, backbone: Backbone
) -> dict[str, Any]:
    """Run the classical row; its seeds differ only in the source speakers they learn from."""

    def fit(fold: Fold) -> Fitted:
        return Classical(config, fold.data.learned(fold.parts))

    return run_experiment(experiment, fit, backbone)
