import math

import numpy as np
import pytest
import torch

from cleser.losses import SoftCrossEntropy, soft_cross_entropy
from tests.losses.cases import leaf


def test_equals_explicit_loops_and_leaves_out_items_without_votes():
    torch.manual_seed(0)
    z = torch.randn(6, 4, dtype=torch.float64)
    votes = torch.randint(0, 5, (6, 4))
    votes[2] = 0
    losses = []
    for row, counts in zip(z.tolist(), votes.tolist(), strict=True):
        if sum(counts):
            log_sum = math.log(sum(math.exp(v) for v in row))
            losses.append(
                sum(c / sum(counts) * (log_sum - v) for c, v in zip(counts, row, strict=True))
            )
    x = leaf(z)
    found = SoftCrossEntropy()(x, votes)
    found.backward()
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-12)
    assert not x.grad[2].any()
    assert x.grad[0].any()


def test_of_one_vote_each_is_plain_cross_entropy():
    torch.manual_seed(0)
    z, labels = torch.randn(8, 4, dtype=torch.float64), torch.arange(8) % 4
    plain = torch.nn.functional.cross_entropy(z, labels)
    torch.testing.assert_close(soft_cross_entropy(z, torch.eye(4)[labels]), plain)


def test_without_votes_or_items_is_zero_with_a_zero_gradient():
    for n in (0, 3):
        x = leaf(torch.randn(n, 4))
        loss = soft_cross_entropy(x, torch.zeros(n, 4))
        loss.backward()
        assert loss.item() == 0
        assert not x.grad.any()


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf])
def test_votes_that_nobody_can_give_are_refused(wrong):
    """Negative shares would make the loss as low as one likes."""
    votes = torch.ones(3, 4)
    votes[1, 2] = wrong
    for loss in (soft_cross_entropy, SoftCrossEntropy()):
        with pytest.raises(
            ValueError, match=f"votes hold {wrong:g}, expected 0 or more, and finite"
        ):
            loss(torch.zeros(3, 4), votes)
    each = torch.vmap(lambda z, v: soft_cross_entropy(z, v, all_ranks=False))
    z = torch.randn(2, 3, 4)
    torch.testing.assert_close(
        each(z, z.exp()), torch.stack([soft_cross_entropy(x, x.exp()) for x in z])
    )


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"logits have shape \(3, 4\), votes \(3,\)"):
        soft_cross_entropy(torch.zeros(3, 4), torch.zeros(3))


@pytest.mark.parametrize("kind", [list, np.array])
def test_votes_may_be_a_list_or_an_array(kind):
    z, votes = torch.randn(2, 2), [[3, 1], [0, 0]]
    for loss in (soft_cross_entropy, SoftCrossEntropy()):
        assert loss(z, kind(votes)) == loss(z, torch.tensor(votes))
