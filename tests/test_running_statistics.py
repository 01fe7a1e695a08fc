"""Buffers that keep their precision, whatever happens to the model around them."""

import copy

import pytest
import torch
from torch import nn

from cleser.anchors import AnchorBank
from cleser.losses import CoralLoss, StreamingCovariance
from cleser.running_statistics import RunningStatistics
from tests.elsewhere import DEVICE

HALF = (torch.float16, torch.bfloat16)


class Mean(RunningStatistics):
    """A mean beside a layer, whose weights are cast as those of any other."""

    def __init__(self):
        super().__init__()
        self.register_running("mean", 2)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("nothing", None)
        self.layer = nn.Linear(2, 2)


def model():
    found = nn.Sequential(Mean())
    found[0].mean += torch.tensor([1 + 2**-20, 1e6])  # neither can be told in half precision
    return found


@pytest.mark.parametrize("kind", HALF)
def test_a_cast_to_half_precision_leaves_them(kind):
    inner = model().to(kind)[0]
    assert torch.equal(inner.mean, model()[0].mean)
    assert inner.mean.dtype == torch.float32
    assert inner.count.dtype == torch.int64
    assert inner.layer.weight.dtype == kind


def test_double_precision_is_taken_and_given_back():
    inner = model().double()[0]
    assert inner.mean.dtype == torch.float64
    inner.mean += 2**-40
    assert inner.mean[0] - 1 == 2**-20 + 2**-40
    assert inner.bfloat16().mean.dtype == torch.float32
    assert torch.equal(inner.mean, model()[0].mean)


@pytest.mark.parametrize("kind", [None, *HALF])
def test_they_go_where_the_model_goes(kind):
    inner = model().to(DEVICE, kind)[0]
    assert inner.mean.device == inner.count.device == inner.layer.weight.device == DEVICE
    assert inner.mean.dtype == torch.float32


@pytest.mark.parametrize("kind", HALF)
def test_a_model_that_is_made_in_half_precision_has_them_wide(kind):
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        inner = Mean()
    finally:
        torch.set_default_dtype(before)
    assert inner.layer.weight.dtype == kind
    assert inner.mean.dtype == torch.float32


@pytest.mark.parametrize("kind", HALF)
@pytest.mark.parametrize("assign", [False, True])
def test_states_pass_between_models_of_both_kinds(kind, assign):
    wide, narrow = model(), nn.Sequential(Mean()).to(kind)
    narrow.load_state_dict(wide.state_dict(), assign=assign)
    assert torch.equal(narrow[0].mean, wide[0].mean)
    back = nn.Sequential(Mean())
    back.load_state_dict(narrow.state_dict(), assign=assign)
    assert torch.equal(back[0].mean, wide[0].mean)
    # A state of an earlier version, rounded.
    rounded = {
        name: x.to(kind) if x.is_floating_point() else x for name, x in wide.state_dict().items()
    }
    back.load_state_dict(rounded, assign=assign)
    assert back[0].mean.dtype == torch.float32
    assert torch.equal(back[0].mean, rounded["0.mean"].float())


@pytest.mark.parametrize(
    "made",
    [
        CoralLoss(momentum=0.9, dim=3),
        StreamingCovariance(3),
        AnchorBank(3, {"emotion": 2}),
    ],
    ids=lambda module: type(module).__name__,
)  # fmt: skip
def test_all_that_is_accumulated_is_wide(made):
    cast = copy.deepcopy(made).half()
    kinds = {x.dtype for x in cast.buffers() if x.is_floating_point()}
    assert kinds == {x.dtype for x in made.buffers() if x.is_floating_point()}
    cast.load_state_dict(made.state_dict())
