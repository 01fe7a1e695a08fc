"""A run on degraded recordings: what is undegraded is the run's own test, and the rest follows from the seed."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from cleser.cli import main
from cleser.corpora.audit import LeakageError
from cleser.corpora.protocol import Protocol
from cleser.evaluation import Run, report
from cleser.experiments.experiment import Experiment
from cleser.experiments.export import export
from cleser.experiments.methods import METHODS
from cleser.experiments.prediction.conditions import CLEAN, CONDITIONS, QUICK, draw, noise
from cleser.experiments.prediction.robustness import measure_robustness
from cleser.recipes import ClassicalConfig
from cleser.settings import to_plain
from cleser.speech import load_backbone
from tests.corpora.trees import write_corpus


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("robustness")
    specs = (
        write_corpus(root / "a", "a", language="de", speakers=3),
        write_corpus(root / "b", "b", speakers=3, seed=1),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLESER_CACHE", str(root / "cache"))
        config = ClassicalConfig(c=1.0)
        protocol = Protocol([specs[0]], [specs[1]])
        experiment = Experiment("classical", to_plain(config), protocol, 2, root / "run")
        METHODS["classical"].run(experiment, config, load_backbone("acoustic"))
        measure_robustness(root / "run", files=0, quick=True)
        yield root / "run"


def test_undegraded_recordings_give_the_runs_own_test(run):
    """The same utterances, speakers' statistics and networks: the same probabilities."""
    own = pd.read_parquet(run / "predictions.parquet")
    found = pd.read_parquet(run / "robustness" / "clean-0.parquet")
    shares = [name for name in own if name.startswith("p_")]
    keys = ["seed", "utterance"]
    own, found = (t.set_index(keys)[shares].sort_index() for t in (own, found))
    pd.testing.assert_frame_equal(found, own, atol=1e-5)
    noisy = pd.read_parquet(run / "robustness" / "noise-speech-0.parquet").set_index(keys)
    assert np.abs(noisy[shares].sort_index() - own).max(axis=None) > 0.01


def test_a_run_alone_is_shown_as_it_was_tested(run, capsys):
    assert main(["evaluate", str(run)]) == 0
    said = capsys.readouterr().out
    uar = json.loads((run / "results.json").read_text())["uar"]["mean"]
    assert f"{100 * uar:.1f}" in said
    assert "calibration error (ECE)" in said


def test_changes_are_those_of_the_uar(run):
    found = json.loads((run / "robustness" / "robustness.json").read_text())["conditions"]
    assert [(row["kind"], row["value"]) for row in found] == [(c.kind, c.value) for c in QUICK]
    clean = found[0]
    assert clean["change"]["mean"] == 0
    assert clean["change"]["ci95"] == [0, 0]
    own = json.loads((run / "results.json").read_text())["uar"]
    assert clean["uar"]["mean"] == pytest.approx(own["mean"])
    assert clean["uar"]["ci95"] == pytest.approx(own["ci95"])
    for row in found:
        change = row["uar"]["mean"] - clean["uar"]["mean"]
        assert row["change"]["mean"] == pytest.approx(change)
        assert row["utterances"] == 12


def test_what_is_finished_is_not_done_again_and_all_follows_from_the_seed(run):
    folder = run / "robustness"
    one, other = folder / "noise-speech-0.parquet", folder / "reverberation-0.6.parquet"
    before, kept = pd.read_parquet(one), other.stat().st_mtime_ns
    one.unlink()
    measure_robustness(run, files=0, quick=True)
    pd.testing.assert_frame_equal(pd.read_parquet(one), before)
    assert other.stat().st_mtime_ns == kept
    with pytest.raises(ValueError, match=r"other settings \(seed differ\)"):
        measure_robustness(run, files=0, quick=True, seed=1)
    table = run.parent / "b" / "manifest.csv"
    rows = table.read_text()
    swapped = {"emotion": {"anger": "sadness", "sadness": "anger"}}
    pd.read_csv(table).replace(swapped).to_csv(table, index=False)
    with pytest.raises(ValueError, match=r"other settings \(utterances differ\)"):
        measure_robustness(run, files=0, quick=True)
    table.write_text(rows)


def test_other_corpora_are_audited_and_have_a_folder_of_their_own(run):
    root = run.parent
    with pytest.raises(LeakageError, match="the protocol leaks"):
        measure_robustness(run, (f"manifest:{root / 'a' / 'manifest.csv'}",), files=4, quick=True)
    other = write_corpus(root / "c", "c", speakers=3, seed=2)
    found = measure_robustness(run, (other,), files=6, quick=True)
    assert (run / "robustness-on-manifest-manifest" / "robustness.json").exists()
    assert Run(run).robustness != found
    older = shutil.copytree(run, root / "older")
    shutil.copytree(
        run / "robustness-on-manifest-manifest", older / "robustness", dirs_exist_ok=True
    )
    assert Run(older).robustness == []
    with pytest.raises(ValueError, match="files is -3, expected 0 for all"):
        measure_robustness(run, files=-3)


def test_an_utterances_noise_depends_on_it_alone(tmp_path):
    """Not on those that come with it: fewer files hear the same."""
    from cleser.experiments.prediction.robustness import _degraded

    x = np.random.default_rng(0).standard_normal(4000).astype("float32") / 10
    soundfile.write(tmp_path / "x.wav", x, 8000)
    rows = pd.DataFrame(
        {"utterance": ["a", "b"], "path": str(tmp_path / "x.wav"), "start": 0.1, "end": 0.3}
    )
    sounds = []
    for number, part in enumerate((rows, rows[1:])):
        out = tmp_path / str(number)
        out.mkdir()
        worse = _degraded(part, noise("white", 5), 0, out)
        assert worse["start"].eq(0).all()
        sounds.append([soundfile.read(path)[0] for path in worse["path"]])
    assert len(sounds[0][0]) == 1600
    np.testing.assert_array_equal(sounds[0][1], sounds[1][0])
    assert not np.array_equal(sounds[0][0], sounds[0][1])


def test_a_draw_is_even():
    rows = pd.DataFrame(
        [(f"{s}{e}{i}", s, e) for s in "ABC" for e in "xy" for i in range(9 if s == "A" else 4)],
        columns=["utterance", "speaker", "emotion"],
    )
    found = draw(rows, 12, 0)
    assert found.groupby("speaker").size().tolist() == [4, 4, 4]
    assert found.groupby(["speaker", "emotion"]).size().eq(2).all()
    assert found["utterance"].is_monotonic_increasing
    pd.testing.assert_frame_equal(draw(rows, 12, 0), found)
    assert not draw(rows, 12, 1).equals(found)
    assert len(draw(rows, 0, 0)) == len(draw(rows, 99, 0)) == len(rows)


def test_it_is_shown_on_the_terminal_the_page_and_the_card(run, tmp_path, capsys):
    assert main(["evaluate", str(run), "--robustness", "--quick", "--files", "0"]) == 0
    said = "reverberation, RT60 0.6 s"
    assert said in capsys.readouterr().out
    assert said in (export(run, tmp_path / "model") / "README.md").read_text()
    assert said in report([run], tmp_path / "page.html").read_text("utf-8")


def test_every_condition_has_a_name_of_its_own():
    assert len({condition.name for condition in CONDITIONS}) == len(CONDITIONS) == 28
    assert set(QUICK) <= set(CONDITIONS)


def test_every_condition_but_the_first_makes_recordings_worse():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(8000).astype("float32") / 10
    for condition in CONDITIONS:
        same = np.array_equal(condition.degrade(x, 16000, rng), x)
        assert same == (condition is CLEAN), condition.name
