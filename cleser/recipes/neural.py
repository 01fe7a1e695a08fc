"""Recipes that are networks: fitted for a seed by the training loop, and opened again from a run folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from cleser.recipes.data import Dataset, Vocabulary
from cleser.recipes.engine import Recipe, Task, TrainingConfig, predict, train
from cleser.recipes.experiment import Fold
from cleser.recipes.progress import track
from cleser.speech.normalise import Moments


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


def open_recipes(
    folder: Path, build: Callable[[Task], Recipe]
) -> tuple[list[FittedRecipe], Vocabulary, Moments]:
    """Every seed's network of a finished run, with its vocabulary and the source's statistics.

    Raises:
        ValueError: The folder holds no model.
    """
    path = folder / "model.safetensors"
    if not path.exists():
        raise ValueError(
            f"{folder}: found no model.safetensors, expected the folder of a finished neural run"
        )
    with safe_open(path, framework="pt") as file:
        task = json.loads(file.metadata()["task"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    vocabulary = Vocabulary(**{name: tuple(names) for name, names in task["vocabulary"].items()})

    def part(prefix: str) -> dict[str, Tensor]:
        return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

    fitted: list[FittedRecipe] = []
    while weights := part(f"seed{len(fitted)}."):
        recipe = build(Task(task["layers"], task["channels"], vocabulary, task["mix"]))
        recipe.load_state_dict(weights)
        fitted.append(FittedRecipe(recipe.eval()))
    return fitted, vocabulary, Moments(**part("reference."))
