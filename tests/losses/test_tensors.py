"""Losses take tensors: what has no gradient for a network is refused by name."""

import numpy as np
import pytest
import torch

from cleser.losses import (
    CoralLoss,
    CrossLingualSupCon,
    DualSpaceTriplet,
    LayerAnchorLoss,
    MmdLoss,
    RelationalTripletLoss,
    SpeakerAdversary,
    concordance_loss,
    focal_loss,
    multi_label_supcon,
    soft_cross_entropy,
)
from cleser.relations import differ, same
from tests.losses.cases import random_batch

X, LABELS = random_batch(8)
HOT = LABELS["emotion"][:, None] == torch.arange(4)
CASES = {
    "supcon": ("embeddings are", lambda x: CrossLingualSupCon()(x, LABELS)),
    "a reference": ("ref_embeddings are", lambda x: CrossLingualSupCon()(X, LABELS, x, LABELS)),
    "triplets": (
        "embeddings are",
        lambda x: RelationalTripletLoss(same("emotion"), differ("emotion"))(x, LABELS),
    ),
    "two spaces": ("embeddings are", lambda x: DualSpaceTriplet(phoneme_weight=0)(x, LABELS)),
    "several labels": ("embeddings are", lambda x: multi_label_supcon(x, HOT)),
    "an adversary": ("embeddings are", lambda x: SpeakerAdversary(8, 3)(x, [0] * 8)),
    "a source": ("source is", lambda x: CoralLoss()(x, X)),
    "a target": ("target is", lambda x: MmdLoss()(X, x)),
    "layers": ("source_layers are", lambda x: LayerAnchorLoss([0])([x], [X])),
    "focal": ("logits are", lambda x: focal_loss(x, [0] * 8)),
    "votes": ("logits are", lambda x: soft_cross_entropy(x, torch.ones(8, 8))),
    "attributes": ("predicted is", lambda x: concordance_loss(x, X)),
}


@pytest.mark.parametrize("name", CASES)
def test_arrays_and_lists_are_refused_in_a_sentence(name):
    argument, loss = CASES[name]
    for wrong, kind in ((X.numpy(), "numpy.ndarray"), (np.zeros((8, 8)).tolist(), "builtins.list")):
        with pytest.raises(ValueError, match=f"^{argument} of {kind}, expected a torch.Tensor"):
            loss(wrong)
