"""``cleser communities`` from corpora to tables, figure and summary."""

import pandas as pd
import pytest
from scipy import sparse

pytest.importorskip("soundfile")
pytest.importorskip("tyro")
from cleser.cli import main
from cleser.cli.communities import _verdict
from tests.corpora.trees import write_corpus


@pytest.fixture
def corpora(tmp_path, monkeypatch):
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "cache"))
    return [
        write_corpus(tmp_path / name, name, language=name, speakers=3, takes=2, seed=seed)
        for seed, name in enumerate(("de", "en"))
    ]


def test_it_writes_what_it_found(corpora, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["communities", *corpora, "--out", str(out), "--permutations", "5"]) == 0
    nodes, said = pd.read_csv(out / "nodes.csv"), pd.read_csv(out / "utterances.csv")
    assert len(nodes) == 6 * 4
    assert len(said) == 6 * 4 * 2
    merged = said.merge(nodes, on=["speaker", "emotion"], suffixes=("", "_node"))
    assert (merged["community"] == merged["community_node"]).all()
    assert pd.read_csv(out / "mixing.csv")["emotion"].tolist()[-1] == "all"
    assert sparse.load_npz(out / "graph.npz").shape == (24, 24)
    assert (out / "styles.svg").read_text().startswith("<?xml")
    summary, shown = (out / "summary.md").read_text(), capsys.readouterr().out
    assert "Do languages mix?" in summary
    for said in (summary, shown):
        assert "Languages keep apart more than by chance" in said
    table = [line for line in shown.splitlines() if "0." in line and "p =" not in line]
    assert max(map(len, table)) <= 80  # prose is not wrapped where nobody says how wide the page is
    assert not list(out.glob("*.part"))


def test_the_verdict_names_the_emotions_in_which_languages_keep_apart():
    mixing = pd.DataFrame(
        {
            "emotion": ["anger", "fear", "all"],
            "entropy_p": [0.2, 0.05, 0.01],
            "assortativity_p": [0.3, float("nan"), 0.2],
            "untested": ["", "", ""],
        }
    )
    assert _verdict(mixing) == (
        "Languages keep apart more than by chance (p ≤ 0.05) by communities in fear (all: p = 0.01); "
        "by edges in no emotion (all: p = 0.2)."
    )


def test_the_verdict_says_what_is_not_tested_and_why():
    nothing = [float("nan")] * 2
    mixing = pd.DataFrame(
        {
            "emotion": ["fear", "all"],
            "entropy_p": nothing,
            "assortativity_p": nothing,
            "untested": ["one language"] * 2,
        }
    )
    said = _verdict(mixing)
    assert "(all: not tested)" in said
    assert said.endswith("Not tested: fear (one language).")


def test_a_number_of_communities(corpora, tmp_path):
    out = tmp_path / "two"
    words = ["communities", *corpora, "--out", str(out), "--communities", "2"]
    assert main([*words, "--permutations", "2", "--no-refit"]) == 0
    nodes = pd.read_csv(out / "nodes.csv")
    assert nodes.groupby("emotion")["community"].nunique().max() <= 2


def test_corpora_without_emotions_are_refused(tmp_path, capsys):
    spec = write_corpus(tmp_path / "a", "a")
    table = tmp_path / "a" / spec.rpartition("/")[2]
    frame = pd.read_csv(table) if table.suffix == ".csv" else pd.read_parquet(table)
    frame["emotion"] = None
    frame.to_csv(table) if table.suffix == ".csv" else frame.to_parquet(table)
    assert main(["communities", spec, "--out", str(tmp_path / "out")]) == 2
    assert "has an emotion and a speaker" in capsys.readouterr().err
