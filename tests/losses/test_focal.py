"""Focal loss against a loop over items, cross-entropy at γ = 0, and its corners."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from cleser.losses import FocalLoss, focal_loss
from tests.losses.cases import leaf


def by_loop(logits, labels, gamma, weights):
    total, whole = 0.0, 0.0
    for row, k in zip(logits.tolist(), labels, strict=True):
        if k >= 0:
            p = math.exp(row[k]) / sum(math.exp(v) for v in row)
            total -= weights[k] * (1 - p) ** gamma * math.log(p)
            whole += weights[k]
    return total / whole


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 3.0])
@pytest.mark.parametrize("weights", [None, [1.0, 0.5, 0.0, 3.0]])
def test_equals_a_loop_over_the_items_whose_label_is_known(gamma, weights):
    torch.manual_seed(0)
    z, labels = torch.randn(7, 4, dtype=torch.float64), [0, 3, -1, 2, 1, 1, -1]
    x = leaf(z)
    given = None if weights is None else torch.tensor(weights)
    found = FocalLoss(gamma=gamma, class_weights=given)(x, labels)
    found.backward()
    assert found.item() == pytest.approx(by_loop(z, labels, gamma, weights or [1.0] * 4), rel=1e-12)
    assert not x.grad[[2, 6]].any()
    assert x.grad[0].any()


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 0.5, 2.0])])
def test_without_focus_is_cross_entropy(weights):
    torch.manual_seed(0)
    z, labels = torch.randn(8, 3), torch.tensor([0, 1, 2, -1, 2, 2, 0, 1])
    expected = cross_entropy(z, labels, weight=weights, ignore_index=-1)
    torch.testing.assert_close(focal_loss(z, labels, gamma=0, class_weights=weights), expected)


@pytest.mark.parametrize("kind", [list, np.array])
def test_weights_may_be_a_list_or_an_array(kind):
    z = torch.randn(4, 2, dtype=torch.float64)
    weights = torch.tensor([1.1, 2.0], dtype=torch.float64)
    expected = focal_loss(z, [0, 1, 1, 0], class_weights=weights)
    assert focal_loss(z, [0, 1, 1, 0], class_weights=kind([1.1, 2.0])) == expected
    module = FocalLoss(class_weights=kind([1.1, 2.0]))
    assert module(z, [0, 1, 1, 0]) == expected
    assert isinstance(module.class_weights, torch.Tensor)
    with pytest.raises(ValueError, match=r"class_weights are \[1.0, -1.0\], expected at least 0"):
        FocalLoss(class_weights=kind([1.0, -1.0]))


def test_gradients_are_right():
    torch.manual_seed(0)
    z = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    for gamma in (0.0, 0.5, 2.0):
        assert torch.autograd.gradcheck(
            lambda x, g=gamma: focal_loss(x, [0, 1, 2, -1, 1], gamma=g), z
        )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_a_certain_item_has_a_finite_gradient(gamma):
    x = leaf(torch.tensor([[200.0, 0.0], [0.0, 200.0]]))
    loss = focal_loss(x, [0, 0], gamma=gamma)
    loss.backward()
    assert loss.item() == pytest.approx(100)  # the second misses by 200, with 1 − p = 1
    assert x.grad.isfinite().all()
    assert x.grad[1, 1] == pytest.approx(0.5)


def test_nothing_known_is_zero_with_a_zero_gradient():
    for n in (0, 3):
        x = leaf(torch.randn(n, 4))
        loss = focal_loss(x, torch.full((n,), -1))
        loss.backward()
        assert loss.item() == 0
        assert not x.grad.any()
    x = leaf(torch.randn(2, 2))
    loss = focal_loss(x, [0, 0], class_weights=torch.tensor([0.0, 1.0]))
    loss.backward()
    assert loss.item() == 0
    assert not x.grad.any()


@pytest.mark.parametrize(
    "labels",
    [
        np.array([1, 0], np.uint8),
        torch.tensor([1, 0], dtype=torch.int16),
        torch.tensor([True, False]),
        [1, 0],
    ],
)
def test_labels_of_any_kind_of_integers(labels):
    z = torch.tensor([[1.0, 2.0], [0.5, 0.0]])
    torch.testing.assert_close(focal_loss(z, labels), focal_loss(z, torch.tensor([1, 0])))


def test_half_precision_is_reckoned_in_float32():
    z = torch.randn(6, 3).half()
    labels = [0, 1, 2, 0, 1, 2]
    with torch.autocast("cpu", torch.bfloat16):
        found = focal_loss(z, labels)
    torch.testing.assert_close(found, focal_loss(z.float(), labels))


def test_what_does_not_fit_is_named():
    z = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"labels are 0 to 2, expected −1 to 1"):
        focal_loss(z, [0, 1, 2])
    with pytest.raises(ValueError, match=r"logits have shape \(3, 2\), labels \(2,\)"):
        focal_loss(z, [0, 1])
    with pytest.raises(ValueError, match="found 3 class_weights, expected 2"):
        focal_loss(z, [0, 1, 1], class_weights=torch.ones(3))
    with pytest.raises(ValueError, match=r"gamma is -1"):
        FocalLoss(gamma=-1)
    with pytest.raises(ValueError, match="class_weights are"):
        FocalLoss(class_weights=torch.tensor([1.0, -1.0]))
