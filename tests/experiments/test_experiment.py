"""From protocol to results: what a run folder holds, interruption and resume, and refusals."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml
from safetensors.torch import load_file

import cleser
from cleser.alignment import read_alignment
from cleser.cli import main
from cleser.corpora.audit import LeakageError
from cleser.corpora.protocol import Protocol
from cleser.evaluation import Run, fit_temperatures, report
from cleser.evaluation.many_runs import frame
from cleser.evaluation.terms import in_words, uses_of
from cleser.experiments import neural
from cleser.experiments.data import Data
from cleser.experiments.experiment import Experiment
from cleser.experiments.prediction.evaluate import evaluate
from cleser.experiments.run_folder import RunFolderError, holds_finished
from cleser.experiments.saved import open_run
from cleser.models import ModelConfig
from cleser.recipes import ERM, METHODS, ERMConfig
from cleser.recipes.classical import Classical
from cleser.recipes.probe import Probe
from cleser.settings import as_yaml, from_plain, to_plain
from cleser.speech import Alignment, load_backbone, write_textgrid
from cleser.training.loop import TrainingConfig
from cleser.training.recognition import predict
from tests.corpora.trees import write_corpus
from tests.speech.tiny_models import save_tiny

QUICK = ERMConfig(
    ModelConfig(dim=16, token_view=True, input_dropout=0.0, dropout=0.1),
    TrainingConfig(epochs=6, batch_size=8, learning_rate=5e-3),
)


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora")
    return (
        write_corpus(root / "a", "a", language="de", speakers=6, takes=3),
        write_corpus(root / "b", "b", speakers=4, takes=2, seed=1),
        write_corpus(root / "c", "c", language="fr", speakers=3, seed=2),
    )


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def run(name, protocol, out, config=None, seeds=2, **settings):
    config = config or (QUICK if name == "erm" else METHODS[name].config())
    experiment = Experiment(name, to_plain(config), protocol, seeds, out, **settings)
    return METHODS[name].run(experiment, config, load_backbone("acoustic"))


@pytest.fixture(scope="module")
def finished(specs, tmp_path_factory):
    os.environ["CLESER_CACHE"] = str(tmp_path_factory.getbasetemp() / "cache")
    out = tmp_path_factory.mktemp("runs") / "a-b"
    run("erm", Protocol([specs[0]], [specs[1]]), out)
    return out


def test_a_folder_whose_prior_was_kept_as_it_was_given_is_the_same_run(tmp_path):
    """Older versions wrote 7 and 3 where .7 and .3 are meant."""
    protocol = Protocol(
        ["a:b"], ["c:d"], labels=("anger", "sadness"), prior={"anger": 7, "sadness": 3}
    )
    settings = Experiment("erm", to_plain(QUICK), protocol, 1, tmp_path).settings()
    written = {
        **settings,
        "protocol": {**settings["protocol"], "prior": {"anger": 7, "sadness": 3}},
    }
    (tmp_path / "config.yaml").write_text(as_yaml(written))
    assert not holds_finished(tmp_path, settings)
    written["protocol"]["prior"] = {"anger": 3, "sadness": 7}
    (tmp_path / "config.yaml").write_text(as_yaml(written))
    with pytest.raises(RunFolderError, match=r"other settings \(protocol.prior.anger is 0.3 there"):
        holds_finished(tmp_path, settings)


def test_another_spelling_of_the_same_places_is_the_same_run(tmp_path, monkeypatch):
    for name in ("corp", "phones", "model"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("corp")
    (tmp_path / "corp" / "a b.csv").touch()

    def settings(source, target, phones, model):
        protocol = Protocol([source, "synthetic:en"], [target], auxiliary=[source])
        return Experiment(
            "erm", to_plain(QUICK), protocol, 1, tmp_path, backbone=model, alignments=phones
        ).settings()

    folder = tmp_path
    whole = (
        f"emodb:{folder}/corp",
        f"manifest:{folder}/corp/a b.csv?language=en",
        f"{folder}/phones",
        f"acoustic+{folder}/model,layers=0",
    )
    here = "emodb:link", "manifest:./corp/a b.csv?language=en", "phones/", "acoustic+model,layers=0"
    (tmp_path / "config.yaml").write_text(as_yaml(settings(*whole)))
    monkeypatch.chdir(tmp_path)
    assert not holds_finished(tmp_path, settings(*here))
    for i, other in enumerate(
        ("emodb:phones", "manifest:corp/a b.csv?language=de", "corp", "acoustic+corp,layers=0")
    ):
        with pytest.raises(RunFolderError, match="other settings"):
            holds_finished(tmp_path, settings(*here[:i], other, *here[i + 1 :]))


@pytest.mark.parametrize(
    ("seeds", "config", "hinted"), [(5, {}, True), (2, {}, False), (5, {"dropout": 0.9}, False)]
)
def test_who_wants_more_seeds_is_told_how(seeds, config, hinted, tmp_path):
    protocol = Protocol(["a:b"], ["c:d"])
    first = Experiment("erm", to_plain(QUICK), protocol, 3, tmp_path).settings()
    (tmp_path / "config.yaml").write_text(as_yaml(first))
    with pytest.raises(RunFolderError, match="seeds is 3 there") as refused:
        holds_finished(tmp_path, {**first, "seeds": seeds, "config": {**first["config"], **config}})
    hint = "In a new folder, the first 3 seeds give the same numbers again"
    assert (hint in str(refused.value)) == hinted


def test_the_run_folder_is_complete(finished):
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "config.yaml",
        "protocol.json",
        "metrics.jsonl",
        "predictions.parquet",
        "development.parquet",
        "embeddings.safetensors",
        "source.parquet",
        "model.safetensors",
        "results.json",
    }
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [(line["seed"], line["epoch"]) for line in lines] == [
        (s, e) for s in (0, 1) for e in range(6)
    ]
    predictions = pd.read_parquet(finished / "predictions.parquet")
    assert len(predictions) == 2 * 32
    shares = predictions.filter(like="p_").sum(axis=1)
    assert shares.between(0.999, 1.001).all()
    embeddings = load_file(finished / "embeddings.safetensors")
    assert embeddings["embeddings"].shape == (32, 16)
    protocol = json.loads((finished / "protocol.json").read_text())
    results = json.loads((finished / "results.json").read_text())
    assert results["protocol"] == protocol["hash"]
    assert len(results["uar"]["seeds"]) == 2


def test_temperatures_are_fitted_to_the_sources_development_speakers(finished):
    results = json.loads((finished / "results.json").read_text())
    development = pd.read_parquet(finished / "development.parquet")
    source = pd.read_parquet(finished / "source.parquet")
    tested = pd.read_parquet(finished / "predictions.parquet")
    assert set(development["corpus"]) == set(source["corpus"])
    assert not set(development["corpus"]) & set(tested["corpus"])
    first = development[development["seed"] == 0]
    assert not set(first["speaker"]) & set(source["speaker"])  # seed 0 has learned from those
    found = results["calibration"]["temperatures"]
    assert found == fit_temperatures(development, results["confusion"]["classes"])
    assert [row["seed"] for row in found] == [0, 1]


def test_what_is_easy_is_learned(finished):
    """Pitch and level tell the emotion in these tones, whoever makes them."""
    results = json.loads((finished / "results.json").read_text())
    assert results["uar"]["mean"] > 0.6


def test_running_again_does_nothing(finished, specs):
    before = (finished / "predictions.parquet").stat().st_mtime_ns
    results = run("erm", Protocol([specs[0]], [specs[1]]), finished)
    assert (finished / "predictions.parquet").stat().st_mtime_ns == before
    assert results == json.loads((finished / "results.json").read_text())


def test_the_same_command_gives_the_same_numbers(finished, specs, tmp_path):
    run("erm", Protocol([specs[0]], [specs[1]]), tmp_path / "again")
    for name in ("results.json", "metrics.jsonl", "protocol.json", "config.yaml"):
        assert (tmp_path / "again" / name).read_text() == (finished / name).read_text()
    one, other = (load_file(f / "model.safetensors") for f in (finished, tmp_path / "again"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_under_a_recipes_old_name_is_the_same_run(finished, specs, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(finished, old)
    for name in ("config.yaml", "results.json"):
        text = (old / name).read_text()
        (old / name).write_text(
            text.replace("recipe: erm", "recipe: baseline").replace('"erm"', '"baseline"')
        )
        assert "baseline" in (old / name).read_text()
    assert open_run(old).settings == open_run(finished).settings
    assert Run(old).results == Run(finished).results
    assert run("erm", Protocol([specs[0]], [specs[1]]), old) == Run(finished).results  # as it is


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 8])
def test_killed_and_resumed_equals_uninterrupted(finished, specs, tmp_path, epochs):
    """SIGKILL leaves no time to tidy up: after that many epochs, in the first or the second seed."""
    out = tmp_path / "killed"
    script = f"""
import os
from tests.experiments.test_experiment import *
from cleser.experiments import run_folder

write = run_folder.write_text

def killed(path, text):
    write(path, text)
    if path.name == "metrics.jsonl" and len(text.splitlines()) == {epochs}:
        os.kill(os.getpid(), signal.SIGKILL)

run_folder.write_text = killed
run("erm", Protocol([{specs[0]!r}], [{specs[1]!r}]), __import__("pathlib").Path({str(out)!r}))
"""
    process = subprocess.run(
        [sys.executable, "-c", script], stderr=subprocess.DEVNULL, timeout=600, check=False
    )
    assert process.returncode == -signal.SIGKILL
    assert not (out / "results.json").exists()
    run("erm", Protocol([specs[0]], [specs[1]]), out)
    for name in ("results.json", "metrics.jsonl"):
        assert (out / name).read_text() == (finished / name).read_text()


def test_another_run_is_not_overwritten(finished, specs, tmp_path):
    with pytest.raises(
        RunFolderError, match=r"other settings \(protocol\.source is \['manifest:.* there and"
    ):
        run("erm", Protocol([specs[2]], [specs[1]]), finished)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="is not empty and holds no run"):
        run("erm", Protocol([specs[0]], [specs[1]]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_run_whose_corpora_changed_is_neither_continued_nor_taken_for_finished(specs, tmp_path):
    table = Path(write_corpus(tmp_path / "m", "m", speakers=5).removeprefix("manifest:"))
    protocol, out = Protocol([f"manifest:{table}"], [specs[1]]), tmp_path / "run"
    run("classical", protocol, out, seeds=1)
    before = (out / "protocol.json").read_bytes()
    rows = pd.read_csv(table)
    swapped = rows.replace({"emotion": {"anger": "sadness", "sadness": "anger"}})
    fewer, told = rows[rows["speaker"] != "s0"], rows.assign(text="kids are talking")
    for changed, said in (
        (swapped, r"as many utterances, but other labels"),
        (fewer, r"source 20 utterances then and 16 now"),
        (told, r"as many utterances"),
    ):
        changed.to_csv(table, index=False)
        for results in (True, False):  # finished or not
            if not results:
                (out / "results.json").rename(tmp_path / "kept")
            with pytest.raises(RunFolderError, match=rf"before its corpora changed \({said}"):
                run("classical", protocol, out, seeds=1)
            if not results:
                (tmp_path / "kept").rename(out / "results.json")
        assert (out / "protocol.json").read_bytes() == before
    rows.sample(frac=1, random_state=0).to_csv(table, index=False)  # in another order, the same
    assert run("classical", protocol, out, seeds=1) == Run(out).results


def test_a_run_of_an_older_version_goes_on_where_what_it_lacks_is_what_it_did(tmp_path):
    """Fields that were added since count as what was done before them; a removed one, and any other value, is named."""
    protocol, config = Protocol(["a:1"], ["b:2"]), METHODS["probe"].config()
    experiment = Experiment("probe", to_plain(config), protocol, 2, tmp_path)

    def found(**changes):
        """Whether the run is recognised in a folder whose settings lack some fields and have others."""
        plain = experiment.settings()
        plain["config"] = {**plain["config"], **changes}
        for lacking in ("fold", "task", "attributes", "shared_speakers"):
            del plain["protocol"][lacking]
        del plain["config"]["most"]
        plain["config"] = {k: v for k, v in plain["config"].items() if v != "lacking"}
        (tmp_path / "config.yaml").write_text(as_yaml(plain))
        return experiment.finished()

    assert not found()  # the run, not yet with results
    (tmp_path / "results.json").write_text("{}")
    assert found()
    with pytest.raises(RunFolderError, match=r"\(config\.refit is False there and True here\)"):
        found(refit="lacking")  # earlier probes did not learn anew from all speakers
    with pytest.raises(RunFolderError, match=r"\(config\.c is 7\.0 there and not here\)"):
        found(c=7.0)
    with pytest.raises(RunFolderError, match=r"\(config\.penalty is 0\.5 there and 0\.0003 here\)"):
        found(penalty=0.5)


def test_leakage_stops_a_run_before_any_work(specs, tmp_path):
    with pytest.raises(LeakageError):
        run("erm", Protocol([specs[0]], [specs[0]]), tmp_path / "leak")
    assert not (tmp_path / "leak").exists()


def test_a_run_is_tried_on_another_corpus(finished, specs):
    results = evaluate(finished, (specs[2],), out=finished.parent / "on-c")
    assert results["n_utterances"] == 12
    assert len(results["uar"]["seeds"]) == 2
    own = json.loads((finished / "results.json").read_text())
    assert results["protocol"] != own["protocol"]
    assert results["calibration"]["temperatures"] == own["calibration"]["temperatures"]


def test_evaluating_on_the_target_repeats_the_run(finished, specs):
    evaluate(finished, (specs[1],), out=finished.parent / "on-b")
    one, other = (
        pd.read_parquet(f / "predictions.parquet") for f in (finished, finished.parent / "on-b")
    )
    pd.testing.assert_frame_equal(one, other, check_exact=False, atol=1e-5)


def test_evaluating_with_alignments_repeats_a_run_with_them(specs, tmp_path):
    protocol = Protocol([specs[0]], [specs[1]])
    folder = tmp_path / "alignments"
    for rows in (protocol.load().source, protocol.load().target):
        for number, (name, path) in enumerate(zip(rows["utterance"], rows["path"], strict=True)):
            end = soundfile.info(path).duration + 0.09  # no frame is left over
            phones = Alignment([0.0, 0.1], [0.1, end], "ai" if number % 2 else "ia")
            write_textgrid(folder / f"{name}.TextGrid", phones)
    run("erm", protocol, tmp_path / "run", seeds=1, alignments=str(folder))
    again = evaluate(tmp_path / "run", (specs[1],), alignments=str(folder), out=tmp_path / "again")
    evaluate(tmp_path / "run", (specs[1],), out=tmp_path / "without")
    one, same, other = (
        pd.read_parquet(tmp_path / name / "predictions.parquet")
        for name in ("run", "again", "without")
    )
    pd.testing.assert_frame_equal(one, same, check_exact=False, atol=1e-5)
    assert again["n_utterances"] == len(one)
    with pytest.raises(AssertionError):
        pd.testing.assert_frame_equal(one, other, check_exact=False, atol=1e-3)
    # Which alignments were used is among the terms; those that play no part are not.
    for path in folder.rglob("s0-*.TextGrid"):
        write_textgrid(path, replace(read_alignment(path), uniform=True))
    run("erm", protocol, tmp_path / "mixed", seeds=1, alignments=str(folder))
    own, again, mixed = (Run(tmp_path / name).protocol for name in ("run", "again", "mixed"))
    assert own["uses"] == again["uses"]
    assert own["cast"] == mixed["cast"] and own["hash"] != mixed["hash"]
    said = "phones of 24 and uniform segments of 8 of 32 utterances, "
    assert in_words(mixed)["Alignments"].startswith(said)
    assert list(frame([tmp_path / "run", tmp_path / "mixed"]))[1].startswith(
        f"a → b: alignments with {said}"
    )
    plain = replace(protocol, lexical_normalisation=False)
    for name, given in (("unused", str(folder)), ("none", None)):
        run("classical", plain, tmp_path / name, seeds=1, alignments=given)
    assert Run(tmp_path / "unused").protocol["hash"] == Run(tmp_path / "none").protocol["hash"]


def test_a_wrong_folder_of_alignments_begins_no_run(specs, tmp_path, finished):
    wrong = str(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no such folder of alignments"):
        run("erm", Protocol([specs[0]], [specs[1]]), tmp_path / "run", alignments=wrong)
    with pytest.raises(ValueError, match="no such folder of alignments"):
        evaluate(finished, (specs[1],), alignments=wrong, out=tmp_path / "again")
    assert not list(tmp_path.iterdir())


def test_a_run_that_fails_on_its_inputs_leaves_no_folder(specs, tmp_path, finished):
    """Mended inputs change the settings, which a folder left behind would refuse."""
    out = tmp_path / "run"
    fine = Protocol([specs[0]], [specs[1]])
    mute = write_corpus(tmp_path / "mute", "mute", speakers=2)
    for path in (tmp_path / "mute").glob("*.wav"):
        path.write_bytes(b"RIFF")

    def aligned(folder, names):
        for name in names:
            phones = Alignment([0.0, 0.1], [0.1, 0.3], "ai")
            write_textgrid(tmp_path / folder / f"{name}.TextGrid", phones)
        return str(tmp_path / folder)

    names = fine.load().source["utterance"]
    of_others = aligned("others", ["x/y"])
    of_source = aligned("source", names[names.str.endswith("-2")])  # takes that the target lacks
    unseen = replace(fine, target_access="nothing", normalisation="corpus")
    wrong = [
        (Protocol([specs[0]], [f"manifest:{tmp_path}/none.csv"]), None, "no such file"),
        (Protocol([mute], [specs[1]]), None, "source: none of 8 recordings can be used"),
        (Protocol([specs[0]], [mute]), None, "target: none of 8 recordings can be used"),
        (fine, of_others, "none of 72 utterances has an alignment"),
        (fine, of_source, "none of 32 utterances has an alignment"),
        (unseen, of_source, "none of 32 utterances has an alignment"),
    ]
    for protocol, alignments, message in wrong:
        for name in ("erm", "classical"):
            with pytest.raises(ValueError, match=message):
                run(name, protocol, out, seeds=1, alignments=alignments)
            assert not out.exists()
    with pytest.raises(ValueError, match="none of 8 recordings can be used"):
        evaluate(finished, (mute,), out=out)
    assert not out.exists()
    run("erm", fine, out, seeds=1)
    assert (out / "results.json").exists()


def test_a_recipe_that_lacks_phones_leaves_no_folder(specs, tmp_path):
    out, protocol = tmp_path / "run", Protocol([specs[0]], [specs[1]])
    vowels = METHODS["layer-anchoring"].config(units="vowel", model=QUICK.model)
    with pytest.raises(ValueError, match="needs to know the phones"):
        run("layer-anchoring", protocol, out, vowels, seeds=1)
    assert not out.exists()


def test_what_was_learned_outlives_a_failure(specs, tmp_path, monkeypatch):
    """A run that fails later keeps its epochs, for the same command to go on from."""
    out, protocol = tmp_path / "run", Protocol([specs[0]], [specs[1]])
    real = neural.train

    def failing(*args, **kwargs):
        if kwargs["seed"] == 1:
            raise ValueError("the second seed fails")
        return real(*args, **kwargs)

    monkeypatch.setattr(neural, "train", failing)
    with pytest.raises(ValueError, match="the second seed fails"):
        run("erm", protocol, out)
    assert {"config.yaml", "metrics.jsonl", "checkpoints"} <= {path.name for path in out.iterdir()}


def test_evaluating_on_the_source_is_refused(finished, specs):
    with pytest.raises(LeakageError):
        evaluate(finished, (specs[0],), out=finished.parent / "on-a")


@pytest.mark.parametrize("given", ["m", "../here/m,layers=upper", "acoustic+./m,layers=0+1"])
def test_a_folder_of_a_backbone_is_found_from_anywhere(given, specs, tmp_path, monkeypatch):
    """Its whole path is kept; a run that an older version began with another is still the same run."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    save_tiny("wavlm", Path("m"))
    config, out = METHODS["probe"].config(), tmp_path / "run"
    experiment = Experiment(
        "probe", to_plain(config), Protocol([specs[0]], [specs[1]]), 1, out, given
    )
    METHODS["probe"].run(experiment, config, load_backbone(given))
    kept = yaml.safe_load((out / "config.yaml").read_text())
    assert str(tmp_path / "here" / "m") in kept["backbone"] and ".." not in kept["backbone"]
    (out / "config.yaml").write_text(as_yaml({**kept, "backbone": given}))
    assert experiment.finished()
    (out / "config.yaml").write_text(as_yaml(kept))
    assert experiment.finished()
    monkeypatch.chdir(tmp_path)
    assert open_run(out).backbone.n_layers == load_backbone(kept["backbone"]).n_layers


@pytest.mark.parametrize("normalisation", ["corpus", "utterance"])
def test_an_unseen_target_is_not_opened_before_the_test(
    specs, tmp_path, monkeypatch, normalisation
):
    """Its recordings are read neither for statistics nor for anything else before training is over."""
    from cleser.experiments import data, experiment, neural

    opened = []
    load = data.load_dataset
    monkeypatch.setattr(experiment, "audit", lambda cast, **_: _Nothing())
    monkeypatch.setattr(
        data, "load_dataset", lambda *a, **k: (opened.append(k["title"]), load(*a, **k))[1]
    )
    trained = neural.train

    def watched(*args, **kwargs):
        assert opened == ["source"]
        return trained(*args, **kwargs)

    monkeypatch.setattr(neural, "train", watched)
    protocol = Protocol(
        [specs[0]], [specs[1]], normalisation=normalisation, target_access="nothing"
    )
    assert not protocol.transductive
    run("erm", protocol, tmp_path / "run", replace(QUICK, match_prior=True), seeds=1)
    assert opened == ["source", "target"]


@pytest.mark.parametrize("name", METHODS)
def test_under_a_sealed_target_a_recipe_runs_or_says_what_it_lacks(name, specs, tmp_path):
    """And is refused before any work."""
    protocol = Protocol([specs[0]], [specs[1]], [specs[2]], target_access="nothing")
    config = METHODS[name].config()
    if hasattr(config, "training"):
        config = replace(config, training=replace(QUICK.training, epochs=2))
    refused = [config] if name in ("coral", "dann", "sapa", "layer-anchoring") else []
    if name == "probe":
        refused = [replace(config, rounds=1), replace(config, recolour=True)]
    nowhere = replace(protocol, source=("manifest:missing.csv",))  # nobody gets to look for it
    for settings in refused:
        with pytest.raises(
            ValueError, match=r"target_access 'nothing': give --target-access audio"
        ):
            run(name, nowhere, tmp_path / "run", settings)
        assert not (tmp_path / "run").exists()
    if config not in refused:
        run(name, protocol, tmp_path / "run", config, seeds=1)
        assert uses_of(Run(tmp_path / "run").protocol) == []


@pytest.mark.parametrize("name", ["erm", "probe"])
def test_a_prior_that_nothing_can_be_matched_on_is_said(name, specs, tmp_path):
    protocol = Protocol([specs[0]], [specs[1]], target_access="nothing")
    plain = METHODS[name].config() if name == "probe" else QUICK
    for config in (plain, replace(plain, match_prior=True)):
        run(name, protocol, tmp_path / str(config.match_prior), config, seeds=1)
    one, other = Run(tmp_path / "True"), Run(tmp_path / "False")
    pd.testing.assert_frame_equal(one.predictions, other.predictions)
    assert uses_of(one.protocol) == []
    assert any(note.startswith("prior: not matched") for note in one.protocol["notes"])


def test_a_leak_that_only_an_unsealed_target_shows_leaves_no_folder(specs, tmp_path):
    """A recording of the source under another name is in the target, which nobody may open before the test."""
    copied = tmp_path / "copied"
    target = write_corpus(copied, "copied", speakers=2, seed=5)
    shutil.copy(
        Path(specs[0].removeprefix("manifest:")).parent / "s0-anger-0.wav",
        copied / "s1-anger-0.wav",
    )
    protocol = Protocol([specs[0]], [target], normalisation="corpus", target_access="nothing")
    with pytest.raises(LeakageError):
        run("erm", protocol, tmp_path / "run", seeds=1)
    assert not (tmp_path / "run").exists()


class _Nothing:
    notes: list[str] = []  # noqa: RUF012


def test_the_classical_row(specs, tmp_path):
    results = run("classical", Protocol([specs[0]], [specs[1]]), tmp_path / "svm")
    assert results["uar"]["mean"] > 0.6


def test_a_probe_learns_from_those_held_out_once_they_are_recognised(specs, tmp_path):
    """What is said of development speakers is of a map that had not seen them; the target gets one that has."""
    protocol, config = Protocol([specs[0]], [specs[1]]), METHODS["probe"].config()
    run("probe", protocol, tmp_path / "whole", config)
    run("probe", protocol, tmp_path / "held", replace(config, refit=False))
    whole, held = Run(tmp_path / "whole"), Run(tmp_path / "held")
    pd.testing.assert_frame_equal(whole.development, held.development)
    columns = [f"p_{name}" for name in protocol.labels]

    def seeds(run):
        return [table[columns].to_numpy() for _, table in run.predictions.groupby("seed")]

    assert np.array_equal(*seeds(whole))  # all source speakers, whoever was held out before
    assert not np.array_equal(*seeds(held))
    data = Data(protocol.load(), load_backbone("acoustic"), auxiliary=False, tokens=False)
    prior = torch.tensor(data.prior, dtype=torch.float64)
    peer = Probe.fit(config, data.seen, None, prior)
    np.testing.assert_allclose(seeds(whole)[0], peer.predict(data.target)[0], atol=1e-5)


def test_broken_recordings_are_counted_and_left_out(specs, tmp_path):
    spec = write_corpus(tmp_path / "d", "d", speakers=4, seed=3)
    (tmp_path / "d" / "s0-anger-0.wav").write_bytes(b"RIFF")
    results = run("classical", Protocol([specs[0]], [spec]), tmp_path / "run", seeds=1)
    assert results["n_utterances"] == 15
    assert any("s0-anger-0.wav" in problem["path"] for problem in results["left_out"])


def _broken(folder, pattern, *, gone):
    """Damage these recordings, or take them away."""
    for path in folder.glob(pattern):
        if gone:
            path.unlink()
        else:
            path.write_bytes(b"RIFF")


def test_why_recordings_are_left_out_is_said_before_training_and_what_is_lost(
    specs, tmp_path, capsys
):
    damaged = write_corpus(tmp_path / "d", "d", speakers=4, seed=3)
    _broken(tmp_path / "d", "*-sadness-*", gone=False)
    missing = write_corpus(tmp_path / "e", "e", speakers=4, seed=4)
    _broken(tmp_path / "e", "*-anger-*", gone=True)
    run("classical", Protocol([damaged, missing], [specs[1]]), tmp_path / "run", seeds=1)
    said = capsys.readouterr().err
    absent = "4 recordings left out: is missing, as " + str(tmp_path / "e" / "s0-anger-0.wav")
    assert said.count(absent) == 1
    assert "4 recordings left out: cannot be read (Format not recognised), as " in said
    without = "warning: of e no anger is learned, and 4 recordings of it could not be used"
    unheard = "warning: of d no sadness is learned, since none of these recordings can be used"
    notes = Run(tmp_path / "run").protocol["notes"]
    for one in (without, unheard):
        assert one in said
        assert any(note.startswith(one) for note in notes)


def test_a_class_of_which_nothing_can_be_used_stops_the_run_with_the_reasons(specs, tmp_path):
    damaged = write_corpus(tmp_path / "d", "d", speakers=4, seed=3)
    _broken(tmp_path / "d", "*-sadness-*", gone=False)
    missing = write_corpus(tmp_path / "e", "e", speakers=4, seed=4)
    _broken(tmp_path / "e", "*-anger-*", gone=True)
    for spec, lost, why in (
        (damaged, "usable recording of ['sadness']", "cannot be read"),
        (missing, "utterance of ['anger']", "is missing"),
    ):
        words = rf"holds no {re.escape(lost)}.*; 4 recordings left out: {why}.*, as /"
        with pytest.raises(ValueError, match=words):
            run("classical", Protocol([spec], [specs[1]]), tmp_path / "run", seeds=1)
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("known", ["all", "some", "none"])
def test_a_target_without_speakers_is_said_to_be_taken_for_one_of_the_sources_shares(
    known, specs, tmp_path
):
    spec = write_corpus(tmp_path / "d", "d", speakers=4, seed=3)
    path = Path(spec.removeprefix("manifest:"))
    rows = pd.read_csv(path)
    rows.loc[: {"all": -1, "some": 3, "none": len(rows)}[known], "speaker"] = None
    rows.to_csv(path, index=False)
    run("classical", Protocol([specs[0]], [spec]), tmp_path / "run", seeds=1)
    notes = Run(tmp_path / "run").protocol["notes"]
    said = "takes its class shares to be like the source's"
    assert any(said in note for note in notes) == (known == "none")


def test_an_oracle_learns_from_the_target_and_tests_on_others(specs, tmp_path):
    protocol = Protocol([specs[0]], [specs[1]], target_access="labels")
    run("erm", protocol, tmp_path / "oracle", seeds=1)
    tested = pd.read_parquet(tmp_path / "oracle" / "predictions.parquet")
    learned = pd.read_parquet(tmp_path / "oracle" / "source.parquet")
    assert tested["speaker"].nunique() == 2
    assert not set(tested["speaker"]) & set(learned["speaker"])


def test_settings_survive_yaml():
    config = ERMConfig(ModelConfig(dim=7), TrainingConfig(epochs=3))
    assert from_plain(ERMConfig, yaml.safe_load(yaml.safe_dump(to_plain(config)))) == config
    with pytest.raises(ValueError, match=r"unknown settings \['depht'\] in ERMConfig: model"):
        from_plain(ERMConfig, {"model": {"depht": 2}})


def test_members_are_averaged_kept_and_resumed(finished, specs, tmp_path, monkeypatch):
    voting = replace(QUICK, training=replace(QUICK.training, members=2))
    protocol = Protocol([specs[0]], [specs[1]])
    begun, real = [], neural.train

    def interrupted(*args, **kwargs):
        begun.append(kwargs["seed"])
        if len(begun) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(neural, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("erm", protocol, tmp_path / "voting", voting)
    run("erm", protocol, tmp_path / "voting", voting)
    monkeypatch.undo()
    run("erm", protocol, tmp_path / "calm", voting)
    for name in ("results.json", "metrics.jsonl"):
        assert (tmp_path / "voting" / name).read_text() == (tmp_path / "calm" / name).read_text()
    alone, kept = (load_file(f / "model.safetensors") for f in (finished, tmp_path / "voting"))
    # The first member is the network that the seed trains by itself.
    for name, tensor in alone.items():
        seed, _, own = name.partition(".")
        assert torch.equal(
            kept[name if seed in ("reference", "one_sided") else f"{seed}.member0.{own}"], tensor
        )
    seeds = open_run(tmp_path / "voting").networks
    assert [len(network.members) for network in seeds] == [2, 2]
    lines = pd.read_json(tmp_path / "voting" / "metrics.jsonl", lines=True)
    assert lines.groupby(["seed", "member"])["epoch"].apply(list).tolist() == [[*range(6)]] * 4
    backbone = load_backbone("acoustic")
    test = Data(protocol.load(), backbone, auxiliary=False).target
    first, second = (predict(member.recipe, test)[0] for member in seeds[0].members)
    assert not torch.allclose(first, second)
    told = pd.read_parquet(tmp_path / "voting" / "predictions.parquet").query("seed == 0")
    shares = torch.tensor(told.filter(like="p_").to_numpy()).float()
    torch.testing.assert_close(((first + second) / 2).softmax(-1), shares, atol=1e-5, rtol=1e-4)


def test_folds_are_runs_of_their_own_and_one_result(specs, tmp_path, monkeypatch):
    out = tmp_path / "cv"
    protocol = Protocol([specs[0]], [specs[0]], split="kfold:3")
    results = run("classical", protocol, out)
    predictions = pd.read_parquet(out / "predictions.parquet")
    corpus = protocol.load().target["utterance"]
    for _, rows in predictions.groupby("seed"):
        assert sorted(rows["utterance"]) == sorted(corpus)  # each once
    parts = [pd.read_parquet(out / "folds" / name / "predictions.parquet") for name in "123"]
    assert len(predictions) == sum(map(len, parts)) == 2 * len(corpus)
    assert results["uar"]["clusters"] == 6
    described = json.loads((out / "protocol.json").read_text())
    assert [fold["test"] for fold in described["folds"]] == [24, 24, 24]
    assert json.loads((out / "folds/2/protocol.json").read_text())["fold"] == "2"
    with pytest.raises(ValueError, match=r"holds 3 folds, each with networks of its own.*folds/1"):
        open_run(out)
    assert open_run(out / "folds/1").protocol.fold == "1"
    page = report([out], out / "report.html").read_text()
    assert "kfold:3, 3 folds of 24 to 24 tested utterances" in page

    (out / "results.json").unlink()  # as if the run had been killed in its last fold
    (out / "folds/3/results.json").unlink()
    fitted = []
    fit = Classical.fit
    monkeypatch.setattr(Classical, "fit", lambda *args: fitted.append(1) or fit(*args))
    assert run("classical", protocol, out) == results
    assert len(fitted) == 2  # the seeds of the third fold alone
    evaluated = evaluate(out / "folds/1", (specs[1],), out=tmp_path / "on-b")
    assert evaluated["n_utterances"] == 32
    settled = {Run(out / "folds" / name).protocol["settled_normalisation"] for name in "123"}
    assert {Run(out).protocol["uses"]["normalisation"]} == settled  # alike in all folds


def test_a_split_that_shares_speakers_says_so_everywhere(specs, tmp_path, capsys):
    rows = pd.read_csv(specs[0].removeprefix("manifest:"))
    split = rows["emotion"].eq("anger") & rows["text"].eq("take 1")
    # Of one speaker a few utterances are tested that sound like none of those learned from.
    split = split & rows["speaker"].eq("s0") | rows["speaker"].isin(["s1", "s2"])
    learned = (rows["speaker"] != "s0") | (rows["emotion"] != "anger")
    rows = rows.assign(split=split.map({True: "test", False: "train"}))[split | learned]
    rows[["path", "split"]].to_csv(tmp_path / "split.csv", index=False)
    protocol = Protocol([specs[0]], [specs[0]], split=str(tmp_path / "split.csv"))
    with pytest.raises(LeakageError, match=r"4 % of the utterances .* --shared-speakers"):
        run("classical", protocol, tmp_path / "refused", seeds=1)
    assert not (tmp_path / "refused").exists()
    out = tmp_path / "shared"
    run("classical", replace(protocol, shared_speakers=True), out, seeds=1)
    said = "4 % of the tested utterances are of speakers who were learned from"
    assert "shared speakers: 1 of 3 tested speakers" in capsys.readouterr().err
    assert said in report([out], out / "report.html").read_text()
    assert said in " ".join(uses_of(json.loads((out / "protocol.json").read_text())))


def test_a_run_without_folds_does_not_mind_that_it_knew_of_none(finished, specs):
    settings = yaml.safe_load((finished / "config.yaml").read_text())
    older = {k: v for k, v in settings["protocol"].items() if k not in ("fold", "shared_speakers")}
    experiment = Experiment("erm", to_plain(QUICK), Protocol([specs[0]], [specs[1]]), 2, finished)
    text = (finished / "config.yaml").read_text()
    (finished / "config.yaml").write_text(yaml.safe_dump({**settings, "protocol": older}))
    try:
        assert experiment.finished()
    finally:
        (finished / "config.yaml").write_text(text)


def test_folds_by_the_command_line_and_again_by_the_saved_settings(specs, tmp_path, capsys):
    flags = ["--split", "kfold:2", "--fold", "2", "--shared-speakers", "--seeds", "1"]
    direction = ["--source", specs[0], "--target", specs[0]]
    assert main(["run", "classical", *direction, *flags, "--out", str(tmp_path / "a")]) == 0
    saved = ["--config", str(tmp_path / "a/config.yaml"), "--out", str(tmp_path / "b")]
    assert main(["run", "classical", *saved]) == 0
    one, two = (json.loads((tmp_path / f"{name}/results.json").read_text()) for name in "ab")
    assert one == two
    protocol = json.loads((tmp_path / "a/protocol.json").read_text())
    assert (protocol["split"], protocol["fold"], protocol["shared_speakers"]) == (
        *("kfold:2", "2"),
        True,
    )
    assert one["n_utterances"] == 36
    capsys.readouterr()


@pytest.mark.parametrize("name", ["erm", "coral", "sapa", "layer-anchoring", "classical"])
def test_only_what_uses_tokens_reads_them(name, specs, tmp_path, monkeypatch):
    """Without the network's view of them, tokens are read for phones and vowels alone, and never change a summary."""
    kept, asked = [], Data.__init__

    def noted(self, *arguments, **settings):
        asked(self, *arguments, **settings)
        kept.append(self)

    monkeypatch.setattr(Data, "__init__", noted)
    config = METHODS[name].config()
    if name != "classical":
        model = replace(QUICK.model, token_view=name == "sapa")
        config = replace(config, model=model, training=replace(config.training, epochs=2))
    run(name, Protocol([specs[0]], [specs[1]]), tmp_path / "run", config, seeds=1)
    (data,) = kept
    needs = name == "sapa"
    assert data.record.tokens == ("phone" if needs else "none")
    batch = data.seen.batch([0, 1])
    assert (len(batch.tokens) > 0) == needs
    full = Data(data.cast, load_backbone("acoustic"), auxiliary=False).seen
    assert len(full.batch([0, 1]).tokens) > 0
    torch.testing.assert_close(full.summaries(), data.seen.summaries(), atol=1e-3, rtol=1e-3)
    found = cleser.load_model(tmp_path / "run").predict(corpora=[specs[1]])
    again = pd.read_parquet(tmp_path / "run" / "predictions.parquet").set_index("utterance")
    columns = [c for c in again if c.startswith("p_")]
    np.testing.assert_allclose(
        found.set_index("utterance").loc[again.index, columns], again[columns], atol=1e-4
    )


class Peeking(ERM):
    """Is given the target's recordings, which its settings say nothing of."""

    def __init__(self, config, task):
        super().__init__(config, task)
        self.sees_target = True


@dataclass(frozen=True)
class Honest(ERMConfig):
    adapts: ClassVar[bool] = True


def test_who_is_given_the_target_must_say_so(specs, tmp_path):
    """The terms follow the settings: by ERM's, this run would read as one that has not learned from the target."""
    experiment = Experiment("peeking", {}, Protocol([specs[0]], [specs[1]]), 1, tmp_path / "run")
    short = {"training": TrainingConfig(epochs=1, batch_size=8), "model": ModelConfig(dim=16)}
    backbone = load_backbone("acoustic")
    with pytest.raises(ValueError, match="Peeking has sees_target=True, but its settings ERMC"):
        neural.network(ERMConfig, Peeking).run(experiment, ERMConfig(**short), backbone)
    neural.network(Honest, Peeking).run(experiment, Honest(**short), backbone)
    assert json.loads((tmp_path / "run" / "protocol.json").read_text())["uses"]["training"]
