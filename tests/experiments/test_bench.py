"""The bench: cells, resume, tables, and that the matrices of the repository load."""

import json
import os
import re
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from cleser.cli import main
from cleser.evaluation import Run
from cleser.experiments.bench import (
    CONFIGS,
    Direction,
    Matrix,
    all_pairs,
    cells_of,
    experiment_of,
    load_matrix,
    paper_layout,
    run_matrix,
    running,
    tabulate,
    trials_of,
    write_tables,
)
from cleser.experiments.bench.table import readable
from cleser.experiments.methods import METHODS
from cleser.experiments.variants import VARIANTS
from tests.corpora.trees import write_corpus


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora")
    return {
        name: write_corpus(root / name, name, language=language, speakers=4, takes=2, seed=i)
        for i, (name, language) in enumerate([("a", "de"), ("b", "en"), ("c", "fr")])
    }


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path_factory.getbasetemp() / "bench-cache"))


@pytest.fixture(scope="module")
def table(specs, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLESER_CACHE", str(tmp_path_factory.getbasetemp() / "bench-cache"))
        out = tmp_path_factory.mktemp("bench")
        direction = Direction(("a",), ("b",), ("c",), training={"epochs": 4})
        matrix = Matrix((direction,), ("erm", "classical", "erm-unseen", "oracle"), 2)
        yield out, matrix, run_matrix(matrix, specs, out)


def test_a_row_a_run_with_the_difference_to_its_own_reference(table):
    out, _, found = table
    assert found["recipe"].tolist() == ["erm", "classical", "erm-unseen", "oracle"]
    rows = found.set_index("recipe")
    assert rows["difference"].isna().to_dict() == {
        "erm": True,
        "classical": False,
        "erm-unseen": True,
        "oracle": True,
    }
    uars = rows["uar"]
    assert rows.loc["classical", "difference"] == pytest.approx(uars["classical"] - uars["erm"])
    bounded = found.dropna(subset="low")  # an oracle of two tested speakers has no interval
    assert (bounded["low"] <= bounded["high"]).all()
    assert (found["seconds"] > 0).all()
    if sys.platform == "linux":
        assert found["peak_gb"].between(0.1, 20).all()
    stored = json.loads((out / "a-to-b" / "erm" / "results.json").read_text())
    assert uars["erm"] == pytest.approx(100 * stored["uar"]["mean"])


def test_a_direction_says_how_networks_are_trained(table):
    lines = (table[0] / "a-to-b" / "erm" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [0, 1, 2, 3] * 2


def test_tables_are_written_in_three_formats(table):
    out, _, found = table
    assert pd.read_csv(out / "table.csv")["uar"].tolist() == pytest.approx(found["uar"].tolist())
    assert "<table" in (out / "table.html").read_text()
    assert r"\begin{tabular}" in (out / "table.tex").read_text()


def test_readers_see_no_columns_of_which_nothing_is_known(specs, tmp_path, capsys):
    named = [f"{name}={specs[name]}" for name in ("a", "b")]
    words = ["bench", "transfer", "--corpora", *named, "--seeds", "1", "--out", str(tmp_path)]
    assert main([*words, "--recipes", "classical", "probe"]) == 0
    said = capsys.readouterr().out
    assert "difference_low" not in said and "control" not in said and "None" not in said
    assert "no differences: they are to erm, not among --recipes" in said
    assert "control" not in (tmp_path / "table.html").read_text()
    assert {"difference_low", "control", "control_p"} <= set(pd.read_csv(tmp_path / "table.csv"))


def test_a_missing_value_has_one_sign_and_p_its_digits():
    rows = [
        ("a-to-b", "erm", 50.123, None, None, None),
        ("a-to-b", "dann", 60, "erm", 9.94, 0.0312),
    ]
    names = ["direction", "recipe", "uar", "control", "difference", "p"]
    shown = readable(pd.DataFrame(rows, columns=names).assign(peak_gb=None))
    assert shown.to_string(na_rep="–", index=False).split() == [
        *names, "a-to-b", "erm", "50.1", "–", "–", "–", "a-to-b", "dann", "60.0", "erm", "9.9", "0.0312",
    ]  # fmt: skip


def test_what_is_finished_is_not_run_again(table, specs):
    out, matrix, found = table
    stamps = {p: p.stat().st_mtime_ns for p in out.glob("*/*/results.json")}
    again = run_matrix(matrix, specs, out)
    pd.testing.assert_frame_equal(again, found)
    assert stamps == {p: p.stat().st_mtime_ns for p in out.glob("*/*/results.json")}


def test_a_damaged_file_is_said_and_no_empty_cell(table, specs, tmp_path):
    """The cells of runs that tested other utterances are empty, which damage must not look like."""
    out, matrix, _ = table
    shutil.copytree(out, tmp_path / "bench")
    path = tmp_path / "bench" / "a-to-b" / "classical" / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} is cut off or damaged"):
        tabulate([*cells_of(matrix, specs, tmp_path / "bench")])


def test_the_papers_layout_has_an_average(table):
    shown = paper_layout(table[2], {"erm": "Baseline 1", "oracle": "upper bound"})
    assert list(shown) == ["Baseline 1", "upper bound"]
    assert shown.index.tolist() == ["a-to-b", "average"]
    uar, f1 = map(float, shown.loc["average", "Baseline 1"].split(" / "))
    row = table[2].set_index("recipe").loc["erm"]
    assert (uar, f1) == (
        pytest.approx(row["uar"], abs=0.01),
        pytest.approx(row["macro_f1"], abs=0.01),
    )


def test_the_papers_average_is_over_what_every_recipe_has():
    """A recipe that has the easy direction alone is not the better for it."""
    rows = [("a-to-b", "erm", 50), ("a-to-b", "sapa", 60), ("c-to-b", "erm", 90)]
    table = pd.DataFrame(rows, columns=["direction", "recipe", "uar"]).assign(macro_f1=40)
    shown = paper_layout(table)
    assert shown.index.tolist() == ["a-to-b", "c-to-b", "average of the 1 that all have"]
    assert shown.iloc[-1].tolist() == ["50.00 / 40.00", "60.00 / 40.00"]
    shown = paper_layout(table[1:])
    assert shown.iloc[-1].tolist() == ["– / –", "– / –"]


def test_the_table_for_latex_has_no_character_that_means_something_there(tmp_path):
    rows = [("a_b-to-c#%", "erm", 50.0, 0.01), ("a_b-to-c#%", "$x^2$", 60.0, None)]
    write_tables(pd.DataFrame(rows, columns=["direction", "recipe", "macro_f1", "p"]), tmp_path)
    text = (tmp_path / "table.tex").read_text()
    assert r"a\_b-to-c\#\%" in text
    assert r"macro\_f1" in text
    assert not re.findall(r"(?<!\\)[_%#$]", text)


def test_all_pairs_name_the_others_as_auxiliary():
    directions = all_pairs(["a", "b", "c"], ["erm"]).directions
    assert len(directions) == 6
    assert Direction(("a",), ("b",), ("c",)) in directions


def test_within_learns_from_the_target_alone_and_tests_all_of_it(specs, tmp_path):
    direction = Direction(("a",), ("b",), ("c",), training={"epochs": 1})
    run_matrix(Matrix((direction,), ("within",), 1), specs, tmp_path)
    run = Run(tmp_path / "a-to-b" / "within")
    assert run.protocol["source"] == run.protocol["target"]
    assert run.protocol["target_access"] == "nothing"
    everybody = pd.read_csv(specs["b"].removeprefix("manifest:"))
    assert sorted(run.predictions["utterance"]) == sorted("b/" + everybody["utterance"])
    assert run.predictions.groupby("fold")["speaker"].nunique().eq(1).all()


def test_corpora_are_recognised_within_themselves_by_folds(specs, tmp_path, capsys):
    named = [f"{name}={specs[name]}" for name in ("a", "b")]
    recipes = ["--recipes", "classical", "oracle", "--seeds", "1"]
    arguments = ["bench", "within", "--corpora", *named, *recipes]
    assert main([*arguments, "--split", "kfold:4", "--out", str(tmp_path / "out")]) == 0
    table = pd.read_csv(tmp_path / "out/table.csv")
    assert table[["direction", "recipe"]].values.tolist() == [
        ["a-to-a", "classical"],
        ["b-to-b", "classical"],
    ]
    assert (tmp_path / "out/a-to-a/classical/folds/4/results.json").exists()
    assert main([*arguments, "--split", "kfold:9", "--out", str(tmp_path / "no")]) == 2
    assert "found 4 speakers, expected 9 or more" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_the_repositorys_matrices_load(path):
    matrix = load_matrix(path.stem)
    assert matrix.directions
    assert set(matrix.recipes) <= set(VARIANTS)
    for name in matrix.recipes:
        VARIANTS[name].config()


def test_a_matrix_sets_what_a_row_does_not(specs, tmp_path):
    """SAPA's ablations have weights of their own, which stay; ERM has none of these settings."""
    usual = {"sapa": {"speaker_weight": 0.7, "margin": 0.4, "training": {"members": 2}}}
    matrix = Matrix((Direction(("a",), ("b",)),), ("sapa", "self-training", "erm"), settings=usual)
    sapa, alone, erm = (
        experiment_of(c, matrix, None)[1] for c in cells_of(matrix, specs, tmp_path)
    )
    assert (sapa.speaker_weight, sapa.margin) == (0.7, 0.4)
    assert (alone.speaker_weight, alone.margin) == (0.0, 0.4)
    assert erm == METHODS["erm"].config()
    trained = METHODS["sapa"].config().training  # but for what is set, one field of several
    assert sapa.training == alone.training == replace(trained, members=2)
    path = tmp_path / "wrong.yaml"
    for settings, problem in (
        ("{sap: {margin: 1}}", "wrong.yaml: settings: there is no recipe 'sap'.*did you mean sapa"),
        ("{sapa: {margins: 1}}", r"unknown settings \['margins'\] in .*wrong.yaml: settings: sapa"),
    ):
        path.write_text(
            f"{{directions: [{{source: [a], target: [b]}}], recipes: [sapa], settings: {settings}}}"
        )
        with pytest.raises(ValueError, match=problem):
            load_matrix(path)


def test_the_backbone_is_that_of_the_sources_language(specs, tmp_path):
    """Whatever other languages are learned from; an upper bound on the target alone has it, too."""
    directions = tuple(Direction((a,), (b,), ("c",)) for a, b in (("a", "b"), ("b", "a")))
    matrix = Matrix(directions, ("zero-shot", "within"), backbones={"de": "owner/german"})
    found = {
        (c.direction.name, c.recipe): experiment_of(c, matrix, None)[0].backbone
        for c in cells_of(matrix, specs, tmp_path)
    }
    assert found == {
        ("a-to-b", "zero-shot"): "owner/german",
        ("a-to-b", "within"): "owner/german",
        ("b-to-a", "zero-shot"): "acoustic",
        ("b-to-a", "within"): "acoustic",
    }
    two = replace(matrix, directions=(Direction(("a", "b"), ("c",)),))
    (cell, *_) = cells_of(two, specs, tmp_path)
    with pytest.raises(ValueError, match=r"a\+b-to-c: the source speaks de, en, whose backbones"):
        experiment_of(cell, two, None)


def test_mistakes_are_named(specs, tmp_path, capsys):
    with pytest.raises(
        ValueError, match="found no matrix nowhere, expected a YAML file or one of msp"
    ):
        load_matrix("nowhere")
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "{directions: [{source: [a], target: [b], training: {epoch: 3}}], recipes: [erm]}"
    )
    with pytest.raises(ValueError, match=r"unknown settings \['epoch'\] in .*wrong.yaml: a-to-b"):
        load_matrix(path)
    with pytest.raises(
        ValueError, match=r"no row 'ermm', expected one of erm, .* did you mean erm"
    ):
        run_matrix(Matrix((Direction(("a",), ("b",)),), ("ermm",)), specs, tmp_path)
    with pytest.raises(ValueError, match=r"no row .*; baseline is called erm now"):
        run_matrix(Matrix((Direction(("a",), ("b",)),), ("baseline",)), specs, tmp_path)
    beyond = Matrix((Direction(("a",), ("z",)),), ("erm",))
    with pytest.raises(ValueError, match=r"a-to-z needs the corpora \['z'\].*z=manifest:FILE.csv"):
        run_matrix(beyond, specs, tmp_path)
    with pytest.raises(ValueError, match=r"'z', expected .*; a table is read as manifest:list.csv"):
        run_matrix(beyond, {**specs, "z": "z:list.csv"}, tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    assert (
        main(["bench", "transfer", "--corpora", "x:y", "--out", str(tmp_path), "--layout", "no"])
        == 2
    )
    assert "layout is 'no'" in capsys.readouterr().err


DIRECTIONS = "directions: [{source: [a], target: [b]}]"
WRONG = [
    ("directions: [a, b]\nrecipes: [erm]", "direction 1 is 'a', expected names and values"),
    ("directions: []\nrecipes: [erm]", "has no list of directions"),
    (
        "directions: [{source: emodb, target: [b]}]\nrecipes: [erm]",
        "direction 1: source is 'emodb', expected a list of text",
    ),
    ("directions: [{source: [a]}]\nrecipes: [erm]", r"direction 1 lacks \['target'\]"),
    (DIRECTIONS, r"m.yaml lacks \['recipes'\]"),
    (f"{DIRECTIONS}\nrecipes: []", "recipes is empty, expected at least one"),
    (f"{DIRECTIONS}\nrecipes: erm", "recipes is 'erm', expected a list of text"),
    (f"{DIRECTIONS}\nrecipes: [erm]\nseeds: three", "seeds is 'three', expected a whole number"),
    (f"{DIRECTIONS}\nrecipes: [erm]\nsettings:", "settings is None, expected names and values"),
    (f"{DIRECTIONS}\nrecipes: [erm]\nmodel:", "model is None, expected names and values"),
    (f"{DIRECTIONS}\nrecipes: [erm]\nmodel: {{dim: true}}", "model: dim is True, expected a whole"),
    (f"{DIRECTIONS}\nrecipes: [erm]\nsettings: {{erm: 3}}", "settings: erm is 3, expected names"),
    (
        f"{DIRECTIONS}\nrecipes: [erm]\nsettings: {{erm: {{label_smoothing: much}}}}",
        "settings: erm: label_smoothing is 'much', expected a number",
    ),
    (f"{DIRECTIONS}\nrecipes: [erm]\nterms: {{spit: official}}", r"\['spit'\] in .*m.yaml: terms"),
    (f"{DIRECTIONS}\nrecipes: [erm]\nterms: {{source: [a]}}", r"terms holds \['source'\], which"),
    (f"{DIRECTIONS}\nrecipes: [erm]\nbackbones: {{no: x}}", "the name False is False, expected text"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[text for text, _ in WRONG])
def test_a_wrong_matrix_is_a_sentence_that_names_the_field(tmp_path, text, said):
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        load_matrix(tmp_path / "m.yaml")
    assert "m.yaml" in str(caught.value)


def test_the_papers_layout_of_attributes_alone_is_refused_before_any_work(specs, tmp_path, capsys):
    named = [f"{name}={spec}" for name, spec in specs.items()]
    words = ["bench", "transfer", "--corpora", *named, "--recipes", "probe", "--layout", "paper"]
    assert main([*words, "--task", "avd", "--out", str(tmp_path / "out")]) == 2
    assert "--layout paper shows UAR" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_help_names_every_matrix(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "transfer", "--help"])
    said = capsys.readouterr().out
    assert all(re.search(rf"\b{path.stem}\b(?!-)", said) for path in CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("not enough memory"), "RuntimeError: not enough memory"),
        (ValueError("shapes (2,) and (3,) not aligned"), "shapes (2,) and (3,) not aligned"),
    ],
)
def test_a_cell_that_breaks_is_said_and_the_others_go_on(
    specs, tmp_path, monkeypatch, capsys, error, said
):
    """Whatever the error: memory that is full fails one cell, and where it happened is kept until the cell succeeds."""
    runs = running._run

    def broken(cell, *others):
        if cell.recipe == "classical":
            raise error
        runs(cell, *others)

    matrix = Matrix((Direction(("a",), ("b",)),), ("classical", "probe"))
    monkeypatch.setattr(running, "_run", broken)
    assert run_matrix(matrix, specs, tmp_path)["recipe"].tolist() == ["probe"]
    assert f"classical failed: {said} (" in " ".join(capsys.readouterr().err.split())
    kept = tmp_path / "a-to-b" / "classical.failed.txt"
    assert "in broken" in kept.read_text()
    monkeypatch.setattr(running, "_run", runs)
    assert run_matrix(matrix, specs, tmp_path)["recipe"].tolist() == ["classical", "probe"]
    assert not kept.exists()


def test_a_cell_that_failed_has_no_figures_of_an_earlier_run(specs, tmp_path, capsys):
    """Of another number of seeds, say; whoever started the bench learns of it by the exit status too."""
    direction = Direction(("a",), ("b",))
    assert len(run_matrix(Matrix((direction,), ("classical",), 1), specs, tmp_path)) == 1
    told = []
    again = Matrix((direction,), ("classical", "probe"), 2)
    found = run_matrix(again, specs, tmp_path, tell=told.append)
    assert found["recipe"].tolist() == ["probe"]
    assert len(told) == 1
    assert "a-to-b classical failed" in told[0]
    assert "seeds is 1 there and 2 here" in told[0]
    (tmp_path / "m.yaml").write_text(
        "{directions: [{source: [a], target: [b]}], recipes: [classical, probe], seeds: 2}"
    )
    named = [f"{name}={specs[name]}" for name in ("a", "b")]
    words = ["bench", "transfer", "--corpora", *named, "--matrix", str(tmp_path / "m.yaml")]
    assert main([*words, "--out", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "classical failed" in shown.err
    assert "probe" in shown.out and "classical" not in shown.out
    assert main([*words, "--seeds", "1", "--recipes", "classical", "--out", str(tmp_path)]) == 0


def test_a_finished_row_of_chosen_settings_is_that_of_the_matrix(specs, tmp_path):
    """In all but what its grid chooses."""
    matrix = Matrix((Direction(("a", "c"), ("b",)),), ("probe-selected",), 1)
    told = []
    found = run_matrix(matrix, specs, tmp_path, tell=told.append)
    assert told == []
    pd.testing.assert_frame_equal(run_matrix(matrix, specs, tmp_path, tell=told.append), found)
    assert told == []
    assert run_matrix(replace(matrix, seeds=2), specs, tmp_path, tell=told.append).empty
    assert "seeds is 1 there and 2 here" in told.pop()
    other = replace(matrix, settings={"probe": {"recolour": True}})
    assert run_matrix(other, specs, tmp_path, tell=told.append).empty
    assert "config.recolour is False there and True here" in told.pop()
    (table,) = (path for path in tmp_path.rglob("transfer.csv") if "to-b" in str(path))
    rows = pd.read_csv(table)  # as of an earlier version, whose grid was another
    rows.rename(columns={"rounds": "penalty"}).to_csv(table, index=False)
    assert run_matrix(matrix, specs, tmp_path, tell=told.append).empty
    assert "settings were chosen among others" in told.pop()


def killed(job):
    """Stands for a system that is out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_ends_no_bench(specs, tmp_path, monkeypatch):
    direction = Direction(("a",), ("b",))
    matrix = Matrix((direction,), ("classical", "probe"), 1)
    monkeypatch.setattr(running, "_attempt", killed)
    told = []
    assert run_matrix(matrix, specs, tmp_path, workers=2, tell=told.append).empty
    assert sorted(said.split(" failed: ")[0] for said in told) == [
        "a-to-b classical",
        "a-to-b probe",
    ]
    assert all("a worker was killed, perhaps for lack of memory" in said for said in told)


@pytest.mark.slow
def test_workers_give_what_one_process_gives(table, specs, tmp_path):
    matrix = Matrix(table[1].directions, ("erm", "classical"), 2)
    found = run_matrix(matrix, specs, tmp_path, workers=2)
    one = table[2][table[2]["recipe"].isin(matrix.recipes)].reset_index(drop=True)
    columns = [c for c in one if c not in ("seconds", "peak_gb")]
    pd.testing.assert_frame_equal(found[columns], one[columns])


def test_directions_share_the_trials_of_one_pool_and_no_others(tmp_path):
    """The order in which sources are named changes nothing; another map means other trials."""
    directions = (
        Direction(("a", "b"), ("c",)),
        Direction(("b", "a"), ("c",)),
        Direction(("a",), ("c",), map={"calm": "neutral"}),
        Direction(("b",), ("c",)),
    )
    specs = {name: f"manifest:{name}.csv" for name in "abc"}
    matrix = Matrix(directions, ("probe-selected",), 1)
    cells = list(cells_of(matrix, specs, tmp_path))
    assert [cell.pool for cell in cells] == [("manifest:a.csv", "manifest:b.csv")] * 4
    # With one source the pool is judged as in the other directions, whose maps it needs.
    assert [cell.renamed for cell in cells] == [{}, {}, *[{"calm": "neutral"}] * 2]
    folders = [trials_of(cell).relative_to(tmp_path / "selection") for cell in cells]
    assert folders[0] == folders[1] != folders[2] == folders[3]


def test_directions_of_one_source_have_trials_of_their_own(tmp_path):
    corpora = {name: f"{name}:1" for name in ("emodb", "ravdess", "nemo", "turev-db")}
    directions = (
        Direction(("emodb",), ("ravdess",)),
        Direction(("emodb", "nemo", "turev-db"), ("ravdess",)),
    )
    single, several = cells_of(Matrix(directions, ("probe-selected",)), corpora, tmp_path)
    assert set(single.pool) == set(several.pool)
    assert trials_of(single) != trials_of(several)
    assert "singly" in str(trials_of(single))


def test_two_tables_are_two_corpora(specs, tmp_path, capsys):
    """Of one reader, with one file name or not; a name that is given to two is refused."""
    from cleser.cli.bench import _by_name

    alike = _by_name([specs["a"], specs["b"]])
    assert list(alike.values()) == [specs["a"], specs["b"]]
    assert all(name.endswith(f"-{n}-manifest.csv") for name, n in zip(alike, "ab", strict=True))
    assert list(_by_name(["manifest:x/mine.csv", "manifest:y/yours.csv?language=de"])) == [
        "mine", "yours"
    ]  # fmt: skip
    assert list(_by_name(["emodb:DIR", "de=manifest:x.csv"])) == ["emodb", "de"]
    words = ["bench", "transfer", "--recipes", "classical", "--seeds", "1", "--out", str(tmp_path)]
    assert main([*words, "--corpora", f"x={specs['a']}", f"x={specs['b']}"]) == 2
    assert "several corpora the name 'x'" in capsys.readouterr().err
    assert main([*words, "--corpora", specs["a"], specs["b"]]) == 0
    assert len(pd.read_csv(tmp_path / "table.csv")) == 2


@pytest.mark.parametrize("kind", [["transfer"], ["within", "--split", "kfold:2"]])
def test_emotions_may_have_other_names_in_a_bench(kind, specs, tmp_path, capsys):
    path = Path(specs["b"].removeprefix("manifest:"))
    rows = pd.read_csv(path)
    rows["path"] = [path.parent / name for name in rows["path"]]
    rows["emotion"] = rows["emotion"].replace({"anger": "Wut", "sadness": "Trauer"})
    rows.to_csv(tmp_path / "own.csv", index=False)
    own = f"own=manifest:{tmp_path / 'own.csv'}"
    words = ["bench", *kind, "--corpora", f"a={specs['a']}", own, "--recipes", "classical"]
    words += ["--seeds", "1", "--out"]
    assert main([*words, str(tmp_path / "unknown")]) != 0
    assert "=CLASS)" in " ".join(capsys.readouterr().err.split())
    words.append(str(tmp_path / "out"))
    assert main([*words, "--map", "wut=anger", "trauer=sadness"]) == 0
    assert len(pd.read_csv(tmp_path / "out" / "table.csv")) == 2
