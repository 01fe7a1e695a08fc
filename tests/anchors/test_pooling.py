"""Pooling against a plain loop."""

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
            mean = torch.zeros(x.shape[-1]) if empty else part.mean(0)
            std = torch.zeros(x.shape[-1]) if empty else part.std(0, correction=0)
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
