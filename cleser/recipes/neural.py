"""Recipes that are networks, fitted for a seed by the training loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cleser.corpora.protocol import Protocol
from cleser.recipes.audio import AudioEncoder
from cleser.recipes.data import Dataset, Vocabulary
from cleser.recipes.engine import Learner, Recipe, Task, TrainingConfig, predict, train
from cleser.recipes.experiment import Experiment, Fold, run_experiment
from cleser.recipes.progress import track
from cleser.speech.backbones import Backbone
from cleser.speech.fine_tuning import FineTuning, tune


class FittedRecipe:
    """A trained recipe."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    @property
    def recipe(self) -> Recipe:
        """The recipe without what encodes its batches."""
        return self.learner.recipe

    def predict(self, dataset: Dataset) -> tuple[Tensor, Tensor]:
        """Probabilities [N, K] and utterance embeddings [N, D]."""
        logits, embeddings = predict(self.recipe, self.learner.sees(dataset))
        return logits.softmax(-1), embeddings

    def tensors(self) -> dict[str, Tensor]:
        """The weights, of a backbone those alone that were trained."""
        return self.learner.weights()


def encoder_for(
    backbone: Backbone, tuning: FineTuning, vocabulary: Vocabulary, protocol: Protocol
) -> AudioEncoder | None:
    """What encodes the batches of one network on the road from audio; None on that from features."""
    if not tuning.from_audio:
        return None
    return AudioEncoder(
        tune(backbone, tuning),
        vocabulary.phonemes,
        by_utterance=protocol.normalisation == "utterance",
        precision=tuning.precision,
    )


def fit_recipe(
    build: Callable[[Task], Recipe], training: TrainingConfig, fold: Fold
) -> FittedRecipe:
    """Build a recipe under the fold's seed and train it.

    Args:
        build: Makes the recipe.
        training: The loop's settings.
        fold: What may be used, and where state is kept.
    """
    data, parts = fold.data, fold.parts
    source = data.learned(parts)
    task = Task(*data.shape, data.vocabulary, data.backbone.mix)
    torch.manual_seed(fold.seed)
    recipe = build(task)
    encoder = encoder_for(data.backbone, data.tuning, data.vocabulary, data.cast.protocol)
    done = 0
    with track(f"seed {fold.seed}", training.epochs) as bar:

        def on_epoch(history: list[dict[str, float]]) -> None:
            nonlocal done
            fold.report(history)
            bar(len(history) - done, f"dev UAR {100 * history[-1]['dev_uar']:.1f} %")
            done = len(history)

        train(
            recipe,
            training,
            source=source,
            dev=data.seen.subset(parts.dev),
            target=data.target.subset(parts.adapt) if recipe.sees_target else None,
            seed=fold.seed,
            checkpoint=fold.checkpoint,
            encoder=encoder,
            tuning=data.tuning,
            on_epoch=on_epoch,
        )
    return FittedRecipe(Learner(recipe, encoder))


def runner(build: Callable[[Any, Task], Recipe]) -> Callable[..., dict[str, Any]]:
    """What runs an experiment with the networks that ``build`` makes of a config and a task."""

    def run(experiment: Experiment, config: Any, backbone: Backbone) -> dict[str, Any]:
        def fit(fold: Fold) -> FittedRecipe:
            return fit_recipe(lambda task: build(config, task), config.training, fold)

        return run_experiment(experiment, fit, backbone, auxiliary=config.all_languages)

    run.__doc__ = build.__doc__
    return run
