"""Pooling against a plain loop."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cleser.anchors import pool_phones, uniform_bounds


def by_loop(frames, bounds):
    rows = []
    for x, spans in zip(frames, bounds, strict=True):
        for begin, end in spans.tolist():
            part = x[begin:end]
            empty = end == begin
            mean = x.new_zeros(x.shape[-1]) if empty else part.mean(0)
            std = x.new_zeros(x.shape[-1]) if empty else part.std(0, correction=0)
            rows.append(torch.cat([mean, std]))
    return torch.stack(rows)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_ragged_utterances_equal_a_loop(data):
    frames, bounds = [], []
    for _ in range(data.draw(st.integers(1, 4))):
        count = data.draw(st.integers(1, 12))
        frames.append(torch.randn(count, 3))
        spans = data.draw(
            st.lists(
                st.tuples(st.integers(0, count), st.integers(0, count)), min_size=1, max_size=5
            )
        )
        bounds.append(torch.tensor([sorted(span) for span in spans]))
    torch.testing.assert_close(pool_phones(frames, bounds, std=True), by_loop(frames, bounds))


def test_padded_equals_ragged():
    frames = torch.randn(2, 9, 4)
    bounds = [torch.tensor([[0, 3], [3, 9]]), torch.tensor([[1, 5]])]
    torch.testing.assert_close(pool_phones(frames, bounds), pool_phones(list(frames), bounds))


def test_gradients_are_right():
    frames = torch.randn(1, 6, 2, dtype=torch.float64, requires_grad=True)
    bounds = [torch.tensor([[0, 2], [2, 6], [3, 3], [5, 6]])]
    assert torch.autograd.gradcheck(lambda x: pool_phones(x, bounds, std=True), frames)


def test_bfloat16_sums_in_float32():
    frames = torch.full((1, 4096, 1), 1.0, dtype=torch.bfloat16)
    assert pool_phones(frames, [torch.tensor([[0, 4096]])]).item() == 1


def test_a_phone_outside_its_utterance_is_refused():
    with pytest.raises(ValueError, match=r"bounds\[0\].*5 frames"):
        pool_phones(torch.zeros(1, 5, 2), [torch.tensor([[3, 6]])])
    with pytest.raises(ValueError, match="1 utterances and bounds of 2"):
        pool_phones(torch.zeros(1, 5, 2), [torch.zeros(0, 2, dtype=torch.long)] * 2)


@given(st.integers(1, 500), st.integers(1, 60))
def test_uniform_bounds_cover_every_frame_once(count, length):
    spans = uniform_bounds(count, length)
    assert spans[0, 0] == 0
    assert spans[-1, 1] == count
    assert (spans[1:, 0] == spans[:-1, 1]).all()
    sizes = spans[:, 1] - spans[:, 0]
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1


def test_uniform_bounds_are_of_no_negative_number_of_frames():
    assert uniform_bounds(3, 0).tolist() == uniform_bounds(3, 1).tolist()
    with pytest.raises(ValueError, match="count is -1, expected a number of frames from 0 on"):
        uniform_bounds(-1, 3)
    with pytest.raises(ValueError, match="length is -3, expected a number of frames from 0 on"):
        uniform_bounds(7, -3)


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_as_good_as_its_rounding(device, dtype):
    torch.manual_seed(0)
    frames = [(1 + torch.randn(count, 33)).to(device, dtype) for count in (300, 41)]
    bounds = [torch.tensor([[0, 7], [7, 300]]), torch.tensor([[3, 3], [0, 41]])]
    pooled = pool_phones(frames, bounds, std=True)
    assert pooled.dtype == dtype
    expected = by_loop([x.cpu().double() for x in frames], bounds)
    torch.testing.assert_close(
        pooled.cpu().double(), expected, rtol=2.01 * torch.finfo(dtype).eps, atol=1e-3
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_small_spread_in_half_precision_is_the_same_alone_and_in_a_batch(device, dtype):
    """What a mean of 8 loses by rounding to bfloat16 is as large as this spread."""
    torch.manual_seed(0)
    frames = (8 + 0.02 * torch.randn(50, 64)).to(dtype)
    own = torch.tensor([[0, 50], [3, 20]])
    many = 2 * (1 << 20) // frames.numel()
    alone = pool_phones(frames[None].to(device), [own], std=True)[:, 64:]
    batch = pool_phones(frames.repeat(many, 1, 1).to(device), many * [own], std=True)[-2:, 64:]
    ragged = pool_phones([frames.to(device)], [own], std=True)[:, 64:]
    expected = by_loop([frames.double()], [own])[:, 64:]
    for found in (alone, batch, ragged):
        # Rounded once, when it is returned; the sums before that are of float32.
        torch.testing.assert_close(
            found.cpu().double(), expected, rtol=torch.finfo(dtype).eps, atol=0
        )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("copies", [1, 60])
def test_a_mean_of_half_precision_is_rounded_once(device, dtype, copies):
    """A third has no exact half: weights that are rounded to half shift every mean of three frames."""
    torch.manual_seed(0)
    frames = (1 + torch.rand(300, 64)).to(dtype)
    own = torch.stack([torch.arange(0, 300, 3), torch.arange(0, 300, 3) + 3], 1)
    expected = torch.zeros(100, 64, dtype=torch.float64)
    for s, (begin, end) in enumerate(own.tolist()):
        for t in range(begin, end):
            expected[s] += frames[t].double() * (1 / (end - begin))
    for batch in (frames.repeat(copies, 1, 1).to(device), copies * [frames.to(device)]):
        found = pool_phones(batch, copies * [own]).cpu()
        assert found.dtype == dtype
        # Half a unit of the result's last place, and a little for the sums in float32.
        error = (found.double() - expected.repeat(copies, 1)).abs() / expected.repeat(copies, 1)
        assert error.max() <= 0.501 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_of_a_large_batch_means_and_gradients_are_those_of_a_loop(dtype):
    """Small integers, whose sums are exact in any order; phones leave frames out, and one utterance has none."""
    frames = torch.randint(-8, 9, (3, 500, 768), dtype=torch.float32)
    bounds = [
        torch.tensor([[0, 3], [3, 10], [490, 500]]),
        torch.tensor([[7, 499]]),
        torch.zeros(0, 2),
    ]
    expected = torch.stack(
        [
            x[b:e].mean(0)
            for x, own in zip(frames, bounds, strict=True)
            for b, e in own.int().tolist()
        ]
    )
    shares = torch.zeros(3, 500, 1)
    for x, own in zip(shares, bounds, strict=True):
        for begin, end in own.int().tolist():
            x[begin:end] += 1 / (end - begin)
    leaf = frames.to(dtype).requires_grad_()
    found = pool_phones(leaf, [own.long() for own in bounds])
    found.backward(torch.ones_like(found))
    assert torch.equal(found, expected.to(dtype))
    assert torch.equal(leaf.grad, shares.expand(3, 500, 768).to(dtype))


@pytest.mark.parametrize("device", DEVICES)
def test_float16_sums_do_not_overflow(device):
    frames = torch.full((1, 4096, 2), 60000.0, dtype=torch.float16, device=device)
    assert pool_phones(frames, [torch.tensor([[0, 4096]])]).tolist() == [[60000.0, 60000.0]]


@pytest.mark.parametrize("device", DEVICES)
def test_devices_agree_with_a_loop_and_bounds_may_stay(device):
    torch.manual_seed(0)
    frames = torch.randn(3, 20, 8, dtype=torch.float64)
    bounds = [
        torch.tensor([[0, 4], [2, 20]]),
        torch.zeros(0, 2, dtype=torch.int64),
        torch.tensor([[5, 6]]),
    ]
    expected = by_loop(frames, bounds)
    there = frames.to(device)
    for given_ in (bounds, [b.to(device) for b in bounds]):
        for x in (there, list(there), there.transpose(1, 2).contiguous().transpose(1, 2)):
            torch.testing.assert_close(pool_phones(x, given_, std=True).cpu(), expected)


@pytest.mark.native
@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_compiled_it_is_the_same(device):
    frames = torch.randn(2, 12, 4, device=device, requires_grad=True)
    bounds = [torch.tensor([[0, 3], [3, 12]]), torch.tensor([[1, 5]])]
    compiled = torch.compile(pool_phones, backend="aot_eager")
    plain = pool_phones(frames, bounds, std=True)
    torch.testing.assert_close(compiled(frames, bounds, std=True), plain)
    (expected,) = torch.autograd.grad(plain.square().sum(), frames)
    (found,) = torch.autograd.grad(compiled(frames, bounds, std=True).square().sum(), frames)
    torch.testing.assert_close(found, expected)


@pytest.mark.native
@pytest.mark.slow
@pytest.mark.parametrize("many", [0, 1 << 20])
def test_a_model_that_pools_can_be_compiled(monkeypatch, many):
    """Also where much is pooled without a gradient, which loops of Numba do otherwise."""
    monkeypatch.setattr("cleser.anchors.pooling._MANY", many)
    torch.manual_seed(0)
    layer = torch.nn.Linear(6, 4)

    def model(frames, bounds):
        return layer(pool_phones(2 * frames, bounds, std=True).reshape(-1, 2, 3).flatten(1)).tanh()

    compiled = torch.compile(model, backend="aot_eager")
    for count in (3, 7):
        frames = torch.randn(2, 12, 3)
        bounds = [torch.tensor([[i, i + 5] for i in range(count)]), torch.tensor([[1, 5]])]
        with torch.no_grad():
            torch.testing.assert_close(compiled(frames, bounds), model(frames, bounds))
        torch.testing.assert_close(compiled(frames, bounds), model(frames, bounds))
    with pytest.raises(ValueError, match=r"bounds\[1\].* 12 frames"):
        compiled(frames, [bounds[0], torch.tensor([[1, 13]])])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("std", [False, True])
def test_loops_over_many_values_agree_with_tensors_over_few(monkeypatch, dtype, std):
    torch.manual_seed(0)
    frames = [(3 + torch.randn(count, 1037)).to(dtype) for count in (20, 1, 33)]
    bounds = [
        torch.tensor([[0, 20], [3, 4], [7, 7]]),
        torch.zeros(0, 2, dtype=torch.int64),
        torch.tensor([[1, 33]]),
    ]
    padded = torch.nn.utils.rnn.pad_sequence(frames, batch_first=True)
    few = pool_phones(frames, bounds, std=std)
    monkeypatch.setattr("cleser.anchors.pooling._MANY", 0)
    # Half precision is rounded twice, and its shares once; other sums of 33 are off by 33 roundings at most.
    error = (4 if dtype.itemsize < 4 else 33) * torch.finfo(dtype).eps
    turned = [*frames[:2], frames[2].T.contiguous().T]
    for x in (frames, turned, padded, padded.transpose(1, 2).contiguous().transpose(1, 2)):
        many = pool_phones(x, bounds, std=std)
        assert many.dtype == dtype
        torch.testing.assert_close(many, few, rtol=error, atol=error)
    with torch.no_grad():
        leaf = padded.clone().requires_grad_()
        torch.testing.assert_close(pool_phones(leaf, bounds, std=std), many, rtol=0, atol=0)
    kept = pool_phones(leaf, bounds, std=std)
    assert kept.requires_grad
    torch.testing.assert_close(kept, many, rtol=error, atol=error)


def test_nothing_to_pool():
    none = torch.zeros(0, 2, dtype=torch.int64)
    assert pool_phones(torch.randn(2, 5, 3), [none, none], std=True).shape == (0, 6)
    assert pool_phones([torch.randn(0, 3)], [torch.tensor([[0, 0]])]).tolist() == [[0.0] * 3]
    with pytest.raises(ValueError, match="no utterances"):
        pool_phones([], [])


def test_a_spread_that_is_small_beside_the_mean_keeps_its_digits():
    frames = 1000 + 1e-3 * torch.randn(1, 50, 4, dtype=torch.float64)
    pooled = pool_phones(frames.float(), [torch.tensor([[0, 50]])], std=True)[0, 4:]
    torch.testing.assert_close(
        pooled.double(), frames.float().double()[0].std(0, correction=0), rtol=0.02, atol=0
    )
    still = torch.full((1, 9, 2), 0.1)
    still.requires_grad_()
    pooled = pool_phones(still, [torch.tensor([[0, 9]])], std=True)
    # The mean of 9 is off by 9 roundings at most, and so is the spread around it.
    assert pooled[0, 2:].abs().max() <= 9 * torch.finfo(torch.float32).eps * 0.1
    (gradient,) = torch.autograd.grad(pooled.sum(), still)
    assert torch.isfinite(gradient).all()


FRAMES = torch.arange(12.0).reshape(1, 6, 2)


@pytest.mark.parametrize("size", [6, 2**20])
def test_bounds_in_seconds_want_a_frame_rate(size):
    """Truncated to integers, 0.3 s and 0.7 s were frames 0 and 0."""
    frames = torch.arange(2.0 * size).reshape(1, size, 2)
    seconds = [torch.tensor([[0.02, 0.06], [0.07, 0.1]])]
    with pytest.raises(ValueError, match=r"bounds\[0\] is of torch.float32, .* give frame_rate"):
        pool_phones(frames, seconds)
    found = pool_phones(frames, seconds, frame_rate=50.0)
    torch.testing.assert_close(found, pool_phones(frames, [torch.tensor([[1, 3], [4, 5]])]))
    with pytest.raises(ValueError, match="with a frame_rate, expected floats"):
        pool_phones(frames, [torch.tensor([[1, 3]])], frame_rate=50.0)
    for rate in (0, -50.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"frame_rate is {rate}, expected a positive number"):
            pool_phones(frames, seconds, frame_rate=rate)


@pytest.mark.parametrize("shape", [(3, 4), (4,), (2, 1), (1, 2, 2)])
def test_bounds_of_another_shape_are_refused(shape):
    """[3, 4] was read as six phones."""
    with pytest.raises(ValueError, match=r"bounds\[0\] has shape .*, expected \[phones, 2\]"):
        pool_phones(FRAMES, [torch.zeros(shape, dtype=torch.int64)])


@pytest.mark.parametrize("empty", [torch.zeros(0), torch.zeros(0, 2, dtype=torch.int64)])
def test_an_utterance_without_phones_may_be_empty_in_any_way(empty):
    assert pool_phones(FRAMES, [empty]).shape == (0, 2)


@pytest.mark.parametrize("size", [6, 2**20])
@pytest.mark.parametrize("kind", [list, np.array, lambda own: torch.tensor(own, dtype=torch.int32)])
def test_bounds_may_be_lists_or_arrays(kind, size):
    frames = torch.arange(2.0 * size).reshape(1, size, 2)
    expected = pool_phones(frames, [torch.tensor([[1, 3], [4, 5]])])
    torch.testing.assert_close(pool_phones(frames, [kind([[1, 3], [4, 5]])]), expected)
    seconds = [np.array([[0.02, 0.06], [0.07, 0.1]])]
    torch.testing.assert_close(pool_phones(frames, seconds, frame_rate=50.0), expected)
    assert pool_phones(frames, [[]]).shape == (0, 2)
    with pytest.raises(ValueError, match=r"bounds\[0\] = .* do not lie within"):
        pool_phones(frames, [kind([[1, size + 1]])])


@pytest.mark.parametrize("many", [0, 2**20])
@pytest.mark.parametrize("std", [False, True])
@pytest.mark.parametrize("kind", [list, torch.tensor])
def test_transforms_of_functions_see_through(monkeypatch, kind, std, many):
    """They found no memory to read."""
    monkeypatch.setattr("cleser.anchors.pooling._MANY", many)
    bounds = [kind([[0, 2], [2, 6]])]
    x, direction = torch.randn(2, 1, 6, 2, dtype=torch.float64).unbind()

    def loss(frames):
        return pool_phones(frames, bounds, std=std).square().sum()

    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(leaf), leaf)
    torch.testing.assert_close(torch.func.grad(loss)(x), expected)
    _, tangent = torch.func.jvp(loss, (x,), (direction,))
    torch.testing.assert_close(tangent, (expected * direction).sum())
    both = torch.stack([x, direction])
    torch.testing.assert_close(torch.vmap(loss)(both), torch.stack([loss(y) for y in both]))
