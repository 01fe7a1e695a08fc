"""``cleser communities`` from corpora to tables, figure and summary."""

import pandas as pd
import pytest
from scipy import sparse

pytest.importorskip("soundfile")
pytest.importorskip("tyro")
from cleser.cli import main
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


def test_a_number_of_communities(corpora, tmp_path):
    out = tmp_path / "two"
    words = ["communities", *corpora, "--out", str(out), "--communities", "2"]
    assert main([*words, "--permutations", "2", "--no-refit"]) == 0
    nodes = pd.read_csv(out / "nodes.csv")
    assert (nodes.groupby("emotion")["community"].nunique() == 2).all()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--k 0", "--k is 0, expected 1 or more"),
        ("--resolution -1", "--resolution is -1, expected a finite number from 0 on"),
        ("--resolution nan", "--resolution is nan"),
        ("--permutations 0", "--permutations is 0, expected 1 or more"),
        ("--seed -1", "--seed is -1, expected 0 or more"),
        (
            "--communities 50",
            "--communities is 50, expected at most 6, the speakers who show anger",
        ),
        (
            "--emotions angr anger",
            "--emotions angr: no utterance shows it, expected some of anger, ",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_recordings_are_read(
    corpora, tmp_path, capsys, flags, said, monkeypatch
):
    monkeypatch.setattr("cleser.speech.load_speaker_encoder", None)
    words = ["communities", *corpora, "--out", str(tmp_path / "out"), *flags.split()]
    assert main(words) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_the_summary_says_what_was_asked_for_and_what_took_no_part(corpora, tmp_path):
    folder, file = corpora[0].partition(":")[2].rsplit("/", 1)
    table = pd.read_csv(f"{folder}/{file}")
    shown = table["emotion"].value_counts()
    table.loc[::2, "emotion"] = None
    table.to_csv(f"{folder}/{file}", index=False)
    out, again = tmp_path / "out", tmp_path / "again"
    first, second = shown.index[:2]
    words = [
        "communities",
        *corpora,
        "--map",
        "calm=neutral",
        "--communities",
        "2",
        "--permutations",
        "2",
    ]
    for place in (out, again):
        assert main([*words, "--emotions", first, second, "--out", str(place)]) == 0
    summary = (out / "summary.md").read_text()
    assert f"{(len(table) + 1) // 2} more utterances have no emotion or no speaker" in summary
    assert "| map | calm=neutral |" in summary
    assert "| communities | 2 |" in summary
    assert f"| emotions | {first} {second} |" in summary
    assert set(pd.read_csv(out / "nodes.csv")["emotion"]) <= {first, second}
    for name in ("styles.svg", "styles.png", "summary.md", "nodes.csv"):
        assert (out / name).read_bytes() == (again / name).read_bytes()


def test_corpora_without_emotions_are_refused(tmp_path, capsys):
    spec = write_corpus(tmp_path / "a", "a")
    table = tmp_path / "a" / spec.rpartition("/")[2]
    frame = pd.read_csv(table) if table.suffix == ".csv" else pd.read_parquet(table)
    frame["emotion"] = None
    frame.to_csv(table) if table.suffix == ".csv" else frame.to_parquet(table)
    assert main(["communities", spec, "--out", str(tmp_path / "out")]) == 2
    assert "has an emotion and a speaker" in capsys.readouterr().err
