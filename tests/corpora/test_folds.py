"""Folds by lists and by speakers, what they share, and manifests for other programs."""

import json

import numpy as np
import pandas as pd
import pytest

from cleser.cli import main
from cleser.corpora import load
from cleser.corpora.convert import write_manifest
from cleser.corpora.folds import Fold, audit_folds, make_folds

NAMES = [f"{s}/{e}/{n}.wav" for s in ("anna", "ben", "cy") for e in ("sad", "hap") for n in (1, 2)]


@pytest.fixture
def corpus(write):
    root = write(*NAMES)
    parts = [name.split("/") for name in NAMES]
    rows = {"path": NAMES, "speaker": [p[0] for p in parts], "emotion": [p[1] for p in parts]}
    pd.DataFrame({**rows, "language": "fi"}).to_csv(root / "own.csv", index=False)
    return root, load(f"manifest:{root}/own.csv")


def test_speakers_are_divided_whole(corpus):
    _, manifest = corpus
    for split, count in (("kfold:2", 2), ("kfold:3", 3), ("leave-one-speaker-out", 3)):
        folds = make_folds(manifest, split)
        assert len(folds) == count
        table = audit_folds(manifest, folds)
        assert table["shared"].tolist() == [0] * count
        assert table["test"].sum() == len(manifest)  # each once
        tested = np.stack([fold.roles == "test" for fold in folds])
        assert (tested.sum(axis=0) == 1).all()
    with pytest.raises(ValueError, match="found 3 speakers, expected 4 or more"):
        make_folds(manifest, "kfold:4")
    with pytest.raises(ValueError, match=r"1 of 12 utterances have no speaker, .*leave these"):
        make_folds(
            manifest.assign(speaker=manifest["speaker"].mask(manifest.index == 3)), "kfold:2"
        )
    alone = manifest[manifest["speaker"] == manifest["speaker"].iloc[0]]
    with pytest.raises(ValueError, match="needs two speakers or more, found own/anna alone"):
        make_folds(alone.reset_index(drop=True), "leave-one-speaker-out")
    for split in ("kfold:1", "kfold:x", "folds", "emobox:"):
        with pytest.raises(ValueError, match="expected"):
            make_folds(manifest, split)


def test_the_parts_are_about_equal():
    sizes = {"a": 7, "b": 5, "c": 4, "d": 3, "e": 1}
    speakers = [name for name, size in sizes.items() for _ in range(size)]
    rows = pd.DataFrame({"utterance": range(20), "speaker": speakers})
    folds = make_folds(rows, "kfold:2")
    assert sorted(int((fold.roles == "test").sum()) for fold in folds) == [10, 10]


def write_lists(root, shared):
    """Two folds as EmoBox writes them: by utterance, or by speaker."""
    for fold in (1, 2):
        folder = root / f"lists/fold_{fold}"
        folder.mkdir(parents=True)
        test = [
            n for n in NAMES if (n.endswith(f"{fold}.wav") if shared else n[0] == "ab"[fold - 1])
        ]
        for role, names in (("train", [n for n in NAMES if n not in test]), ("test", test)):
            lines = [json.dumps({"key": f"own-{n}", "wav": f"downloads/own/{n}"}) for n in names]
            (folder / f"own_{role}_fold_{fold}.jsonl").write_text("\n".join(lines))
    gone = json.dumps({"key": "gone", "wav": "downloads/own/anna/sad/9.wav"})
    with (root / "lists/fold_1/own_test_fold_1.jsonl").open("a") as file:
        file.write(f"\n{gone}\n")
    return f"emobox:{root}/lists"


@pytest.mark.parametrize("shared", [False, True])
def test_published_lists_are_audited_with_numbers(corpus, capsys, shared):
    root, manifest = corpus
    split = write_lists(root, shared)
    folds = make_folds(manifest, split)
    table = audit_folds(manifest, folds)
    assert table["fold"].tolist() == ["fold_1", "fold_2"]
    assert table["shared"].tolist() == ([3, 3] if shared else [0, 0])
    assert table["tested_of_shared"].tolist() == ([1, 1] if shared else [0, 0])
    assert table["unmatched"].tolist() == [1, 0]
    assert folds[0].unmatched == ("downloads/own/anna/sad/9.wav",)
    assert (table["train"] + table["test"]).tolist() == [12, 12]
    assert main(["data", "folds", f"manifest:{root}/own.csv", "--split", split]) == 0
    said = capsys.readouterr().out
    assert f"{2 if shared else 0} of 2 folds test speakers who trained" in said


@pytest.mark.parametrize(
    "header",
    [
        "File,Split,Fold",
        "audio_path,Split_Set,fold",
        "utt_id,partition,FOLD",
        "PATH,Subset,Fold",
    ],
)
def test_a_list_has_columns_by_any_name_that_a_manifest_may_have(corpus, header):
    root, manifest = corpus
    by_id = header.startswith("utt")
    rows = pd.DataFrame({"utterance": manifest["utterance" if by_id else "path"], "split": "train"})
    rows["split"] = ["train", "test"] * 6
    rows = pd.concat([rows.assign(fold="1"), rows[::-1].assign(fold="2")])
    rows.set_axis(header.split(","), axis=1).to_csv(root / "split.csv", index=False)
    folds = make_folds(manifest, f"{root}/split.csv")
    assert [fold.name for fold in folds] == ["1", "2"]
    assert folds[0].roles.tolist() == ["train", "test"] * 6


def test_a_list_of_ones_own(corpus):
    root, manifest = corpus
    ids = manifest["utterance"]
    rows = pd.DataFrame({"utterance": ids, "split": ["Train"] * 6 + ["val"] * 2 + ["Test1"] * 4})
    rows.to_csv(root / "split.csv", index=False)
    (fold,) = make_folds(manifest, f"{root}/split.csv")
    assert fold.roles.tolist() == ["train"] * 6 + ["dev"] * 2 + ["test"] * 4
    assert len(fold.rows(manifest, "dev")) == 2
    rows.assign(fold=["1", "2"] * 6).to_csv(root / "split.csv", index=False)
    assert [f.name for f in make_folds(manifest, f"{root}/split.csv")] == ["1", "2"]
    rows.assign(utterance="x").to_csv(root / "split.csv", index=False)
    with pytest.raises(ValueError, match=r"split\.csv: names none of 12 utterances, as own/anna"):
        make_folds(manifest, f"{root}/split.csv")


def test_a_list_that_contradicts_itself_or_uses_other_words_is_refused(corpus):
    root, manifest = corpus
    rows = pd.DataFrame({"path": NAMES, "split": "train"})
    twice = pd.concat([rows, pd.DataFrame({"path": [NAMES[2]], "split": ["test"]})])
    twice.to_csv(root / "split.csv", index=False)
    with pytest.raises(ValueError, match=r"anna/hap/1\.wav stands in train and in test"):
        make_folds(manifest, f"{root}/split.csv")
    rows.assign(split=["evaluation"] * 2 + ["train"] * 10).to_csv(root / "split.csv", index=False)
    with pytest.raises(ValueError, match=r"anna/sad/1\.wav stands in 'evaluation' \(2 rows"):
        make_folds(manifest, f"{root}/split.csv")
    unused = pd.concat([rows, pd.DataFrame({"path": ["gone.wav"], "split": ["unused"]})])
    unused.to_csv(root / "split.csv", index=False)  # of what is not there no word matters
    assert make_folds(manifest, f"{root}/split.csv")[0].unmatched == ("gone.wav",)
    rows.assign(split=[None, *["train"] * 11]).to_csv(root / "split.csv", index=False)
    (fold,) = make_folds(manifest, f"{root}/split.csv")
    assert fold.roles.isna().tolist() == [True] + [False] * 11  # an empty cell takes no part
    assert fold.unmatched == ()


def test_a_recording_that_is_missing_does_not_take_the_row_of_another_speaker(write):
    root = write("DC/a01.wav", "DC/a02.wav", "JE/a02.wav")
    paths = ["DC/a01.wav", "DC/a02.wav", "JE/a02.wav"]
    table = {"path": paths, "speaker": ["DC", "DC", "JE"], "emotion": "sad", "language": "en"}
    pd.DataFrame(table).to_csv(root / "own.csv", index=False)
    manifest = load(f"manifest:{root}/own.csv")
    names = [*paths, "JE/a01.wav"]
    splits = ["train", "train", "test", "test"]
    for order in (names, [f"downloads/own/{name}" for name in names]):
        rows = pd.DataFrame({"path": order, "split": splits})
        rows.to_csv(root / "split.csv", index=False)
        (fold,) = make_folds(manifest, f"{root}/split.csv")
        assert fold.roles.tolist() == splits[:3]
        assert fold.unmatched == (order[-1],)
        # Where DC/a01 is not listed, JE/a01 is not taken for it either.
        rows.iloc[[3, 2, 1]].to_csv(root / "split.csv", index=False)
        (fold,) = make_folds(manifest, f"{root}/split.csv")
        assert fold.roles.fillna("").tolist() == ["", "train", "test"]
        assert fold.unmatched == (order[-1],)
    # That one is named by its id says nothing of folders.
    mixed = pd.DataFrame({"path": ["own/DC/a01", "old/JE/a02.mp3"], "split": "test"})
    mixed.to_csv(root / "split.csv", index=False)
    (fold,) = make_folds(manifest, f"{root}/split.csv")
    assert fold.roles.fillna("").tolist() == ["test", "", "test"]
    stems = pd.DataFrame({"path": ["a01.wav"], "split": "test"})  # names without folders
    stems.to_csv(root / "split.csv", index=False)
    (fold,) = make_folds(manifest, f"{root}/split.csv")
    assert fold.roles.fillna("").tolist() == ["test", "", ""]


@pytest.mark.parametrize(
    ("layout", "ending"),
    [("cleser", "csv"), ("cleser", "parquet"), ("audformat", "csv"), ("audformat", "parquet"), ("emobox", "jsonl")],
)  # fmt: skip
def test_what_is_converted_is_read_again(corpus, layout, ending):
    root, manifest = corpus
    manifest = manifest.assign(end=manifest["end"].where(manifest.index != 2, 0.05))
    path = root / f"out.{ending}"
    write_manifest(manifest, path, layout)
    assert str(root) not in path.read_bytes().decode("latin-1")
    again = load(f"manifest:{path}").sort_values("path", ignore_index=True)
    expected = manifest.sort_values("path", ignore_index=True)
    columns = ["path", "language", "speaker", "emotion", "start"]
    pd.testing.assert_frame_equal(again[columns], expected[columns])
    part = again["end"].notna()
    assert again["end"][part].round(6).tolist() == [0.05]
    with pytest.raises(ValueError, match=r"ending '\.txt', expected one of"):
        write_manifest(manifest, root / "out.txt", layout)


def test_a_list_of_emobox_keeps_what_it_has_a_place_for(corpus, capsys):
    root, _ = corpus
    rows = pd.read_csv(root / "own.csv").assign(
        text="NA", split=["train", "test1"] * 6, arousal=4, valence=None, scale="1..5", style="x",
        **{"votes.sad": 2, "votes.anger": [1, None] * 6},
    )  # fmt: skip
    rows.to_csv(root / "more.csv", index=False)
    spec, out = f"manifest:{root}/more.csv", f"{root}/out.jsonl"
    assert main(["data", "convert", spec, out, "--to", "emobox"]) == 0
    assert "not held by this layout: column style" in capsys.readouterr().out
    manifest, again = load(spec), load(f"manifest:{out}")
    columns = ["utterance", "text", "split", "arousal", "valence", "original_scale"]
    columns += ["votes.sadness", "votes.anger"]
    pd.testing.assert_frame_equal(again[columns], manifest[columns])
    assert main(["data", "convert", spec, f"{root}/out.csv"]) == 0
    assert "not held" not in capsys.readouterr().out


def test_the_commands(corpus, capsys):
    root, _ = corpus
    assert main(["data", "convert", f"manifest:{root}/own.csv", f"{root}/new/a.csv"]) == 0
    assert f"{root}/new/a.csv: 12 utterances, 0 left out" in capsys.readouterr().out
    assert main(["data", "list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("iemocap", "CC BY-NC-SA 4.0", "Language", "Licence"))


def test_speakers_who_train_or_select_are_shared_and_their_utterances_counted():
    rows = pd.DataFrame({"utterance": list("abcdef"), "speaker": ["t", "d", "d", "d", "d", "o"]})
    fold = Fold("1", pd.Series(["train", "dev", "test", "test", "test", "test"]))
    table = audit_folds(rows, [fold])
    assert table["shared"].tolist() == [1]  # d, of two who are tested
    assert table["tested_of_shared"].tolist() == [3 / 4]
