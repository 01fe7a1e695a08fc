"""Recipes that are networks, fitted for a seed by the training loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cleser.recipes.data import Dataset
from cleser.recipes.engine import Recipe, Task, TrainingConfig, predict, train
from cleser.recipes.experiment import Experiment, Fold, run_experiment
from cleser.recipes.progress import track
from cleser.speech.backbones import Backbone


class FittedRecipe:
    """A trained recipe."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def predict(self, dataset: Dataset) -> tuple[Tensor, Tensor]:
        """Probabilities [N, K] and utterance embeddings [N, D]."""
        logits, embeddings = predict(self.recipe, dataset)
        return logits.softmax(-1), embeddings

    def tensors(self) -> dict[str, Tensor]:
        """The weights."""
        return {name: t.cpu().contiguous() for name, t in self.recipe.state_dict().items()}


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
    _, layers, channels = source.features.summaries.shape
    task = Task(layers, channels, data.vocabulary, data.backbone.mix)
    torch.manual_seed(fold.seed)
    recipe = build(task)
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
            on_epoch=on_epoch,
        )
    return FittedRecipe(recipe)


def runner(build: Callable[[Any, Task], Recipe]) -> Callable[..., dict[str, Any]]:
    """What runs an experiment with the networks that ``build`` makes of a config and a task."""

    def run(experiment: Experiment, config: Any, backbone: Backbone) -> dict[str, Any]:
        def fit(fold: Fold) -> FittedRecipe:
            return fit_recipe(lambda task: build(config, task), config.training, fold)

        return run_experiment(experiment, fit, backbone, auxiliary=config.auxiliary)

    run.__doc__ = build.__doc__
    return run
