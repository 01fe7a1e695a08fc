"""Second derivatives, and the transforms of `torch.func`, on every loss."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, hessian, jvp, vmap

from cleser.losses import (
    CoralLoss,
    CrossLingualSupCon,
    GradientReversal,
    LayerAnchorLoss,
    MmdLoss,
    RelationalTripletLoss,
    SpeakerAdversary,
    blockwise,
    focal_loss,
    gradient_reversal,
    multi_label_supcon,
    soft_cross_entropy,
)
from cleser.relations import differ, same
from tests.losses.cases import leaf, random_batch

POSITIVE, NEGATIVE = same("emotion") & differ("language"), differ("emotion")
_, LABELS = random_batch(12, 5, torch.float64)
SPEAKERS = LABELS["community"]


def adversary():
    torch.manual_seed(0)
    return SpeakerAdversary(5, 3, hidden=7, dropout=0.0, schedule=0.7).double()


both_precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def on_labels(loss):
    return lambda x: loss(x, LABELS)


LOSSES = {
    **{
        f"triplet-{mining}": on_labels(
            RelationalTripletLoss(POSITIVE, NEGATIVE, mining=mining, margin=0.5)
        )
        for mining in ("all", "hard", "semihard", "soft")
    },
    "supcon": on_labels(CrossLingualSupCon(temperature=0.3)),
    "supcon-reference": lambda x: CrossLingualSupCon(temperature=0.3)(x, LABELS, x + 1, LABELS),
    "coral": lambda x: CoralLoss()(x[:7], x[7:]),
    "coral, many dimensions": lambda x: CoralLoss()(x[:2].repeat(1, 5), x[2:4].repeat(1, 5)),
    "mmd": lambda x: MmdLoss()(x[:7], x[7:]),
    "layers": lambda x: LayerAnchorLoss([0, 1])([x[:7], x[:7] ** 2], [x[7:], x[7:] ** 3]),
}
BATCHES = torch.stack([random_batch(12, 5, torch.float64, seed=s)[0] for s in range(3)])


@both_precisions
@pytest.mark.parametrize("name", LOSSES)
def test_func_grad_is_backward(name, dtype):
    x = leaf(BATCHES[0].to(dtype))
    LOSSES[name](x).backward()
    torch.testing.assert_close(grad(LOSSES[name])(x.detach()), x.grad)


@both_precisions
@pytest.mark.parametrize("name", LOSSES)
def test_vmap_is_a_loop(name, dtype):
    loss, batches = LOSSES[name], BATCHES.to(dtype)
    torch.testing.assert_close(vmap(loss)(batches), torch.stack([loss(x) for x in batches]))
    expected = torch.stack([grad(loss)(x) for x in batches])
    torch.testing.assert_close(vmap(grad(loss))(batches), expected)


MANY_LABELS = torch.stack(
    [torch.stack(list(random_batch(12, 5, seed=s)[1].values()), 1) for s in range(3)]
)


def named(labels):
    return dict(zip(LABELS, labels.unbind(-1), strict=True))


LOSSES_OF_LABELS = {
    "triplet": lambda x, y: RelationalTripletLoss(POSITIVE, NEGATIVE, margin=0.5)(x, named(y)),
    "triplet, or": lambda x, y: RelationalTripletLoss(
        same("emotion") | differ("language"), NEGATIVE, mining="soft"
    )(x, named(y)),
    "supcon": lambda x, y: CrossLingualSupCon(temperature=0.3)(x, named(y)),
    "one of the labels alone": lambda x, y: RelationalTripletLoss(POSITIVE, NEGATIVE, margin=0.5)(
        BATCHES[0].to(x), LABELS | {"language": y[:, 1]}
    ),
    "several labels": lambda x, y: multi_label_supcon(x, y.clamp_max(1), temperature=0.3),
    "focal": lambda x, y: focal_loss(x, y[:, 0], gamma=1.0),
    "votes": lambda x, y: soft_cross_entropy(x[:, :3], y.clamp_min(0)),
}


@both_precisions
@pytest.mark.parametrize("name", LOSSES_OF_LABELS)
def test_vmap_over_labels_is_a_loop(name, dtype):
    loss, batches = LOSSES_OF_LABELS[name], BATCHES.to(dtype)
    expected = torch.stack([loss(x, y) for x, y in zip(batches, MANY_LABELS, strict=True)])
    torch.testing.assert_close(vmap(loss)(batches, MANY_LABELS), expected)


@both_precisions
@pytest.mark.parametrize("name", LOSSES)
def test_jvp_is_the_gradient_along_a_direction(name, dtype):
    loss, x, direction = LOSSES[name], BATCHES[0].to(dtype), BATCHES[1].to(dtype)
    value, tangent = jvp(loss, (x,), (direction,))
    torch.testing.assert_close(value, loss(x))
    torch.testing.assert_close(tangent, (grad(loss)(x) * direction).sum())


@pytest.mark.parametrize("name", ["triplet-all", "triplet-soft", "supcon", "supcon-reference"])
@pytest.mark.parametrize("block", [2**20, 30], ids=["at once", "block by block"])
def test_second_derivatives_are_those_of_differences(name, block, monkeypatch):
    monkeypatch.setattr(blockwise, "BLOCK", block)
    loss, x, direction = LOSSES[name], leaf(BATCHES[0]), BATCHES[1]
    (gradient,) = torch.autograd.grad(loss(x), x, create_graph=True)
    (found,) = torch.autograd.grad((gradient * direction).sum(), x)
    step = 1e-6

    def gradient_at(shift):
        y = leaf(BATCHES[0] + shift * direction)
        return torch.autograd.grad(loss(y), y)[0]

    expected = (gradient_at(step) - gradient_at(-step)) / (2 * step)
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-5)
    assert found.abs().max() > 1e-3


def test_a_gradient_penalty_above_one_block_reaches_the_encoder(monkeypatch):
    """The gradient of a penalty was silently left out where similarities came block by block."""
    x, labels = random_batch(64, 8, torch.float64)
    found = []
    for block in (2**20, 500):
        monkeypatch.setattr(blockwise, "BLOCK", block)
        torch.manual_seed(0)
        encoder = nn.Linear(8, 6).double()
        h = encoder(x)
        loss = CrossLingualSupCon()(h, labels)
        (gradient,) = torch.autograd.grad(loss, h, create_graph=True)
        (loss + gradient.square().sum()).backward()
        found.append(encoder.weight.grad)
    torch.testing.assert_close(*found)


def test_hessian():
    loss, x = LOSSES["supcon"], BATCHES[0]
    expected = torch.autograd.functional.hessian(loss, x)
    torch.testing.assert_close(hessian(loss)(x), expected)


def test_reversal_under_transforms():
    x = BATCHES[0]
    torch.testing.assert_close(grad(lambda x: (gradient_reversal(x, 0.5) ** 2).sum())(x), -x)
    _, tangent = jvp(lambda x: gradient_reversal(x, 0.5), (x,), (x + 1,))
    torch.testing.assert_close(tangent, -0.5 * (x + 1))
    per_item = vmap(grad(lambda x: (gradient_reversal(x, 0.5) ** 2).sum()))(x)
    torch.testing.assert_close(per_item, -x)
    scales = torch.arange(12.0, dtype=torch.float64)
    found = vmap(grad(lambda x, s: gradient_reversal(x, s).sum()))(x, scales)
    torch.testing.assert_close(found, -scales[:, None].expand_as(x))
    # Twice reversed, once the scale squared.
    y = leaf(x)
    (gradient,) = torch.autograd.grad((gradient_reversal(y, 0.5) ** 3).sum(), y, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), y)
    torch.testing.assert_close(second, 0.25 * 6 * x)


def test_adversary_under_transforms():
    module = adversary()
    parameters = dict(module.named_parameters())

    def loss(parameters, x):
        return functional_call(module, parameters, (x, SPEAKERS))

    x = leaf(BATCHES[0])
    loss(parameters, x).backward()
    by_parameters, by_x = grad(loss, argnums=(0, 1))(parameters, BATCHES[0])
    torch.testing.assert_close(by_x, x.grad)
    for name, value in module.named_parameters():
        torch.testing.assert_close(by_parameters[name], value.grad)
    many = vmap(grad(loss, argnums=1), (None, 0))(parameters, BATCHES)
    torch.testing.assert_close(many[0], x.grad)
    found = vmap(lambda y: module(BATCHES[0], y))(MANY_LABELS[..., 1])
    expected = torch.stack([module(BATCHES[0], y) for y in MANY_LABELS[..., 1]])
    torch.testing.assert_close(found, expected)
    _, tangent = jvp(lambda x: loss(parameters, x), (BATCHES[0],), (BATCHES[1],))
    torch.testing.assert_close(tangent.double(), (by_x * BATCHES[1]).sum(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", [nn.ReLU(inplace=True), nn.Dropout(0.0, inplace=True)])
def test_reversal_before_an_operation_in_place(activation):
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    reversal = GradientReversal(0.5)
    out = activation(reversal(x))
    (out * torch.tensor([3.0, 4.0]) + x.square()).sum().backward()
    assert x.tolist() == [-1, 2]  # what others see of x is not changed
    slope = 0.0 if isinstance(activation, nn.ReLU) else 1.5
    assert x.grad.tolist() == [-slope - 2, -2 + 4]
