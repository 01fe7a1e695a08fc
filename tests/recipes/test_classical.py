"""Classical classifiers, kept as tensors, against scikit-learn's own answers."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.svm import SVC

import cleser
from cleser.corpora.protocol import Protocol
from cleser.experiments.experiment import Experiment
from cleser.experiments.export import export
from cleser.experiments.prediction.evaluate import evaluate
from cleser.recipes import METHODS, ClassicalConfig
from cleser.recipes.classical import Classical
from cleser.recipes.probe import ProbeConfig
from cleser.settings import to_plain
from cleser.speech import Features, load_backbone
from cleser.training.dataset import Dataset, balance
from cleser.training.sources import MemorySource
from tests.corpora.trees import write_corpus


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def of_one_speaker(count):
    """Utterances of two emotions."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % 2
    x = torch.tensor(rng.normal(size=(count, 1, 4)) + y[:, None, None], dtype=torch.float32)
    rows = pd.DataFrame({
        "utterance": map(str, range(count)), "corpus": "c", "speaker": "anna", "emotion": y.astype(str),
    })  # fmt: skip
    offsets = torch.zeros(count + 1, dtype=torch.long)
    features = Features(rows["utterance"].tolist(), x[:0], offsets, x, [])
    return Dataset(
        rows, MemorySource(features), {"emotion": torch.tensor(y)}, {}, balance(rows), []
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [2, 4])
def test_a_source_too_small_to_choose_by_is_named(count):
    """Or is enough where there is nothing to choose, or two utterances of each emotion to choose by."""
    source = of_one_speaker(count)
    assert Classical.fit(ClassicalConfig(c=1.0), source, 2).scores.classes.tolist() == [0, 1]
    if count > 2:
        assert Classical.fit(ClassicalConfig(), source, 2).scores.classes.tolist() == [0, 1]
        return
    with pytest.raises(
        ValueError,
        match=r"c: C cannot be chosen .*over 2 utterances of 1 speakers.*give it \(--c 1\)",
    ):
        Classical.fit(ClassicalConfig(), source, 2)


@pytest.mark.parametrize("c", [None, 0.5])
def test_a_single_speaker_is_enough(c):
    """As where one of two is held out for development; C is then chosen with utterances held out, or given."""
    source = of_one_speaker(40)
    x, y = source.summaries(), source.labels["emotion"].numpy()
    found = Classical.fit(ClassicalConfig(classifier="logistic", c=c), source, 2)
    strengths = [c] if c else [1e-4, 1e-3, 1e-2, 1e-1]
    weights = [
        LogisticRegression(C=strength, max_iter=1000).fit(x[:, 0].numpy(), y).coef_[0]
        for strength in strengths
    ]
    assert any(np.allclose(found.scores.weights[0], w, rtol=1e-3) for w in weights)


def drawn(classes, count=120):
    """Statistics, emotions and weights of utterances, with speakers who are no help."""
    rng = np.random.default_rng(classes)
    y = rng.permutation(np.arange(count) % classes)
    x = rng.normal(size=(count, 5)) + y[:, None]
    rows = pd.DataFrame({
        "utterance": map(str, range(count)), "corpus": "c",
        "speaker": [f"s{i}" for i in rng.integers(0, 8, count)], "emotion": y.astype(str),
    })  # fmt: skip
    values = torch.tensor(x, dtype=torch.float32)[:, None]
    features = Features(
        rows["utterance"].tolist(), values[:0], torch.zeros(count + 1).long(), values, []
    )
    weight = torch.tensor(rng.uniform(0.5, 2, count))
    return Dataset(rows, MemorySource(features), {"emotion": torch.tensor(y)}, {}, weight, [])


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize(
    ("classifier", "estimator"), [("svm", SVC(C=0.7)), ("linear", LogisticRegression(C=0.7))]
)
def test_scores_are_those_of_scikit_learn(classifier, estimator, classes):
    source = drawn(classes)
    x, y = source.summaries().flatten(1).numpy(), source.labels["emotion"].numpy()
    unseen = np.random.default_rng(9).normal(size=(40, 5)) + classes / 2
    expected = estimator.fit(x, y, sample_weight=source.weight).decision_function(unseen)
    if classes == 2:
        expected = np.stack([-expected, expected], 1)
    fitted = Classical.fit(ClassicalConfig(classifier, c=0.7), source, classes)
    found = fitted.scores(torch.from_numpy(unseen))
    np.testing.assert_allclose(found, expected, atol=1e-6)  # the linear one is solved in float32
    assert (found.argmax(1).numpy() == estimator.predict(unseen)).all()


@pytest.mark.parametrize("classes", [2, 4])
def test_c_is_chosen_with_speakers_held_out(classes):
    """As scikit-learn chooses it among machines that find the kernel themselves."""
    source = drawn(classes)
    x, y = source.summaries().flatten(1).double().numpy(), source.labels["emotion"].numpy()
    plain = GridSearchCV(
        SVC(gamma=1 / (x.shape[1] * x.var())), {"C": (0.1, 0.3, 1.0, 3.0)},
        scoring="balanced_accuracy", cv=GroupKFold(5),
    ).fit(x, y, groups=source.manifest["speaker"], sample_weight=source.weight)  # fmt: skip
    found = Classical.fit(ClassicalConfig(), source, classes).scores(torch.from_numpy(x))
    expected = plain.decision_function(x)
    np.testing.assert_allclose(found[:, -1] if classes == 2 else found, expected, atol=1e-9)


def test_statistics_that_say_nothing_are_learned_from_all_the_same():
    source = drawn(2)
    blank = Features(
        list(map(str, range(120))), torch.zeros(0, 1, 5), torch.zeros(121).long(),
        torch.zeros(120, 1, 5), [],
    )  # fmt: skip
    found = Classical.fit(ClassicalConfig(c=1.0), replace(source, source=MemorySource(blank)), 2)
    assert found.shares(torch.zeros(1, 5)).isfinite().all()


def test_an_emotion_that_was_not_learned_is_never_predicted():
    source = drawn(2)
    twice = replace(source, labels={"emotion": 2 * source.labels["emotion"]})  # 0 and 2, of three
    found = Classical.fit(ClassicalConfig(c=1.0), twice, 3)
    assert found.scores.classes.tolist() == [0, 2]
    assert (found.shares(torch.randn(9, 5))[:, 1] == 0).all()


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora")
    return (
        write_corpus(root / "a", "a", language="de", speakers=3, takes=2),
        write_corpus(root / "b", "b", speakers=2, seed=1),
    )


@pytest.mark.parametrize("labels", [("anger", "sadness"), ("anger", "neutral", "sadness")])
@pytest.mark.parametrize("classifier", ["svm", "linear"])
def test_a_run_is_opened_again(specs, tmp_path, classifier, labels):
    """Its own target, further recordings, and an exported copy get the probabilities of the test."""
    out, config = tmp_path / "run", ClassicalConfig(classifier)
    protocol = Protocol([specs[0]], [specs[1]], labels=labels, target_access="nothing",
                        normalisation="corpus")  # fmt: skip
    experiment = Experiment("classical", to_plain(config), protocol, 2, out)
    METHODS["classical"].run(experiment, config, load_backbone("acoustic"))
    tested = pd.read_parquet(out / "predictions.parquet")
    evaluate(out, (specs[1],), out=tmp_path / "again")
    pd.testing.assert_frame_equal(
        tested, pd.read_parquet(tmp_path / "again" / "predictions.parquet"), atol=1e-5
    )
    columns = [f"p_{name}" for name in labels]
    mean = tested.groupby("utterance")[columns].mean()
    np.testing.assert_allclose(mean.sum(axis=1), 1, atol=1e-6)
    target = protocol.load().target
    for folder in (out, export(out, tmp_path / "model")):
        found = cleser.load_model(folder).predict(target["path"].tolist())
        np.testing.assert_allclose(found[columns], mean.loc[target["utterance"]], atol=1e-4)


@pytest.mark.parametrize("classifier", ["svm", "linear"])
def test_of_a_large_source_a_sample_is_learned_from(classifier):
    """What is fitted is what the sample gives, which is the same whenever it is drawn; all are recognised."""
    source, few = many(), 30
    config = ClassicalConfig(classifier, c=1.0, most=few)
    sample = source.sample(few)
    assert len(sample) == few
    assert sample.manifest.equals(source.sample(few).manifest)
    assert sample.manifest["utterance"].is_monotonic_increasing
    bounded = Classical.fit(config, source, 3)
    plain = Classical.fit(ClassicalConfig(classifier, c=1.0), sample, 3)
    shares, statistics = bounded.predict(source)
    assert shares.shape == (len(source), 3)
    torch.testing.assert_close(shares, plain.predict(source)[0])
    assert torch.equal(statistics, source.summaries().flatten(1))  # few numbers: not projected
    whole = Classical.fit(ClassicalConfig(classifier, c=1.0), source, 3)
    assert not torch.allclose(shares, whole.predict(source)[0])


def test_many_statistics_are_learned_from_by_fewer_utterances():
    layers, channels = 7, 1024
    assert ClassicalConfig().limit((layers, channels)) == 10_000
    assert ProbeConfig().limit((layers, channels)) == 2**29 // (4 * layers * channels) == 18_724
    assert ProbeConfig().limit((2, 40)) == 100_000


def test_a_run_says_that_it_learned_from_a_sample(specs, tmp_path):
    config = ClassicalConfig("linear", c=1.0, most=7)
    protocol = Protocol([specs[0]], [specs[1]], labels=("anger", "sadness"), normalisation="corpus")
    experiment = Experiment("classical", to_plain(config), protocol, 1, tmp_path)
    METHODS["classical"].run(experiment, config, load_backbone("acoustic"))
    notes = json.loads((tmp_path / "protocol.json").read_text())["notes"]
    assert any("random sample of 7 at most" in note for note in notes)


def many() -> Dataset:
    """150 utterances of three emotions: more than are gone over at a time."""
    rng = np.random.default_rng(0)
    emotion = rng.permutation(np.arange(150) % 3)
    x = torch.from_numpy(rng.normal(size=(150, 2, 3)) + emotion[:, None, None]).float()
    rows = pd.DataFrame(
        {
            "utterance": [f"u{i:03d}" for i in range(150)],
            "corpus": "a",
            "speaker": [f"s{i % 6}" for i in range(150)],
            "emotion": np.array(["anger", "neutral", "sadness"], dtype=object)[emotion],
        }
    )
    offsets = torch.zeros(151, dtype=torch.long)
    features = Features(rows["utterance"].tolist(), x[:0], offsets, x, [])
    labels = {"emotion": torch.from_numpy(emotion)}
    return Dataset(rows, MemorySource(features), labels, {}, balance(rows), [])
