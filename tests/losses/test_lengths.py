"""Losses by cosine similarity, of embeddings that are very long or very short."""

import pytest
import torch

from cleser.losses import (
    CrossLingualSupCon,
    DualSpaceTriplet,
    RelationalTripletLoss,
    multi_label_supcon,
)
from cleser.relations import differ, same
from tests.losses.cases import leaf, random_batch

LABELS = random_batch()[1]
FEW = {name: values[:30] for name, values in LABELS.items()}
SAME, OTHER = same("emotion") & differ("language"), differ("emotion")
OF_ANY_LENGTH = {
    "supcon": lambda x: CrossLingualSupCon()(x, LABELS),
    "supcon of a reference": lambda x: CrossLingualSupCon()(x[:30], FEW, x, LABELS),
    "triplets": lambda x: RelationalTripletLoss(SAME, OTHER)(x, LABELS),
    "two spaces": lambda x: DualSpaceTriplet(phoneme_weight=0)(x, LABELS),
    "several labels": lambda x: multi_label_supcon(
        x, LABELS["emotion"][:, None] == torch.arange(4)
    ),
}


@pytest.mark.parametrize("length", [1e-40, 1e-30, 1e-22, 1e20, 1e37])
@pytest.mark.parametrize("name", OF_ANY_LENGTH)
def test_the_length_of_embeddings_does_not_count(name, length):
    """Also where float32 holds no square of it: such embeddings counted as zeros, without a word."""
    x = random_batch(dtype=torch.float64)[0]
    x[3] = 0
    long = leaf((x * length).float())
    plain = leaf(long.detach().double() / length)
    loss, expected = OF_ANY_LENGTH[name](long), OF_ANY_LENGTH[name](plain)
    # 16 products, and logits of up to 1 / τ: some n·eps / τ.
    torch.testing.assert_close(loss.double(), expected, rtol=1e-4, atol=1e-5)
    if length < 1e-35:
        return  # float32 holds no gradient as large as 1 / length
    (expected,) = torch.autograd.grad(expected, plain)
    (found,) = torch.autograd.grad(loss, long)
    usual = torch.arange(len(x)) != 3  # the length of zeros is not of that scale
    torch.testing.assert_close(
        found.double()[usual] * length, expected[usual], rtol=1e-3, atol=1e-5
    )
