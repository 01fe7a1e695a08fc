"""Protocols whose target is divided into folds: who is learned from, heard and tested, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from cleser.corpora.audit import LeakageError, audit
from cleser.corpora.protocol import Protocol, Uses
from tests.corpora.trees import write_corpus


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora")
    return (
        write_corpus(root / "a", "a", language="de", speakers=6, takes=2),
        write_corpus(root / "b", "b", speakers=4, seed=1),
    )


def listed(spec, folder, role_of, **columns):
    """A split file of a corpus, from a function of each row."""
    rows = pd.read_csv(spec.removeprefix("manifest:"))
    rows = rows.assign(split=[role_of(row) for row in rows.to_dict("records")], **columns)
    path = folder / "split.csv"
    rows[["path", "split", *columns]].to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize(("split", "count"), [("kfold:3", 3), ("leave-one-speaker-out", 6)])
def test_within_a_corpus_everyone_is_tested_once_by_networks_that_never_heard_them(
    specs, split, count
):
    cast = Protocol([specs[0]], [specs[0]], split=split).load()
    assert len(cast.folds) == count
    tested = []
    for fold in cast.folds:
        for repeat in range(3):
            parts = fold.parts(repeat)
            train, dev, test = (set(p["speaker"]) for p in (parts.train, parts.dev, parts.test))
            assert not train & dev
            assert not (train | dev) & test
            assert train | dev | test == set(cast.source["speaker"])
            assert not set(parts.adapt["speaker"]) & test  # heard is what is learned from
        tested += parts.test["utterance"].tolist()
    assert sorted(tested) == sorted(cast.source["utterance"])
    assert cast.tested_of_shared == 0
    assert audit(cast).refused == []
    with pytest.raises(ValueError, match="folds have parts of their own"):
        cast.parts()


def test_one_fold_is_the_same_as_that_of_all(specs):
    protocol = Protocol([specs[0]], [specs[0]], split="kfold:3")
    whole, one = protocol.load(), replace(protocol, fold="2").load()
    pd.testing.assert_frame_equal(whole.folds[1].target, one.target)
    assert whole.folds[1].hash == one.hash
    assert len({whole.hash, *(fold.hash for fold in whole.folds)}) == 4
    with pytest.raises(ValueError, match=r"kfold:3 has no fold '4', expected one of 1, 2, 3"):
        replace(protocol, fold="4").load()


def test_between_corpora_the_target_is_divided_and_the_source_is_whole(specs):
    cast = Protocol([specs[0]], [specs[1]], split="kfold:2").load()
    for fold in cast.folds:
        parts = fold.parts()
        assert {*parts.train["utterance"], *parts.dev["utterance"]} == set(cast.source["utterance"])
        assert set(parts.dev["corpus"]) == {"a"}
        heard, tested = set(parts.adapt["speaker"]), set(parts.test["speaker"])
        assert heard | tested == set(cast.target["speaker"])
        assert not heard & tested
    described = cast.describe(Uses(training=True))
    assert not described["adapts_to_tested"]
    assert [fold["test"] for fold in described["folds"]] == [8, 8]


def test_a_source_beside_the_divided_corpus_is_learned_from_too(specs):
    cast = Protocol([specs[0], specs[1]], [specs[1]], split="kfold:2").load()
    for fold in cast.folds:
        parts = fold.parts()
        learned = pd.concat([parts.train, parts.dev])
        assert set(learned["corpus"]) == {"a", "b"}
        assert (learned["corpus"] == "a").sum() == 48
        assert (learned["corpus"] == "b").sum() == 8


def test_a_list_with_a_dev_part_is_selected_on_it(specs, tmp_path):
    roles = {"s0": "dev", "s1": "test", "s2": "test"}
    split = listed(specs[0], tmp_path, lambda row: roles.get(row["speaker"], "train"))
    cast = Protocol([specs[0]], [specs[0]], split=split).load()
    for repeat in range(3):
        assert set(cast.parts(repeat).dev["speaker"]) == {"a/s0"}
        assert set(cast.parts(repeat).train["speaker"]) == {"a/s3", "a/s4", "a/s5"}
    assert cast.protocol.fold == ""  # the only one needs no name


def test_the_hash_holds_what_the_list_says_and_not_where_it_lies(specs, tmp_path):
    def of(name, role_of):
        folder = tmp_path / name
        folder.mkdir()
        split = listed(specs[0], folder, role_of)
        return Protocol([specs[0]], [specs[0]], split=split, shared_speakers=True).load()

    def half(row):
        return "test" if row["text"] == "take 1" else "train"

    def other(row):
        return "test" if row["text"] == "take 0" else "train"

    def with_dev(row):
        return "dev" if row["speaker"] == "s5" and half(row) == "train" else half(row)

    first = of("x", half)
    assert of("y", half).hash == first.hash
    selecting = of("u", with_dev)
    assert len({cast.hash for cast in (first, of("z", other), selecting)}) == 3
    # Where nothing of the target is heard, the same utterances take part, and only their parts differ.
    sealed = {"target_access": "nothing", "normalisation": "utterance"}
    one, two = (replace(cast.protocol, **sealed).load() for cast in (first, selecting))
    assert one.hash != two.hash
    assert first.describe()["split"] == "split.csv"
    assert str(tmp_path) not in str(first.describe())


def test_lists_that_share_speakers_run_when_asked_and_say_so(specs, tmp_path):
    split = listed(specs[0], tmp_path, lambda row: "test" if row["text"] == "take 1" else "train")
    protocol = Protocol([specs[0]], [specs[0]], split=split)
    with pytest.raises(
        LeakageError, match=r"100 % of the utterances that split\.csv tests .*--shared-speakers"
    ):
        audit(protocol.load(), content=False)
    cast = replace(protocol, shared_speakers=True).load()
    found = audit(cast, content=False)  # tones of one speaker sound the same
    assert found.notes[0].startswith("shared speakers: 6 of 6 tested speakers")
    assert "100 % of the tested utterances" in found.notes[0]
    assert cast.describe()["tested_of_shared"] == 1
    assert cast.describe()["folds"][0]["shared_speakers"] == 6
    assert cast.hash != protocol.load().hash


def test_the_share_counts_the_utterances_of_shared_speakers(specs, tmp_path):
    def role(row):
        if row["speaker"] == "s0":
            return "test"
        return "test" if row["speaker"] == "s1" and row["text"] == "take 1" else "train"

    split = listed(specs[0], tmp_path, role)
    cast = Protocol([specs[0]], [specs[0]], split=split, shared_speakers=True).load()
    assert cast.tested_of_shared == 4 / 12  # of s0 eight, whom nobody learned from; of s1 four


def test_recordings_in_train_and_test_are_refused_all_the_same(tmp_path):
    spec = write_corpus(tmp_path / "a", "a", speakers=3, takes=2)
    (tmp_path / "a/s0-anger-1.wav").write_bytes((tmp_path / "a/s0-anger-0.wav").read_bytes())
    split = listed(spec, tmp_path, lambda row: "test" if row["text"] == "take 1" else "train")
    with pytest.raises(LeakageError, match="identical sound stands in train and test"):
        audit(Protocol([spec], [spec], split=split, shared_speakers=True).load())


def test_every_fold_is_audited(tmp_path):
    spec = write_corpus(tmp_path / "a", "a", speakers=6)
    (tmp_path / "a/s5-anger-0.wav").write_bytes((tmp_path / "a/s4-anger-0.wav").read_bytes())
    every = Protocol([spec], [spec], split="leave-one-speaker-out")
    first = every.load().folds[0].fold.name
    assert audit(replace(every, fold=first).load()).refused == []  # both speakers train
    with pytest.raises(LeakageError, match="identical sound"):
        audit(every.load())


def test_of_each_fold_is_said_who_could_not_be_held_out(specs, tmp_path):
    """In the first fold there are two speakers to learn from, in the second but one."""
    own = write_corpus(tmp_path / "c", "c", speakers=3, takes=2, seed=2)
    rows = pd.read_csv(own.removeprefix("manifest:"))
    tested = {"1": ["s0"], "2": ["s1", "s2"]}
    lists = [
        rows.assign(
            fold=fold, split=rows["speaker"].isin(names).map({True: "test", False: "train"})
        )
        for fold, names in tested.items()
    ]
    pd.concat(lists)[["path", "split", "fold"]].to_csv(tmp_path / "split.csv", index=False)
    protocol = Protocol([own, specs[1]], [own], split=str(tmp_path / "split.csv"))
    said = "c has one speaker, who is learned from and not held out for development"
    assert said not in audit(replace(protocol, fold="1").load(), content=False).notes
    assert audit(protocol.load(), content=False).notes.count(said) == 1


def test_what_the_list_and_the_corpus_lack_is_told(specs, tmp_path):
    roles = {"s0": "test", "s1": "test", "s5": "unlisted"}
    split = Path(listed(specs[0], tmp_path, lambda row: roles.get(row["speaker"], "train")))
    lines = [line for line in split.read_text().splitlines() if "unlisted" not in line]
    split.write_text("\n".join([*lines, "gone.wav,test"]))
    notes = audit(Protocol([specs[0]], [specs[0]], split=str(split)).load()).notes
    assert "1 names of the split's lists stand for no utterance: gone.wav" in notes
    assert "up to 8 utterances of the target stand in no part of a fold" in notes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "speaker"}, r"expected speakers, official, FILE\.csv, emobox:FOLDER"),
        ({"split": "kfold:1"}, "2 folds or more"),
        ({"fold": "1"}, "split='speakers' has no folds"),
    ],
)
def test_bad_terms_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        Protocol(**{"source": ["a:b"], "target": ["a:b"], **change})


def test_who_is_tested_twice_is_refused(specs, tmp_path):
    rows = pd.read_csv(specs[0].removeprefix("manifest:"))
    test = rows["speaker"].eq("s0").map({True: "test", False: "train"})
    twice = pd.concat([rows.assign(split=test, fold=fold) for fold in (1, 2)])
    twice[["path", "split", "fold"]].to_csv(tmp_path / "split.csv", index=False)
    protocol = Protocol([specs[0]], [specs[0]], split=str(tmp_path / "split.csv"))
    with pytest.raises(ValueError, match=r"8 utterances are tested in several folds.*--fold NAME"):
        protocol.load()
    assert set(replace(protocol, fold="2").load().target["speaker"]) == {"a/s0"}


def test_a_class_that_a_fold_cannot_learn_is_named(tmp_path):
    spec = write_corpus(tmp_path / "a", "a", speakers=3)
    path = spec.removeprefix("manifest:")
    rows = pd.read_csv(path)
    rows.loc[(rows["emotion"] == "anger") & (rows["speaker"] != "s1"), "emotion"] = "sadness"
    rows.to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"source of fold a/s1 .* no utterance of \['anger'\]"):
        Protocol([spec], [spec], split="leave-one-speaker-out").load()


def test_a_source_of_one_speaker_is_learned_from_where_a_fold_has_a_dev_part(specs, tmp_path):
    alone = write_corpus(tmp_path / "one", "one", speakers=1, takes=3, seed=2)
    parts = {"s0": "dev", "s1": "test"}
    split = listed(specs[0], tmp_path, lambda row: parts.get(row["speaker"], "train"))
    cast = Protocol([specs[0], alone], [specs[0]], split=split).load()
    found = cast.parts()
    assert set(found.dev["speaker"]) == {"a/s0"}
    assert found.train["corpus"].value_counts()["one"] == 12
    assert "one has one speaker, who is learned from and not held out for development" in (
        audit(cast, content=False).notes
    )


def test_of_two_speakers_one_is_tested_and_utterances_of_the_other_are_held_out(tmp_path):
    spec = write_corpus(tmp_path / "two", "two", speakers=2, takes=3, seed=2)
    cast = Protocol([spec], [spec], split="leave-one-speaker-out").load()
    for fold in cast.folds:
        parts = fold.parts()
        assert set(parts.train["speaker"]) == set(parts.dev["speaker"])
        assert not set(parts.train["speaker"]) & set(parts.test["speaker"])
    assert any("of whom single utterances" in n for n in audit(cast, content=False).notes)
