"""Databases of audformat: what cleser writes it reads again, and what audformat writes is understood."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from cleser.cli import main
from cleser.corpora import load
from cleser.corpora.convert import write_manifest

audformat = pytest.importorskip("audformat")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "wav").mkdir()
    for name in "abcd":
        soundfile.write(tmp_path / "wav" / f"{name}.wav", np.full(1600, 0.1, "float32"), 16000)
    return tmp_path


@pytest.mark.parametrize("cut", [False, True], ids=["files", "segments"])
def test_what_is_written_is_read_again(folder, cut, capsys):
    rows = pd.DataFrame(
        {
            "path": [f"wav/{name}.wav" for name in ("a", "b", "c", "c" if cut else "d")],
            "language": ["de", "de", "en", "en"],
            "speaker": ["anna", "ben", "carl", None],
            "gender": ["female", "male", None, "female"],
            "emotion": ["anger", None, "sadness", "happiness"],
            "split": ["train", None, "test1", "test2"],
            "text": ['Guten Tag, "du"', None, None, "yes"],
            "arousal": [4, 1.5, None, 5],
            "scale": "1..5",
            "votes.anger": [2.0, 0.0, 1.0, 0.0],
            "votes.sadness": [1.0, 0.0, 2.0, 0.0],
        }
    )
    if cut:
        rows["start"], rows["end"] = [0, 0, 0.02, 0.05], [None, 0.08, 0.05, 0.1]
    rows.to_csv(folder / "own.csv", index=False)
    manifest = load(f"manifest:{folder}/own.csv")
    out = folder / "database"
    assert (
        main(["data", "convert", f"manifest:{folder}/own.csv", str(out), "--to", "audformat"]) == 0
    )
    assert "database: 4 utterances, 0 left out" in capsys.readouterr().out
    audformat.Database.load(str(out))  # it is one
    again = load(f"manifest:{out}").set_index("utterance").loc[manifest["utterance"]].reset_index()
    pd.testing.assert_frame_equal(again[manifest.columns], manifest)
    with pytest.raises(ValueError, match="holds a database already"):
        write_manifest(manifest, out, "audformat")


def test_what_a_database_has_no_place_for_is_named(folder, capsys):
    rows = {
        "path": ["wav/a.wav", "wav/b.wav"],
        "language": "de",
        "text": ["NA", "None"],
        "note": "x",
        "emotion": "sad",
    }
    pd.DataFrame(rows).to_csv(folder / "own.csv", index=False)
    assert (
        main(
            ["data", "convert", f"manifest:{folder}/own.csv", f"{folder}/out", "--to", "audformat"]
        )
        == 0
    )
    assert (
        "not held by this layout: column note; text of 1 utterance ('NA')"
        in capsys.readouterr().out
    )
    assert load(f"manifest:{folder}/out")["text"].fillna("").tolist() == ["", "None"]


@pytest.fixture
def published(folder):
    """As audb's emodb is laid out: emotions, speakers of files with a table about them, and splits by table."""
    database = audformat.Database("mine", "here", "research", languages=["deu"])
    database["people"] = audformat.MiscTable(pd.Index(["1", "2"], dtype="string", name="speaker"))
    database.schemes["gender"] = audformat.Scheme("str", labels=["female", "male"])
    database["people"]["gender"] = audformat.Column(scheme_id="gender")
    database["people"]["gender"].set(["female", "male"])
    database.schemes["speaker"] = audformat.Scheme("str", labels="people")
    database.schemes["emotion"] = audformat.Scheme("str", labels={"W": "anger", "T": "sadness"})
    database.schemes["arousal"] = audformat.Scheme("float", minimum=1, maximum=5)
    database.splits["test"] = audformat.Split("test")
    files = [f"wav/{name}.wav" for name in "abc"]
    database["emotion"] = audformat.Table(audformat.filewise_index(files))
    database["emotion"]["emotion"] = audformat.Column(scheme_id="emotion")
    database["emotion"]["emotion"].set(["W", "T", "W"])
    database["emotion"]["arousal"] = audformat.Column(scheme_id="arousal")
    database["emotion"]["arousal"].set([5, 3, 1])
    database["emotion.test"] = audformat.Table(audformat.filewise_index(files[2:]), split_id="test")
    database["emotion.test"]["emotion"] = audformat.Column(scheme_id="emotion")
    database["emotion.test"]["emotion"].set(["W"])
    database["files"] = audformat.Table(audformat.filewise_index(files))
    database["files"]["speaker"] = audformat.Column(scheme_id="speaker")
    database["files"]["speaker"].set(["1", "2", "2"])
    return database


@pytest.mark.parametrize("storage", ["csv", "parquet"])
def test_a_database_of_audformat_is_read(published, folder, storage):
    published.save(str(folder), storage_format=storage)
    manifest = load(f"manifest:{folder}")
    assert manifest["utterance"].tolist() == ["mine/a", "mine/b", "mine/c"]
    assert manifest["emotion"].tolist() == ["anger", "sadness", "anger"]
    assert manifest["speaker"].tolist() == ["mine/1", "mine/2", "mine/2"]
    assert manifest["gender"].tolist() == ["female", "male", "male"]
    assert manifest["language"].tolist() == ["de"] * 3
    assert manifest["arousal"].tolist() == [1.0, 0.0, -1.0]
    assert manifest["split"].fillna("").tolist() == ["", "", "test"]
    assert load(f"manifest:{folder}?table=emotion.test")["utterance"].tolist() == ["mine/c"]


def test_what_a_database_leaves_open_is_said(published, folder):
    published["emotion.test"]["emotion"].set(["T"])
    published.save(str(folder), storage_format="csv")
    with pytest.raises(
        ValueError, match=r"say different things of wav/c\.wav \(emotion\).*\?table="
    ):
        load(f"manifest:{folder}")
    with pytest.raises(ValueError, match=r"found the tables \['emotion', .*expected nothing"):
        load(f"manifest:{folder}?table=nothing")
    with pytest.raises(ValueError, match=r"without db\.yaml, .*or the folder of an audformat"):
        load(f"manifest:{folder}/wav")
