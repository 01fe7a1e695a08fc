"""Adaptation while testing, by small cases reckoned by hand."""

import math

import pytest
import torch
from torch import nn

from cleser.models import Batch, EmotionModel, ModelConfig
from cleser.recipes.test_time import SAR, T3A, Tent, entropy, normalisation_parameters


def head_of(rows):
    weight = torch.tensor(rows)
    head = nn.Linear(weight.shape[1], len(weight), bias=False)
    head.weight.data.copy_(weight)
    return head


def test_entropy_is_that_of_the_definition():
    logits = torch.tensor([[0.0, 1.0, -2.0], [3.0, 3.0, 3.0]], dtype=torch.float64)
    for found, row in zip(entropy(logits).tolist(), logits.softmax(1).tolist(), strict=True):
        assert found == pytest.approx(-sum(p * math.log(p) for p in row))


def test_templates_are_means_of_the_directions_of_their_supports():
    adapted = T3A(head_of([[2.0, 0.0], [0.0, 5.0]]), keep=None)
    z = torch.tensor([[3.0, 4.0], [8.0, 6.0]])
    # Logits 6, 20 and 16, 30: both join the second class, whose template is (0, 1) + (.6, .8) + (.8, .6).
    second = torch.tensor([1.4, 2.4]) / math.hypot(1.4, 2.4)
    expected = torch.stack([z @ torch.tensor([1.0, 0.0]), z @ second], 1)
    torch.testing.assert_close(adapted(z), expected)
    # A second batch finds what the first has left.
    third = torch.tensor([1.4, 3.4]) / math.hypot(1.4, 3.4)
    last = torch.tensor([[0.0, 2.0]])
    torch.testing.assert_close(adapted(last)[0, 1], (last @ third)[0])
    adapted.reset()
    torch.testing.assert_close(adapted(z), expected)


def test_only_the_surest_of_each_class_stay():
    adapted = T3A(head_of([[1.0, 0.0], [0.0, 1.0]]), keep=1)
    sure, unsure = [9.0, 1.0], [1.1, 1.0]
    adapted(torch.tensor([unsure, sure]))
    kept = torch.tensor(sure) / math.hypot(*sure)
    scores = adapted(torch.tensor([[1.0, 0.9]]))
    assert scores[0, 0].item() == pytest.approx((kept @ torch.tensor([1.0, 0.9])).item())
    assert scores[0, 1].item() == pytest.approx(0.9)  # nothing joined: its weight alone


def test_templates_follow_a_shifted_target():
    """All points have 1 as their third coordinate, which the head takes for a sign of the first class."""
    torch.manual_seed(0)
    y = torch.arange(200) % 2
    x = torch.stack([2.0 * y - 1, torch.full((200,), 0.0), torch.ones(200)], 1)
    x = x + 0.3 * torch.randn(200, 3)
    head = head_of([[-1.0, 0.0, 0.6], [1.0, 0.0, -0.6]])
    before = (head(x).argmax(1) == y).float().mean()
    after = (T3A(head, keep=None)(x).argmax(1) == y).float().mean()
    assert after > before + 0.02


def test_no_gradient_and_no_change_of_the_head():
    head = head_of([[1.0, 0.0], [0.0, 1.0]])
    before = head.weight.clone()
    scores = T3A(head)(torch.randn(4, 2, requires_grad=True))
    assert not scores.requires_grad
    assert torch.equal(head.weight, before)
    assert T3A(head)(torch.zeros(0, 2)).shape == (0, 2)
    with pytest.raises(ValueError, match="keep is 0"):
        T3A(head, keep=0)
    with pytest.raises(ValueError, match=r"shape \(4, 3\), expected \[items, 2\]"):
        T3A(head)(torch.zeros(4, 3))


def test_one_step_of_tent_is_one_of_adam_on_the_mean_entropy():
    torch.manual_seed(0)
    network = nn.Sequential(nn.LayerNorm(3), nn.Dropout(0.5), nn.Linear(3, 2)).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    adapting = Tent(network, lr=0.01)
    with torch.no_grad():
        logits = adapting(x)
    torch.testing.assert_close(logits, network[2](network[0](x)).detach())  # before the step
    entropy(network[2](network[0](x))).mean().backward()
    for name in ("weight", "bias"):
        given, moved = getattr(network[0], name), getattr(adapting.model[0], name)
        # Adam's first step is lr · g / (|g| + ε).
        step = 0.01 * given.grad / (given.grad.abs() + 1e-8)
        torch.testing.assert_close(moved.detach(), given.detach() - step)
    assert torch.equal(adapting.model[2].weight, network[2].weight)


def test_tent_lowers_the_entropy_and_starts_again():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.randn(32, 4) + 2
    adapting = Tent(network, lr=0.01)
    first = adapting(x)
    for _ in range(20):
        last = adapting(x)
    assert entropy(last).mean() < entropy(first).mean()
    assert network[1].weight.eq(1).all()
    network.train()  # batch normalisation by the batch, as Tent has it
    torch.testing.assert_close(first, network(x).detach())
    adapting.reset()
    torch.testing.assert_close(adapting(x), first)


def test_tent_adapts_the_network_of_the_recipes():
    torch.manual_seed(0)
    model = EmotionModel(
        ModelConfig(dim=8, depth=1, heads=2, token_view=True), layers=2, channels=5, classes=3
    )
    batch = Batch(
        summaries=torch.randn(4, 2, 5),
        tokens=torch.randn(8, 2, 5),
        offsets=torch.tensor([0, 2, 4, 6, 8]),
        labels={},
        phonemes=torch.full((8,), -1),
        weight=torch.ones(4),
    )
    adapting = Tent(model, read=lambda found: found.logits)
    assert adapting(batch).shape == (4, 3)
    learned = {n for n, p in adapting.model.named_parameters() if p.requires_grad}
    assert learned
    moved = {
        n
        for n, p in adapting.model.named_parameters()
        if not torch.equal(p, dict(model.named_parameters())[n])
    }
    assert moved <= learned
    assert moved


def test_one_step_of_sar_is_one_down_the_gradient_around_the_surer_predictions():
    torch.manual_seed(0)
    network = nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2)).double()
    x = torch.randn(40, 3, dtype=torch.float64)
    adapting = SAR(network, lr=0.01, rho=0.3, sure=0.8)
    logits = adapting(x)
    torch.testing.assert_close(logits, network(x).detach())  # before the step
    # By hand: the gradient of the surer, a step up it of length rho, the gradient there.
    sure = 0.8 * math.log(2)
    norm = network[0]
    before = [p.detach().clone() for p in norm.parameters()]
    h = entropy(network(x))
    first = h < sure
    up = torch.autograd.grad(h[first].mean(), list(norm.parameters()))
    length = math.sqrt(sum(float((g**2).sum()) for g in up))
    with torch.no_grad():
        for p, g in zip(norm.parameters(), up, strict=True):
            p.add_(0.3 * g / length)
    around = entropy(network(x))[first]
    still = around < sure
    assert 0 < int(still.sum()) < int(first.sum()) < len(x)  # each choice matters
    down = torch.autograd.grad(around[still].mean(), list(norm.parameters()))
    for p, b, g in zip(adapting.model[0].parameters(), before, down, strict=True):
        torch.testing.assert_close(p.detach(), b - 0.01 * g)


def test_sar_learns_nothing_from_predictions_that_are_not_sure():
    network = nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2))
    nn.init.zeros_(network[1].weight)
    nn.init.zeros_(network[1].bias)
    adapting = SAR(network)
    adapting(torch.randn(5, 3))
    assert torch.equal(adapting.model[0].weight, network[0].weight)


def test_sar_starts_again_once_its_predictions_are_too_sure():
    torch.manual_seed(0)
    network = nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2))
    network[1].weight.data *= 5
    x = torch.randn(20, 3)
    free, watched = SAR(network, lr=0.5, restart=0), SAR(network, lr=0.5, restart=0.39)
    for _ in range(3):
        free(x)
        watched(x)
    assert not torch.equal(free.model[0].weight, network[0].weight)
    assert torch.equal(watched.model[0].weight, network[0].weight)
    for wrong in ({"sure": 0}, {"rho": -1}, {"restart": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is|restart -1"):
            SAR(network, **wrong)


def test_a_network_without_normalisation_is_refused():
    with pytest.raises(ValueError, match="Linear has no normalisation layer"):
        Tent(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="steps is 0"):
        Tent(nn.LayerNorm(2), steps=0)
    assert len(list(normalisation_parameters(nn.LayerNorm(2)))) == 2
