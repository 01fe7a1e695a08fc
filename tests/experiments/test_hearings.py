"""Official parts of corpora are recognised as a run's test on them would, and what a test did not count is said."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import cleser
from cleser.corpora.protocol import Protocol
from cleser.experiments.experiment import Experiment
from cleser.experiments.methods import METHODS
from cleser.experiments.prediction.hearings import official_hearings
from cleser.settings import to_plain
from cleser.speech import load_backbone
from tests.corpora.trees import write_corpus
from tests.experiments.test_recogniser import CONFIG

PARTS = ("train", "dev", "test1", "test2")


def _official(folder, corpus, seed):
    """A corpus of two speakers in each part."""
    spec = write_corpus(folder / corpus, corpus, speakers=8, seed=seed)
    path = Path(spec.removeprefix("manifest:"))
    rows = pd.read_csv(path)
    number = rows["speaker"].str[1:].astype(int)
    rows.assign(split=number.map(lambda s: PARTS[s % 4])).to_csv(path, index=False)
    return spec


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("hearings")
        patch.setenv("CLESER_CACHE", str(root / "cache"))
        yield root


@pytest.fixture(scope="module")
def specs(root):
    return _official(root, "a", 0), _official(root, "b", 1)


@pytest.fixture(scope="module")
def runs(root, specs):
    """Runs that differ in what they test alone, so that their networks are the same."""
    found = {}
    for name, tests in (("test1", ("test1",)), ("test2", ("test2",)), ("both", ("test",))):
        terms = {"split": "official", "normalisation": "shrunk", "test": tests}
        experiment = Experiment(
            "erm", to_plain(CONFIG), Protocol([specs[0]], [specs[1]], **terms), 2, root / name
        )
        METHODS["erm"].run(experiment, CONFIG, load_backbone("acoustic"))
        found[name] = root / name
    return found


def _tested(run):
    rows = pd.read_parquet(run / "predictions.parquet")
    return rows.groupby("utterance")[[name for name in rows if name.startswith("p_")]].mean()


def _close(found, expected):
    shares = found.set_index("utterance").loc[expected.index, expected.columns]
    np.testing.assert_allclose(shares, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["test1", "both"])
def test_a_corpus_with_official_parts_is_recognised_as_in_the_test(runs, specs, name):
    """The parts that were not tested do not count, and each utterance of theirs is recognised all the same."""
    found = cleser.load_model(runs[name]).predict(corpora=[specs[1]])
    assert found["emotion"].notna().all() and len(found) == 32
    _close(found, _tested(runs[name]))
    assert "each official part by itself and the training part" in found.attrs["terms"]


def test_a_part_that_was_not_tested_is_recognised_as_if_it_had_been(runs, specs):
    found = cleser.load_model(runs["test1"]).predict(corpora=[specs[1]])
    _close(found, _tested(runs["test2"]))


@pytest.mark.parametrize("name", ["test1", "both"])
@pytest.mark.parametrize("split", PARTS)
def test_a_part_alone_gets_what_it_gets_among_all(runs, specs, name, split):
    model = cleser.load_model(runs[name])
    alone = model.predict(corpora=[specs[1]], split=split)
    assert len(alone) == 8
    whole = model.predict(corpora=[specs[1]]).set_index("utterance").filter(like="p_")
    _close(alone, whole.loc[alone["utterance"]])


def test_where_no_part_may_hear_another_each_is_by_itself():
    rows = pd.DataFrame({"split": ["train", "dev", "test1", None]})
    terms = Protocol(("a:DIR",), ("b:DIR",), split="official", target_access="nothing")
    expected = [([2], [2]), ([0], [0]), ([1], [1]), ([3], [3])]
    assert official_hearings(rows, terms) == expected
    assert official_hearings(rows, terms, "dev") == [([1], [1])]


@pytest.mark.parametrize(
    ("terms", "given", "said"),
    [
        (
            {},
            "corpus",
            "of what it tested, the run counted only utterances labelled with what it learns",
        ),
        ({}, "files", "counted the official training part and what it tested, and this all"),
        ({"split": "mine.csv", "fold": "1"}, "corpus", "the training and test parts of its fold"),
        ({"split": "speakers", "pool": "labels"}, "corpus", "the run's test counted only utt"),
        ({"split": "speakers"}, "part", "; of the corpora this counts dev alone"),
        ({"split": "speakers"}, "corpus", None),
    ],
)
def test_what_the_runs_test_did_not_count_is_said(runs, specs, root, tmp_path, terms, given, said):
    run = Path(shutil.copytree(runs["both"], tmp_path / "run"))
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["protocol"] |= terms
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    files = sorted((root / "b").glob("*.wav"))
    speakers = pd.DataFrame({"path": map(str, files), "speaker": [p.stem[:2] for p in files]})
    model = cleser.load_model(run)
    found = (
        model.predict(files, speakers=speakers)
        if given == "files"
        else model.predict(corpora=[specs[1]], split="dev" if given == "part" else None)
    )
    if said is None:
        assert found.attrs["terms"].endswith("their labels depend on one another")
    else:
        assert said in found.attrs["terms"]


def test_what_a_run_did_not_adapt_to_is_said(runs, specs, tmp_path):
    run = Path(shutil.copytree(runs["both"], tmp_path / "run"))
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["config"]["test_time"] = "t3a"
    settings["protocol"]["split"] = "speakers"
    for normalisation in ("shrunk", "utterance"):
        settings["protocol"]["normalisation"] = normalisation
        (run / "config.yaml").write_text(yaml.safe_dump(settings))
        model = cleser.load_model(run)
        said = "; the run adapted to only utterances labelled with what it learns"
        assert said in model.predict(corpora=[specs[1]]).attrs["terms"]
        assert said not in model.predict(corpora=[specs[1]], alone=True).attrs["terms"]
