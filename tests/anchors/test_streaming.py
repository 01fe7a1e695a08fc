from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from cleser.anchors import pool_phones, streaming
from cleser.anchors.streaming import StreamingPool
from tests.elsewhere import DEVICE, Elsewhere

BOUNDS = [torch.tensor([[0, 3], [2, 7], [7, 8]]), torch.tensor([[0, 5]]), torch.zeros(0, 2).long()]
COUNTS = (8, 5, 6)


def layers(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    # Far from zero: squares would lose digits.
    hidden = torch.randn(4, 3, 8, 6, generator=generator) + 50
    mask = torch.arange(8) < torch.tensor(COUNTS)[:, None]
    return hidden, mask


@pytest.mark.parametrize("std", [False, True])
@pytest.mark.parametrize("together", [1, 2, 512])
def test_layers_pooled_one_by_one_are_those_pooled_at_once(
    std: bool, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "_STRETCHES", together)
    hidden, mask = layers()
    pool = StreamingPool(BOUNDS, 4, std=std)
    for layer in (2, 0, 3, 1):
        pool(layer, hidden[layer], mask)
    expected = torch.stack(
        [
            pool_phones([x[:c] for x, c in zip(frames, COUNTS, strict=True)], BOUNDS, std=std)
            for frames in hidden
        ],
        1,
    )
    values = pool.values()
    assert [kept.tolist() for _, kept in values] == [[True] * 3, [True], []]
    torch.testing.assert_close(torch.cat([v for v, _ in values]), expected, rtol=1e-5, atol=2e-5)


def test_frames_that_do_not_count_are_left_out_and_so_are_stretches_without_any() -> None:
    hidden, mask = layers()
    mask[0, 1:3] = False
    mask[0, 7] = False
    pool = StreamingPool(BOUNDS, 1)
    pool(0, hidden[0], mask)
    (first, kept), (second, _), (third, _) = pool.values()
    assert kept.tolist() == [True, True, False]
    torch.testing.assert_close(first[0, 0], hidden[0, 0, 0])
    torch.testing.assert_close(first[1, 0], hidden[0, 0, 3:7].mean(0))
    torch.testing.assert_close(second[0, 0], hidden[0, 1, :5].mean(0))
    assert third.shape == (0, 1, 6)


def test_memory_grows_with_a_recording_and_not_with_its_square() -> None:
    """A whole recording and each of its tenths of a second, as a store has them."""
    held = []
    for count in (6_000, 12_000, 24_000):
        first = torch.arange(0, count, 10)
        bounds = torch.cat([torch.tensor([[0, count]]), torch.stack([first, first + 10], 1)])
        frames = torch.arange(count, dtype=torch.float32)[None, :, None]
        pool = StreamingPool([bounds], 1)
        pool(0, frames, torch.ones(1, count, dtype=torch.bool))
        means = pool.values()[0][0].flatten()
        torch.testing.assert_close(means[1:], first + 4.5)
        assert means[0].item() == pytest.approx((count - 1) / 2, rel=1e-5)
        held.append(sum(block.average.numel() for block in pool._blocks))
    assert held[1] < 3 * held[0] and held[2] < 3 * held[1]  # twice in the limit, not four times


def test_stretches_behind_the_last_frame_have_none() -> None:
    first = torch.arange(1200)
    pool = StreamingPool([torch.stack([first, first + 1], 1)], 1)
    pool(0, torch.arange(100.0)[None, :, None], torch.ones(1, 100, dtype=torch.bool))
    ((values, kept),) = pool.values()
    assert values.flatten().tolist() == list(range(100))
    assert kept.tolist() == [True] * 100 + [False] * 1100


def test_nothing_to_pool_is_no_error() -> None:
    hidden, mask = layers()
    pool = StreamingPool([torch.zeros(0, 2).long()] * 3, 1)
    pool(0, hidden[0], mask)
    assert [values.shape[0] for values, _ in pool.values()] == [0, 0, 0]


def test_half_precision_is_summed_in_float32() -> None:
    frames = torch.full((1, 3000, 1), 1.0, dtype=torch.bfloat16)
    frames[0, 0] = 1000.0
    pool = StreamingPool([torch.tensor([[0, 3000]])], 1)
    pool(0, frames, torch.ones(1, 3000, dtype=torch.bool))
    error = 3000 * torch.finfo(torch.float32).eps  # of a sum of 3000, in whatever order
    assert pool.values()[0][0].item() == pytest.approx((1000 + 2999) / 3000, rel=error)


def test_a_missing_layer_is_noticed() -> None:
    hidden, mask = layers()
    pool = StreamingPool(BOUNDS, 2)
    pool(1, hidden[1], mask)
    with pytest.raises(ValueError, match="found 1 layers pooled, expected 2"):
        pool.values()


@pytest.mark.parametrize("std", [False, True])
def test_sums_stay_in_float32_under_autocast(std: bool) -> None:
    hidden, mask = layers()
    values = []
    for enabled in (False, True):
        pool = StreamingPool(BOUNDS, 1, std=std)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            pool(0, hidden[0], mask)
        values.append(torch.cat([v for v, _ in pool.values()]))
    assert torch.equal(*values)


class Waits(TorchDispatchMode):
    """Counts operations whose results' shapes or values the processor waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        at = tree_flatten(args[1:])[0]
        masks = any(isinstance(t, torch.Tensor) and t.dtype == torch.bool for t in at)
        if any(name in str(func) for name in ("nonzero", "masked_select", "scalar_dense")) or (
            "index" in str(func) and masks
        ):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("std", [False, True])
def test_no_layer_but_the_first_makes_a_gpu_wait(std: bool) -> None:
    hidden, mask = layers()
    pool = StreamingPool(BOUNDS, 4, std=std)
    with Waits() as waits:
        pool(0, hidden[0], mask)
        assert waits.found
        waits.found.clear()
        for layer in (1, 2, 3):
            pool(layer, hidden[layer], mask)
    assert not waits.found


@pytest.mark.parametrize("std", [False, True])
def test_another_device_pools_as_the_processor_does(std: bool) -> None:
    hidden, mask = layers()
    here, there = (StreamingPool(BOUNDS, 4, std=std) for _ in range(2))
    for layer in range(4):
        here(layer, hidden[layer], mask)
    with Elsewhere():
        for layer in range(4):
            there(layer, hidden[layer].to(DEVICE), mask.to(DEVICE))
        values, counts = there.values(), there.counts()
    for (one, kept), (other, kept_too) in zip(here.values(), values, strict=True):
        assert torch.equal(one, other) and torch.equal(kept, kept_too)
    assert (
        [c.tolist() for c in counts] == [c.tolist() for c in here.counts()] == [[3, 5, 1], [5], []]
    )


@pytest.mark.cuda
@pytest.mark.parametrize("std", [False, True])
def test_a_gpu_pools_as_the_processor_does(std: bool) -> None:
    hidden, mask = layers()
    values = []
    for device in ("cpu", "cuda"):
        pool = StreamingPool(BOUNDS, 4, std=std)
        for layer in range(4):
            pool(layer, hidden[layer].to(device), mask.to(device))
        values.append(torch.cat([v for v, _ in pool.values()]))
    torch.testing.assert_close(values[1], values[0], rtol=1e-5, atol=2e-5)
