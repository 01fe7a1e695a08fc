"""Classical classifiers, kept as tensors, against scikit-learn's own answers."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

import cleser
from cleser.corpora.protocol import Protocol
from cleser.experiments.evaluate import evaluate
from cleser.experiments.experiment import Experiment
from cleser.experiments.export import export
from cleser.recipes import METHODS, ClassicalConfig
from cleser.recipes.classical import _scores
from cleser.settings import to_plain
from cleser.speech import load_backbone
from tests.corpora.trees import write_corpus


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("estimator", [SVC(C=0.7), LogisticRegression(C=0.1)])
def test_scores_are_those_of_scikit_learn(estimator, classes):
    rng = np.random.default_rng(classes)
    y = rng.permutation(np.arange(120) % classes)
    x = rng.normal(size=(120, 5)) + y[:, None]
    unseen = rng.normal(size=(40, 5)) + classes / 2
    weights = rng.uniform(0.5, 2, 120)
    expected = estimator.fit(x, y, sample_weight=weights).decision_function(unseen)
    if classes == 2:
        expected = np.stack([-expected, expected], 1)
    found = _scores(estimator)(torch.from_numpy(unseen))
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert (found.argmax(1).numpy() == estimator.predict(unseen)).all()


def test_an_emotion_that_was_not_learned_is_never_predicted():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(60) % 2) * 2  # 0 and 2, of three
    scores = _scores(SVC().fit(rng.normal(size=(60, 3)) + y[:, None], y))
    assert scores.classes.tolist() == [0, 2]


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
