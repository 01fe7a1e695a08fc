"""A target without labels is recognised as it would be with labels, and nothing says how well."""

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cleser
from cleser.cli import main
from cleser.corpora.protocol import Protocol
from cleser.evaluation import Run, compare_runs, report, table
from cleser.experiments.bench import Direction, Matrix, run_matrix
from cleser.experiments.experiment import Experiment
from cleser.experiments.export import export
from cleser.experiments.prediction.evaluate import evaluate
from cleser.experiments.prediction.robustness import measure_robustness
from cleser.recipes import METHODS
from cleser.settings import to_plain
from cleser.speech import load_backbone
from tests.corpora.trees import write_corpus
from tests.experiments.test_predict_recipes import UNSEEN, small

SHARES = ["p_anger", "p_happiness", "p_neutral", "p_sadness"]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLESER_CACHE", str(tmp_path_factory.getbasetemp() / "unlabelled-cache"))
        yield


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora")
    return (
        write_corpus(root / "a", "a", language="de", speakers=4, takes=2),
        write_corpus(root / "b", "b", speakers=4, takes=2, seed=1),
        write_corpus(root / "c", "c", language="fr", speakers=2, seed=2),
    )


@pytest.fixture(scope="module")
def bare(specs):
    """The second corpus without its emotions."""
    path = Path(specs[1].removeprefix("manifest:"))
    blank = path.with_name("bare.csv")
    pd.read_csv(path).drop(columns="emotion").to_csv(blank, index=False)
    return f"manifest:{blank}"


def run(name, specs, target, out, seeds=1):
    terms = UNSEEN if name == "zero-shot" else {}
    protocol = Protocol([specs[0]], [target], [specs[2]], **terms)
    config = small(name)
    experiment = Experiment(name, to_plain(config), protocol, seeds, out)
    return METHODS[name].run(experiment, config, load_backbone("acoustic"))


@pytest.fixture(scope="module")
def finished(specs, bare, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "erm"
    run("erm", specs, bare, out, seeds=2)  # a network, whose seeds disagree now and then
    return out


@pytest.mark.parametrize("name", METHODS)
def test_predictions_are_those_of_the_labelled_target(name, specs, bare, tmp_path):
    run(name, specs, specs[1], tmp_path / "labelled")
    results = run(name, specs, bare, tmp_path / "bare")
    one, two = (Run(tmp_path / kind).predictions for kind in ("labelled", "bare"))
    assert one["utterance"].tolist() == two["utterance"].tolist()
    np.testing.assert_array_equal(one[SHARES], two[SHARES])
    assert two["emotion"].isna().all()
    assert sum(results["recognised"].values()) == len(two)
    assert "uar" not in results


def test_what_is_told_of_it(finished, specs, bare, capsys):
    found = Run(finished).predictions.groupby("utterance", sort=False)
    best = found[SHARES].mean().to_numpy().argmax(1)
    results = json.loads((finished / "results.json").read_text())
    assert list(results["recognised"].values()) == np.bincount(best, minlength=4).tolist()
    alike = [len(set(own["predicted"])) == 1 for _, own in found]
    assert results["agreement"] == np.mean(alike) < 1
    assert len(results["calibration"]["temperatures"]) == 2
    main(["evaluate", str(finished)])
    said = capsys.readouterr().out
    assert "no utterance of the target has a label" in said
    assert "all 2 seeds agree" in said and "networks" not in said
    recognised = cleser.load_model(finished).predict(corpora=[bare])
    assert recognised["emotion"].tolist() == [SHARES[k].removeprefix("p_") for k in best]


def test_seeds_that_cannot_differ_are_not_said_to_agree(specs, bare, tmp_path, capsys):
    results = run("probe", specs, bare, tmp_path / "probe", seeds=2)
    assert results["agreement"] is None
    main(["evaluate", str(tmp_path / "probe")])
    assert "agree" not in capsys.readouterr().out


def test_the_command_names_the_next_one(specs, bare, tmp_path, capsys):
    out = tmp_path / "my run"
    flags = ["--source", specs[0], "--target", bare, "--seeds", "1", "--out", str(out)]
    main(["run", "probe", *flags])
    (line,) = [s for s in capsys.readouterr().out.splitlines() if s.startswith("now: ")]
    listed = ["--corpus", bare, "--csv", "emotions.csv"]
    assert shlex.split(line) == ["now:", "cleser", "predict", str(out), *listed]
    assert not (out / "report.html").exists()


def test_what_needs_scores_says_why_there_are_none(finished, specs, bare, tmp_path):
    for work in (
        lambda: report([finished], tmp_path / "page.html"),
        lambda: table([finished]),
        lambda: compare_runs(finished, finished),
    ):
        with pytest.raises(ValueError, match=r"no scores.*no utterance of its target has a label"):
            work()
    for work in (
        lambda: evaluate(finished, (bare,)),
        lambda: measure_robustness(finished, quick=True),
    ):
        with pytest.raises(ValueError, match="has no labels, so that nothing can be tested"):
            work()
    # Once there are labels, it can be tested.
    assert "uar" in evaluate(finished, (specs[1],), out=tmp_path / "labelled")


def test_what_was_adapted_to_stays_so_when_it_gets_labels(specs, bare, tmp_path, capsys):
    run("sapa", specs, bare, tmp_path / "sapa")
    before = json.loads((tmp_path / "sapa" / "protocol.json").read_text())
    # Of the labelled table a few rows alone, and a corpus that the run has never heard.
    path = Path(specs[1].removeprefix("manifest:"))
    rows = pd.read_csv(path).groupby("emotion").head(3)
    rows.assign(path=[path.parent / name for name in rows["path"]]).to_csv(tmp_path / "some.csv")
    other = write_corpus(tmp_path / "d", "d", speakers=3, seed=4)
    evaluate(tmp_path / "sapa", (f"manifest:{tmp_path / 'some.csv'}",), out=tmp_path / "again")
    said = f"adapted: {len(rows)} of {len(rows)} tested utterances are recordings of the run's own"
    assert said in capsys.readouterr().err.replace("\n", " ")
    evaluate(tmp_path / "sapa", (other,), out=tmp_path / "fresh")
    assert "adapted:" not in capsys.readouterr().err
    again, fresh = (
        json.loads((tmp_path / name / "protocol.json").read_text()) for name in ("again", "fresh")
    )
    assert before["adapts_to_tested"] and again["adapts_to_tested"]
    assert again["uses"]["training"] and again["uses"]["prior"] == before["uses"]["prior"]
    assert any(note.startswith("adapted:") for note in again["notes"])
    assert not fresh["adapts_to_tested"] and not fresh["uses"]["training"]
    # Where the run's own target is gone, nobody can tell.
    path.with_name("bare.csv").rename(tmp_path / "gone.csv")
    try:
        evaluate(tmp_path / "sapa", (other,), out=tmp_path / "unknown")
    finally:
        (tmp_path / "gone.csv").rename(path.with_name("bare.csv"))
    assert "adapted: whether the run has adapted" in capsys.readouterr().err.replace("\n", " ")


def test_a_test_on_further_corpora_says_where_its_results_lie(finished, specs, capsys):
    assert main(["evaluate", str(finished), "--on", specs[1]]) == 0
    place = finished / "on-manifest-manifest"
    assert (place / "results.json").exists()
    assert f"results: {place}\n" in capsys.readouterr().out


def test_an_exported_model_claims_no_result(finished, tmp_path):
    card = (export(finished, tmp_path / "exported") / "README.md").read_text()
    assert "nothing is known of how well it is recognised" in card
    assert "model-index" not in card
    assert "UAR" not in card


def test_a_bench_leaves_it_out_and_says_so(specs, bare, tmp_path, capsys):
    matrix = Matrix((Direction(("a",), ("b",)), Direction(("a",), ("c",))), ("probe",), seeds=1)
    corpora = {"a": specs[0], "b": bare, "c": specs[2]}
    for _ in range(2):  # and again, when all is finished
        found = run_matrix(matrix, corpora, tmp_path / "bench")
        assert found["direction"].tolist() == ["a-to-c"]
        assert "no scores" in capsys.readouterr().err.replace("\n", " ")
    assert main(["report", str(tmp_path / "bench")]) == 0
    said = capsys.readouterr().out.replace("\n", "")
    assert "left out, since their targets have no labels" in said
    assert "a-to-b/probe" in said


def test_terms_that_need_labels_are_refused(specs, bare, tmp_path):
    for name, terms in (
        ("target_access", {"target_access": "labels"}),
        ("adapt", {"adapt": "disjoint"}),
        ("split", {"split": "kfold:2"}),
    ):
        with pytest.raises(ValueError, match=rf"{name} is .*needs emotions of the target"):
            Protocol([specs[0]], [bare], **terms).load()
    with pytest.raises(ValueError, match=r"in all of them or in none"):
        Protocol([specs[0]], [bare, specs[2]]).load()
    with pytest.raises(ValueError, match=r"task 'both' needs them.* takes the task 'emotion'"):
        Protocol([specs[0]], [bare], task="both").load()
    with pytest.raises(ValueError, match=r"no utterance has an emotion.*can be a target"):
        Protocol([bare], [specs[2]]).load()
