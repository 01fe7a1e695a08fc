"""Settings chosen by recognising each labelled corpus from the others."""

import json
import re
import shlex
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from cleser.cli import main
from cleser.corpora.protocol import Protocol
from cleser.evaluation import report
from cleser.experiments.experiment import Experiment
from cleser.experiments.methods import METHODS
from cleser.experiments.selection import Choice, read_grid, select_by_transfer
from cleser.experiments.selection.optuna_search import OptunaSearch
from cleser.recipes.erm import ERMConfig
from cleser.recipes.probe import ProbeConfig
from cleser.settings import to_plain
from tests.corpora.trees import write_corpus
from tests.evaluation.test_report import make_run

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
    path = grid(tmp_path, "penalty: [0.1, 0.2]\nrounds: [0, 3]\n")
    found = [c.changes for c in read_grid(path, ProbeConfig(), "acoustic")]
    assert found == [
        {"penalty": 0.1, "rounds": 0},
        {"penalty": 0.1, "rounds": 3},
        {"penalty": 0.2, "rounds": 0},
        {"penalty": 0.2, "rounds": 3},
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


@pytest.mark.parametrize(
    ("terms", "left"),
    [
        ({}, [(6, False), (6, True), (0, False), (0, True)]),
        ({"target_access": "nothing", "normalisation": "corpus"}, [(0, False)]),
        ({"task": "avd"}, [(0, False)]),
    ],
)
def test_a_grid_leaves_out_what_the_protocol_has_no_room_for(terms, left):
    """Nothing is heard of a sealed target, and attributes have no classes: no pseudo-labels, no prior."""
    protocol = Protocol(CORPORA[:2], CORPORA[2:], **terms)
    choices = read_grid("probe", ProbeConfig(), "acoustic", protocol=protocol)
    assert [(c.changes["rounds"], c.changes["match_prior"]) for c in choices] == left
    given = read_grid("probe", ProbeConfig(), "acoustic", protocol=protocol, given=["rounds"])
    assert [c.changes for c in given] == [
        {"backbone": "acoustic", "match_prior": m} for m in sorted({m for _, m in left})
    ]


@pytest.mark.parametrize(
    ("terms", "config", "given"),
    [
        (
            {"target_access": "nothing", "normalisation": "corpus"},
            ProbeConfig(match_prior=True),
            ["match_prior"],
        ),
        ({"task": "avd"}, ProbeConfig(recolour=True), ["recolour"]),
    ],
)
def test_what_flags_give_leaves_backbones_to_choose(terms, config, given):
    protocol = Protocol(CORPORA[:2], CORPORA[2:], **terms)
    choices = read_grid("probe", config, "m", protocol=protocol, given=given)
    assert len({c.changes["backbone"] for c in choices}) == len(choices) == 4
    assert all(not c.config(config).rounds for c in choices)


def test_shares_given_for_the_target_are_not_assumed_of_other_corpora(tmp_path, monkeypatch):
    assumed = []

    def run(trial, *_rest):
        assumed.append(trial.protocol.prior)
        return {"uar": {"mean": 0.5}}

    stub = METHODS["probe"]._replace(run=run)
    monkeypatch.setattr("cleser.experiments.selection.trials.METHODS", {"probe": stub})
    for prior in ({"neutral": 1.0}, "source"):
        protocol = Protocol(CORPORA[:2], CORPORA[2:], prior=prior)
        experiment = Experiment("probe", {}, protocol, 1, tmp_path)
        select_by_transfer(experiment, ProbeConfig(), [Choice({})], CORPORA[:2], tmp_path)
    assert assumed == ["uniform", "uniform", "source", "source"]


def test_a_random_search_draws_without_repetition_and_the_same_for_a_seed(tmp_path):
    path = grid(tmp_path, "penalty: [1.0, 2.0, 3.0, 4.0]\nrounds: [0, 1, 2]\n")
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
        ("penalti: [1]\n", "penalti is no setting of ProbeConfig, did you mean penalty?"),
        ("penalty: 1\n", "penalty is 1, expected a list"),
        ("penalty: [much]\n", "penalty is 'much', expected a number"),
        ("rounds: [2.5]\n", "rounds is 2.5, expected a whole number"),
        ("penalty: []\n", "expected a list"),
    ],
)
def test_a_wrong_grid_is_a_sentence(tmp_path, text, said):
    with pytest.raises(ValueError, match=said.split(",")[0]):
        read_grid(grid(tmp_path, text), ProbeConfig(), "acoustic")


def test_one_corpus_is_no_pool(tmp_path):
    experiment = Experiment("probe", {}, Protocol(CORPORA[:1], CORPORA[1:2]), 1, tmp_path)
    with pytest.raises(ValueError, match="found 1 labelled corpora"):
        select_by_transfer(experiment, ProbeConfig(), [Choice({})], CORPORA[:1], tmp_path)
    with pytest.raises(ValueError, match=r"name synthetic:en.* several times, expected each once"):
        select_by_transfer(experiment, ProbeConfig(), [Choice({})], CORPORA[:1] * 2, tmp_path)


@pytest.mark.parametrize("search", ["grid", "random", "optuna"])
@pytest.mark.parametrize("trials", [0, -1])
def test_a_search_has_a_trial(search, trials, tmp_path):
    path = grid(tmp_path, "penalty: [1.0, 2.0]\n")
    with pytest.raises(ValueError, match=f"trials is {trials}, expected 1 or more"):
        read_grid(path, ProbeConfig(), "acoustic", search=search, trials=trials)


def test_the_row_that_was_taken_is_marked_and_settings_keep_their_digits(tmp_path, monkeypatch):
    """The usual settings stand within a standard error of the best, and are taken though they are the second row."""
    scores = iter((80.0, 60.0, 81.0, 59.9, 70.0, 50.0))
    monkeypatch.setattr("cleser.experiments.selection.trials._trial", lambda *_: next(scores))
    folder = make_run(tmp_path / "run", neural=False)
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    settings["config"] = {"penalty": 3e-4, "rounds": 6}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    experiment = Experiment("probe", {}, Protocol(CORPORA[:1], CORPORA[1:2]), 1, tmp_path)
    choices = [Choice({"penalty": p, "rounds": 6}) for p in (3e-4, 1e-3, 3e-3)]
    pool = ("emodb:A", "ravdess:B")
    found = select_by_transfer(experiment, ProbeConfig(), choices, pool, folder / "selection")
    assert found.best == choices[0]
    assert found.table["taken"].tolist() == [False, True, False]

    def rows():
        text = report([folder], tmp_path / "page.html").read_text("utf-8")
        table = text.split("Settings that transfer validation tried</h3>")[1].split("</table>")[0]
        return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.split("<tr>")[2:]], text

    shown, text = rows()
    assert shown == [
        ["0.001", "6", "81.0", "59.9", "70.5", ""],
        ["0.0003", "6", "80.0", "60.0", "70.0", "yes"],
        ["0.003", "6", "70.0", "50.0", "60.0", ""],
    ]
    assert "the row that is marked was taken" in text
    path = folder / "selection" / "transfer.csv"
    pd.read_csv(path).drop(columns="taken").to_csv(path, index=False)  # of an older version
    shown, text = rows()
    assert shown[1] == ["0.0003", "6", "80.0", "60.0", "70.0"]
    assert "the notes among the terms say which settings were taken" in text


def test_the_choice_is_that_of_runs_made_by_hand(tmp_path):
    """Each score is that of a run on its own; the target is opened in none of them; nothing is run twice."""
    config = ProbeConfig()
    experiment = Experiment(
        "probe", to_plain(config), Protocol(CORPORA[:2], CORPORA[2:]), 3, tmp_path / "unused"
    )
    choices = [Choice({"penalty": 1e4}), Choice({"penalty": 1e-3})]
    found = select_by_transfer(experiment, config, choices, CORPORA[:2], tmp_path / "trials")
    by_hand = {}
    for penalty in (1e4, 1e-3):
        for source, target in (CORPORA[:2], CORPORA[1::-1]):
            one = ProbeConfig(penalty=penalty)
            out = tmp_path / f"{penalty}-{source[10:12]}"
            alone = Experiment("probe", to_plain(one), Protocol((source,), (target,)), 1, out)
            results = METHODS["probe"].run(alone, one, _acoustic())
            by_hand.setdefault(penalty, []).append(100 * results["uar"]["mean"])
    means = {value: sum(scores) / 2 for value, scores in by_hand.items()}
    table = found.table.set_index("penalty")["mean"].to_dict()
    assert table == pytest.approx(means)
    assert found.table["mean"].tolist() == sorted(table.values(), reverse=True)
    top = max(means, key=means.get)
    short = {
        value: [a - b for a, b in zip(by_hand[top], scores, strict=True)]
        for value, scores in by_hand.items()
    }
    as_good = [v for v, d in short.items() if statistics.mean(d) <= statistics.stdev(d) / 2**0.5]
    assert found.best.changes == {"penalty": as_good[0]}
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
    path = grid(tmp_path, "penalty: [1.0e-3, 1.0e+4]\n")
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


def test_a_number_without_its_point_is_one(tmp_path):
    """By YAML 1.1 it would be text."""
    (choice,) = read_grid(grid(tmp_path, "penalty: [3e-4]\n"), ProbeConfig(), "acoustic")
    assert choice.config(ProbeConfig()).penalty == 3e-4


def test_two_sources_choose_unasked_unless_the_user_has_chosen(tmp_path, capsys):
    common = ["probe", "--source", *CORPORA[:2], "--target", CORPORA[2], "--seeds", "1"]
    path = grid(tmp_path, "penalty: [1.0e-3, 1.0e+4]\n")

    def notes(*more, sources=CORPORA[:2]):
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        command = ["probe", "--source", *sources, *common[4:], *more, "--out", str(out)]
        assert main(["run", *command]) == 0
        return " ".join(json.loads((out / "protocol.json").read_text())["notes"]), out

    chosen, out = notes("--grid", str(path))
    assert "chosen among 2 by transfer validation" in chosen
    # The recipe's own grid: self-training or none, a matched prior or none; what flags give is kept, usual values too.
    assert "chosen among 4 by transfer" in notes("--penalty", "1e-3")[0]
    said, plain = notes("--rounds", "0")
    assert "chosen among 2 by transfer" in said
    assert "rounds=" not in said
    assert yaml.safe_load((plain / "config.yaml").read_text())["config"]["rounds"] == 0
    assert "chosen" not in notes("--rounds", "2", "--no-match-prior")[0]
    assert "chosen" not in notes("--target-access", "nothing")[0]  # which forbids all else
    assert "chosen" not in notes("--select", "none")[0]
    assert "chosen" not in notes(sources=CORPORA[:1])[0]
    assert "chosen" not in notes("--config", str(out / "config.yaml"))[0]
    saved = [yaml.safe_load((p / "config.yaml").read_text())["config"] for p in (out,)]
    assert saved[0]["penalty"] == 1e-3


def test_a_finished_run_is_not_chosen_again_and_keeps_its_table(tmp_path, capsys):
    """Other flags ask for another run, and another grid chooses among other settings: both are refused at once."""
    out = tmp_path / "run"
    common = ["run", "probe", "--source", *CORPORA[:2], "--target", CORPORA[2], "--seeds", "1"]
    command = [*common, "--out", str(out)]
    path = grid(tmp_path, "penalty: [1.0e-3, 1.0e+4]\n")
    assert main([*command, "--grid", str(path)]) == 0
    table = (out / "selection" / "transfer.csv").read_bytes()
    files = sorted(out.rglob("*"))
    capsys.readouterr()
    assert main([*command, "--grid", str(path)]) == 0
    assert "is finished; nothing to do" in capsys.readouterr().err
    assert main([*command, "--grid", str(path), "--rounds", "1"]) == 2
    assert "config.rounds" in capsys.readouterr().err
    path.write_text("penalty: [1.0e-3, 2.0e-3, 1.0e+4]\n")
    assert main([*command, "--grid", str(path)]) == 2
    assert "chosen among others" in " ".join(capsys.readouterr().err.split())
    assert (out / "selection" / "transfer.csv").read_bytes() == table
    assert sorted(out.rglob("*")) == files


def test_trials_of_other_flags_are_no_reason_to_choose_nothing(tmp_path, capsys):
    """As an interrupted search with another flag leaves them."""
    common = ["probe", "--source", *CORPORA[:2], "--target", CORPORA[2], "--seeds", "1"]
    out = tmp_path / "my run"
    flags = ["--rounds", "1", "--backbone", "acoustic"]
    assert main(["tune", *common, *flags, "--out", str(out / "selection")]) == 0
    (line,) = [s for s in capsys.readouterr().out.splitlines() if s.startswith("now: ")]
    config = str(out / "selection" / "config.yaml")
    assert shlex.split(line)[1:6] == ["cleser", "run", "probe", "--config", config]
    assert main(["run", *common, "--rounds", "2", "--out", str(out)]) == 2
    assert "config.rounds is 1 there and 2 here" in " ".join(capsys.readouterr().err.split())
    assert not (out / "results.json").exists()


def test_a_grid_and_a_flag_of_one_setting_are_refused(tmp_path, capsys):
    common = [
        "probe",
        "--source",
        *CORPORA[:2],
        "--target",
        CORPORA[2],
        "--out",
        str(tmp_path / "r"),
    ]
    path = grid(tmp_path, "penalty: [1.0e-3, 1.0e-2]\n")
    assert main(["run", *common, "--grid", str(path), "--penalty", "1e-2"]) == 2
    assert "has values of penalty, which flags give as well" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not (tmp_path / "r").exists()


def test_one_drawn_trial_is_a_search_and_a_saved_config_is_none(tmp_path):
    common = ["probe", "--source", *CORPORA[:2], "--target", CORPORA[2], "--seeds", "1"]
    drawn, again = tmp_path / "drawn", tmp_path / "again"
    search = ["--search", "random", "--trials", "1"]
    assert main(["run", *common, *search, "--out", str(drawn)]) == 0
    notes = json.loads((drawn / "protocol.json").read_text())["notes"]
    assert any("chosen among 1 by transfer" in note for note in notes)
    saved = ["--config", str(drawn / "config.yaml"), "--select", "auto"]
    assert main(["run", "probe", *saved, "--out", str(again)]) == 0
    assert not (again / "selection").exists()


def test_what_cannot_be_chosen_unasked_is_said_and_run_as_given(tmp_path):
    """A corpus without sadness cannot be left out as the target; the run itself is sound."""
    whole = ("anger", "happiness", "neutral", "sadness")
    specs = [
        write_corpus(tmp_path / name, name, language=name, emotions=emotions, seed=seed)
        for seed, (name, emotions) in enumerate({"de": whole, "en": whole[:3], "pl": whole}.items())
    ]
    common = ["probe", "--source", *specs[:2], "--target", specs[2], "--seeds", "1"]
    out = tmp_path / "run"
    assert main(["run", *common, "--out", str(out)]) == 0
    notes = " ".join(json.loads((out / "protocol.json").read_text())["notes"])
    assert "settings are not chosen by transfer but as given" in notes
    assert main(["run", *common, "--select", "transfer", "--out", str(tmp_path / "asked")]) == 2


def test_corpora_of_which_a_class_cannot_be_used_are_run_as_given(tmp_path):
    """All anger of one source is too short to be used: it cannot be learned from alone, but both together can."""
    specs = [
        write_corpus(tmp_path / n, n, language=n, seed=i) for i, n in enumerate(("de", "en", "pl"))
    ]
    path = Path(specs[0].removeprefix("manifest:"))
    rows = pd.read_csv(path)
    rows["start"] = 0.0
    rows["end"] = np.where(rows["emotion"] == "anger", 0.01, np.nan)
    rows.to_csv(path, index=False)
    out = tmp_path / "run"
    words = ["probe", "--source", *specs[:2], "--target", specs[2], "--seeds", "1"]
    assert main(["run", *words, "--out", str(out)]) == 0
    notes = " ".join(json.loads((out / "protocol.json").read_text())["notes"])
    assert "settings are not chosen by transfer but as given: the source" in notes
    assert "holds no usable recording of ['anger']" in notes


def test_a_trial_that_fails_is_no_reason_to_choose_nothing(tmp_path, monkeypatch, capsys):
    """As one that diverged after hours: the run stops and says so, whether it was asked to choose or not."""
    common = ["probe", "--source", *CORPORA[:2], "--target", CORPORA[2], "--seeds", "1"]

    def diverged(*_):
        raise ValueError("the loss is nan in epoch 7")

    stub = METHODS["probe"]._replace(run=diverged)
    monkeypatch.setattr("cleser.experiments.selection.trials.METHODS", {"probe": stub})
    assert main(["run", *common, "--out", str(tmp_path / "run")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "the loss is nan in epoch 7" in said
    first = read_grid("probe", ProbeConfig(), "acoustic")[0]
    assert f"the trial of {first.name} ({tmp_path}/run/selection/{first.folder}/" in said.replace(
        "/ ", "/"
    )
    assert not (tmp_path / "run" / "results.json").exists()


def test_corpora_that_leak_into_one_another_are_run_as_given(tmp_path):
    """Two tables of the same speakers cannot be left out in turn, but are one source."""
    de, pl = (write_corpus(tmp_path / n, n, language=n, seed=i) for i, n in enumerate(("de", "pl")))
    twin = tmp_path / "twin.csv"
    rows = pd.read_csv(de.removeprefix("manifest:"))
    again = rows.assign(utterance="again-" + rows["utterance"], path="de/" + rows["path"])
    again.to_csv(twin, index=False)
    out = tmp_path / "run"
    words = ["probe", "--source", de, f"manifest:{twin}", "--target", pl, "--seeds", "1"]
    assert main(["run", *words, "--out", str(out)]) == 0
    notes = " ".join(json.loads((out / "protocol.json").read_text())["notes"])
    assert "settings are not chosen by transfer but as given: the protocol leaks" in notes


def test_one_source_corpus_is_told_why_nothing_is_chosen(tmp_path):
    """Unless the flags leave nothing to choose, or other corpora are given to choose by."""
    one, other, target = CORPORA[:3]
    common = ["run", "probe", "--source", one, "--target", target, "--seeds", "1"]
    given = ["--rounds", "1", "--no-match-prior"]
    by_others = ["--select-on", one, other]
    told = []
    for name, flags in {"plain": [], "given": given, "others": by_others}.items():
        assert main([*common, *flags, "--out", str(tmp_path / name)]) == 0
        notes = json.loads((tmp_path / name / "protocol.json").read_text())["notes"]
        told.append(any("settings are the usual ones" in note for note in notes))
    assert told == [True, False, False]
    assert (tmp_path / "others" / "selection").exists()


def test_what_the_run_would_refuse_is_refused_before_settings_are_chosen(tmp_path, capsys):
    one, two = (
        write_corpus(tmp_path / n, n, language=n, speakers=3, takes=2, seed=i)
        for i, n in enumerate(("de", "fr"))
    )
    alone = write_corpus(tmp_path / "en", "en", speakers=1, seed=3)
    flags = ["run", "probe", "--source", one, two, "--seeds", "1", "--out", str(tmp_path / "run")]
    assert main([*flags, "--target", alone, "--adapt", "disjoint"]) == 2
    assert "corpus en has one speaker" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_optuna_finds_the_best_of_a_grid_and_runs_nothing_twice(tmp_path):
    """A planted score of two settings, one of which has no order."""
    path = grid(
        tmp_path, "penalty: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]\nmatch_prior: [true, false]\n"
    )

    def searched():
        search = read_grid(path, ProbeConfig(), "acoustic", search="optuna", trials=40, seed=1)
        tried = []
        for changes in search:
            tried.append((changes["penalty"], changes["match_prior"]))
            search.tell(-abs(changes["penalty"] - 6.0) + 5.0 * (not changes["match_prior"]))
        return tried

    tried = searched()
    assert (6.0, False) in tried
    assert len(tried) == len(set(tried)) <= 16
    assert searched() == tried


@pytest.mark.parametrize("values", [[3e-4, 1e-5, 1e-1, 1e-3], ["3e-4", "1e-5", "1e-1", "1e-3"]])
def test_optuna_hears_of_ranks(values):
    """Whatever the order in the grid: what is near for the sampler is near."""
    search = OptunaSearch({"penalty": values}, trials=20, seed=0)
    ranks = sorted(values, key=float)
    tried = 0
    for changes in search:
        assert ranks[search._trial.params["penalty"]] == changes["penalty"]
        search.tell(0.0)
        tried += 1
    assert tried > 1
    assert type(search.study.trials[0].distributions["penalty"]).__name__ == "IntDistribution"


def test_what_learns_from_one_corpus_is_chosen_by_trials_from_one(tmp_path, monkeypatch):
    """Each corpus from each other one; its score is the mean, and no trial has two sources."""
    asked = []

    def trial(_experiment, _config, choice, sources, left_out, folder, *_rest):
        asked.append((choice.changes["penalty"], sources, left_out, folder.name))
        return 10.0 * len(asked)

    monkeypatch.setattr("cleser.experiments.selection.trials._trial", trial)
    experiment = Experiment("probe", {}, Protocol(CORPORA[:1], CORPORA[1:2]), 1, tmp_path)
    choices = [Choice({"penalty": p}) for p in (1.0, 2.0)]
    pool = ["emodb:A", "ravdess:B", "nemo:C"]
    found = select_by_transfer(experiment, ProbeConfig(), choices, pool, tmp_path, singly=True)
    pairs = [(s, t) for t in pool for s in pool if s != t]
    assert [(sources, target) for p, sources, target, _ in asked if p == 1.0] == [
        ((s,), t) for s, t in pairs
    ]
    assert len({folder for p, *_, folder in asked if p == 1.0}) == 6
    first = found.table.set_index("penalty").loc[1.0]
    assert first[["emodb", "ravdess", "nemo", "mean"]].tolist() == [15.0, 35.0, 55.0, 35.0]


def test_optuna_ranks_what_it_tried(tmp_path, monkeypatch):
    scores = {2.0: 40.0, 7.0: 60.0}
    monkeypatch.setattr(
        "cleser.experiments.selection.trials._trial",
        lambda _, config, choice, *rest: scores[choice.changes["penalty"]],
    )
    path = grid(tmp_path, "penalty: [2.0, 7.0]\n")
    choices = read_grid(path, ProbeConfig(), "acoustic", search="optuna", trials=8)
    experiment = Experiment("probe", {}, Protocol(CORPORA[:1], CORPORA[1:2]), 1, tmp_path)
    found = select_by_transfer(experiment, ProbeConfig(), choices, CORPORA, tmp_path)
    assert found.best.changes == {"penalty": 7.0}
    assert found.table["mean"].tolist() == [60.0, 40.0]


@pytest.mark.parametrize("sources", [1, 2])
def test_a_grid_that_was_asked_for_and_cannot_be_read_stops_the_run(tmp_path, sources, capsys):
    specs = [write_corpus(tmp_path / n, n, speakers=3, seed=i) for i, n in enumerate("abc")]
    words = ["run", "probe", "--source", *specs[:sources], "--target", specs[2], "--seeds", "1"]
    out = ["--out", str(tmp_path / "run")]
    assert main([*words, *out, "--grid", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err
    wrong = grid(tmp_path, "penalti: [1.0e-3]\n")
    assert main([*words, *out, "--grid", str(wrong)]) == 2
    assert "did you mean penalty" in " ".join(capsys.readouterr().err.split())
    assert main([*words, *out, "--grid", str(wrong), "--select", "none"]) == 2
    assert "--select is none" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
