import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleser.speech.batching import batches_by_length

LENGTHS = st.lists(st.floats(0.1, 40.0), max_size=60)


@given(LENGTHS, st.floats(1.0, 200.0), st.floats(0.0, 0.5))
def test_every_recording_goes_once_within_budget_and_padding(
    lengths: list[float], budget: float, padding: float
) -> None:
    batches = batches_by_length(lengths, budget, padding=padding)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        own = [lengths[i] for i in batch]
        cost = len(own) * max(own)
        assert len(own) == 1 or cost <= budget + 1e-9
        assert 1 - sum(own) / cost <= padding + 1e-9
    longest = [max(lengths[i] for i in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)


def test_corpora_of_many_recordings_fill_their_batches() -> None:
    import numpy as np

    lengths = np.random.default_rng(0).lognormal(1.0, 0.5, 2000).clip(0.5, 20).tolist()
    batches = batches_by_length(lengths, 60.0)
    padded = sum(len(b) * lengths[b[0]] for b in batches)
    assert padded / 60.0 > 0.9 * (len(batches) - 1)
    assert 1 - sum(lengths) / padded < 0.05


def test_nothing_and_nonsense() -> None:
    assert batches_by_length([], 10.0) == []
    assert batches_by_length([50.0], 10.0) == [[0]]
    with pytest.raises(ValueError, match=r"lengths\[1\] is 0.0"):
        batches_by_length([1.0, 0.0], 10.0)
    with pytest.raises(ValueError, match="padding is 1"):
        batches_by_length([1.0], 10.0, padding=1)
