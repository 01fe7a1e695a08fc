"""Corpora whose file names say all, on generated trees."""

import os
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from cleser.corpora import Problem, describe, load, problems
from cleser.corpora.folders import WrongFolderError
from cleser.corpora.left_out import lost, lost_classes, reasons
from cleser.corpora.manifest import Spare

CASES = [
    (
        "emodb",
        "wav/03a01Fa.wav",
        ("de", "emodb/03", "male", "happiness", "Der Lappen liegt auf dem Eisschrank."),
    ),
    (
        "emodb",
        "08b10Ld.flac",
        ("de", "emodb/08", "female", "boredom", "Die wird auf dem Platz sein, wo wir sie ..."),
    ),
    (
        "ravdess",
        "Actor_02/03-01-08-02-02-01-02.wav",
        ("en", "ravdess/02", "female", "surprise", "Dogs are sitting by the door."),
    ),
    (
        "turev-db",
        "Sound Source/Calm/1234_sk_pamuk.wav",
        ("tr", "turev-db/1234", None, "calm", "pamuk"),
    ),
    ("urdu", "Angry/SF1_F10_A010.wav", ("ur", "urdu/SF1", "female", "anger", None)),
    (
        "cafe",
        "CaFE/Dégoût/Fort/02-D-2-5.wav",
        ("fr", "cafe/02", "female", "disgust", "Cinq pumas fiers et passionnés"),
    ),
    (
        "cafe",
        "Neutre/01-N-1-1.aiff",
        ("fr", "cafe/01", "male", "neutral", "Un cheval fou dans mon jardin"),
    ),
    (
        "crema-d",
        "AudioWAV/1001_DFA_ANG_XX.wav",
        ("en", "crema-d/1001", None, "anger", "Don't forget a jacket."),
    ),
    (
        "crema-d",
        "AudioWAV/1040_ITH_SAD_X.wav",
        ("en", "crema-d/1040", None, "sadness", "I think I have a doctor's appointment."),
    ),
]


@pytest.mark.parametrize(("corpus", "name", "expected"), CASES)
def test_a_file_name_becomes_a_row(write, corpus, name, expected):
    root = write(name)
    row = load(f"{corpus}:{root}").iloc[0]
    language, speaker, gender, emotion, text = expected
    assert (row["language"], row["speaker"], row["emotion"]) == (language, speaker, emotion)
    assert row["gender"] == gender if gender else row.isna()["gender"]
    assert row["text"].startswith(text.removesuffix("...")) if text else row.isna()["text"]
    assert row["path"] == str(root / name)
    assert row["corpus"] == corpus


def test_what_cannot_be_used_is_listed_and_left_out(write):
    root = write("wav/03a01Fa.wav", "wav/03a01Nc.wav", "wav/noise.wav", "copy/03a01Fa.wav")
    (root / "wav/03a01Wa.wav").touch()
    (root / "wav/03a02Wa.wav").symlink_to(root / "nowhere.wav")
    (root / "wav/._03a01Fa.wav").write_bytes(b"left by a Mac")
    write("wav/08a01Na.wav", root=root)
    manifest = load(f"emodb:{root}")
    assert manifest["utterance"].tolist() == ["emodb/03a01Fa", "emodb/03a01Nc", "emodb/08a01Na"]
    assert {(p.path.removeprefix(f"{root}/"), p.reason) for p in problems(manifest)} == {
        ("wav/noise.wav", "is not named as 03a01Fa.wav"),
        ("wav/03a01Fa.wav", "is a further copy of an utterance"),
        ("wav/03a01Wa.wav", "is empty (0 bytes)"),
        ("wav/03a02Wa.wav", "cannot be read (No such file or directory)"),
    }


CREMA = [f"{speaker}_DFA_{code}_XX" for speaker in (1001, 1002) for code in ("ANG", "SAD", "NEU")]


def copies_of_crema(write, first, second):
    root = write(*(first.format(name) for name in CREMA), *(second.format(name) for name in CREMA))
    (root / "VideoDemographics.csv").write_text("ActorID,Sex\n1001,Male\n")
    manifest = load(f"crema-d:{root}")
    assert len(manifest) == len(CREMA)
    (copies,) = problems(manifest)
    used = {path.removeprefix(f"{root}/") for path in manifest["path"]}
    return used, copies.path, copies.reason.replace(str(root), "ROOT"), root


@pytest.mark.parametrize("lossless", ["wav", "flac", "aiff"])
def test_what_lost_nothing_is_used_before_its_copies(write, lossless):
    names = f"AudioWAV/{{}}.{lossless}", "AudioMP3/{}.mp3"
    used, path, reason, root = copies_of_crema(write, *names)
    assert used == {names[0].format(name) for name in CREMA}
    assert path == str(root / "AudioMP3")
    assert reason == "holds 6 further copies of utterances; those in ROOT/AudioWAV are used"


def test_copies_in_a_folder_or_below_are_told_in_a_line(write, tmp_path):
    used, path, reason, root = copies_of_crema(write, "a/{}.mp3", "a/{}.wav")
    assert used == {f"a/{name}.wav" for name in CREMA}
    assert (path, reason) == (
        str(root / "a"),
        "holds 6 further copies of utterances as .mp3; the .wav are used",
    )
    other = partial(write, root=tmp_path / "other")
    used, path, reason, root = copies_of_crema(other, "{}.wav", "48k/a/{}.wav")
    assert used == {f"{name}.wav" for name in CREMA}
    assert path == str(root / "48k")
    assert reason == "holds 6 further copies of utterances; those in ROOT are used"
    last = partial(write, root=tmp_path / "last")
    used, path, reason, root = copies_of_crema(last, "192k/x/{}.wav", "48k/x/{}.wav")
    assert used == {f"192k/x/{name}.wav" for name in CREMA}
    assert path == str(root / "48k")


def test_of_copies_nothing_is_lost(write, tmp_path):
    names = [f"a/{name}.wav" for name in CREMA] + [f"{at}/{CREMA[0]}.wav" for at in "bc"]
    root = write(*names, *(f"{at}/{CREMA[1]}.wav" for at in "bc"), f"b/{CREMA[0]}.mp3")
    (root / "VideoDemographics.csv").write_text("ActorID,Sex\n1001,Male\n")
    manifest = load(f"crema-d:{root}")
    manifest.to_parquet(tmp_path / "m.parquet")
    for rows in (manifest, pd.read_parquet(tmp_path / "m.parquet")):
        left = rows.attrs["problems"]
        assert all(isinstance(one, Spare) for one in problems(rows))
        assert lost_classes(["fear"], rows) == [] == lost(left)
        assert reasons(left) == [
            f"{root / 'b'} holds 3 further copies of utterances; those in {root / 'a'} are used",
            f"{root / 'c'} holds 2 further copies of utterances; those in {root / 'a'} are used",
        ]
    (root / f"a/{CREMA[2]}.wav").write_bytes(b"")
    rows = load(f"crema-d:{root}")
    assert "1 recording of it could not be used" in lost_classes(["fear"], rows)[0]
    assert reasons(rows.attrs["problems"])[0].startswith("1 recording left out: is empty")


def test_copies_and_second_rows_are_told_by_their_reasons():
    kind = {"kind": "spare"}
    found = [{"path": path, "reason": "has a second row"} | kind for path in "abac"]
    found += [{"path": "a", "reason": reason} | kind for reason in ("holds x", "holds y")]
    assert reasons(found) == ["a has a second row (and 2 more alike)", "a holds x", "a holds y"]
    many = [{"path": "a", "reason": f"holds {n}"} | kind for n in range(10)]
    assert reasons(many)[8:] == ["2 further kinds of copies and second rows"]


def test_a_copy_stands_in_for_what_is_empty(write):
    root = write(*(f"AudioMP3/{name}.mp3" for name in CREMA), f"AudioWAV/{CREMA[1]}.wav")
    (root / f"AudioWAV/{CREMA[0]}.wav").touch()
    endings = load(f"crema-d:{root}").set_index("utterance")["path"].str.rpartition(".")[2]
    assert endings.loc[[f"crema-d/{name}" for name in CREMA[:3]]].tolist() == ["mp3", "wav", "mp3"]


def test_songs_of_ravdess_are_left_out(write):
    root = write("Actor_01/03-01-05-01-01-01-01.wav", "Actor_01/03-02-05-01-01-01-01.wav")
    manifest = load(f"ravdess:{root}")
    assert len(manifest) == 1
    assert [p.reason for p in problems(manifest)] == ["is sung, expected speech"]
    assert manifest["intensity"].tolist() == ["normal"]


def test_turev_db_gives_words_their_letters_back(write):
    words = ("acik", "yigilmak", "kedi", "unheard")
    root = write(*(f"Sound Source/Calm/1234_sk_{word}.wav" for word in words))
    manifest = load(f"turev-db:{root}").set_index("utterance")
    found = [manifest.loc[f"turev-db/1234_sk_{word}", "text"] for word in words]
    assert found == ["açık", "yığılmak", "kedi", "unheard"]


def test_turev_db_refuses_a_folder_that_is_no_emotion(write):
    root = write("Calm/1234_sk_pamuk.wav", "Other/1234_sk_pihti.wav")
    manifest = load(f"turev-db:{root}")
    assert len(manifest) == 1
    assert "is in the folder Other, expected Angry" in problems(manifest)[0].reason


@pytest.mark.parametrize("place", [".", "AudioWAV", "..", "../.."])
def test_crema_d_takes_the_actors_sex_from_its_table(write, tmp_path, place):
    root = tmp_path / "corpora/CREMA-D"
    write("AudioWAV/1001_IEO_HAP_HI.wav", "AudioWAV/1002_TIE_NEU_XX.wav", root=root)
    table = "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Asian,No\n1002,21,Female,Asian,No\n"
    (root / "VideoDemographics.csv").write_text(table)
    manifest = load(f"crema-d:{root / place}")
    assert problems(manifest) == []
    assert manifest["gender"].tolist() == ["male", "female"]
    assert manifest["intensity"].iloc[0] == "high"
    assert manifest["intensity"].isna().iloc[1]


def test_crema_d_without_its_table_says_that_genders_are_unknown(write):
    root = write("AudioWAV/1001_IEO_HAP_HI.wav")
    manifest = load(f"crema-d:{root}")
    assert manifest["gender"].isna().all() and lost(manifest.attrs["problems"]) == []
    (said,) = reasons(manifest.attrs["problems"])
    assert said.startswith("1 gap (the recordings are used): is missing here, and above")
    assert said.endswith(f"the genders are unknown, as {root}/VideoDemographics.csv")


def test_a_folder_of_another_corpus_says_what_was_looked_for_and_found(write):
    root = write("Actor_01/03-01-05-01-01-01-01.wav")
    with pytest.raises(WrongFolderError, match=r"looked for .*03a01Fa\.wav .* found Actor_01/"):
        load(f"emodb:{root}")


def test_the_corpus_one_level_below_or_above_is_hinted_at(write):
    root = write("emodb/wav/03a01Fa.wav", "ravdess/03-01-05-01-01-01-01.wav", "labels/x.wav")
    with pytest.raises(WrongFolderError, match=rf"did you mean emodb:{root}/emodb\?"):
        load(f"emodb:{root}")
    (root / "emodb" / "lab").mkdir()
    with pytest.raises(WrongFolderError, match=rf"nothing; did you mean emodb:{root}/emodb\?"):
        load(f"emodb:{root}/emodb/lab")


def test_a_missing_folder_says_what_there_is(write):
    root = write("wav/03a01Fa.wav")
    with pytest.raises(WrongFolderError, match=rf"does not exist.*{root} holds wav/"):
        load(f"emodb:{root}/wave")
    with pytest.raises(WrongFolderError, match="is a file, expected a folder"):
        load(f"emodb:{root}/wav/03a01Fa.wav")


def test_a_corpus_of_nothing_but_broken_files_is_an_error(tmp_path):
    (tmp_path / "03a01Fa.wav").touch()
    with pytest.raises(ValueError, match=r"nothing usable among 1 recordings.*is empty"):
        load(f"emodb:{tmp_path}")


def test_recordings_are_found_however_deep_and_links_do_not_loop(write):
    deep = "a/b/c/d/e/f/g/h/03a01Fa.wav"
    root = write(deep, "wav/03a02Fa.wav", "wav/03a04Fa.wav")
    (root / "a/b/back").symlink_to(root)
    (root / "wav/other.wav").symlink_to(root / "wav/other.wav")
    manifest = load(f"emodb:{root}")
    assert str(root / deep) in set(manifest["path"])
    found = {p.path.removeprefix(f"{root}/"): p.reason for p in problems(manifest)}
    assert found["a/b/back"] == "is a link to a folder above it"
    assert [p["path"] for p in lost(manifest.attrs["problems"])] == [str(root / "wav/other.wav")]
    assert len(manifest) == 3
    assert set(found) == {"a/b/back", "wav/other.wav"}


def test_names_that_are_not_utf8_are_listed(write):
    root = write("wav/03a01Fa.wav", "wav/08a01Na.wav")
    strange = os.fsencode(root) + b"/wav/caf\xe9.wav"
    folder = Path(os.fsdecode(os.fsencode(root) + b"/d\xe9"))
    folder.mkdir()
    for path in (Path(os.fsdecode(strange)), folder / "03a02Fa.wav"):
        path.write_bytes(b"sound")
    manifest = load(f"emodb:{root}")
    assert len(manifest) == 2
    assert problems(manifest) == [
        Problem(f"{root}/d\\xe9/03a02Fa.wav", "has a name that is not UTF-8: rename it"),
        Problem(f"{root}/wav/caf\\xe9.wav", "has a name that is not UTF-8: rename it"),
    ]
    with pytest.raises(WrongFolderError, match=r"d\\xe9 has a name that is not UTF-8"):
        load(f"emodb:{folder}")
    describe(manifest)


def test_a_folder_that_may_not_be_read_is_a_problem(write, monkeypatch):
    root = write("wav/03a01Fa.wav", "locked/03a02Fa.wav")
    scandir = os.scandir

    def deny(path):  # permissions do not hold for everyone who runs tests
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    manifest = load(f"emodb:{root}")
    assert len(manifest) == 1
    assert problems(manifest) == [Problem(f"{root}/locked", "cannot be read (Permission denied)")]


def test_pointers_to_large_files_are_no_recordings(write):
    root = write("wav/03a01Fa.wav", "wav/08a01Na.wav")
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
    (root / "wav/03a02Fa.wav").write_text(text)
    (root / "wav/03a04Fa.wav").write_text("/annex/objects/SHA256E-s1234--00.wav\n")
    manifest = load(f"emodb:{root}")
    assert len(manifest) == 2
    assert [p.reason[:20] for p in problems(manifest)] == ["is a Git LFS pointer"] * 2
