"""The linear probe against scikit-learn, by itself and with what the target tells."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import linear_model
from sklearn.linear_model import LogisticRegression

from cleser.features import Features
from cleser.recipes.probe import Probe, ProbeConfig
from cleser.recipes.pseudo_labels import confident_labels, prior_shift
from cleser.recipes.ridge import Ridge
from cleser.training.dataset import Dataset, balance
from cleser.training.sources import InMemory


def dataset(seed, classes=3, count=60, shift=0.0, width=6):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, count)
    means = np.random.default_rng(7).standard_normal((classes, width))
    x = torch.tensor(means[y] + rng.standard_normal((count, width)) + shift, dtype=torch.float32)
    rows = pd.DataFrame(
        {"utterance": map(str, range(count)), "corpus": "c", "emotion": y.astype(str)}
    )
    nothing = torch.zeros(count + 1, dtype=torch.long)
    features = Features(
        rows["utterance"].tolist(),
        x[:0].view(0, 2, width // 2),
        nothing,
        x.view(-1, 2, width // 2),
        [],
    )
    return Dataset(rows, InMemory(features), {"emotion": torch.tensor(y)}, {}, balance(rows), [])


UNIFORM = torch.full((3,), 1 / 3, dtype=torch.float64)


# More utterances than channels, and fewer, which are described by their inner products alone.
WIDTHS = pytest.mark.parametrize("width", [6, 300])


@WIDTHS
@pytest.mark.parametrize("classes", [2, 3])
def test_a_plain_probe_is_a_weighted_logistic_regression(classes, width):
    source, test = dataset(0, classes, width=width), dataset(1, classes, width=width)
    probe = Probe.fit(ProbeConfig(penalty=0.01), source, None, torch.ones(classes) / classes)
    peer = LogisticRegression(C=1 / (0.01 * 60 * width), max_iter=1000, tol=1e-6).fit(
        source.summaries().flatten(1).numpy(), source.labels["emotion"], source.weight.numpy()
    )
    shares, x = probe.predict(test)
    np.testing.assert_allclose(shares, peer.predict_proba(x.numpy()), atol=5e-4)
    again = Probe.restore(ProbeConfig(), probe.tensors(), classes).predict(test)[0]
    assert torch.equal(again, shares)


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_utterances_that_are_all_alike_teach_nothing(value):
    source = dataset(0, width=300)
    source.source.features.summaries.fill_(value)
    shares = Probe.fit(ProbeConfig(), source, None, UNIFORM).predict(source)[0]
    torch.testing.assert_close(shares, torch.full_like(shares, 1 / 3), atol=1e-3, rtol=0)


def test_a_class_that_the_source_lacks_is_never_predicted():
    source = dataset(0, 2)
    probe = Probe.fit(ProbeConfig(), source, None, UNIFORM)
    shares = probe.predict(dataset(1))[0]
    assert shares[:, 2].max() == 0
    torch.testing.assert_close(shares.sum(1), torch.ones(60))


def test_the_prior_makes_the_shares_even():
    target = dataset(2, shift=1.0)
    config = ProbeConfig(match_prior=True)
    shares = Probe.fit(config, dataset(0), target, UNIFORM).predict(target)[0]
    torch.testing.assert_close(shares.mean(0).double(), UNIFORM, atol=5e-4, rtol=0)


@WIDTHS
def test_a_round_learns_from_confident_target_utterances_which_count_as_the_source(width):
    source, target = dataset(0, width=width), dataset(2, shift=0.5, width=width)
    config = ProbeConfig(penalty=0.01, match_prior=True, rounds=1)
    plain = Probe.fit(ProbeConfig(penalty=0.01), source, None, UNIFORM)
    x, unlabelled = (d.summaries().flatten(1) for d in (source, target))
    logits = plain.logits(unlabelled)
    trusted = confident_labels((logits + prior_shift(logits, UNIFORM)).softmax(-1), 0.5)
    kept = (trusted >= 0).nonzero()[:, 0].tolist()
    even = [60 / 3 / sum(int(trusted[j] == trusted[i]) for j in kept) for i in kept]
    # The round doubles what is learned from, so that C halves and the penalty of the mean loss stays.
    peer = LogisticRegression(C=1 / (0.01 * 120 * width), max_iter=1000).fit(
        torch.cat([x, unlabelled[kept]]).numpy(),
        torch.cat([source.labels["emotion"], trusted[kept]]).numpy(),
        np.concatenate([source.weight.numpy(), even]),
    )
    found = Probe.fit(config, source, target, UNIFORM)
    np.testing.assert_allclose(found.weights, peer.coef_, atol=2e-3)
    assert config.adapts
    assert not ProbeConfig(match_prior=True).adapts


def test_more_is_trusted_from_round_to_round():
    """Half of each class' predictions first, three quarters then, all at last; by scikit-learn alone."""
    source, target = dataset(0), dataset(2, shift=0.5)
    assert ProbeConfig(rounds=3).shares == [0.5, 0.75, 1.0]
    x, unlabelled = (d.summaries().flatten(1).numpy() for d in (source, target))
    peer = LogisticRegression(C=1 / (0.01 * 60 * 6), max_iter=1000)
    peer.fit(x, source.labels["emotion"], source.weight.numpy())
    peer.C /= 2  # of twice the weight
    for share in (0.5, 0.75, 1.0):
        trusted = confident_labels(torch.from_numpy(peer.predict_proba(unlabelled)), share).numpy()
        kept = np.flatnonzero(trusted >= 0)
        even = 60 / 3 / np.bincount(trusted[kept])[trusted[kept]]
        peer.fit(
            np.concatenate([x, unlabelled[kept]]),
            np.concatenate([source.labels["emotion"].numpy(), trusted[kept]]),
            np.concatenate([source.weight.numpy(), even]),
        )
    found = Probe.fit(ProbeConfig(penalty=0.01, rounds=3), source, target, UNIFORM)
    np.testing.assert_allclose(found.weights, peer.coef_, atol=2e-3)


@pytest.mark.parametrize("count", [5, 40])
def test_ridge_regression_is_scikit_learns(count):
    """With fewer utterances than channels, and with more; one attribute is not known of all."""
    rng = np.random.default_rng(count)
    x, y = rng.standard_normal((count, 8)), rng.uniform(-0.5, 0.5, (count, 2))
    y[1, 1] = np.nan
    weight = rng.uniform(0.5, 2, count)
    given = (torch.from_numpy(v) for v in (x, y, weight))
    found = Ridge.fit(*given, 2.0, ["arousal", "valence"])
    for a in range(2):
        known = ~np.isnan(y[:, a])
        peer = linear_model.Ridge(alpha=2.0).fit(x[known], y[known, a], weight[known])
        np.testing.assert_allclose(found.weights[a], peer.coef_, atol=1e-10)
        np.testing.assert_allclose(found.biases[a], peer.intercept_, atol=1e-10)
    far = torch.full((1, 8), 100.0)
    assert found(far).abs().max() <= 1


def test_ridge_regression_needs_two_utterances():
    y = torch.tensor([[0.1], [torch.nan]])
    with pytest.raises(ValueError, match="valence is known of 1 utterances to learn from"):
        Ridge.fit(torch.randn(2, 3), y, torch.ones(2), 1.0, ["valence"])


def test_attributes_are_learned_without_any_emotion():
    source = dataset(0)
    x = source.summaries().flatten(1)
    labels = {**source.labels, "attributes": x[:, :1].clamp(-1, 1)}
    nobody = replace(source, labels=labels, weight=torch.zeros(len(source)))  # no emotion is known
    probe = Probe.fit(ProbeConfig(penalty=1e-9), nobody, None, torch.zeros(0), ["arousal"])
    again = Probe.restore(ProbeConfig(), probe.tensors(), 0)
    found = again.attributes(nobody)[:, 0]
    assert torch.corrcoef(torch.stack([found, labels["attributes"][:, 0]]))[0, 1] > 0.9
    assert again.predict(nobody)[0].shape == (60, 0)


def test_a_recoloured_source_is_learned_from_and_the_target_stays():
    """As if the user had moved the source: the map, the target's predictions and the development utterances."""
    config = ProbeConfig(penalty=0.01, recolour=True, ridge=0.5)
    source, target, dev = dataset(0), dataset(1), dataset(2)
    probe = Probe.fit(config, source, target, UNIFORM)
    moved = source.recoloured(source.recolouring(target, [0, 1], ridge=0.5))
    plain = Probe.fit(replace(config, recolour=False), moved, target, UNIFORM)
    torch.testing.assert_close(probe.weights, plain.weights)
    torch.testing.assert_close(probe.predict(target)[0], plain.predict(target)[0])
    by = source.recolouring(target, [0, 1], ridge=0.5)
    torch.testing.assert_close(probe.of_source(dev).summaries(), dev.recoloured(by).summaries())
    assert config.adapts  # the terms say that it learns with the target's audio
    without = Probe.fit(config, source, None, UNIFORM)  # nothing to move it onto
    assert without.of_source(dev) is dev
    unmoved = Probe.fit(replace(config, recolour=False), source, target, UNIFORM)
    assert (unmoved.weights - probe.weights).abs().max() > 1e-3
