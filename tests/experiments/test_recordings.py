"""Files and folders as utterances, and tables of who speaks in them."""

import os

import numpy as np
import pandas as pd
import pytest
import soundfile

from cleser.corpora import folders as recording_folders
from cleser.experiments.prediction.recordings import as_utterances, files_in, read_speakers

WHOLE = {"length": 10.0, "hop": 10.0, "longest": 30.0}


@pytest.fixture
def folder(tmp_path):
    sound = 0.1 * np.random.default_rng(0).standard_normal(8000)
    for name in ("b/x.wav", "a/x.wav", "a/y.flac", "a/._x.wav", "a/deep/er/z.ogg", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(("wav", "flac", "ogg")):
            soundfile.write(tmp_path / name, sound, 16000)
    (tmp_path / "none").mkdir()
    return tmp_path


def test_folders_stand_for_their_recordings(folder):
    found, problems = files_in([folder / "b" / "x.wav", folder / "a", "missing.wav"])
    inside = [str(folder / "a" / name) for name in ("deep/er/z.ogg", "x.wav", "y.flac")]
    assert found == [str(folder / "b" / "x.wav"), *inside, "missing.wav"]
    assert problems == []
    with pytest.raises(ValueError, match=r"none: found no recording, expected files in \.wav"):
        files_in([folder / "none"])
    (folder / "none" / "up").symlink_to(folder / "none")
    with pytest.raises(ValueError, match="none: found no recording"):
        files_in([folder / "none"])


def test_what_a_folder_cannot_give_is_told_and_so_is_a_name_that_no_table_holds(
    folder, monkeypatch
):
    scan = recording_folders._scan

    def locked(path, *rest):
        if path.endswith("deep"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path, *rest)

    monkeypatch.setattr(recording_folders, "_scan", locked)
    latin = folder / "a" / os.fsdecode(b"caf\xe9.wav")
    latin.touch()
    found, problems = files_in([folder / "a", latin])
    assert found == [str(folder / "a" / name) for name in ("x.wav", "y.flac")]
    not_utf8 = (f"{folder}/a/caf\\xe9.wav", "has a name that is not UTF-8: rename it")
    unread = (f"{folder}/a/deep", "cannot be read (Permission denied)")
    assert problems == [not_utf8, unread, not_utf8]


def test_sound_that_is_not_read_is_told_unless_it_was_converted(folder):
    for name in ("a/b.AAC", "a/deep/c.m4a", "a/x.mp4", "b/y.mp4"):
        (folder / name).touch()
    found, problems = files_in([folder / "a"])
    assert len(found) == 3  # notes.txt is no sound, and x.mp4 is there as x.wav
    assert [path for path, _ in problems] == [f"{folder}/a/b.AAC", f"{folder}/a/deep/c.m4a"]
    assert problems[1].reason == (
        "cannot be read: convert it with ffmpeg -i NAME.m4a -ac 1 -ar 16000 NAME.wav"
    )
    (folder / "none" / "d.amr").touch()
    with pytest.raises(ValueError, match=r"found no recording, .*; .*d\.amr cannot be read: conv"):
        files_in([folder / "none"])


def speakers(folder, text):
    (folder / "speakers.csv").write_text(text)
    return read_speakers(folder / "speakers.csv")


def of(folder, table, *names):
    rows = as_utterances([str(folder / name) for name in names], table, "en", **WHOLE)
    return rows[["speaker", "language"]].to_numpy(object).tolist()


def test_speakers_are_found_by_path_and_by_name(folder, monkeypatch):
    by_name = speakers(folder, "path,speaker,language\nx.wav,01,de\ny.flac,,\n")
    names = ("a/x.wav", "b/x.wav", "a/y.flac")
    nobody = [np.nan, "en"]
    found = of(folder, by_name, *names)
    assert found[:2] == [["01", "de"]] * 2
    assert pd.isna(found[2][0])
    assert found[2][1] == nobody[1]
    by_path = speakers(folder, "path,speaker\na/x.wav,1\nb/x.wav,2\n")
    assert of(folder, by_path, "b/x.wav", "a/x.wav") == [["2", "en"], ["1", "en"]]
    monkeypatch.chdir(folder / "a")  # a relative name is the same recording
    rows = as_utterances(["x.wav", "../b/x.wav"], by_path, None, **WHOLE)
    assert rows["speaker"].tolist() == ["1", "2"]
    assert rows["language"].isna().all()
    absolute = speakers(folder, f"path,speaker\n{folder}/a/x.wav,7\n")
    assert of(folder, absolute, "a/x.wav") == [["7", "en"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("between", [",", ";", "\t", "|"])
def test_a_table_of_speakers_is_read_as_manifests_are(folder, between, encoding):
    lines = (["path", "speaker", "language"], ["a/x.wav", "Jörg", "de"], ["b/x.wav", "", " en "])
    text = "".join(between.join(line) + "\r\n" for line in lines)
    (folder / "speakers.csv").write_bytes(text.encode(encoding))
    found = of(folder, read_speakers(folder / "speakers.csv"), "a/x.wav", "b/x.wav")
    assert found[0] == ["Jörg", "de"]
    assert pd.isna(found[1][0]) and found[1][1] == "en"


def test_columns_have_any_name_that_a_manifest_may_have(folder):
    named = speakers(folder, "file,spk,Lang\na/x.wav,01,de\n")
    assert of(folder, named, "a/x.wav") == [["01", "de"]]


def test_languages_are_those_that_a_manifest_may_have(folder):
    named = speakers(folder, "path,speaker,language\nx.wav,01,German\n")
    assert of(folder, named, "a/x.wav") == [["01", "de"]]
    files = [str(folder / "a" / "x.wav")]
    assert as_utterances(files, language="English", **WHOLE)["language"].tolist() == ["en"]
    for wrong, said in (("Klingon", "an ISO 639-1 code"), ("xx", "an ISO"), ("cn", ".*mean zh")):
        with pytest.raises(ValueError, match=f"^language is '{wrong}', expected {said}"):
            as_utterances(files, language=wrong, **WHOLE)
        with pytest.raises(ValueError, match=rf"speakers\.csv: x\.wav: language is '{wrong}'"):
            speakers(folder, f"path,speaker,language\nx.wav,01,{wrong}\n")


def test_a_table_that_does_not_fit_is_refused(folder, tmp_path):
    table = speakers(folder, "path,speaker\na/x.wav,1\n")
    with pytest.raises(ValueError, match=r"speakers\.csv: .*b/x\.wav is not in it"):
        of(folder, table, "b/x.wav")
    with pytest.raises(ValueError, match=r"x\.wav has the speakers 1 and 2, expected one"):
        speakers(folder, "path,speaker\nx.wav,1\nx.wav,2\n")
    with pytest.raises(ValueError, match=r"a/x\.wav has the speakers 1 and 2, expected one"):
        speakers(folder, "path,speaker\na/x.wav,1\n./a/x.wav,2\n")
    with pytest.raises(
        ValueError, match=r"found the columns \['path'\], expected also \['speaker'\]"
    ):
        speakers(folder, "path\nx.wav\n")
    with pytest.raises(ValueError, match=r"the table of speakers: found the columns \['file'\]"):
        of(folder, pd.DataFrame({"file": ["x.wav"]}), "a/x.wav")
    with pytest.raises(ValueError, match=r"nowhere\.csv: no such file, expected a table of"):
        read_speakers(folder / "nowhere.csv")
    with pytest.raises(ValueError, match=r"a: cannot be read as a table of speakers \(Is a"):
        read_speakers(folder / "a")


def test_a_recording_may_come_twice(folder):
    twice = [str(folder / "a" / "x.wav")] * 2
    rows = as_utterances(twice, **WHOLE)
    assert rows["utterance"].is_unique
    assert rows["path"].tolist() == twice
    assert rows["until"].tolist() == [0.5, 0.5]
    assert rows["end"].isna().all()
