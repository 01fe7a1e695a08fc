"""Readers of corpora by their documented names, on generated trees."""

import json
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from cleser import plugins
from cleser.corpora import load, problems, registry
from cleser.corpora.catalogue import CATALOGUE
from cleser.corpora.folders import WrongFolderError
from cleser.corpora.manifest import Gap

POINTS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))[
    "project"
]["entry-points"]["cleser.corpora"]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """All readers that the package registers, installed anew or not."""
    points = [EntryPoint(name, value, registry.GROUP) for name, value in POINTS.items()]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)


CASES = [
    ("savee", "DC/a01.wav", "DC_a01", ("en", "DC", "male", "anger")),
    ("savee", "wav/KL_su12.wav", "KL_su12", ("en", "KL", "male", "surprise")),
    ("tess", "OAF_angry/OAF_back_angry.wav", "OAF_back_angry", ("en", "OAF", "female", "anger")),
    ("tess", "YAF_ps/YAF_pain_ps.wav", "YAF_pain_ps", ("en", "YAF", "female", "surprise")),
    ("tess", "OA_bite_neutral.wav", "OA_bite_neutral", ("en", "OAF", "female", "neutral")),
    ("emovo", "EMOVO/f2/gio-f2-b2.wav", "gio-f2-b2", ("it", "f2", "female", "happiness")),
    ("emovo", "m1/tri-m1-n5.wav", "tri-m1-n5", ("it", "m1", "male", "sadness")),
    ("shemo", "female/F21N05.wav", "F21N05", ("fa", "F21", "female", "neutral")),
    ("shemo", "male/M36W02.wav", "M36W02", ("fa", "M36", "male", "surprise")),
    ("casia", "wangzhe/fear/239.wav", "wangzhe/fear/239", ("zh", "wangzhe", None, "fear")),
    ("enterface", "subject 19/anger/sentence 4/s19_an_4.wav", "s19_an_4", ("en", "19", None, "anger")),
    ("enterface", "subject 6/fear/s6_fe.wav", "s6_fe", ("en", "6", None, "fear")),
    ("subesco", "F_10_FAHMEE_S_6_FEAR_5.wav", "F_10_FAHMEE_S_6_FEAR_5", ("bn", "F_10", "female", "fear")),
    ("subesco", "F_02_MONIKA_S_2_SURPRISE_3].wav", "F_02_MONIKA_S_2_SURPRISE_3]", ("bn", "F_02", "female", "surprise")),
    ("aesdd", "anger/a03 (3).wav", "a03 (3)", ("el", "3", None, "anger")),
    ("aesdd", "fear/f12 (01).wav", "f12 (01)", ("el", "1", None, "fear")),
    ("aesdd", "sadness/s01 (5)b.wav", "s01 (5)b", ("el", "5", None, "sadness")),
    ("jl-corpus", "JL(wav+txt)/female1_angry_10a_1.wav", "female1_angry_10a_1", ("en", "female1", "female", "anger")),
    ("jl-corpus", "male2_concerned_6b_1.wav", "male2_concerned_6b_1", ("en", "male2", "male", "other")),
    ("jl-corpus", "female2_anxious_1a_2.wav", "female2_anxious_1a_2", ("en", "female2", "female", "anxiety")),
    ("mesd", "Anger_F_A_tarde.wav", "Anger_F_A_tarde", ("es", None, "female", "anger")),
    ("mesd", "Sadness_C_B_no bueno.wav", "Sadness_C_B_no bueno", ("es", None, None, "sadness")),
    ("ased", "05Angry/a5-02-01-01-33.wav", "a5-02-01-01-33", ("am", "33", None, "anger")),
    ("ased", "04Sad/S4-04-02-01-29.wav", "S4-04-02-01-29", ("am", "29", None, "sadness")),
    ("mead", "MEAD/M003/audio/angry/level_1/001.wav", "M003_angry_1_001", ("en", "M003", "male", "anger")),
    ("mead", "W009/audio/disgusted/level_3/030.wav", "W009_disgusted_3_030", ("en", "W009", "female", "disgust")),
    ("oreau", "f/sessj/10a02Ja.wav", "10a02Ja", ("fr", "10", None, "happiness")),
]  # fmt: skip


@pytest.mark.parametrize(("corpus", "name", "utterance", "expected"), CASES)
def test_a_name_becomes_a_row(write, corpus, name, utterance, expected):
    root = write(name)
    row = load(f"{corpus}:{root}").iloc[0]
    assert row["utterance"] == f"{corpus}/{utterance}"
    assert row["path"] == str(root / name)
    language, speaker, gender, emotion = expected
    found = row[["speaker", "gender"]].where(row[["speaker", "gender"]].notna(), None).tolist()
    assert found == [speaker and f"{corpus}/{speaker}", gender]
    assert (row["language"], row["emotion"]) == (language, emotion)


@pytest.mark.parametrize("corpus", sorted({case[0] for case in CASES}))
def test_a_foreign_name_is_a_problem_and_a_foreign_folder_an_error(write, corpus):
    names = [name for known, name, *_ in CASES if known == corpus]
    root = write(*names, "own/my noise.wav") if len(names) > 1 else write(*names)
    if len(names) > 1:
        found = problems(load(f"{corpus}:{root}"))
        assert [p.path for p in found] == [str(root / "own/my noise.wav")]
    other = write(
        "03-01-05-01-01-01-01.wav", "03-01-05-01-01-01-02.wav", root=root.parent / "other"
    )
    with pytest.raises(WrongFolderError, match=rf"{corpus}: looked for recordings named as"):
        load(f"{corpus}:{other}")


@pytest.mark.parametrize(
    ("corpus", "written", "released"),
    [
        ("emovo", "F1/DIS-F1-B1.WAV", "dis-f1-b1"),
        ("shemo", "f21n05.wav", "F21N05"),
        ("crema-d", "1001_dfa_ang_xx.wav", "1001_DFA_ANG_XX"),
        ("casia", "WANGZHE/FEAR/239.wav", "wangzhe/fear/239"),
    ],
)
def test_names_in_other_capitals_are_read_as_those_of_the_release(write, corpus, written, released):
    manifest = load(f"{corpus}:{write(written)}")
    assert manifest["utterance"].tolist() == [f"{corpus}/{released}"]
    assert manifest["emotion"].notna().all()
    assert [p for p in problems(manifest) if not isinstance(p, Gap)] == []


def test_how_recordings_are_named_that_are_none_of_the_corpus_is_said(write):
    root = write(*(f"f1/{n}_rabbia.wav" for n in range(3)))
    with pytest.raises(WrongFolderError, match=r"; 3 recordings are named otherwise, as f1/0_rabb"):
        load(f"emovo:{root}")


def test_files_of_casia_that_are_named_alike_are_different_utterances(write):
    names = [
        f"{who}/{what}/239.wav" for who in ("wangzhe", "liuchanhg") for what in ("sad", "fear")
    ]
    manifest = load(f"casia:{write(*names)}")
    assert manifest["utterance"].nunique() == 4
    assert problems(manifest) == []


@pytest.mark.parametrize(
    ("corpus", "name", "released"),
    [
        ("mead", "W009/audio/sad/level_2/001.wav", ".m4a"),
        ("enterface", "subject 19/anger/sentence 4/s19_an_4.wav", ".avi"),
    ],
)
def test_how_to_extract_the_sound_of_a_release_is_said(write, corpus, name, released):
    root = write(name)
    assert len(load(f"{corpus}:{root}")) == 1
    (root / name).rename((root / name).with_suffix(released))
    said = rf"holds 1 files \{released} and no recording.*ffmpeg -i {Path(name).stem}\{released} "
    with pytest.raises(ValueError, match=said):
        load(f"{corpus}:{root}")


EMOZIONALMENTE = (
    "file_name,timestamp,actor,sentence,emotion_expressed\n"
    "1607081484832.wav,0,a1,Vorrei il numero telefonico,joy\n"
    "1607081484833.wav,0,a2,Il vulcano è inattivo,neutrality\n"
    "1607081484834.wav,0,a2,Il vulcano è inattivo,sadness\n"
)


@pytest.mark.parametrize("users", [True, False])
def test_emozionalmente(write, users):
    root = write("audio/1607081484832.wav", "audio/1607081484833.wav", "audio/x.wav")
    (root / "metadata").mkdir()
    (root / "metadata/samples.csv").write_text(EMOZIONALMENTE, "utf-8")
    if users:
        table = "username,gender,age\na1,female,30\na2,male,40\n"
        (root / "metadata/users.csv").write_text(table)
    manifest = load(f"emozionalmente:{root}")
    columns = ["utterance", "language", "speaker", "emotion", "text"]
    assert manifest[columns].values.tolist() == [
        ["emozionalmente/1607081484832", "it", "emozionalmente/a1", "happiness", "Vorrei il numero telefonico"],
        ["emozionalmente/1607081484833", "it", "emozionalmente/a2", "neutral", "Il vulcano è inattivo"],
    ]  # fmt: skip
    assert manifest["gender"].dropna().tolist() == (["female", "male"] if users else [])
    reasons = [p.reason for p in problems(manifest) if not isinstance(p, Gap)]
    assert reasons == ["has no recording", "has no row in samples.csv"]
    with pytest.raises(WrongFolderError, match=rf"did you mean emozionalmente:{root}\?"):
        load(f"emozionalmente:{root}/audio")


def said(speaker, emotion, text="好"):
    return {"Speaker": speaker, "Text": text, "EmoAnnotation": {"final_main_emo": emotion}}


def test_m3ed(write):
    names = ("A_anjia_1_1", "B_anjia_1_2", "A_other_1_1", "C_anjia_9_9")
    root = write(*(f"modality_speech/{name}.wav" for name in names))
    people = {
        "A": {"Name": "朱闪闪", "Gender": "female"},
        "B": {"Name": "徐文昌", "Gender": "male"},
    }
    dialogue = {
        "SpeakerInfo": people,
        "Dialog": {"anjia_1_1": said("A", "Happy"), "anjia_1_2": said("B", "Anger"), "anjia_1_3": said("B", "Sad")},
    }  # fmt: skip
    other = {"SpeakerInfo": people, "Dialog": {"other_1_1": said("A", "Surprise")}}
    annotation = {"anjia": {"anjia_1": dialogue}, "other": {"other_1": other}}
    (root / "annotation.json").write_text(json.dumps(annotation, ensure_ascii=False), "utf-8")
    (root / "splitInfo").mkdir()
    (root / "splitInfo/movie_list_train.txt").write_text("anjia\n")
    (root / "splitInfo/movie_list_val.txt").write_text("other\n")
    manifest = load(f"m3ed:{root}").set_index("utterance").sort_index()
    columns = ["language", "speaker", "gender", "emotion", "split", "text"]
    assert manifest[columns].values.tolist() == [
        ["zh", "m3ed/anjia_朱闪闪", "female", "happiness", "train", "好"],
        ["zh", "m3ed/other_朱闪闪", "female", "surprise", "dev", "好"],
        ["zh", "m3ed/anjia_徐文昌", "male", "anger", "train", "好"],
    ]
    reasons = sorted(p.reason for p in problems(load(f"m3ed:{root}")))
    assert reasons == ["has no recording", "has no row in annotation.json"]
    (root / "annotation.json").write_text('{"anjia": {"anjia_1": {"Dialog": {"x": 3}}}}')
    with pytest.raises(ValueError, match=r"annotation\.json: expected series with dialogues"):
        load(f"m3ed:{root}")
    with pytest.raises(WrongFolderError, match=rf"did you mean m3ed:{root}\?"):
        load(f"m3ed:{root}/splitInfo")


def test_iemocap(write):
    turns = ("Ses01F_impro01_F000", "Ses01F_impro01_M001", "Ses01F_impro01_M002")
    root = write(*(f"Session1/sentences/wav/Ses01F_impro01/{t}.wav" for t in turns))
    write("Session1/dialog/wav/Ses01F_impro01.wav", root=root)
    labels = root / "Session1/dialog/EmoEvaluation"
    labels.mkdir()
    (labels / "Ses01F_impro01.txt").write_text(
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 3.5000]\n"
        "C-E2:\tNeutral;\t()\n"
        "[10.0100 - 11.3925]\tSes01F_impro01_M001\txxx\t[2.5000, 2.0000, 2.5000]\n"
        "[12.0 - 13.0]\tSes01F_impro01_F003\tang\t[1.5000, 4.0000, 4.5000]\n"
    )
    texts = root / "Session1/dialog/transcriptions"
    texts.mkdir()
    (texts / "Ses01F_impro01.txt").write_text(
        "Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.\n"
    )
    manifest = load(f"iemocap:{root}").set_index("utterance")
    columns = ["speaker", "gender", "emotion", "text", "valence", "dominance"]
    assert manifest.loc["iemocap/Ses01F_impro01_F000", columns].tolist() == [
        *("iemocap/Ses01F", "female", "neutral", "Excuse me.", -0.25, 0.25)
    ]
    assert manifest.loc["iemocap/Ses01F_impro01_M001", "speaker"] == "iemocap/Ses01M"
    assert manifest["emotion"].isna().tolist() == [False, True]
    reasons = [p.reason for p in problems(load(f"iemocap:{root}"))]
    assert reasons == ["has no recording", "has no row in EmoEvaluation"]
    with pytest.raises(WrongFolderError, match=rf"did you mean iemocap:{root}\?"):
        load(f"iemocap:{root}/Session1")


@pytest.mark.parametrize("table", ["Evaluation.txt", "Evalution.txt"])
def test_msp_improv(write, table):
    names = ("MSP-IMPROV-S01A-F01-P-FM01", "MSP-IMPROV-S01A-M01-R-MF02")
    root = write(*(f"session1/S01A/{n[19]}/{n}.wav" for n in names))
    (root / table).write_text(
        "UTD-IMPROV-S01A-F01-P-FM01.avi; H; A:2.333333; V:4.0; D:NaN ; N:3.0;\n"
        "rater; Happy; Happy; A:2.0; V:4.0; D:NaN ; N:3.0;\n"
        "UTD-IMPROV-S01A-M01-R-MF02.avi; X; A:2.0; V:3.0; D:3.0 ; N:3.0;\n"
    )
    manifest = load(f"msp-improv:{root}")
    assert manifest["speaker"].tolist() == ["msp-improv/F01", "msp-improv/M01"]
    assert manifest["gender"].tolist() == ["female", "male"]
    assert manifest["emotion"].fillna("").tolist() == ["happiness", ""]
    assert manifest["arousal"].tolist() == pytest.approx([(2.333333 - 3) / 2, -0.5])
    assert manifest["dominance"].isna().tolist() == [True, False]


def test_the_catalogue_lists_every_corpus_once():
    names = [entry.name for entry in CATALOGUE]
    assert names == sorted(names)
    assert {*names, "manifest", "synthetic"} == set(POINTS)
