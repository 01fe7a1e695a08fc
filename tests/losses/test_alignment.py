"""CORAL, MMD and layer anchoring: closed forms, loops, streams, unequal and tiny batches."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cleser.losses import (
    CoralLoss,
    LayerAnchorLoss,
    MmdLoss,
    StreamingCovariance,
    coral,
    coral_debiased,
    mmd,
)
from tests.losses.cases import leaf, needs_compiler


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("n", "m", "d"), [(40, 25, 6), (5, 7, 64), (2, 2, 300), (30, 2, 40)])
def test_coral_is_the_distance_of_numpy_s_covariances(n, m, d):
    source, target = normal(n, d), 2 * normal(m, d, seed=1) + 1
    a, b = np.cov(source.numpy().T), np.cov(target.numpy().T)
    expected = np.square(a - b).sum() / (4 * d * d)
    assert coral(source, target).item() == pytest.approx(expected)


@pytest.mark.parametrize("d", [3, 64])  # by covariances, by inner products
def test_coral_gradcheck(d):
    assert torch.autograd.gradcheck(coral, (leaf(normal(5, d)), leaf(normal(4, d, seed=1))))


def test_coral_of_layers_is_that_of_each():
    source, target = normal(3, 10, 4), normal(3, 8, 4, seed=1)
    each = torch.stack([coral(s, t) for s, t in zip(source, target, strict=True)])
    torch.testing.assert_close(coral(source, target), each)


def squared_covariance(x):
    """Unbiased ‖Σ‖²: h over all four different items, (xi − xj)(xi − xj)ᵀ / 2 being a covariance of two."""
    total, quadruples = 0.0, list(permutations(range(len(x)), 4))
    for i, j, k, m in quadruples:
        total += ((x[i] - x[j]) @ (x[k] - x[m])) ** 2 / 4
    return total / len(quadruples)


def test_debiased_coral_is_the_mean_over_all_items_that_differ():
    source, target = normal(6, 5), 2 * normal(7, 5, seed=1) + 1
    a, b = np.cov(source.numpy().T), np.cov(target.numpy().T)
    expected = squared_covariance(source) + squared_covariance(target) - 2 * np.sum(a * b)
    assert coral_debiased(source, target).item() == pytest.approx(float(expected) / (4 * 25))
    layers = torch.stack([source, 3 * source]), torch.stack([target, target])
    each = torch.stack([coral_debiased(s, t) for s, t in zip(*layers, strict=True)])
    torch.testing.assert_close(coral_debiased(*layers), each)
    assert torch.autograd.gradcheck(coral_debiased, (leaf(source), leaf(target)))


def test_debiased_coral_of_one_distribution_is_zero_on_average():
    draws = [(normal(8, 20, seed=i), normal(8, 20, seed=1000 + i)) for i in range(300)]
    found = torch.stack([coral_debiased(*draw) for draw in draws])
    error = found.std() / 300**0.5
    assert found.mean().abs() < 4 * error
    assert torch.stack([coral(*draw) for draw in draws]).mean() > 40 * error


@pytest.mark.parametrize("d", [3, 64])
def test_coral_of_equals_is_zero(d):
    x = normal(9, d).float()
    assert coral(x, x) == pytest.approx(0, abs=1e-9)
    assert coral(x, x + 100).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "function", [coral, coral_debiased, CoralLoss(), CoralLoss(momentum=0.9, dim=4)]
)
@pytest.mark.parametrize(("n", "m"), [(0, 3), (1, 3), (3, 1)])
def test_too_few_items_are_zero_with_zero_gradient(function, n, m):
    source, target = leaf(torch.randn(n, 4)), leaf(torch.randn(m, 4))
    loss = function(source, target)
    loss.backward()
    assert loss == 0
    assert source.grad.eq(0).all()
    assert target.grad.eq(0).all()


@pytest.mark.parametrize(
    "function", [coral, coral_debiased, CoralLoss(), CoralLoss(momentum=0.9, dim=4), mmd, MmdLoss()]
)
def test_integers_are_no_items(function):
    floats, integers = torch.randn(5, 4), torch.arange(20).reshape(5, 4)
    with pytest.raises(
        ValueError, match=r"source is of torch.int64, expected floats, .*\.float\(\)"
    ):
        function(integers, floats)
    with pytest.raises(ValueError, match=r"target is of torch.int64, expected floats"):
        function(floats, integers)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=6), st.integers(0, 1000))
def test_streaming_covariance_is_that_of_all_items(sizes, seed):
    x = normal(sum(sizes), 3, seed=seed) + 1e4
    stream, left, right = (StreamingCovariance(3) for _ in range(3))
    for i, part in enumerate(x.split(sizes)):
        stream.update(part)
        (left if i % 2 else right).update(part)
    left.merge(right)
    if len(x) < 2:
        with pytest.raises(ValueError, match="2 items at least"):
            stream.covariance  # noqa: B018
        return
    expected = np.cov(x.numpy().T)
    np.testing.assert_allclose(stream.covariance, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(left.covariance, expected, rtol=1e-6, atol=1e-9)


def test_streams_are_checkpointed():
    stream, resumed = StreamingCovariance(3), StreamingCovariance(3)
    stream.update(normal(5, 3))
    resumed.load_state_dict(stream.state_dict())
    torch.testing.assert_close(resumed.covariance, stream.covariance)
    with pytest.raises(ValueError, match=r"expected \[items, 3\]"):
        stream.update(normal(5, 4))


def test_running_covariances_are_means_of_the_batches():
    with pytest.raises(ValueError, match=r"source has shape \(2, 5, 4\), expected \[N, D\]"):
        CoralLoss()(torch.zeros(2, 5, 4), torch.zeros(2, 6, 4))
    loss = CoralLoss(momentum=0.8, dim=4).double()
    with pytest.raises(ValueError, match="source and target have 8 dimensions, expected dim = 4"):
        loss(torch.zeros(5, 8), torch.zeros(5, 8))
    batches = [(normal(12, 4, seed=i), 2 * normal(9, 4, seed=100 + i)) for i in range(3)]
    for source, target in batches:
        last = leaf(source)
        value = loss(last, target)
    weights = [0.2 * 0.8**k / (1 - 0.8**3) for k in (2, 1, 0)]
    assert sum(weights) == pytest.approx(1)
    sides = []
    for side in (0, 1):
        sides.append(
            sum(w * np.cov(b[side].numpy().T) for w, b in zip(weights, batches, strict=True))
        )
    assert value.item() == pytest.approx(np.square(sides[0] - sides[1]).sum() / 64)
    value.backward()
    assert last.grad.abs().sum() > 0
    before = loss.running_source.clone()
    loss.eval()(*batches[0])
    assert torch.equal(loss.running_source, before)


@pytest.mark.parametrize(
    ("kind", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=str
)
def test_running_covariances_are_corrected_without_cancellation(kind, tolerance):
    """1 − .999 has four digits in float32; the first loss is that of the batch, whatever the momentum."""
    source, target = normal(12, 4).to(kind), 2 * normal(9, 4, seed=1).to(kind)
    found = CoralLoss(momentum=0.999, dim=4).to(kind)(source, target)
    assert found.dtype == kind
    assert found.item() == pytest.approx(coral(source, target).item(), rel=tolerance)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_running_covariances_go_on_running_in_half_precision(kind):
    """A step of a thousandth is below what half precision can add: they stood still at the half of a variance of 4."""
    loss, cast = CoralLoss(momentum=0.999, dim=3), CoralLoss(momentum=0.999, dim=3).to(kind)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2000):
        x, y = (torch.randn(64, 3, generator=generator).to(kind) * k for k in (2, 1))
        value, exact = cast(x, y), loss(x.float(), y.float())
    torch.testing.assert_close(cast.running_source, loss.running_source)
    torch.testing.assert_close(value, exact)
    assert cast.running_source.diagonal().mean() == pytest.approx(4 * (1 - 0.999**2000), rel=0.05)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_batch_that_is_not_finite_stays_out_of_running_covariances(side, wrong):
    """Mixed precision overflows now and then, and its scaler skips the step: nothing should stay of it."""
    loss, undisturbed = (CoralLoss(momentum=0.9, dim=4) for _ in range(2))
    batches = [(normal(12, 4, seed=i).float(), normal(9, 4, seed=9 + i).float()) for i in range(2)]
    broken = [x.clone() for x in batches[0]]
    broken[side][3, 1] = wrong
    for one in (loss, undisturbed):
        one(*batches[0])
    assert not loss(*broken).isfinite()
    assert loss.state_dict().keys() == undisturbed.state_dict().keys()
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(loss.state_dict()[name], value), name
    assert torch.equal(loss(*batches[1]), undisturbed(*batches[1]))


@needs_compiler
@pytest.mark.slow
def test_running_covariances_compile_as_one_graph():
    loss, compiled = (CoralLoss(momentum=0.9, dim=4) for _ in range(2))
    step = torch.compile(compiled, backend="aot_eager", fullgraph=True)
    batches = [(normal(12, 4, seed=i).float(), normal(9, 4, seed=9 + i).float()) for i in range(2)]
    for source, target in (batches[0], (batches[0][0] / 0, batches[0][1]), batches[1]):
        torch.testing.assert_close(step(source, target), loss(source, target), equal_nan=True)
    for name, value in loss.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[name], value)


def mmd_by_loops(x, y, bandwidths, unbiased):
    z = torch.cat([x, y])
    n, m = len(x), len(y)
    pairs = [(i, j) for i in range(n + m) for j in range(n + m) if i != j]
    scale = sum(float((z[i] - z[j]).square().sum()) for i, j in pairs) / len(pairs)

    def kernel(a, b):
        squared = float((a - b).square().sum())
        return sum(math.exp(-squared / (b_ * scale)) for b_ in bandwidths) / len(bandwidths)

    def within(items):
        pairs = [
            (i, j) for i in range(len(items)) for j in range(len(items)) if not unbiased or i != j
        ]
        return sum(kernel(items[i], items[j]) for i, j in pairs) / len(pairs)

    cross = sum(kernel(a, b) for a in x for b in y) / (n * m)
    return within(x) + within(y) - 2 * cross


@pytest.mark.parametrize("unbiased", [False, True])
def test_mmd_equals_loops(unbiased):
    x, y = normal(7, 3), normal(5, 3, seed=1) + 0.5
    bandwidths = (0.5, 2.0)
    found = mmd(x, y, bandwidths=bandwidths, unbiased=unbiased)
    assert found.item() == pytest.approx(mmd_by_loops(x, y, bandwidths, unbiased))


def test_mmd_gradient():
    x, y = leaf(normal(4, 3)), leaf(normal(5, 3, seed=1))
    # The scale is a constant of the gradient: compare with finite differences at a fixed scale.
    loss = mmd(x, y)
    loss.backward()
    assert x.grad.isfinite().all()
    # Moving along the negative gradient brings the sets together.
    assert mmd(x - 0.1 * x.grad, y - 0.1 * y.grad) < loss


def test_mmd_degenerate():
    x = leaf(torch.randn(0, 3))
    loss = mmd(x, torch.randn(4, 3))
    loss.backward()
    assert loss == 0
    same = leaf(torch.ones(4, 3))
    loss = mmd(same, torch.ones(3, 3))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert same.grad.isfinite().all()
    with pytest.raises(ValueError, match="bandwidths are"):
        mmd(torch.ones(2, 3), torch.ones(2, 3), bandwidths=(0.0,))
    with pytest.raises(ValueError, match=r"expected \[\.\.\., N, D\]"):
        mmd(torch.ones(2, 3), torch.ones(2, 4))


@pytest.mark.parametrize("distance", ["coral", "mmd"])
def test_layer_anchors_sum_the_chosen_layers(distance):
    source, target = normal(5, 12, 4), normal(5, 9, 4, seed=1) * 2
    function = {"coral": coral, "mmd": mmd}[distance]
    loss = LayerAnchorLoss([1, -1], distance=distance)
    expected = function(source[1], target[1]) + function(source[4], target[4])
    torch.testing.assert_close(loss(source, target), expected)
    leaf_ = leaf(source)
    loss(leaf_, target).backward()
    assert leaf_.grad[[0, 2, 3]].eq(0).all()
    assert leaf_.grad[[1, 4]].abs().sum() > 0


def test_layer_anchor_takes_a_function_and_says_what_is_wrong():
    source, target = normal(3, 6, 4), normal(3, 5, 4, seed=1)

    def means(s, t):
        return (s.mean(1) - t.mean(1)).square().sum(-1)

    expected = means(source, target)[[0, 2]].sum()
    torch.testing.assert_close(LayerAnchorLoss([0, 2], distance=means)(source, target), expected)
    with pytest.raises(ValueError, match="no layer 3 among 3"):
        LayerAnchorLoss([3])(source, target)
    with pytest.raises(ValueError, match="each once"):
        LayerAnchorLoss([])
    with pytest.raises(ValueError, match="distance is 'cka'"):
        LayerAnchorLoss([0], distance="cka")
    with pytest.raises(ValueError, match=r"expected \[N, D\] or"):
        LayerAnchorLoss([0])(source[0], target[0])


@pytest.mark.parametrize("function", [coral, mmd])
def test_bfloat16_is_close_to_float32(function):
    x, y = normal(32, 16).float(), normal(24, 16, seed=1).float() * 2
    layer = torch.nn.Linear(16, 16)
    exact = function(layer(x), layer(y))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = function(layer(x), layer(y))
    rough.backward()
    assert rough.dtype == torch.float32
    assert layer.weight.grad.isfinite().all()
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=1e-3)


@pytest.mark.native
@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("d", [4, 64])
def test_layer_anchor_compiles_as_one_graph(d):
    torch._dynamo.reset()
    loss = LayerAnchorLoss([0, 1])
    source, target = normal(2, 8, d).float(), normal(2, 6, d, seed=1).float()
    found = torch.compile(loss, fullgraph=True)(source, target)
    torch.testing.assert_close(found, loss(source, target))


@pytest.mark.parametrize("shift", [1e-2, 1e-4, 1e-6])
def test_few_items_of_many_dimensions_lose_no_small_shift(shift):
    """Scaled by 1 + ε, a covariance is off by (2ε + ε²) C: in float32 sums of squares this was rounding."""
    x = torch.randn(8, 512, generator=torch.Generator().manual_seed(0))
    y = x.double() * (1 + shift)
    covariance = torch.cov(x.double().T)
    expected = ((2 * shift + shift**2) ** 2 * covariance.square().sum() / (4 * 512**2)).item()
    assert coral(x.double(), y).item() == pytest.approx(expected, rel=1e-6)
    if shift > 1e-5:  # below, the items themselves are rounded
        assert coral(x, y.float()).item() == pytest.approx(expected, rel=1e-2)


def test_a_streaming_covariance_stays_in_float64_in_a_model_of_half_precision():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), StreamingCovariance(2))
    x = 1000 + torch.randn(50, 2, dtype=torch.float64)
    model[1].update(x)
    for cast in (model.half, model.bfloat16, model.float, lambda: model.to(torch.float16)):
        cast()
        assert model[1].mean.dtype == model[1].products.dtype == torch.float64
        torch.testing.assert_close(model[1].covariance, torch.cov(x.T))
    assert model[0].weight.dtype == torch.float16


def test_mmd_as_a_module():
    x, y = torch.randn(6, 3), torch.randn(9, 3)
    settings = {"bandwidths": (0.5, 2.0), "unbiased": True}
    torch.testing.assert_close(MmdLoss(**settings)(x, y), mmd(x, y, **settings))
    with pytest.raises(ValueError, match="bandwidths are"):
        MmdLoss(bandwidths=())


def test_layers_may_be_a_tuple_of_hidden_states():
    """As transformers gives them: L tensors [B, T, D], whose frames are the items."""
    source = tuple(torch.randn(2, 5, 3) for _ in range(4))
    target = tuple(torch.randn(3, 4, 3) for _ in range(4))
    loss = LayerAnchorLoss([1, -1])
    expected = sum(coral(source[i].flatten(0, 1), target[i].flatten(0, 1)) for i in (1, 3))
    torch.testing.assert_close(loss(source, target), expected)
    stacked = torch.stack(source), torch.stack(target)
    torch.testing.assert_close(loss(*stacked), expected)
    torch.testing.assert_close(loss(*(s.flatten(1, 2) for s in stacked)), expected)
    with pytest.raises(ValueError, match="there is no layer 4 among 4"):
        LayerAnchorLoss([4])(source, target)
    with pytest.raises(ValueError, match="expected as many of both"):
        loss(source, target[:3])


def test_no_layer_counts_twice():
    states = torch.randn(4, 5, 3)
    with pytest.raises(
        ValueError, match=r"layers are \(3, -1\), of which two are the same one of 4"
    ):
        LayerAnchorLoss([3, -1])(states, states)
    LayerAnchorLoss([2, -1])(states, states)
