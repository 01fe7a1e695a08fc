"""Closed forms: sources recoloured as a target, by scipy's matrix powers and by loops."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import fractional_matrix_power

from cleser.features import Features
from cleser.features.recolouring import Recolouring, covariances, recolouring
from cleser.losses import coral
from cleser.training.dataset import Dataset, balance
from cleser.training.sources import MemorySource


def points(seed, count=50, dim=4):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal((count, dim)) @ rng.standard_normal((dim, dim)))


def covariance(x):
    return torch.from_numpy(np.cov(x.numpy().T, bias=True)).reshape(x.shape[1], x.shape[1])


@given(seed=st.integers(0, 50), ridge=st.sampled_from([0.1, 1.0, 10.0]))
def test_the_map_is_that_of_matrix_powers(seed, ridge):
    source, target = covariance(points(seed)), covariance(points(seed + 100))
    one, other = (x.numpy() + ridge * np.eye(4) for x in (source, target))
    expected = fractional_matrix_power(one, -0.5) @ fractional_matrix_power(other, 0.5)
    torch.testing.assert_close(
        recolouring(source, target, ridge=ridge), torch.from_numpy(expected.real)
    )


def test_without_much_ridge_the_coral_loss_vanishes():
    source, target = points(0), points(1, count=70)
    moved = source @ recolouring(covariance(source), covariance(target), ridge=1e-9)
    torch.testing.assert_close(covariance(moved), covariance(target))
    assert coral(moved, target) < 1e-3 * coral(source, target)  # which divides by N − 1


def test_what_is_alike_is_left_and_fewer_points_than_channels_have_a_map():
    x = covariance(points(0))
    torch.testing.assert_close(recolouring(x, x), torch.eye(4).double())
    few = covariance(points(0, count=3, dim=20))
    assert recolouring(few, covariance(points(1, dim=20))).isfinite().all()
    with pytest.raises(ValueError, match="ridge is 0"):
        recolouring(x, x, ridge=0)
    with pytest.raises(ValueError, match="of one C"):
        recolouring(x, x[:2, :2])


@pytest.mark.parametrize("size", [1, 7, 50])
def test_covariances_do_not_depend_on_the_blocks(size):
    x = torch.stack([points(0), 5 + points(1), points(2)], 1)
    found = covariances(x.split(size), [2, 0])
    for layer, of in zip((2, 0), found, strict=True):
        torch.testing.assert_close(of, covariance(x[:, layer]))
    with pytest.raises(ValueError, match="found no utterance"):
        covariances([], [0])


def dataset(seed, corpora, count=30):
    rows = pd.DataFrame({
        "utterance": [f"{corpora}{seed}/{i}" for i in range(count)],
        "corpus": [corpora[i % len(corpora)] for i in range(count)],
        "speaker": "s",
        "emotion": "anger",
    })  # fmt: skip
    summaries = torch.stack([points(seed, count), points(seed + 1, count)], 1).float()
    nothing = torch.zeros(count + 1, dtype=torch.long)
    features = Features(rows["utterance"].tolist(), summaries[:0], nothing, summaries, [])
    labels = {"emotion": torch.zeros(count, dtype=torch.long)}
    return Dataset(rows, MemorySource(features), labels, {}, balance(rows), [])


def test_each_corpus_of_a_dataset_is_moved_by_a_map_of_its_own_and_subsets_follow():
    source, target = dataset(0, "ab"), dataset(10, "c")
    found = source.recolouring(target, [1], ridge=0.5)
    assert (found.layers, found.groups) == ([1], ["a", "b"])
    raw, onto = source.summaries().double(), target.summaries().double()
    moved = source.recoloured(found).summaries()
    torch.testing.assert_close(moved[:, 0], source.summaries()[:, 0])
    for number in range(2):
        own = raw[number::2, 1]
        matrix = recolouring(covariance(own), covariance(onto[:, 1]), ridge=0.5)
        torch.testing.assert_close(moved[number::2, 1], (own @ matrix).float())
    part = source.subset(source.manifest.iloc[[5, 2, 9]])
    torch.testing.assert_close(part.recoloured(found).summaries(), moved[part.at])
    torch.testing.assert_close(target.recoloured(found).summaries(), target.summaries())  # no map


def test_summaries_that_were_given_stay_as_they_are():
    given_ = torch.ones(2, 1, 2)
    Recolouring([0], ["a"], 2 * torch.eye(2)[None, None]).apply(given_, torch.tensor([0, -1]))
    assert (given_ == 1).all()
