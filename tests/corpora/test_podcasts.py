"""MSP-Podcast and BIIC-Podcast in the variants that are about, on generated trees."""

import re

import pytest

from cleser.corpora import Gap, load, problems
from cleser.corpora.folders import WrongFolderError
from cleser.corpora.readers.msp_podcast import transcripts

HEADER = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n"
ROWS = (
    "MSP-PODCAST_0001_0008.wav,N,2.2,4.0,2.6,30,Male,Test1\n"
    "MSP-PODCAST_0002_0033.wav,A,5.2,2.0,5.6,Unknown,Unknown,Train\n"
    "MSP-PODCAST_0866_0074_0002.wav,X,4.0,4.0,4.0,31,Female,Development\n"
)
STEMS = ("MSP-PODCAST_0001_0008", "MSP-PODCAST_0002_0033", "MSP-PODCAST_0866_0074_0002")
WITHHELD = "MSP-PODCAST_test3_0001"


def msp(write, labels="Labels/labels_consensus.csv", audio="Audios", text=HEADER + ROWS, **options):
    root = write(*(f"{audio}/{stem}.wav" for stem in STEMS))
    path = root / labels
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, **options)
    return root


@pytest.mark.parametrize(
    ("labels", "audio", "encoding"),
    [
        ("Labels/labels_consensus.csv", "Audios", "utf-8"),
        ("Labels/labels_concensus.csv", "Audio", "utf-8-sig"),
        ("Labels/Labels/labels_consensus.csv", "Audios/Audios", "utf-8-sig"),
        ("labels_concensus.csv", "Audios", "utf-8"),
    ],
)
def test_msp_podcast(write, labels, audio, encoding):
    root = msp(write, labels, audio, encoding=encoding)
    manifest = load(f"msp-podcast:{root}")
    assert manifest["utterance"].tolist() == [f"msp-podcast/{stem}" for stem in STEMS]
    assert manifest["path"].iloc[0] == str(root / audio / f"{STEMS[0]}.wav")
    assert set(manifest["language"]) == {"en"}
    assert manifest["speaker"].fillna("").tolist() == ["msp-podcast/30", "", "msp-podcast/31"]
    assert manifest["gender"].fillna("").tolist() == ["male", "", "female"]
    assert manifest["emotion"].fillna("").tolist() == ["neutral", "anger", ""]
    assert manifest["split"].tolist() == ["test1", "train", "dev"]
    assert manifest["valence"].tolist() == pytest.approx([0, -2 / 3, 0])
    assert problems(manifest) == []


def test_validation_is_development(write):
    text = HEADER + ROWS.replace("Development", "Validation")
    assert load(f"msp-podcast:{msp(write, text=text)}")["split"].iloc[2] == "dev"


@pytest.mark.parametrize("name", ["Partition.txt", "Partitions.txt"])
def test_turns_of_test3_come_from_the_partition_without_labels(write, name):
    root = msp(write)
    write(f"Audios/{WITHHELD}.wav", root=root)
    lines = f"Test1; {STEMS[0]}.wav\nTrain; {STEMS[1]}.wav\nTest3; {WITHHELD}.wav\n"
    (root / name).write_text(lines)
    manifest = load(f"msp-podcast:{root}").set_index("utterance")
    row = manifest.loc[f"msp-podcast/{WITHHELD}"]
    assert row["split"] == "test3"
    assert row[["emotion", "speaker", "gender"]].isna().all()
    assert len(manifest) == 4


def test_rows_of_test3_may_stand_in_the_table_without_labels(write):
    root = msp(write, text=HEADER + ROWS + f"{WITHHELD}.wav,,,,,Unknown,Unknown,Test3\n")
    write(f"Audios/{WITHHELD}.wav", root=root)
    manifest = load(f"msp-podcast:{root}")
    assert manifest["split"].value_counts()["test3"] == 1
    assert problems(manifest) == []


def test_splits_come_from_the_partition_where_the_table_has_none(write):
    lines = [line.rpartition(",")[0] for line in (HEADER + ROWS).splitlines()]
    root = msp(write, text="\n".join(lines))
    sets = zip(["Test1", "Train", "Validation"], STEMS, strict=True)
    (root / "Partition.txt").write_text("\n".join(f"{s}; {stem}.wav" for s, stem in sets))
    assert load(f"msp-podcast:{root}")["split"].tolist() == ["test1", "train", "dev"]


def test_what_two_files_say_otherwise_of_a_split_is_a_gap(write):
    root = msp(write)
    sets = zip(["Test1", "Test2", "Development"], STEMS, strict=True)
    lines = [f"{s}; {stem}.wav" for s, stem in sets]
    (root / "Partitions.txt").write_text("\n".join([*lines, f"Test3; {WITHHELD}.wav"]))
    manifest = load(f"msp-podcast:{root}")
    assert manifest["split"].tolist() == ["test1", "train", "dev"]
    gap, missing = problems(manifest)
    assert isinstance(gap, Gap)
    assert gap.path.endswith(f"Partitions.txt: {STEMS[1]}")
    assert gap.reason == "stands in test2, where labels_consensus.csv says train, which counts"
    assert missing.path.endswith(f"Partitions.txt: {WITHHELD}")
    assert missing.reason == "has no recording"


@pytest.mark.filterwarnings("error")
def test_without_any_split_there_is_none(write):
    text = HEADER + ROWS.replace(",Train", ",Unknown")
    splits = load(f"msp-podcast:{msp(write, text=text)}")["split"]
    assert splits.fillna("").tolist() == ["test1", "", "dev"]


def test_what_does_not_fit_together_is_listed_once(write):
    extra = "gone.wav,A,1,1,1,1,Male,Train\nbad.wav,Z,1,1,1,1,Male,Train\nempty.wav,A,1,1,1,1,Male,Train\n"
    root = msp(write, text=HEADER + ROWS + extra + ROWS.splitlines()[0])
    write("Audios/bad.wav", "Audios/unlisted.wav", root=root)
    (root / "Audios/empty.wav").touch()
    (root / "Partition.txt").write_text("Train; nolabel.wav\n")
    manifest = load(f"msp-podcast:{root}")
    assert len(manifest) == 3
    found = {(p.path.rpartition("/")[2], p.reason.split(",")[0]) for p in problems(manifest)}
    assert found == {
        ("labels_consensus.csv: bad", "has the EmoClass Z"),
        ("labels_consensus.csv: gone", "has no recording"),
        (f"labels_consensus.csv: {STEMS[0]}", "is a second row"),
        ("Partition.txt: nolabel", "has no row in labels_consensus.csv"),
        ("unlisted.wav", "has no row in labels_consensus.csv"),
        ("empty.wav", "is empty (0 bytes)"),
    }
    assert len(problems(manifest)) == len(found)


@pytest.mark.parametrize("folder", ["Transcripts", "Transcripts/Transcripts"])
def test_transcripts_are_read_when_asked_for(write, folder):
    root = msp(write)
    (root / folder).mkdir(parents=True)
    (root / folder / f"{STEMS[1]}.txt").write_text("Well, it is.\n")
    manifest = load(f"msp-podcast:{root}")
    assert manifest["text"].isna().all()
    assert transcripts(manifest)["text"].fillna("").tolist() == ["", "Well, it is.", ""]


def test_no_transcripts_is_an_error_that_says_so(write):
    manifest = load(f"msp-podcast:{msp(write)}")
    with pytest.raises(ValueError, match="found no folder Transcripts"):
        transcripts(manifest)


def test_wrong_folders_of_msp_podcast(write):
    root = msp(write)
    with pytest.raises(WrongFolderError, match=rf"did you mean msp-podcast:{root}\?"):
        load(f"msp-podcast:{root}/Audios")
    with pytest.raises(
        WrongFolderError, match=rf"found corpus/; did you mean msp-podcast:{root}\?"
    ):
        load(f"msp-podcast:{root.parent}")
    (root / "Audios").rename(root / "Sound")
    with pytest.raises(ValueError, match="no folder with recordings, expected Audios or Audio"):
        load(f"msp-podcast:{root}")


DISTRIBUTION = (
    "file,angry,sad,disgust,contempt,fear,neutral,surprise,happy,split\n"
    "BIIC-PODCAST_1000_0321_0003.wav,0.6,0.2,0,0,0,0.2,0,0,Train\n"
    "BIIC-PODCAST_1000_0321_0004.wav,0.4,0.4,0,0,0,0.2,0,0,Development\n"
    "BIIC-PODCAST_1000_0321_0005.wav,0,0,0,0,0,0,0,1.0,Test\n"
    "BIIC-PODCAST_1000_0321_0006.wav,0,0,0,0,0,0,0,0,Test\n"
)
CONSENSUS = (
    "FileName,EmoClass,EmoAct,EmoVal,EmoDom,Split_Set\n"
    "BIIC-PODCAST_1000_0321_0003.wav,A,4,4,4,Train\n"
    "BIIC-PODCAST_1000_0321_0004.wav,X,4,4,4,Development\n"
    "BIIC-PODCAST_1000_0321_0005.wav,H,4,4,4,Test\n"
)


@pytest.mark.parametrize(
    ("name", "text", "refused"),
    [
        ("labels.csv", DISTRIBUTION, 1),
        ("labels.csv", re.sub(r"([^,\n]+)", r'"\1"', DISTRIBUTION), 1),
        ("labels_consensus.csv", CONSENSUS, 0),
    ],
)
def test_biic_podcast(write, name, text, refused):
    names = [f"Audios/BIIC-PODCAST_1000_0321_000{n}.wav" for n in range(3, 6 + refused)]
    root = write(*names)
    (root / "Labels").mkdir()
    (root / "Labels" / name).write_text(text, encoding="utf-8-sig")
    manifest = load(f"biic-podcast:{root}")
    assert manifest["emotion"].fillna("").tolist() == ["anger", "", "happiness"]
    assert manifest["split"].tolist() == ["train", "dev", "test"]
    assert set(manifest["language"]) == {"zh"}
    assert manifest[["speaker", "gender", "text"]].isna().all(axis=None)
    assert [p.reason.split(",")[0] for p in problems(manifest)] == ["has no votes"] * refused


def test_biic_podcast_without_a_known_table_says_what_is_missing(write):
    root = write("Audios/BIIC-PODCAST_1000_0321_0003.wav")
    (root / "Labels").mkdir()
    (root / "Labels" / "labels.csv").write_text("name,emotion\nx,y\n")
    expected = (
        r"Labels/labels_consensus.csv, or a table with the columns angry, sad, .*found Audios/"
    )
    with pytest.raises(WrongFolderError, match=expected):
        load(f"biic-podcast:{root}")
