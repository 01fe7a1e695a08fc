import numpy as np
import pytest
import torch

from cleser.losses import ConcordanceLoss, concordance_loss
from tests.losses.cases import leaf


def test_equals_the_formula_of_lin_in_each_dimension():
    torch.manual_seed(0)
    x = torch.randn(20, 3, dtype=torch.float64)
    y = 0.5 * x + torch.randn(20, 3, dtype=torch.float64) + 1
    expected = []
    for a, b in zip(x.T.numpy(), y.T.numpy(), strict=True):
        both = np.cov(a, b, bias=True)
        ccc = 2 * both[0, 1] / (both[0, 0] + both[1, 1] + (a.mean() - b.mean()) ** 2)
        expected.append(1 - ccc)
    assert ConcordanceLoss()(x, y).item() == pytest.approx(np.mean(expected), rel=1e-12)
    assert concordance_loss(x[:, 0], y[:, 0]).item() == pytest.approx(expected[0], rel=1e-12)


def test_of_opposites_is_two_and_descends_to_zero():
    y = torch.tensor([-1.0, 0.0, 1.0])
    assert concordance_loss(-y, y).item() == pytest.approx(2)
    x = leaf(-y + 0.1)
    optimiser = torch.optim.Adam([x], lr=0.1)
    for _ in range(300):
        optimiser.zero_grad()
        concordance_loss(x, y).backward()
        optimiser.step()
    assert concordance_loss(x, y).item() < 1e-3


@pytest.mark.parametrize("values", [[], [2.0], [2.0, 2.0]])
def test_without_any_spread_equals_are_zero_with_a_finite_gradient(values):
    x = leaf(torch.tensor(values))
    loss = concordance_loss(x, torch.tensor(values))
    loss.backward()
    assert loss.item() == 0
    assert not x.grad.any()


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"predicted has shape \(3, 1\), actual \(3,\)"):
        concordance_loss(torch.zeros(3, 1), torch.zeros(3))


@pytest.mark.parametrize("kind", [list, np.array])
def test_targets_may_be_a_list_or_an_array(kind):
    x, y = torch.tensor([0.1, 0.2, 0.4], dtype=torch.float64), [0.1, 0.3, 0.3]
    for loss in (concordance_loss, ConcordanceLoss()):
        assert loss(x, kind(y)) == loss(x, torch.tensor(y, dtype=torch.float64))
