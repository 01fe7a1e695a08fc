"""Settings chosen by recognising each labelled corpus from the others."""

import json
from dataclasses import replace

import pytest
import yaml

from cleser.cli import main
from cleser.corpora.protocol import Protocol
from cleser.experiments.experiment import Experiment
from cleser.experiments.methods import METHODS
from cleser.experiments.selection import Choice, read_grid, select_by_transfer
from cleser.recipes.erm import ERMConfig
from cleser.recipes.probe import ProbeConfig
from cleser.settings import to_plain

CORPORA = (
    "synthetic:en?speakers=2&sentences=1",
    "synthetic:zh?speakers=2&sentences=1",
    "synthetic:de?speakers=2&sentences=1",
)


def grid(tmp_path, text):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    return path


def test_a_grid_is_all_combinations_and_the_first_of_each_comes_first(tmp_path):
    path = grid(tmp_path, "c: [7.0, 2.0]\nrounds: [0, 3]\n")
    found = [c.changes for c in read_grid(path, ProbeConfig(), "acoustic")]
    assert found == [
        {"c": 7.0, "rounds": 0},
        {"c": 7.0, "rounds": 3},
        {"c": 2.0, "rounds": 0},
        {"c": 2.0, "rounds": 3},
    ]


def test_nested_settings_are_changed_by_their_path(tmp_path):
    config = Choice({"training.epochs": 3, "label_smoothing": 0.1}).config(ERMConfig())
    assert (config.training.epochs, config.label_smoothing) == (3, 0.1)
    assert config.training == replace(ERMConfig().training, epochs=3)


def test_the_given_backbone_stands_for_its_name_and_descriptors_are_not_doubled(tmp_path):
    path = grid(tmp_path, 'backbone: ["acoustic+{backbone}", "{backbone}"]\n')
    tried = [
        [c.backbone("x") for c in read_grid(path, ProbeConfig(), b)] for b in ("m", "acoustic")
    ]
    assert tried == [["acoustic+m", "m"], ["acoustic"]]


def test_a_random_search_draws_without_repetition_and_the_same_for_a_seed(tmp_path):
    path = grid(tmp_path, "c: [1.0, 2.0, 3.0, 4.0]\nrounds: [0, 1, 2]\n")
    drawn = [
        read_grid(path, ProbeConfig(), "acoustic", search="random", trials=5, seed=s)
        for s in (0, 0, 1)
    ]
    names = [[c.name for c in found] for found in drawn]
    assert len(set(names[0])) == 5
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cc: [1]\n", "cc is no setting of ProbeConfig, did you mean c?"),
        ("c: 1\n", "c is 1, expected a list"),
        ("c: []\n", "expected a list"),
    ],
)
def test_a_wrong_grid_is_a_sentence(tmp_path, text, said):
    with pytest.raises(ValueError, match=said.split(",")[0]):
        read_grid(grid(tmp_path, text), ProbeConfig(), "acoustic")


def test_one_corpus_is_no_pool(tmp_path):
    experiment = Experiment("probe", {}, Protocol(CORPORA[:1], CORPORA[1:2]), 1, tmp_path)
    with pytest.raises(ValueError, match="found 1 labelled corpora"):
        select_by_transfer(experiment, ProbeConfig(), [Choice({})], CORPORA[:1], tmp_path)


def test_the_choice_is_that_of_runs_made_by_hand(tmp_path):
    """Each score is that of a run on its own; the target is opened in none of them; nothing is run twice."""
    config = ProbeConfig()
    experiment = Experiment(
        "probe", to_plain(config), Protocol(CORPORA[:2], CORPORA[2:]), 3, tmp_path / "unused"
    )
    choices = [Choice({"c": 1e-6}), Choice({"c": 7.0})]
    found = select_by_transfer(experiment, config, choices, CORPORA[:2], tmp_path / "trials")
    by_hand = {}
    for c in (1e-6, 7.0):
        for source, target in (CORPORA[:2], CORPORA[1::-1]):
            one = ProbeConfig(c=c)
            out = tmp_path / f"{c}-{source[10:12]}"
            alone = Experiment("probe", to_plain(one), Protocol((source,), (target,)), 1, out)
            results = METHODS["probe"].run(alone, one, _acoustic())
            by_hand.setdefault(c, []).append(100 * results["uar"]["mean"])
    means = {c: sum(scores) / 2 for c, scores in by_hand.items()}
    table = found.table.set_index("c")["mean"].to_dict()
    assert table == pytest.approx(means)
    assert found.best.changes == {"c": max(means, key=means.get)}
    specs = [json.loads(p.read_text()) for p in (tmp_path / "trials").rglob("protocol.json")]
    assert len(specs) == 4
    assert not any(CORPORA[2] in str(spec) for spec in specs)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "trials").rglob("results.json")}
    again = select_by_transfer(experiment, config, choices, CORPORA[:2], tmp_path / "trials")
    assert again.best == found.best
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "trials").rglob("results.json")}


def _acoustic():
    from cleser.speech import load_backbone

    return load_backbone("acoustic")


def test_run_and_tune_choose_alike_and_the_run_says_so(tmp_path, capsys):
    path = grid(tmp_path, "c: [7.0, 1.0e-6]\n")
    common = [
        "probe",
        "--source",
        *CORPORA[:2],
        "--target",
        CORPORA[2],
        "--grid",
        str(path),
        "--seeds",
        "1",
    ]
    assert main(["tune", *common, "--out", str(tmp_path / "tuned")]) == 0
    assert main(["run", *common, "--select", "transfer", "--out", str(tmp_path / "run")]) == 0
    tuned, run = (
        yaml.safe_load((tmp_path / d / "config.yaml").read_text()) for d in ("tuned", "run")
    )
    assert tuned == run
    notes = json.loads((tmp_path / "run" / "protocol.json").read_text())["notes"]
    assert any("chosen among 2 by transfer validation" in note for note in notes)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Settings that transfer validation tried" in page
    capsys.readouterr()
    assert main(["run", *common, "--select", "transfer", "--out", str(tmp_path / "run")]) == 0
    assert "finished; nothing to do" in capsys.readouterr().err
    on = ["--select-on", *CORPORA[1:]]
    assert main(["tune", *common, *on, "--out", str(tmp_path / "wrong")]) == 2


def test_optuna_finds_the_best_of_a_grid_and_runs_nothing_twice(tmp_path):
    """A planted score of two settings, one of which has no order."""
    path = grid(
        tmp_path, "c: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]\nmatch_prior: [true, false]\n"
    )

    def searched():
        search = read_grid(path, ProbeConfig(), "acoustic", search="optuna", trials=40, seed=1)
        tried = []
        for changes in search:
            tried.append((changes["c"], changes["match_prior"]))
            search.tell(-abs(changes["c"] - 6.0) + 5.0 * (not changes["match_prior"]))
        return tried

    tried = searched()
    assert (6.0, False) in tried
    assert len(tried) == len(set(tried)) <= 16
    assert searched() == tried


def test_optuna_ranks_what_it_tried(tmp_path, monkeypatch):
    scores = {2.0: 40.0, 7.0: 60.0}
    monkeypatch.setattr(
        "cleser.experiments.selection._trial",
        lambda _, config, choice, *rest: scores[choice.changes["c"]],
    )
    path = grid(tmp_path, "c: [2.0, 7.0]\n")
    choices = read_grid(path, ProbeConfig(), "acoustic", search="optuna", trials=8)
    found = select_by_transfer(None, ProbeConfig(), choices, CORPORA, tmp_path)
    assert found.best.changes == {"c": 7.0}
    assert found.table["mean"].tolist() == [60.0, 40.0]
