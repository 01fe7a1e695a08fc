"""A corpus recognised anew by a finished run gets the probabilities of the run's own test, on every road to them."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

import cleser
from cleser.corpora.protocol import Protocol
from cleser.experiments.experiment import Experiment
from cleser.experiments.methods import METHODS
from cleser.experiments.prediction.evaluate import evaluate
from cleser.experiments.prediction.robustness import measure_robustness
from cleser.experiments.saved import open_run
from cleser.recipes import ERMConfig, ProbeConfig
from cleser.settings import to_plain
from cleser.speech import load_backbone
from cleser.training.loop import TrainingConfig
from tests.corpora.trees import write_corpus
from tests.speech.tiny_models import save_tiny

KEYS = ["seed", "utterance"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("again")
        patch.setenv("CLESER_CACHE", str(root / "cache"))
        yield root


@pytest.fixture(scope="module")
def specs(root):
    """Two corpora of repeated sentences; the second has a silent clip, a short one and one that is missing."""
    specs = (
        write_corpus(root / "a", "a", language="de", speakers=4, takes=2),
        write_corpus(root / "b", "b", speakers=4, takes=2, seed=1),
    )
    rng = np.random.default_rng(0)
    soundfile.write(root / "b" / "silent.wav", np.zeros(8000, "float32"), 16000)
    short = 0.1 * rng.standard_normal(2400).astype("float32")
    soundfile.write(root / "b" / "short.wav", short, 16000)
    table = pd.read_csv(root / "b" / "manifest.csv")
    more = table.iloc[:3].assign(
        utterance=["silent", "short", "gone"], path=["silent.wav", "short.wav", "gone.wav"]
    )
    pd.concat([table, more]).to_csv(root / "b" / "manifest.csv", index=False)
    return specs


@pytest.fixture(scope="module")
def run(root, specs):
    """A probe on a pretrained encoder: the means of repeated sentences are subtracted."""
    folder = root / "model"
    save_tiny("wavlm", folder)
    config = ProbeConfig(match_prior=True)
    experiment = Experiment(
        "probe", to_plain(config), Protocol([specs[0]], [specs[1]]), 2, root / "run", str(folder)
    )
    METHODS["probe"].run(experiment, config, load_backbone(str(folder)))
    return root / "run"


def shares_of(table, keys):
    found = table.set_index(keys)
    return found[[name for name in found if name.startswith("p_")]].sort_index()


def test_evaluate_repeats_the_test(run, specs):
    again = evaluate(run, (specs[1],))
    own, found = (
        pd.read_parquet(folder / "predictions.parquet")
        for folder in (run, run / "on-manifest-manifest")
    )
    pd.testing.assert_frame_equal(shares_of(found, KEYS), shares_of(own, KEYS), atol=1e-5)
    first = json.loads((run / "protocol.json").read_text())["uses"]
    assert json.loads((run / "on-manifest-manifest" / "protocol.json").read_text())["uses"] == first
    assert first["sentences"].startswith("texts of 34 of 34 utterances, ")
    assert again["n_utterances"] == len(own) / 2


def test_undegraded_recordings_repeat_the_test(run):
    measure_robustness(run, files=0, quick=True)
    own, found = (
        pd.read_parquet(run / name)
        for name in ("predictions.parquet", "robustness/clean-0.parquet")
    )
    pd.testing.assert_frame_equal(shares_of(found, KEYS), shares_of(own, KEYS), atol=1e-5)


def test_predict_repeats_the_test_and_mentions_all_that_is_listed(run, specs):
    """A silent clip counts in the statistics, as in the test, a short one in neither; both get a reason, no label."""
    found = cleser.load_model(run).predict(corpora=[specs[1]])
    unlabelled = found[found["emotion"].isna()]
    assert sorted(unlabelled["path"].map(lambda path: path.rsplit("/")[-1])) == [
        "gone.wav", "short.wav", "silent.wav"
    ]  # fmt: skip
    assert unlabelled["reason"].notna().all()
    own = pd.read_parquet(run / "predictions.parquet")
    means = shares_of(own, KEYS).groupby("utterance").mean()
    known = shares_of(found.dropna(subset="emotion"), "utterance")
    assert len(known) == len(means) - 1
    pd.testing.assert_frame_equal(known, means.loc[known.index], atol=1e-5)


def test_tests_on_corpora_of_one_name_do_not_replace_one_another(run, root, specs, monkeypatch):
    other = write_corpus(root / "c", "c", speakers=3, seed=2)
    evaluate(run, (specs[1],))
    # Another spelling is no other corpus.
    monkeypatch.chdir(root)
    evaluate(run, ("manifest:b/manifest.csv",))
    with pytest.raises(ValueError, match=r"on-manifest-manifest holds a test on .*b/manifest\.csv"):
        evaluate(run, (other,))
    shutil.copy(root / "c" / "manifest.csv", root / "c" / "mine.csv")
    evaluate(run, (other.replace("manifest.csv", "mine.csv"),))
    assert (run / "on-manifest-mine" / "results.json").exists()


def test_a_test_replaces_no_other_run(run, root, specs):
    """Neither one that was trained for the same corpus, nor the test of another run on it."""
    other = root / "trained"
    protocol = Protocol([specs[1]], [specs[0]])
    trained = Experiment("probe", to_plain(ProbeConfig()), protocol, 1, other)
    METHODS["probe"].run(trained, ProbeConfig(), load_backbone("acoustic"))
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with pytest.raises(
        ValueError, match=r"run holds a run that was trained there \(model.safetens"
    ):
        evaluate(run, (specs[1],), out=run)
    shutil.copytree(run, root / "folds", ignore=shutil.ignore_patterns("model.safetensors"))
    (root / "folds" / "folds").mkdir()
    with pytest.raises(ValueError, match=r"trained there \(folds\)"):
        evaluate(run, (specs[1],), out=root / "folds")
    one_more = write_corpus(root / "e", "e", language="pl", speakers=3, seed=5)
    evaluate(run, (one_more,), out=root / "test")
    with pytest.raises(ValueError, match=r"other settings \(backbone is .* seeds is 2 there and 1"):
        evaluate(other, (one_more,), out=root / "test")
    assert before == {path: path.read_bytes() for path in run.iterdir() if path.is_file()}


def test_a_test_that_is_broken_off_leaves_no_results_of_other_terms(run, root, monkeypatch):
    five = ("anger", "happiness", "neutral", "sadness", "fear")
    other = write_corpus(root / "f", "f", speakers=3, emotions=five, seed=6)
    out = root / "broken"
    evaluate(run, (other,), out=out)

    def broken(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cleser.experiments.prediction.evaluate.predictions_of", broken)
    with pytest.raises(KeyboardInterrupt):
        evaluate(run, (other,), renamed={"fear": "anger"}, out=out)
    assert json.loads((out / "protocol.json").read_text())["map"] == {"fear": "anger"}
    assert not (out / "results.json").exists()


def test_adapting_while_tested_is_said_of_every_test(root, specs):
    config = ERMConfig(training=TrainingConfig(epochs=1), test_time="t3a", match_prior=True)
    protocol = Protocol([specs[0]], [specs[1]], normalisation="utterance")
    experiment = Experiment("erm", to_plain(config), protocol, 1, root / "t3a")
    METHODS["erm"].run(experiment, config, load_backbone("acoustic"))
    other = write_corpus(root / "d", "d", speakers=3, seed=3)
    evaluate(root / "t3a", (specs[1],), out=root / "same")
    evaluate(root / "t3a", (other,), out=root / "another")
    terms = {
        name: json.loads((root / name / "protocol.json").read_text())["uses"]
        for name in ("t3a", "same", "another")
    }
    assert terms["same"] == terms["t3a"]
    assert terms["another"]["training"]
    assert terms["another"]["prior"] == "none"  # it was matched on the target of the run


def test_transformers_refuses_a_run_on_several_backbones(run, root):
    from cleser.experiments.transformers_model import CleserConfig, CleserForAudioClassification

    saved = open_run(run)
    CleserForAudioClassification(CleserConfig(), saved)
    joined = saved._replace(backbone=load_backbone(f"acoustic+{root / 'model'}"))
    with pytest.raises(ValueError, match=r"open this one by cleser\.load_model"):
        CleserForAudioClassification(CleserConfig(), joined)


def test_phones_that_only_one_side_knows_are_not_used_and_that_is_said(root, specs):
    """As if the manifest did not say them: no phoneme's mean is taken off either side."""
    config = ProbeConfig()
    tables, load = {}, Protocol.load
    for name in ("with", "without"):
        source = "synthetic:en?speakers=4&sentences=1"
        protocol = Protocol([source], [specs[1]])
        out = root / f"{name}-phones"
        experiment = Experiment("probe", to_plain(config), protocol, 1, out)
        with pytest.MonkeyPatch.context() as patch:
            if name == "without":
                patch.setattr(Protocol, "load", lambda self: load(self).without_phones())
            METHODS["probe"].run(experiment, config, load_backbone("acoustic"))
        tables[name] = shares_of(pd.read_parquet(out / "predictions.parquet"), KEYS)
        described = json.loads((out / "protocol.json").read_text())
        assert not described["uses"]["alignments"]
        said = any(
            "phones are known of the source or of the target alone" in n for n in described["notes"]
        )
        assert said == (name == "with")
    pd.testing.assert_frame_equal(tables["with"], tables["without"])
