"""Pseudo-speakers: planted voices are told apart, within recordings that are given."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from cleser.graphs import pseudo_speakers, recordings_of
from cleser.graphs.styles.pseudo_speakers import _threshold


def voices(seed, recordings=8, speakers=2, utterances=12, dim=48, noise=0.6):
    """Every recording has its own speakers."""
    rng = np.random.default_rng(seed)
    count = recordings * speakers
    who = rng.permutation(np.repeat(np.arange(count), utterances))
    own = rng.standard_normal((count, dim)) / np.sqrt(dim)
    x = own[who] + noise * rng.standard_normal((len(who), dim)) / np.sqrt(dim)
    return x, who, who // speakers


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_voices_are_told_apart(seed):
    x, who, recordings = voices(seed)
    assert adjusted_rand_score(who, pseudo_speakers(x, recordings=recordings)) > 0.95
    assert adjusted_rand_score(who, pseudo_speakers(x, k=8)) > 0.8


def test_a_recording_of_one_voice_is_one_speaker():
    x, who, _ = voices(3, speakers=1)
    found = pseudo_speakers(x, recordings=who)
    assert adjusted_rand_score(who, found) > 0.95


def test_no_two_recordings_share_a_speaker():
    x, _, _ = voices(4)
    recordings = np.arange(len(x)) % 5
    found = pseudo_speakers(x, recordings=recordings)
    for speaker in set(found):
        assert len(set(recordings[found == speaker])) == 1


def test_unknown_recordings_are_one():
    x, _, recordings = voices(5)
    names = [f"r{r}" if r else None for r in recordings]
    minus = np.where(recordings == 0, -1, recordings)
    a, b = (pseudo_speakers(x, recordings=r) for r in (names, minus))
    assert adjusted_rand_score(a, b) == 1


def test_degenerate_cases():
    assert pseudo_speakers(np.empty((0, 3))).shape == (0,)
    assert pseudo_speakers([[1.0, 2.0]]).tolist() == [0]
    assert pseudo_speakers([[1.0, 2.0]], recordings=["a"]).tolist() == [0]
    one = pseudo_speakers(voices(6, recordings=1)[0], recordings=[0] * 24)
    assert one.dtype == np.int64
    assert set(one) == set(range(one.max() + 1))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"recordings have shape \(1,\)"):
        pseudo_speakers(np.ones((2, 2)), recordings=["a"])
    with pytest.raises(ValueError, match="zero"):
        pseudo_speakers(np.zeros((2, 2)))


def test_names_of_podcasts():
    names = ["a/MSP-PODCAST_0866_0074_0002.wav", "msp-podcast/MSP-PODCAST_0001_0008", "03a01Fa.wav"]
    assert recordings_of(names) == ["MSP-PODCAST_0866", "MSP-PODCAST_0001", None]


def test_half_precision_and_tensors_say_the_same():
    x, _, recordings = voices(5)
    plain = pseudo_speakers(x, recordings=recordings)
    # Of small and large values, squares have no digits in half precision, or overflow.
    for scale in (1e-3, 1.0, 2000.0):
        half = (x * scale).astype(np.float16)
        assert adjusted_rand_score(plain, pseudo_speakers(half, recordings=recordings)) > 0.95
        assert _threshold(half, recordings, 0) == pytest.approx(
            _threshold(x, recordings, 0), abs=0.01
        )
    tensor = torch.tensor(x, requires_grad=True)
    found = pseudo_speakers(tensor, recordings=torch.from_numpy(recordings))
    assert found.tolist() == plain.tolist()
    assert len(pseudo_speakers(tensor.bfloat16(), recordings=recordings)) == len(x)
