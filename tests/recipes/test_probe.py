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
from cleser.training.sources import MemorySource


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
    return Dataset(
        rows, MemorySource(features), {"emotion": torch.tensor(y)}, {}, balance(rows), []
    )


UNIFORM = torch.full((3,), 1 / 3, dtype=torch.float64)


def least_of_equation_1(source, strength, classes):
    """Weights [K, F] and biases [K] at the least value of Eq. 1 as it stands, for any number of classes."""
    x, y = source.summaries().flatten(1).double(), source.labels["emotion"]
    weight = source.weight.double()
    found = torch.zeros(classes, x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [found], max_iter=2000, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def loss():
        optimiser.zero_grad()
        single = torch.nn.functional.cross_entropy(
            x @ found[:, 1:].T + found[:, 0], y, reduction="none"
        )
        value = (weight * single).sum() / weight.sum() + strength / 2 * found[:, 1:].square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return found[:, 1:].detach(), found[:, 0].detach()


# More utterances than channels, and fewer, which are described by their inner products alone.
WIDTHS = pytest.mark.parametrize("width", [6, 300])


@WIDTHS
@pytest.mark.parametrize("classes", [2, 3])
def test_a_plain_probe_is_a_weighted_logistic_regression(classes, width):
    source, test = dataset(0, classes, width=width), dataset(1, classes, width=width)
    probe = Probe.fit(ProbeConfig(penalty=0.01), source, None, torch.ones(classes) / classes)
    weights, biases = least_of_equation_1(source, 0.01 * width, classes)
    shares, x = probe.predict(test)
    expected = (x.double() @ weights.T + biases).softmax(-1)
    np.testing.assert_allclose(shares, expected, atol=2e-3)  # to where scikit-learn stops
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
    weight = rng.uniform(0.5, 2, (count, 2))
    given = (torch.from_numpy(v) for v in (x, y, weight))
    found = Ridge.fit(*given, 0.1, ["arousal", "valence"])
    for a in range(2):
        known = ~np.isnan(y[:, a])
        strength = 0.1 * weight[known, a].sum()  # the error of Ridge is a mean
        peer = linear_model.Ridge(alpha=strength).fit(x[known], y[known, a], weight[known, a])
        np.testing.assert_allclose(found.weights[a], peer.coef_, atol=1e-10)
        np.testing.assert_allclose(found.biases[a], peer.intercept_, atol=1e-10)
    far = torch.full((1, 8), 100.0)
    assert found(far).abs().max() <= 1


def test_ridge_regression_needs_two_utterances():
    y = torch.tensor([[0.1], [torch.nan]])
    with pytest.raises(ValueError, match="valence is known of 1 utterances to learn from"):
        Ridge.fit(torch.randn(2, 3), y, torch.ones(2, 1), 1.0, ["valence"])


def test_utterances_without_an_attribute_do_not_regularise_it():
    """Nor do they make their corpus count more: among those known, each corpus counts alike."""
    source = dataset(0)
    y = source.summaries().flatten(1)[:, :1].clamp(-1, 1) + 0.1 * torch.randn(60, 1)
    rows = source.manifest.assign(corpus=["a"] * 10 + ["b"] * 50)
    known = replace(source, manifest=rows, labels={**source.labels, "attributes": y})

    def fitted(data):
        return Probe.fit(ProbeConfig(penalty=0.01), data, None, torch.zeros(0), ["arousal"]).ridge

    nothing = torch.full_like(y, torch.nan)
    unknown = replace(known, labels={**source.labels, "attributes": nothing})
    unknown.manifest = rows.assign(utterance=[f"more {i}" for i in range(60)], corpus="a")
    expected, found = fitted(known), fitted(Dataset.join([known, unknown]))
    torch.testing.assert_close(found.weights, expected.weights)
    x = source.summaries().flatten(1).numpy()
    even = np.repeat([1 / 10, 1 / 50], [10, 50])
    peer = linear_model.Ridge(alpha=0.01 * 6 * 2).fit(x, y[:, 0].numpy(), even)
    np.testing.assert_allclose(expected.weights[0], peer.coef_, atol=1e-6)


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


def test_features_are_read_once_where_attributes_alone_are_learned(monkeypatch):
    """Before, all were read to learn how wide they are."""
    source = dataset(0)
    source.labels["attributes"] = torch.rand(60, 1)
    read = []
    whole = Dataset.summaries
    monkeypatch.setattr(Dataset, "summaries", lambda self: read.append(1) or whole(self))
    found = Probe.fit(ProbeConfig(rounds=0), source, None, torch.zeros(0), ["valence"])
    assert found.weights.shape == (0, 6) and len(read) == 1


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
