"""Corpora with tables of labels or texts, on generated trees."""

import re

import pandas as pd
import pytest

from cleser.corpora import load, problems
from cleser.corpora.folders import WrongFolderError

NEMO = (
    "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage\n"
    "SB0_anger_1.wav\tanger\tCo to jest?\tco to jest\tSB0\tfemale\t20\n"
    "KM1_surprised_2.wav\tsurprised\tTo jest kot.\tto jest kot\tKM1\tmale\t30\n"
    "KM1_fear_3.wav\tfear\tTo jest pies.\tto jest pies\tKM1\tmale\t30\n"
)


def test_nemo(write):
    root = write("samples/SB0_anger_1.wav", "samples/KM1_surprised_2.wav", "samples/XX_joy_9.wav")
    (root / "data.tsv").write_text(NEMO)
    manifest = load(f"nemo:{root}").set_index("utterance")
    row = manifest.loc["nemo/KM1_surprised_2"]
    assert row[["language", "speaker", "gender", "emotion", "text"]].tolist() == [
        *("pl", "nemo/KM1", "male", "surprise", "To jest kot.")
    ]
    assert len(manifest) == 2
    reasons = [p.reason for p in problems(load(f"nemo:{root}"))]
    assert reasons == ["has no recording", "has no row in data.tsv"]
    with pytest.raises(WrongFolderError, match=rf"did you mean nemo:{root}\?"):
        load(f"nemo:{root}/samples")


def test_nemo_ids_have_no_blanks_around_them(write):
    root = write("samples/SB0_anger_1.wav")
    padded = NEMO.replace("\tSB0\t", "\t        SB0\t").replace("\tfemale", "\t female ")
    (root / "data.tsv").write_text(padded)
    row = load(f"nemo:{root}").iloc[0]
    assert row[["speaker", "gender"]].tolist() == ["nemo/SB0", "female"]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "utf-16"])
def test_esd_texts_of_english_speakers_stay_english(write, encoding):
    root = write("0011/Angry/0011_000351.wav", "0001/Angry/0001_000351.wav")
    (root / "0011/0011.txt").write_text("0011_000351\tIt’s “here” – café.\tAngry\n", encoding)
    (root / "0001/0001.txt").write_text("0001_000351\t打远一看。\t生气\n", "gb18030")
    texts = load(f"esd:{root}").set_index("utterance")["text"]
    assert texts["esd/0011_000351"] == "It’s “here” – café."
    assert texts["esd/0001_000351"] == "打远一看。"


def test_esd_divided_and_flat_with_texts_in_any_encoding(write):
    root = write(
        "ESD/0001/Angry/0001_000351.wav",
        "ESD/0002/Happy/0002_000701.wav",
        "ESD/0011/Surprise/evaluation/0011_001401.wav",
        "ESD/0011/Sad/train/0011_001051.wav",
        "ESD/0011/Odd/0011_000002.wav",
    )
    (root / "ESD/0001/0001.txt").write_text("0001_000351\t打远一看。\t生气\n", "gb18030")
    (root / "ESD/0002/0002.txt").write_text("0002_000701 我 很 好 快乐\n", "utf-16")
    (root / "ESD/0011/0011.txt").write_text(
        "0011_001401\tThe nine eggs, I keep.\tSurprise\n0011_001700\tGone.\tSurprise\nodd\n",
        "utf-8-sig",
    )
    manifest = load(f"esd:{root}")
    rows = manifest.set_index("utterance")
    assert rows.loc["esd/0001_000351", ["language", "gender", "emotion", "text"]].tolist() == [
        *("zh", "female", "anger", "打远一看。")
    ]
    assert rows.loc["esd/0002_000701", "text"] == "我 很 好"
    assert rows.loc["esd/0011_001401", ["language", "gender", "emotion", "split"]].tolist() == [
        *("en", "male", "surprise", "dev")
    ]
    assert rows.loc["esd/0011_001051", "split"] == "train"
    assert rows["split"].isna().sum() == 2
    reasons = " | ".join(p.reason for p in problems(manifest))
    for expected in ("in the folder Odd", "no id, text, emotion: 'odd'", "has a text, but no rec"):
        assert expected in reasons
    assert len(problems(manifest)) == 3


def test_esd_without_texts_still_loads(write):
    manifest = load(f"esd:{write('0011/Angry/0011_000351.wav')}")
    assert manifest["text"].isna().all()
    assert problems(manifest)[0].reason == "is missing: the texts are unknown"


MELD = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode\n"


def meld(root, **rows):
    for split, lines in rows.items():
        (root / f"{split}_sent_emo.csv").write_text(MELD + "\n".join(lines) + "\n", "utf-8")


@pytest.mark.parametrize(
    "folders",
    [
        ("train_splits", "dev_splits_complete", "output_repeated_splits_test"),
        ("audio/train", "audio/dev", "audio/test"),
    ],
)
def test_meld(write, folders):
    names = [f"{folder}/dia0_utt{n}.wav" for folder in folders for n in (0, 1)]
    root = write(*names, f"{folders[2]}/final_videos_testdia0_utt0.wav")
    line = '1,"It\x92s me, you know.",Joey,joy,positive,0,0,1,1'
    other = "2,What?,Waiter,surprise,negative,0,1,1,1"
    gone = "3,No!,Ross,anger,negative,125,3,1,1"
    meld(root, train=[line, other, gone], dev=[line, other], test=[line, other])
    manifest = load(f"meld:{root}")
    assert manifest["split"].value_counts().to_dict() == {"train": 2, "dev": 2, "test": 2}
    row = manifest.set_index("utterance").loc["meld/dev/dia0_utt0"]
    assert row[["speaker", "gender", "emotion", "text"]].tolist() == [
        *("meld/Joey", "male", "happiness", "It’s me, you know.")
    ]
    assert re.search("dev", row["path"])
    assert sorted(p.reason for p in problems(manifest)) == [
        "has no recording",
        "is not named as train_splits/dia0_utt0.wav",
    ]


def test_meld_keeps_what_looks_like_a_gap_and_loads_without_text(write):
    root = write("train_dia3_utt7.wav", "train_dia3_utt8.wav")
    rows = ["1,None,Ross,neutral,neutral,3,7,1,1", "1,,Ross,neutral,neutral,3,8,1,1"]
    meld(root, train=rows)
    assert load(f"meld:{root}")["text"].fillna("(gap)").tolist() == ["None", "(gap)"]


def test_meld_flat(write):
    line = "1,Hi.,Ross,neutral,neutral,3,7,1,1"
    root = write("wav/train_dia3_utt7.wav", "wav/dev_dia3_utt7.wav")
    meld(root, train=[line], dev=[line])
    assert load(f"meld:{root}")["split"].tolist() == ["train", "dev"]


def test_meld_with_one_table_takes_all_recordings_for_it(write):
    root = write("sound/dia3_utt7.wav")
    meld(root, dev=["1,Hi.,Ross,neutral,neutral,3,7,1,1"])
    assert load(f"meld:{root}")["utterance"].tolist() == ["meld/dev/dia3_utt7"]


def test_meld_as_published_says_how_to_extract_the_sound(tmp_path):
    (tmp_path / "train_splits").mkdir()
    (tmp_path / "train_splits/dia0_utt0.mp4").write_bytes(b"video")
    meld(tmp_path, train=["1,Hi.,Ross,neutral,neutral,0,0,1,1"])
    with pytest.raises(ValueError, match=r"1 videos and no recording.*ffmpeg -i dia0_utt0\.mp4"):
        load(f"meld:{tmp_path}")


@pytest.fixture
def table(write):
    root = write("clips/a.wav", "clips/b.flac")
    return root, pd.DataFrame(
        {
            "path": ["clips/a.wav", "clips/b.flac"],
            "language": "hu",
            "speaker": ["01", "02"],
            "gender": ["F", "male"],
            "emotion": ["anger", None],
            "style": ["x", "y"],
        }
    )


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_manifest_files(table, ending):
    root, frame = table
    save = frame.to_parquet if ending == "parquet" else frame.to_csv
    save(root / f"own.{ending}", index=False)
    manifest = load(f"manifest:{root}/own.{ending}")
    assert manifest["utterance"].tolist() == ["own/a", "own/b"]
    assert manifest["speaker"].tolist() == ["own/01", "own/02"]
    assert manifest["gender"].tolist() == ["female", "male"]
    assert manifest["path"].iloc[0] == str(root / "clips/a.wav")
    assert manifest["emotion"].isna().tolist() == [False, True]
    assert manifest["style"].tolist() == ["x", "y"]


def test_a_loaded_manifest_can_be_saved_and_loaded_again(table):
    root, frame = table
    frame.to_csv(root / "own.csv", index=False)
    first = load(f"manifest:{root}/own.csv")
    first.to_parquet(root / "other.parquet")
    second = load(f"manifest:{root}/other.parquet")
    pd.testing.assert_frame_equal(first, second)


def test_segments_of_one_file(table):
    root, frame = table
    frame = frame.assign(
        path="clips/a.wav", utterance=["s1", "s2"], start=[0.0, 0.05], end=[0.05, None]
    )
    frame.to_csv(root / "own.csv", index=False)
    manifest = load(f"manifest:{root}/own.csv")
    assert manifest["start"].tolist() == [0.0, 0.05]
    assert manifest["end"].isna().tolist() == [False, True]


def test_manifest_rows_without_a_usable_file_are_problems(table):
    root, frame = table
    (root / "clips/c.wav").touch()
    frame = pd.concat([frame, frame.head(2).assign(path=["clips/c.wav", "gone/d.wav"])])
    frame.to_csv(root / "own.csv", index=False)
    manifest = load(f"manifest:{root}/own.csv")
    assert len(manifest) == 2
    assert [p.reason for p in problems(manifest)] == ["is empty (0 bytes)", "is missing"]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("own.csv", "sound,language\na.wav,de\n", r"expected also \['path'\]"),
        ("own.csv", "path,language,start\na.wav,de,soon\n", "expected start in seconds"),
        ("own.xlsx", "path,language\n", r"found \.xlsx, expected one of \['\.csv', "),
        (
            "own.csv",
            "path,language,emotion\nclips/a.wav,de,wut\n",
            r"row 0 \(own/a; the first is row 0\): emotion is 'wut'",
        ),
    ],
)
def test_a_wrong_manifest_file_is_an_error(table, name, text, expected):
    root, _ = table
    (root / name).write_text(text)
    with pytest.raises(ValueError, match=expected):
        load(f"manifest:{root}/{name}")


def test_a_missing_manifest_file_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"none\.csv: no such file"):
        load(f"manifest:{tmp_path}/none.csv")
