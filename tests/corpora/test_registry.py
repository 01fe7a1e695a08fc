import subprocess
import sys

import pytest

from cleser.corpora import corpora, load

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
