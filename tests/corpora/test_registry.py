import subprocess
import sys

import pandas as pd
import pytest

from cleser.cli import main
from cleser.corpora import corpora, load
from cleser.corpora.protocol import Protocol
from cleser.corpora.registry import load_all
from tests.corpora.trees import write_corpus

READER = """
import pandas as pd
from cleser.corpora import Listing, Problem

def read(argument):
    rows = pd.DataFrame({"utterance": ["u1"], "path": [argument], "language": "fi"})
    return Listing(rows, [Problem("u2.wav", "is missing")])
"""


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A package as an installer leaves it: a module and its .dist-info."""
    (tmp_path / "foreign_reader.py").write_text(READER)
    info = tmp_path / "foreign-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)

    def register(line):
        (info / "entry_points.txt").write_text(f"[cleser.corpora]\n{line}\n")

    return register


def test_the_corpora_that_come_with_the_package():
    assert {
        *("biic-podcast", "cafe", "crema-d", "emodb", "esd", "manifest", "meld"),
        *("msp-podcast", "nemo", "ravdess", "synthetic", "turev-db", "urdu"),
    } <= set(corpora())


def test_a_foreign_package_adds_a_corpus(foreign):
    foreign("foreign-corpus = foreign_reader:read")
    assert "foreign-corpus" in corpora()
    manifest = load("foreign-corpus:C:/data:1")
    assert manifest["path"].tolist() == ["C:/data:1"]  # all behind the first colon, as it is
    assert manifest["utterance"].tolist() == ["foreign-corpus/u1"]
    assert manifest.attrs["problems"] == [{"path": "u2.wav", "reason": "is missing"}]


def test_a_reader_that_cannot_be_imported_is_named(foreign):
    foreign("foreign-corpus = foreign_reader:absent")
    with pytest.raises(ValueError, match="foreign_reader:absent cannot be imported"):
        load("foreign-corpus:x")


def test_one_name_for_two_corpora_is_refused(foreign):
    foreign("emodb = foreign_reader:read")
    with pytest.raises(ValueError, match="two packages register the corpus 'emodb'"):
        corpora()


@pytest.mark.parametrize("spec", ["emodb", "emodb:", "/data/emodb"])
def test_a_spec_needs_name_and_argument(spec):
    with pytest.raises(ValueError, match="expected NAME:ARGUMENT"):
        load(spec)


def test_an_unknown_corpus_lists_the_known():
    with pytest.raises(
        ValueError, match=r"unknown corpus 'emo-db', expected one of .* emodb, .*did you mean emodb"
    ):
        load("emo-db:x")


def test_importing_corpora_does_not_import_torch():
    code = "import cleser.corpora, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_needs_no_label_does_not_mind_what_it_is_called(tmp_path):
    spec = write_corpus(tmp_path / "a", "a", speakers=2, emotions=("anger", "Freude"))
    with pytest.raises(ValueError, match="emotion is 'Freude'"):
        load(spec)
    assert load(spec, labels=False)["emotion"].isna().all()
    assert main(["data", "audit", spec]) == 0
    assert set(load_all([spec], {"freude": "happiness"})["emotion"]) == {"anger", "happiness"}


def test_tables_of_one_name_do_not_become_one_corpus(tmp_path):
    """Their recordings have the same ids, and the second's would be taken for the first's."""
    specs = []
    for folder in ("a", "b"):
        write_corpus(tmp_path / folder, folder, speakers=2)
        table = pd.read_csv(tmp_path / folder / "manifest.csv").drop(columns=["corpus"])
        table.to_csv(tmp_path / folder / "list.csv", index=False)
        specs.append(f"manifest:{tmp_path / folder / 'list.csv'}")
    with pytest.raises(
        ValueError, match=r"a/list\.csv and .*b/list\.csv call different recordings"
    ):
        load_all(specs)
    with pytest.raises(ValueError, match="call different recordings"):
        Protocol((specs[0],), (specs[1],)).load()
    assert main(["data", "audit", *specs]) == 2
    named = [f"{spec}?corpus={name}" for spec, name in zip(specs, "xy", strict=True)]
    assert len(load_all(named)) == 16
    assert len(load_all([specs[0], specs[0]])) == 8  # twice the same is once


def test_the_speaker_1_of_two_tables_without_a_corpus_is_not_one_person(tmp_path):
    """As of two folders of the Hugging Face hub, each with a metadata.csv whose recordings have names of their own."""
    specs = []
    for folder in ("a", "b"):
        write_corpus(tmp_path / folder, folder, speakers=2)
        table = pd.read_csv(tmp_path / folder / "manifest.csv").drop(columns="corpus")
        table["utterance"] = folder + table["utterance"]
        table["speaker"] = table["speaker"].factorize()[0] + 1
        table.to_csv(tmp_path / folder / "metadata.csv", index=False)
        specs.append(f"manifest:{tmp_path / folder / 'metadata.csv'}")
    said = (
        r"a/metadata\.csv and .*b/metadata\.csv name no corpus, .* manifest:FILE\.csv\?corpus=NAME"
    )
    with pytest.raises(ValueError, match=said):
        load_all(specs)
    with pytest.raises(ValueError, match=said):
        Protocol((specs[0],), (specs[1],)).load()
    with pytest.raises(ValueError, match=said):
        Protocol(tuple(specs), (write_corpus(tmp_path / "c", "c"),)).load()
    assert main(["data", "audit", *specs]) == 2
    named = [f"{spec}?corpus={name}" for spec, name in zip(specs, "xy", strict=True)]
    assert load_all(named)["speaker"].nunique() == 4
    as_one = [f"{spec}?corpus=x" for spec in specs]
    assert load_all(as_one)["speaker"].nunique() == 2
    load(named[0]).to_parquet(tmp_path / "metadata.parquet")  # keeps its name
    assert (
        load_all([f"manifest:{tmp_path / 'metadata.parquet'}", specs[1]])["speaker"].nunique() == 4
    )


@pytest.mark.parametrize("command", ["extract", "layers", "communities", "phonemes"])
def test_commands_without_a_corpus_say_so(command, tmp_path, capsys):
    assert (
        main(
            [command, "--out", str(tmp_path / "out"), "--backbone", "acoustic"][
                : 3 if command == "communities" else 5
            ]
        )
        == 2
    )
    assert "found no corpus, expected one or more as emodb:PATH" in capsys.readouterr().err


def test_a_corpus_that_is_spelt_in_two_ways_counts_once(tmp_path):
    spec = write_corpus(tmp_path / "a", "a")
    other = spec.replace("/a/", "/a/../a/")
    rows = load_all([spec, other])
    assert len(rows) == len(load(spec))
    with pytest.raises(
        ValueError, match=r"source names 16 recordings twice, in .* and in .*\.\./a"
    ):
        Protocol([spec, other], [write_corpus(tmp_path / "b", "b")]).load()
