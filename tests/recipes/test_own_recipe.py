"""The recipe of another package, as the documentation's example brings one: run, bench, predict, export."""

import json
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import yaml

from cleser.cli import GLOBAL_FLAGS, installation, main
from cleser.cli.completion import following
from cleser.experiments.methods import check_task
from cleser.recipes import METHODS
from tests.corpora.trees import write_corpus

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "sapa_supcon"
SHORT = [
    *("--epochs", "3", "--batch-size", "8", "--dim", "16"),
    *("--seeds", "1", "--communities", "0"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """What an installer makes of the example: its module is found, and so is what it registers."""
    site = tmp_path_factory.mktemp("site")
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    (site / "sapa_supcon.py").write_text((EXAMPLE / "sapa_supcon.py").read_text())
    return site


@pytest.fixture
def installed(site, monkeypatch):
    monkeypatch.syspath_prepend(site)


@pytest.fixture(scope="module")
def finished(site, tmp_path_factory):
    """A run of the recipe by the command line, and the corpora it is of."""
    root = tmp_path_factory.mktemp("run")
    specs = (
        write_corpus(root / "a", "a", speakers=4),
        write_corpus(root / "b", "b", language="de", speakers=4, seed=1),
    )
    run = root / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLESER_CACHE", str(root / "cache"))
        patch.syspath_prepend(site)
        direction = ["--source", specs[0], "--target", specs[1], "--out", str(run)]
        assert main(["run", "sapa-supcon", *direction, *SHORT]) == 0
    return run, specs


def test_the_example_is_short():
    lines = (EXAMPLE / "sapa_supcon.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) < 60


def test_its_run_is_a_run_as_any_other(finished):
    run, _ = finished
    settings = yaml.safe_load((run / "config.yaml").read_text())
    assert (settings["recipe"], settings["package"]) == ("sapa-supcon", "cleser-sapa-supcon")
    lines = pd.DataFrame(map(json.loads, (run / "metrics.jsonl").read_text().splitlines()))
    assert lines["epoch"].tolist() == [0, 1, 2]
    assert (lines["train_contrast"].iloc[1:] > 0).all()  # after the warm-up
    assert not {"train_speaker", "train_phoneme"} & set(lines)
    assert (run / "report.html").exists()


def test_it_predicts_and_is_exported(installed, finished, tmp_path, monkeypatch, capsys):
    run, (_, target) = finished
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "cache"))
    assert main(["export", str(run), "--out", str(tmp_path / "model")]) == 0
    assert "recipe `sapa-supcon` of the package `cleser-sapa-supcon`" in " ".join(
        (tmp_path / "model" / "README.md").read_text().split()
    )
    tables = []
    for folder in (run, tmp_path / "model"):
        table = tmp_path / f"{folder.name}.csv"
        assert main(["predict", str(folder), "--corpus", target, "--csv", str(table)]) == 0
        tables.append(pd.read_csv(table).set_index("utterance").filter(like="p_"))
    tested = pd.read_parquet(run / "predictions.parquet").set_index("utterance").filter(like="p_")
    for table in tables:
        pd.testing.assert_frame_equal(table, tested.loc[table.index], check_exact=False, atol=1e-5)


def test_it_is_a_row_of_a_bench(installed, finished, tmp_path, monkeypatch):
    _, specs = finished
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "cache"))
    matrix = tmp_path / "matrix.yaml"
    matrix.write_text(
        "directions: [{source: [a], target: [b], training: {epochs: 1, batch_size: 8}}]\n"
        "recipes: [sapa-supcon]\nmodel: {dim: 16}\nseeds: 1\n"
    )
    corpora = ["--corpora", f"a={specs[0]}", f"b={specs[1]}"]
    out = tmp_path / "bench"
    assert main(["bench", "transfer", *corpora, "--matrix", str(matrix), "--out", str(out)]) == 0
    table = pd.read_csv(out / "table.csv")
    assert table["recipe"].tolist() == ["sapa-supcon"]


def test_without_its_package_it_is_named(finished, tmp_path, capsys):
    run, _ = finished
    assert "sapa-supcon" not in METHODS
    assert main(["predict", str(run), "x.wav"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "'sapa-supcon' is not installed: install the package 'cleser-sapa-supcon'" in said
    assert str(run) in said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("sapa_supcon:absent", "the recipe sapa_supcon:absent cannot be imported"),
        (
            "sapa_supcon:SapaSupCon",
            "SapaSupCon is <class 'sapa_supcon.SapaSupCon'>, expected a Method",
        ),
    ],
)
def test_what_is_no_recipe_is_named(value, said, installed, tmp_path, monkeypatch):
    info = tmp_path / "wrong-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[cleser.recipes]\nwrong = {value}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=said):
        METHODS["wrong"]


def test_a_recipe_that_cannot_be_imported_is_named_and_the_others_work(
    tmp_path, monkeypatch, capsys
):
    info = tmp_path / "broken_pkg-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-pkg\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cleser.recipes]\nmine = broken_recipe:recipe\n")
    (tmp_path / "broken_recipe.py").write_text("raise TypeError('no frozen [one]')")
    monkeypatch.syspath_prepend(tmp_path)
    said = (
        "the recipe broken_recipe:recipe cannot be imported (TypeError: no frozen [one]); "
        "the package 'broken-pkg' registers it as 'mine'"
    )
    assert main(["run", "--help"]) == 0
    helped = " ".join(capsys.readouterr().out.split())
    assert f"cleser run mine {said} cleser run" in helped
    assert "cleser run sapa SAPA" in helped
    assert main(["run", "mine", "--help"]) == 2
    assert f"error: {said}" in " ".join(capsys.readouterr().err.split())
    words = following()
    assert words["run mine"] == list(GLOBAL_FLAGS)
    assert "--epochs" in words["run erm"]
    with pytest.raises(ValueError, match=r"--task avd needs one of \['erm', 'probe'\]"):
        check_task("sapa", "avd")
    (found,) = [f for f in installation.examine() if f.group == "plug-ins"]
    assert (found.name, found.state, found.detail) == ("mine", "broken", said)


def test_its_package_holds_the_module_that_it_registers():
    """A wheel of hatchling has what it is told to include, where no folder has the project's name."""
    told = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())
    (module,) = told["tool"]["hatch"]["build"]["targets"]["wheel"]["include"]
    assert (EXAMPLE / module).exists()
    (entry,) = told["project"]["entry-points"]["cleser.recipes"].values()
    assert entry.split(":")[0] == module.removesuffix(".py")
