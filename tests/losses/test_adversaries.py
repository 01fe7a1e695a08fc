"""Gradient reversal, its schedule over checkpoints, and adversaries that do not know everyone."""

import math

import pytest
import torch
from torch import nn

from cleser.losses import (
    DomainAdversary,
    GradientReversal,
    SpeakerAdversary,
    Warmup,
    gradient_reversal,
)
from tests.losses.cases import leaf, needs_compiler


def test_identity_forward_and_minus_scale_backward():
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    y = gradient_reversal(x, 0.3)
    assert torch.equal(y, x)
    upstream = torch.randn(3, 4, dtype=torch.float64)
    y.backward(upstream)
    torch.testing.assert_close(x.grad, -0.3 * upstream)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_what_is_infinite_stays_so_and_has_a_gradient(dtype):
    x = torch.tensor([torch.inf, -torch.inf, torch.nan, 0.1, -0.0, 6e4], dtype=dtype)
    ours = leaf(x)
    y = gradient_reversal(ours, 0.5)
    assert y.dtype == dtype
    torch.testing.assert_close(y, x, rtol=0, atol=0, equal_nan=True)
    assert y[4].signbit()
    y.backward(torch.arange(6).to(dtype))
    assert ours.grad.tolist() == [0, -0.5, -1, -1.5, -2, -2.5]


def test_compiled_what_is_infinite_stays_so_and_has_a_gradient():
    x = torch.tensor([torch.inf, 0.1], requires_grad=True)
    y = torch.compile(gradient_reversal, fullgraph=True, backend="aot_eager")(x, 0.5)
    y.sum().backward()
    assert torch.equal(y, x)
    assert x.grad.tolist() == [-0.5, -0.5]


def test_a_scale_is_not_rounded_beside_double_precision():
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    GradientReversal(0.7)(x).sum().backward()
    assert x.grad.tolist() == [-0.7, -0.7]


def test_reversing_twice_is_the_gradient():
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    gradient_reversal(gradient_reversal(x.square(), 2.0), 0.5).sum().backward()
    torch.testing.assert_close(x.grad, 2 * x.detach())


def test_warmup_is_the_paper_s():
    schedule = Warmup(100, peak=0.5)
    for step in (0, 1, 37, 100, 250):
        p = min(step / 100, 1)
        expected = 0.5 * (2 / (1 + math.exp(-10 * p)) - 1)
        assert schedule(torch.tensor(step)).item() == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="steps is 0"):
        Warmup(0)


def test_the_schedule_goes_on_from_a_checkpoint():
    layer = GradientReversal(Warmup(10))
    for _ in range(4):
        layer(torch.ones(1))
    resumed = GradientReversal(Warmup(10))
    resumed.load_state_dict(layer.state_dict())
    x = torch.ones(1, requires_grad=True)
    resumed(x).backward()
    assert -x.grad.item() == pytest.approx(2 / (1 + math.exp(-4)) - 1)
    resumed.eval()(torch.ones(1))
    assert resumed.step == 5  # passes of evaluation do not count


def test_adversary_is_a_classifier_behind_a_reversal():
    torch.manual_seed(0)
    adversary = SpeakerAdversary(4, 3, hidden=8, dropout=0.0, schedule=0.3).double()
    x, speakers = torch.randn(5, 4, dtype=torch.float64), torch.tensor([0, -1, 2, 1, -1])
    ours, plain = leaf(x), leaf(x)
    loss = adversary(ours, speakers)
    loss.backward()
    known = speakers >= 0
    expected = nn.functional.cross_entropy(adversary.classifier(plain[known]), speakers[known])
    gradient = torch.autograd.grad(expected, plain)[0]
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours.grad, -0.3 * gradient)
    assert ours.grad[~known].eq(0).all()


@pytest.mark.parametrize("speakers", [[], [-1, -1, -1]])
def test_nobody_known_is_zero_with_zero_gradient(speakers):
    adversary = SpeakerAdversary(4, 3)
    x = torch.randn(len(speakers), 4, requires_grad=True)
    loss = adversary(x, torch.tensor(speakers, dtype=torch.long))
    loss.backward()
    assert loss == 0
    assert x.grad.eq(0).all()
    assert all(p.grad.eq(0).all() for p in adversary.parameters())


def test_it_removes_the_domain_and_a_fresh_classifier_finds_it_no_more():
    """The point of it: one dimension tells the domain; after adversarial training a linear probe does not."""
    torch.manual_seed(0)
    domain = torch.randint(0, 2, (512,))
    x = torch.randn(512, 8)
    x[:, 0] += 4 * domain - 2
    x[:, 1] += 4 * (torch.arange(512) % 2) - 2  # what is to be kept
    encoder, adversary = nn.Linear(8, 4), DomainAdversary(4, hidden=32, dropout=0.0)
    head = nn.Linear(4, 2)
    parameters = [*encoder.parameters(), *adversary.parameters(), *head.parameters()]
    optimiser = torch.optim.Adam(parameters, 0.01)
    for _ in range(300):
        h = encoder(x)
        task = nn.functional.cross_entropy(head(h), torch.arange(512) % 2)
        optimiser.zero_grad()
        (task + adversary(h, domain)).backward()
        optimiser.step()
    h = encoder(x).detach()
    probe = torch.linalg.lstsq(torch.cat([h, torch.ones(512, 1)], 1), 2.0 * domain - 1).solution
    found = (torch.cat([h, torch.ones(512, 1)], 1) @ probe > 0).long()
    assert (found == domain).float().mean() < 0.75
    assert (head(h).argmax(1) == torch.arange(512) % 2).float().mean() > 0.9


def test_double_precision_is_kept():
    """The loss in float32 had no digits left for differences."""
    torch.manual_seed(0)
    # A scale of −1 reverses nothing: gradients are those of the value.
    adversary = DomainAdversary(4, hidden=8, dropout=0.0, schedule=-1.0).double()
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    domains = torch.tensor([0, 1, 0])
    assert adversary(x, domains).dtype == torch.float64
    weights = tuple(adversary.classifier.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: adversary(x, domains), (x, *weights))


def test_bfloat16_keeps_the_loss_in_float32():
    adversary = SpeakerAdversary(16, 4, dropout=0.0)
    x, speakers = torch.randn(32, 16), torch.arange(32) % 4
    exact = adversary(x, speakers)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = adversary(x, speakers)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.02, atol=0.02)
    assert adversary.bfloat16()(x.bfloat16(), speakers).dtype == torch.float32


def test_errors():
    adversary = SpeakerAdversary(4, 3)
    with pytest.raises(ValueError, match="expected \\[items, 4\\]"):
        adversary(torch.randn(2, 5), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"embeddings are of torch\.int64, expected floats"):
        adversary(torch.ones(2, 4, dtype=torch.int64), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="labels have shape"):
        adversary(torch.randn(2, 4), torch.tensor([0]))
    with pytest.raises(ValueError, match="labels are 0 to 3, expected −1 to 2"):
        adversary(torch.randn(2, 4), torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="0 classes"):
        DomainAdversary(4, 0)


@pytest.mark.native
@needs_compiler
@pytest.mark.slow
def test_compiles_as_one_graph():
    torch._dynamo.reset()
    adversary = SpeakerAdversary(4, 3, dropout=0.0, schedule=Warmup(10))
    x, speakers = torch.randn(8, 4), torch.arange(8) % 4 - 1
    adversary(x, speakers)  # one step, so that the scale is not 0
    state = {n: v.clone() for n, v in adversary.state_dict().items()}
    plain, fused = leaf(x), leaf(x)
    adversary(plain, speakers).backward()
    adversary.load_state_dict(state)
    torch.compile(adversary, fullgraph=True)(fused, speakers).backward()
    torch.testing.assert_close(fused.grad, plain.grad)
    assert adversary.reversal.step == 2


def test_a_warm_up_takes_plain_numbers_and_schedules_may_return_them():
    assert Warmup(10)(5).item() == pytest.approx(Warmup(10)(torch.tensor(5)).item())
    reversal = GradientReversal(lambda step: 0.25)
    x = torch.ones(2, requires_grad=True)
    reversal(x).sum().backward()
    assert x.grad.tolist() == [-0.25, -0.25]
