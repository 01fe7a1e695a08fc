"""``cleser data audit`` on corpora and on anyone's split files."""

import shutil

import pandas as pd
import pytest

from cleser.cli import main
from cleser.corpora.readers.manifest_file import read_parts
from tests.corpora.sounds import babble, write
from tests.corpora.trees import write_corpus


@pytest.fixture
def corpora(tmp_path):
    specs = [write_corpus(tmp_path / n, n, speakers=2, seed=i) for i, n in enumerate("ab")]
    for i, path in enumerate(sorted(tmp_path.glob("*/*.wav"))):
        write(path, babble(i))
    return specs


def split(tmp_path, **columns):
    """Three tables of two recordings each, that name neither corpora nor utterances."""
    files = {}
    for number, name in enumerate(("train", "dev", "test")):
        folder = tmp_path / name
        folder.mkdir()
        paths = [f"{i}.wav" for i in range(2)]
        for i, path in enumerate(paths):
            write(folder / path, babble(10 * number + i))
        rows = {"path": paths, "language": "de", "speaker": [f"{number}0", f"{number}1"], **columns}
        files[name] = folder / "table.csv"
        pd.DataFrame(rows).to_csv(files[name], index=False)
    return files


def flags(files):
    return [word for name, file in files.items() for word in (f"--{name}", str(file))]


def said(capsys):
    return " ".join(capsys.readouterr().out.split())


def test_clean_corpora_pass(corpora, capsys):
    assert main(["data", "audit", *corpora]) == 0
    out = said(capsys)
    assert "a: 8 utterances, 2 speakers" in out
    assert "nothing is shared that would be refused" in out


def test_one_corpus_has_nothing_to_be_compared_with(corpora, capsys):
    assert main(["data", "audit", corpora[0]]) == 0
    out = said(capsys)
    assert "one corpus alone has nothing to be compared with" in out
    assert "nothing is shared" not in out


def test_a_copy_in_two_corpora_is_refused_and_one_within_is_noted(corpora, tmp_path, capsys):
    shutil.copy(tmp_path / "a/s0-anger-0.wav", tmp_path / "a/s1-anger-0.wav")
    write(tmp_path / "b/s0-sadness-0.wav", 0.5 * babble(2))  # a/s0-neutral-0, quieter
    (tmp_path / "b/s1-anger-0.wav").write_text("no sound")
    out = tmp_path / "found" / "pairs.csv"
    out.parent.mkdir()
    (out.parent / "before.csv").write_text("an earlier table\n")
    out.hardlink_to(out.parent / "before.csv")
    assert main(["data", "audit", *corpora, "--out", str(out)]) == 1
    found = said(capsys)
    assert "note: identical sound under several names, once: a/s0-anger-0 = a/s1-anger-0" in found
    assert "refused: once the same recording, re-encoded, stands in a and b" in found
    assert "b/s1-anger-0.wav cannot be read" in found
    assert (
        out.parent / "before.csv"
    ).read_text() == "an earlier table\n"  # replaced, and not written over
    pairs = pd.read_csv(out)
    assert pairs["kind"].tolist() == ["exact", "near"]
    assert pairs["other_path"].tolist()[1].endswith("b/s0-sadness-0.wav")


def test_a_clean_split_passes(tmp_path, capsys):
    assert main(["data", "audit", *flags(split(tmp_path))]) == 0
    assert "train: 2 utterances, 2 speakers" in said(capsys)


def test_the_parts_of_a_split_name_the_same_speakers(tmp_path, capsys):
    """Each table is a file of its own name, which makes no other people of its speakers."""
    files = split(tmp_path, speaker=["01", "02"])
    assert main(["data", "audit", *flags(files)]) == 1
    assert "refused: 2 speakers stand in train and test: split/01, split/02" in said(capsys)


def test_recordings_of_one_name_in_two_folders_differ(tmp_path, capsys):
    files = split(tmp_path)
    assert main(["data", "audit", *flags(files)]) == 0
    write(files["test"].parent / "0.wav", 0.5 * babble(1))  # train's other recording
    capsys.readouterr()
    assert main(["data", "audit", *flags(files)]) == 1
    assert "re-encoded, stands in train and test: split/1.wav = split/0.wav" in said(capsys)


def test_one_table_with_a_column_for_the_part(tmp_path, capsys):
    files = split(tmp_path)
    tables = [
        pd.read_csv(f).assign(split=n, path=lambda t, n=n: n + "/" + t["path"])
        for n, f in files.items()
    ]
    whole = tmp_path / "whole.csv"
    pd.concat(tables).to_csv(whole, index=False)
    assert main(["data", "audit", "--split", str(whole)]) == 0
    parts = read_parts({"split": whole})
    assert {name: part["utterance"].tolist() for name, part in parts.items()} == {
        name: [f"split/{name}/0.wav", f"split/{name}/1.wav"] for name in ("train", "dev", "test")
    }
    pd.concat(tables).assign(split=None).to_csv(whole, index=False)
    with pytest.raises(ValueError, match=r"whole.csv: 6 of 6 rows have no split, expected train"):
        read_parts({"split": whole})


def test_stretches_of_one_file_are_utterances(tmp_path):
    write(tmp_path / "long.wav", babble(0))
    rows = {
        "path": "long.wav",
        "language": "de",
        "start": [0.0, 0.5],
        "end": [0.5, 1.0],
        "split": "train",
    }
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    found = read_parts({"split": tmp_path / "t.csv"})["train"]
    assert found["utterance"].tolist() == ["split/long.wav@0-0.5", "split/long.wav@0.5-1"]


def test_a_part_of_which_nothing_is_there_is_no_clean_part(tmp_path, capsys):
    write(tmp_path / "a.wav", babble(0))
    for name, path in (("train", "a.wav"), ("wrong", "nowhere/a.wav")):
        table = pd.DataFrame({"path": [path], "language": "de"})
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    pd.DataFrame({"path": [], "language": []}).to_csv(tmp_path / "bare.csv", index=False)
    for name, said in (("wrong", "nothing usable among 1"), ("bare", "names no recording")):
        words = ["--train", str(tmp_path / "train.csv"), "--test", str(tmp_path / f"{name}.csv")]
        assert main(["data", "audit", *words]) == 2
        assert f"test ({tmp_path / name}.csv): {said}" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--train", "a.csv"],
        ["emodb:x", "--train", "a.csv"],
        ["--split", "a.csv", "--test", "b.csv"],
    ],
)
def test_what_cannot_be_audited_is_said(words, capsys):
    assert main(["data", "audit", *words]) == 2
    assert "expected corpora as emodb:PATH, or two or more of --train" in " ".join(
        capsys.readouterr().err.split()
    )
