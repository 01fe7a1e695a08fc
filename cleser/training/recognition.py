"""What a trained recipe makes of utterances: logits, embeddings, attributes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cleser.models.batch import Batch
from cleser.progress import track
from cleser.ranks import gather, own_share, world
from cleser.training.dataset import Dataset
from cleser.training.loading import prefetched

if TYPE_CHECKING:  # a recipe recognises development utterances
    from cleser.training.recipe import Recipe


def predict(recipe: Recipe, dataset: Dataset, *, size: int | None = None) -> tuple[Tensor, Tensor]:
    """Logits [N, K] and utterance embeddings [N, D] of utterances recognised together, on the CPU.

    Args:
        recipe: The recipe, which is put into eval mode.
        dataset: The utterances to recognise.
        size: Number of utterances at a time; by default fewer of recordings, since the backbone's layers are larger.
    """
    recipe.eval()
    known = recipe.prepare(dataset)
    return recognise(recipe.adapted_to(known), known, size=size)


def recognise(
    recipe: Recipe, dataset: Dataset, *, size: int | None = None
) -> tuple[Tensor, Tensor]:
    """Logits and embeddings like those of `predict`, of utterances that are prepared already or need not be."""
    logits, utterances = embedded(recipe, dataset, ("logits", "utterances"), size=size)
    return logits, utterances


def embedded(
    recipe: Recipe, dataset: Dataset, names: Sequence[str], *, size: int | None = None
) -> list[Tensor]:
    """Named fields of :class:`~cleser.models.Embedded` that a recipe gives for utterances, on the CPU.

    Each of several processes encodes a share of the recordings, and gets what the others have made of theirs. All of
    them have to call this.

    Args:
        recipe: The recipe, which is put into eval mode.
        dataset: The utterances.
        names: Names of fields that have a row for each utterance.
        size: Number of utterances at a time.

    Raises:
        ValueError: The recipe makes nothing of that name.
    """
    recipe.eval()
    device = next(recipe.parameters()).device
    shared = dataset.source.shared_out and len(dataset) >= world()
    at = torch.arange(len(dataset))[own_share(len(dataset)) if shared else slice(None)]
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    parts = at.split(size or dataset.at_once)
    # Only from audio does it take so long that somebody waits for it.
    progress = track("recognising", len(at)) if dataset.source.shared_out else nullcontext()
    # Weights spread over processes cannot be gathered in inference mode.
    with torch.no_grad(), progress as advance:
        for taken, loaded in zip(parts, prefetched(parts, dataset.load), strict=True):
            batch = loaded if isinstance(loaded, Batch) else loaded.encoded()
            part = recipe.embed(batch.to(device))
            for name, values in found.items():
                value = getattr(part, name)
                if value is None:
                    raise ValueError(f"{type(recipe).__name__} predicts no {name}")
                values.append(value.cpu())
            if advance is not None:
                advance(len(taken))
    own = [torch.cat(values) for values in found.values()]
    return [gather(values.to(device)).cpu() for values in own] if shared else own


def predict_attributes(recipe: Recipe, dataset: Dataset) -> Tensor:
    """Attributes [N, A] of utterances, on the CPU.

    Args:
        recipe: The recipe, which is put into eval mode.
        dataset: The utterances to recognise.

    Raises:
        ValueError: The recipe has not learned any.
    """
    recipe.eval()
    return embedded(recipe, recipe.prepare(dataset), ["attributes"])[0]
