"""Every loss has the same value and the same gradient wherever its items are."""

import pytest
import torch
from torch import nn

from cleser.losses import (
    Adversary,
    CoralLoss,
    CrossLingualSupCon,
    DualSpaceTriplet,
    LayerAnchorLoss,
    RelationalTripletLoss,
    Warmup,
    blockwise,
    coral,
    mmd,
)
from cleser.relations import differ, same
from tests.elsewhere import DEVICE, Elsewhere
from tests.losses.cases import leaf, random_batch

POSITIVE, NEGATIVE = same("emotion") & differ("language"), differ("emotion")


class _Dual(nn.Module):
    def __init__(self):
        super().__init__()
        phoneme = RelationalTripletLoss(POSITIVE, NEGATIVE)
        self.loss = DualSpaceTriplet(RelationalTripletLoss(POSITIVE, NEGATIVE), phoneme)

    def forward(self, x, labels):
        return self.loss(
            x,
            labels,
            2 * x.flip(0),
            {name: values.flip(0) for name, values in labels.items()},
            utterance_anchors=torch.arange(len(x)) % 2 == 0,
            ref_phones=x,
            ref_phone_labels=labels,
        )


def _sides(loss):
    """A distance of two sets of items as a loss of one batch."""
    return lambda x, labels: loss(x[: len(x) // 3], x[len(x) // 3 :])


def _layers(distance):
    loss = LayerAnchorLoss([0, 2], distance=distance)
    return lambda x, labels: loss(x.unflatten(0, (4, -1)), 2 * x.unflatten(0, (4, -1)).square())


def _adversary(device):
    torch.manual_seed(0)
    adversary = Adversary(16, 4, dropout=0.0, schedule=Warmup(10)).to(device)
    adversary.reversal.step += 5
    return lambda x, labels: adversary(x, labels["emotion"])


LOSSES = {
    **{f"triplet, {mining}": (lambda device, mining=mining: RelationalTripletLoss(POSITIVE, NEGATIVE, mining=mining))
       for mining in ("all", "hard", "semihard", "soft")},
    "contrast": lambda device: CrossLingualSupCon(),
    "both spaces": lambda device: _Dual(),
    "coral, many items": lambda device: _sides(coral),
    "coral, few items": lambda device: _sides(lambda a, b: coral(a[:3], b[:4])),
    "coral, running": lambda device: _sides(CoralLoss(momentum=0.9, dim=16).to(device)),
    "mmd": lambda device: _sides(mmd),
    "layers by coral": lambda device: _layers("coral"),
    "layers by mmd": lambda device: _layers("mmd"),
    "adversary": _adversary,
}  # fmt: skip


def value_and_gradient(name, device, labels_on):
    x, labels = random_batch(200)
    labels = {n: values.to(labels_on) for n, values in labels.items()}
    x = leaf(x.to(device))
    value = LOSSES[name](device)(x, labels)
    value.backward()
    assert value.device == x.device
    return value.detach().cpu(), x.grad.cpu()


@pytest.mark.parametrize("labels_on", [DEVICE, torch.device("cpu")], ids=["there", "on the CPU"])
@pytest.mark.parametrize("block", [blockwise.BLOCK, 2**12], ids=["whole", "blocks"])
@pytest.mark.parametrize("name", LOSSES)
def test_nothing_is_left_on_the_processor(name, block, labels_on, monkeypatch):
    monkeypatch.setattr(blockwise, "BLOCK", block)
    cpu = torch.device("cpu")
    expected = value_and_gradient(name, cpu, cpu)
    with Elsewhere():
        found = value_and_gradient(name, DEVICE, labels_on)
    torch.testing.assert_close(found, expected)


@pytest.mark.cuda
@pytest.mark.parametrize("labels_on", ["cuda", "cpu"])
@pytest.mark.parametrize("block", [blockwise.BLOCK, 2**12], ids=["whole", "blocks"])
@pytest.mark.parametrize("name", LOSSES)
def test_a_gpu_gives_the_value_and_the_gradient_of_the_processor(
    name, block, labels_on, monkeypatch
):
    monkeypatch.setattr(blockwise, "BLOCK", block)
    expected, found = (
        value_and_gradient(name, device, where)
        for device, where in (("cpu", "cpu"), ("cuda", labels_on))
    )
    torch.testing.assert_close(found[0], expected[0], rtol=1e-4, atol=1e-6)
    # As a whole: rounding may decide whether one triplet of hundreds of thousands is violated.
    assert (found[1] - expected[1]).norm() < 1e-3 * expected[1].norm()
