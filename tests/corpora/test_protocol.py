"""Roles, divisions and the hash that stands for them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cleser.corpora.audit import LeakageError, audit
from cleser.corpora.protocol import Protocol, Uses
from tests.corpora.trees import write_corpus


@pytest.fixture
def specs(tmp_path):
    return (
        write_corpus(tmp_path / "a", "a", language="de", speakers=5, takes=2),
        write_corpus(tmp_path / "b", "b", speakers=4, seed=1),
    )


def test_dev_speakers_are_not_learned_from(specs):
    cast = Protocol([specs[0]], [specs[1]]).load()
    for repeat in range(5):
        parts = cast.parts(repeat)
        train, dev = set(parts.train["speaker"]), set(parts.dev["speaker"])
        assert not train & dev
        assert train | dev == set(cast.source["speaker"])
        assert len(dev) == 1
        assert set(parts.test["utterance"]) == set(cast.target["utterance"])
        assert parts.adapt["emotion"].isna().all()


def test_repeats_draw_other_speakers_and_the_same_ones_again(specs):
    cast = Protocol([specs[0]], [specs[1]]).load()
    drawn = [tuple(cast.parts(r).dev["speaker"].unique()) for r in range(12)]
    assert len(set(drawn)) > 1
    assert drawn == [tuple(cast.parts(r).dev["speaker"].unique()) for r in range(12)]
    other = replace(cast.protocol, seed=1).load()
    assert drawn != [tuple(other.parts(r).dev["speaker"].unique()) for r in range(12)]


def test_every_source_corpus_gives_dev_speakers(specs, tmp_path):
    third = write_corpus(tmp_path / "c", "c", speakers=3, seed=2)
    parts = Protocol([specs[0], specs[1]], [third]).load().parts()
    assert set(parts.dev["corpus"]) == set(parts.train["corpus"]) == {"a", "b"}


def test_a_source_of_one_speaker_is_learned_from_where_others_have_some_to_hold_out(
    specs, tmp_path
):
    alone = write_corpus(tmp_path / "one", "one", speakers=1, takes=3, seed=2)
    cast = Protocol([specs[0], alone], [specs[1]]).load()
    for repeat in range(5):
        parts = cast.parts(repeat)
        assert set(parts.dev["corpus"]) == {"a"}
        assert parts.train["corpus"].value_counts()["one"] == 12
        # whoever is held out of the others is whoever was without it
        others = Protocol([specs[0]], [specs[1]]).load().parts(repeat)
        assert set(parts.dev["utterance"]) == set(others.dev["utterance"])
    notes = audit(cast, content=False).notes
    assert "one has one speaker, who is learned from and not held out for development" in notes


def test_of_the_only_speaker_of_a_source_utterances_are_held_out(specs, tmp_path):
    alone = write_corpus(tmp_path / "one", "one", speakers=1, takes=3, seed=2)
    cast = Protocol([alone], [specs[1]]).load()
    parts = cast.parts()
    assert len(parts.dev) == 2
    assert len(parts.train) == 10
    assert set(parts.train["emotion"]) == set(cast.protocol.labels)
    notes = audit(cast, content=False).notes
    assert any("one has one speaker, of whom single utterances were held out" in n for n in notes)
    assert any("selected there may look better than it is" in n for n in notes)


def test_one_speaker_in_official_train_and_dev_is_still_a_leak(specs, tmp_path):
    alone = write_corpus(tmp_path / "one", "one", speakers=1, takes=3, seed=2)
    for spec in (alone, specs[1]):
        path = spec.removeprefix("manifest:")
        rows = pd.read_csv(path)
        parts = ["train", "dev", "test"]
        rows.assign(split=[parts[i % 3] for i in range(len(rows))]).to_csv(path, index=False)
    cast = Protocol([alone], [specs[1]], split="official").load()
    with pytest.raises(LeakageError, match="1 speakers stand in train and dev"):
        audit(cast, content=False)


def test_a_target_of_one_speaker_cannot_be_divided(specs, tmp_path):
    alone = write_corpus(tmp_path / "one", "one", speakers=1, takes=3, seed=2)
    with pytest.raises(ValueError, match=r"corpus one has one speaker \(one/s0\), expected two"):
        Protocol([specs[0]], [alone], adapt="disjoint").load().parts()


def test_what_the_target_shows(specs):
    terms = {"source": [specs[0]], "target": [specs[1]]}
    nothing = Protocol(**terms, target_access="nothing", normalisation="utterance").load().parts()
    assert nothing.adapt.empty
    oracle = Protocol(**terms, target_access="labels").load().parts()
    learned = set(oracle.train["speaker"]) - set(nothing.train["speaker"])
    assert {s.split("/")[0] for s in learned} >= {"b"}
    assert not set(oracle.train["speaker"]) & set(oracle.test["speaker"])
    assert len(oracle.test) == 8


def test_the_hash_follows_the_terms_and_not_the_folders(specs, tmp_path):
    protocol = Protocol([specs[0]], [specs[1]])
    first = protocol.load().hash
    assert len(first) == 12
    moved = write_corpus(tmp_path / "elsewhere", "a", language="de", speakers=5, takes=2)
    assert replace(protocol, source=(moved,)).load().hash == first
    for change in (
        {"seed": 1},
        {"dev": 0.4},
        {"normalisation": "corpus"},
        {"target_access": "labels"},
        {"labels": ("anger", "sadness")},
        {"source": (specs[1],), "target": (specs[0],)},
    ):
        assert replace(protocol, **change).load().hash != first


@pytest.mark.parametrize(
    ("terms", "known"),
    [
        ({}, "7d66dc264ddf"),
        ({"adapt": "disjoint", "pool": "labels", "lexical_normalisation": False}, "9b1ea9dacdfa"),
        ({"shared_speakers": True}, "22e008a98324"),
        ({"split": "kfold:2"}, "f16fcad5b704"),
        ({"split": "kfold:2", "fold": "2"}, "037a9b58c88b"),
    ],
)
def test_the_hash_stays_what_it_was_in_earlier_versions(specs, terms, known):
    source = specs["split" in terms]
    assert Protocol([source], [specs[1]], **terms).load().hash == known


def test_emotions_are_mapped_only_when_asked(specs, tmp_path):
    emotions = ("anger", "happiness", "calm", "sadness")
    calm = write_corpus(tmp_path / "c", "c", speakers=2, emotions=emotions)
    mapped = Protocol([specs[0]], [calm], map={"calm": "neutral"}).load()
    assert (mapped.target["emotion"] == "neutral").sum() == 2
    with pytest.raises(ValueError, match=r"no utterance of \['neutral'\].*--map"):
        Protocol([calm], [specs[0]]).load()


def test_a_class_that_the_target_lacks_stops_before_any_work(specs, tmp_path):
    emotions = ("anger", "happiness", "calm", "sadness")
    calm = write_corpus(tmp_path / "c", "c", speakers=2, emotions=emotions)
    with pytest.raises(
        ValueError, match=r"target .* no utterance of \['neutral'\].*calm 2.*--labels"
    ):
        Protocol([specs[0]], [calm]).load()
    narrowed = Protocol([specs[0]], [calm], labels=("anger", "sadness")).load()
    assert set(narrowed.target["emotion"]) == {"anger", "sadness"}


def test_a_target_without_any_label_is_recognised_whole(specs, tmp_path):
    bare = write_corpus(tmp_path / "c", "c", speakers=2)
    path = Path(bare.removeprefix("manifest:"))
    rows = pd.read_csv(path)
    rows.drop(columns="emotion").to_csv(path, index=False)
    cast = Protocol([specs[0]], [bare]).load()
    assert not cast.scored
    assert len(cast.target) == len(cast.parts().test) == len(cast.parts().adapt) == len(rows)
    few = rows["emotion"].where(~rows["emotion"].duplicated())
    rows.assign(emotion=few).to_csv(path, index=False)
    cast = Protocol([specs[0]], [bare]).load()
    assert cast.scored
    assert len(cast.target) == 4  # where some have labels, these are tested
    assert len(cast.heard) == len(rows)


def test_the_pool_is_not_filtered_by_labels_unless_asked(specs, tmp_path):
    emotions = ("anger", "happiness", "neutral", "sadness", "fear")
    more = write_corpus(tmp_path / "c", "c", speakers=3, emotions=emotions)
    cast = Protocol([specs[0]], [more]).load()
    assert len(cast.parts().test) == 12
    assert len(cast.parts().adapt) == 15
    assert len(cast.heard) == 15
    filtered = replace(cast.protocol, pool="labels").load()
    assert set(filtered.parts().adapt["utterance"]) == set(filtered.parts().test["utterance"])
    assert filtered.hash != cast.hash


@pytest.mark.parametrize("repeat", range(4))
def test_disjoint_adaptation_and_test_share_no_speaker(specs, repeat):
    cast = Protocol([specs[0]], [specs[1]], adapt="disjoint").load()
    parts = cast.parts(repeat)
    adapted, tested = set(parts.adapt["speaker"]), set(parts.test["speaker"])
    assert not adapted & tested
    assert adapted | tested == set(cast.target["speaker"])
    plain = replace(cast.protocol, adapt="test").load().parts(repeat)
    pd.testing.assert_frame_equal(plain.dev, parts.dev)  # the source is divided alike


def test_classes_are_asked_for_by_any_name_of_theirs(specs):
    asked = Protocol([specs[0]], [specs[1]], labels=("Anger", "sad"), prior={"angry": 7, "SAD": 3})
    assert asked.labels == ("anger", "sadness")
    shares = {"anger": 0.7, "sadness": 0.3}
    plain = Protocol([specs[0]], [specs[1]], labels=("anger", "sadness"), prior=shares)
    assert (asked.prior, asked.load().hash) == (shares, plain.load().hash)
    made = Protocol([specs[0]], [specs[1]], labels=("mad", "Sad"), map={"anger": "mad"})
    assert made.labels == ("mad", "sadness")
    assert set(made.load().target["emotion"]) == {"mad", "sadness"}


def test_what_a_method_uses_is_in_the_hash(specs):
    cast = Protocol([specs[0]], [specs[1]]).load()
    plain, adapted = cast.describe(), cast.describe(Uses(training=True, prior="uniform"))
    assert plain["cast"] == adapted["cast"] == cast.hash
    assert plain["hash"] != adapted["hash"] != cast.describe(Uses(training=True))["hash"]
    others = [
        Uses(alignments=True),
        Uses(alignments="phones of 2 of 2 utterances, 01"),
        Uses(alignments="uniform segments of 2 of 2 utterances, 02"),
        Uses(sentences="texts of 2 of 2 utterances, 03"),
        Uses(sentences="texts of 1 of 2 utterances, 04"),
        Uses(normalisation="shrunk"),
        Uses(normalisation="corpus"),
    ]
    assert len({plain["hash"], *(cast.describe(uses)["hash"] for uses in others)}) == 8
    by_itself = replace(cast.protocol, normalisation="utterance").load()
    assert not by_itself.describe()["transductive"]
    assert by_itself.describe(Uses(training=True))["transductive"]
    disjoint = replace(by_itself.protocol, adapt="disjoint").load()
    assert not disjoint.describe(Uses(training=True))["transductive"]


def official(folder, corpus, seed, tests=("test1",)):
    spec = write_corpus(folder / corpus, corpus, speakers=8, seed=seed)
    path = spec.removeprefix("manifest:")
    rows = pd.read_csv(path)
    speaker = rows["speaker"].str[1:].astype(int)
    names = ("train", "dev", *tests)
    rows["split"] = speaker.map(lambda s: names[s % len(names)])
    rows.to_csv(path, index=False)
    return spec


def test_official_splits_are_kept(tmp_path):
    specs = official(tmp_path, "a", 0), official(tmp_path, "b", 1)
    parts = Protocol([specs[0]], [specs[1]], split="official").load().parts()
    assert set(parts.train["split"]) == {"train"}
    assert set(parts.dev["split"]) == {"dev"}
    assert set(parts.adapt["corpus"]) == {"b"}
    assert set(parts.adapt["split"]) == {"train"}
    assert set(parts.test["split"]) == {"test1"}


def test_an_oracle_learns_from_the_official_train_part(tmp_path):
    specs = official(tmp_path, "a", 0), official(tmp_path, "b", 1)
    protocol = Protocol([specs[0]], [specs[1]], split="official", target_access="labels")
    parts = protocol.load().parts()
    of_target = parts.train[parts.train["corpus"] == "b"]
    assert set(of_target["split"]) == {"train"}
    assert of_target["emotion"].notna().all()
    assert set(parts.test["split"]) == {"test1"}
    assert set(parts.dev["corpus"]) == {"a"}


def test_a_corpus_is_learned_from_and_tested_on_by_its_official_split(tmp_path):
    spec = official(tmp_path, "a", 0)
    protocol = Protocol([spec], [spec], split="official")
    parts = protocol.load().parts()
    assert set(parts.train["split"]) == {"train"}
    assert set(parts.test["split"]) == {"test1"}
    assert audit(protocol.load()).refused == []


def test_official_test_sets_are_chosen_by_name(tmp_path):
    source, target = official(tmp_path, "a", 0), official(tmp_path, "b", 1, ("test1", "test2"))
    both = Protocol([source], [target], split="official").load()
    assert set(both.target["split"]) == {"test1", "test2"}
    one = Protocol([source], [target], split="official", test=("test2",)).load()
    assert set(one.target["split"]) == {"test2"}
    with pytest.raises(ValueError, match="no official test3 split"):
        Protocol([source], [target], split="official", test=("test3",)).load()
    with pytest.raises(ValueError, match="no official test3 split"):
        Protocol([source], [target], split="official", test=("test1", "test3")).load()


def test_an_official_test_set_that_lacks_a_class_is_refused(tmp_path):
    """It would be scored beside the others, over fewer classes; each whole one can be tested alone."""
    source, target = official(tmp_path, "a", 0), official(tmp_path, "b", 1, ("test1", "test2"))
    path = target.removeprefix("manifest:")
    rows = pd.read_csv(path)
    rows[(rows["split"] != "test2") | (rows["emotion"] != "neutral")].to_csv(path, index=False)
    said = (
        r"and test2 holds no neutral \(found anger 2, happiness 2, sadness 2\), expected all of .* "
        r"\(cleser run --test test1\), .* \(cleser run --labels\)"
    )
    with pytest.raises(ValueError, match=said):
        Protocol([source], [target], split="official").load()
    with pytest.raises(ValueError, match=r"holds no utterance of \['neutral'"):
        Protocol([source], [target], split="official", test=("test2",)).load()
    Protocol([source], [target], split="official", test=("test1",)).load()
    fewer = ("anger", "happiness", "sadness")
    both = Protocol([source], [target], split="official", labels=fewer).load()
    assert set(both.target["split"]) == {"test1", "test2"}


def test_an_official_test_set_that_lacks_an_attribute_is_refused(tmp_path):
    source, target = official(tmp_path, "a", 0), official(tmp_path, "b", 1, ("test", "test2"))
    for spec in (source, target):
        path = spec.removeprefix("manifest:")
        rows = pd.read_csv(path)
        rows = rows.assign(
            arousal=np.linspace(-1, 1, len(rows)), valence=np.linspace(1, -1, len(rows))
        )
        rows.loc[(rows["corpus"] == "b") & (rows["split"] == "test2"), "valence"] = np.nan
        rows.to_csv(path, index=False)
    terms = {"split": "official", "task": "avd"}
    # No flag chooses the set "test" alone, with which the name of the other begins.
    with pytest.raises(
        ValueError, match=r"test2 holds no valence, .* in each: or train .*--attributes"
    ):
        Protocol([source], [target], attributes=("arousal", "valence"), **terms).load()
    Protocol([source], [target], attributes=("arousal",), **terms).load()


def test_no_official_split_is_an_error(specs):
    with pytest.raises(ValueError, match="no official train or dev split"):
        Protocol([specs[0]], [specs[1]], split="official").load().parts()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "a:b"}, "source is the string 'a:b'"),
        ({"target": []}, "target names no corpus"),
        ({"labels": ["anger"]}, "two or more"),
        ({"labels": ["anger", "anger"]}, "two or more"),
        ({"dev": 1.0}, "dev is 1.0"),
        ({"normalisation": "global"}, "normalisation is 'global'"),
        ({"target_access": "all"}, "target_access is 'all'"),
        (
            {"target_access": "nothing", "normalisation": "speaker"},
            "forbids; use normalisation='utterance'",
        ),
        ({"adapt": "both"}, "adapt is 'both'"),
        ({"prior": "flat"}, "prior is 'flat'"),
        ({"prior": {"anger": 1.0, "Angry": 3.0}}, "prior names a class twice"),
        ({"prior": {"whisper": 1.0}}, r"prior names \['whisper'\]"),
        ({"prior": {"anger": -1.0, "neutral": 2.0}}, "expected shares of zero or more"),
    ],
)
def test_bad_terms_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        Protocol(**{"source": ["a:b"], "target": ["c:d"], **change})


def test_a_corpus_without_speakers_is_divided_by_utterances(specs, tmp_path):
    path = specs[0].removeprefix("manifest:")
    pd.read_csv(path).drop(columns="speaker").to_csv(path, index=False)
    parts = Protocol([specs[0]], [specs[1]]).load().parts()
    assert len(parts.dev) == 8
    assert len(parts.train) == 32


def test_a_wrong_name_in_the_map_and_other_emotions_are_said(tmp_path):
    spec = write_corpus(tmp_path / "a", "a", emotions=("anger", "neutral", "calm", "fear"))
    table = pd.read_csv(tmp_path / "a" / "manifest.csv").replace({"anger": "Wut"})
    table.to_csv(tmp_path / "a" / "manifest.csv", index=False)
    labels = ("anger", "neutral")
    target = write_corpus(tmp_path / "b", "b", emotions=labels)
    wrong = {"clam": "neutral", "wut": "anger"}  # which is Wut in any case
    notes = Protocol((spec,), (target,), map=wrong, labels=labels).load().notes
    assert len(notes) == 2
    assert "no corpus has the emotion 'clam'" in notes[0]
    assert "did you mean calm" in notes[0]
    assert "source: 8 of 16 labelled utterances express other emotions" in notes[1]
    assert "calm 4" in notes[1]
    right = {"calm": "neutral", "Wut": "anger", "fear": "neutral"}
    cast = Protocol((spec,), (target,), map=right, labels=labels).load()
    assert cast.notes == ()
    assert len(cast.source) == 16


def test_utterances_without_an_emotion_are_counted_where_others_have_one(tmp_path):
    labels = ("anger", "neutral")
    source, target = (write_corpus(tmp_path / n, n, emotions=labels) for n in "ab")
    file = tmp_path / "b" / "manifest.csv"
    table = pd.read_csv(file)
    table.loc[:2, "emotion"] = None
    table.to_csv(file, index=False)
    cast = Protocol((source,), (target,), labels=labels).load()
    assert cast.notes == (
        f"target: 3 of {len(table)} utterances have no emotion and are not tested",
    )
    assert len(cast.target) == len(table) - 3
    assert len(cast.pool) == len(table)  # a method may hear them
    back = Protocol((target,), (source,), labels=labels).load()
    assert back.notes == (
        f"source: 3 of {len(table)} utterances have no emotion and are not learned from",
    )
    table.assign(emotion=None).to_csv(
        file, index=False
    )  # then all are recognised, and none is scored
    cast = Protocol((source,), (target,), labels=labels).load()
    assert cast.notes == ()
    assert len(cast.target) == len(table)


def test_a_part_of_a_split_that_lacks_a_class_is_counted_by_itself(tmp_path):
    spec = write_corpus(tmp_path / "a", "a", emotions=("anger", "neutral"))
    table = pd.read_csv(tmp_path / "a" / "manifest.csv")
    tested = (table["speaker"] == "s0") & (table["emotion"] == "neutral")
    lists = table.assign(split=tested.map({True: "test", False: "train"}))
    lists[["utterance", "split"]].to_csv(tmp_path / "lists.csv", index=False)
    split = str(tmp_path / "lists.csv")
    protocol = Protocol((spec,), (spec,), labels=("anger", "neutral"), split=split)
    with pytest.raises(
        ValueError, match=r"target part of lists.csv .* \['anger'\].*found neutral 1:"
    ):
        protocol.load()


def test_phones_of_one_side_can_be_forgotten():
    spec = "synthetic:{}?speakers=4&sentences=1"
    both = Protocol((spec.format("en"),), (spec.format("zh"),)).load()
    assert not both.phones_on_one_side
    one = replace(
        both, target=both.target.drop(columns="phones"), pool=both.pool.drop(columns="phones")
    )
    assert one.phones_on_one_side
    bare = one.without_phones()
    assert not bare.phones_on_one_side
    assert "phones" not in bare.source
    assert bare.describe(Uses()) == one.describe(Uses())


def test_no_seed_loses_a_class_to_its_development_speakers(tmp_path):
    """One speaker of five is angry: whoever is held out, it is learned from."""
    calm = write_corpus(tmp_path / "a", "a", speakers=4, emotions=("neutral", "sadness"))
    table = pd.read_csv(tmp_path / "a" / "manifest.csv")
    angry = table.iloc[:2].assign(
        utterance=["x", "y"], speaker="s9", emotion=["anger", "neutral"], text="anger"
    )
    pd.concat([table, angry]).to_csv(tmp_path / "a" / "manifest.csv", index=False)
    target = write_corpus(tmp_path / "b", "b", emotions=("anger", "neutral", "sadness"))
    labels = ("anger", "neutral", "sadness")
    cast = Protocol((calm,), (target,), labels=labels).load()
    held = set()
    for seed in range(20):
        parts = cast.parts(seed)
        assert set(parts.train["emotion"]) == set(labels)
        held |= set(parts.dev["speaker"])
    assert held == {f"a/s{i}" for i in range(4)}


def test_a_class_that_every_division_loses_stops_the_run(tmp_path):
    """With two speakers of an emotion each, one emotion is always held out; likewise of the tested halves."""
    folder = tmp_path / "a"
    spec = write_corpus(folder, "a", speakers=2, emotions=("anger", "sadness"))
    table = pd.read_csv(folder / "manifest.csv")
    alone = {"s0": "anger", "s1": "sadness"}
    table[table["emotion"] == table["speaker"].map(alone)].to_csv(folder / "manifest.csv")
    fine = write_corpus(tmp_path / "b", "b", emotions=("anger", "sadness"))
    labels = ("anger", "sadness")
    with pytest.raises(ValueError, match=r"left no \w+ to be learned from"):
        Protocol((spec,), (fine,), labels=labels).load().parts()
    disjoint = Protocol((fine,), (spec,), labels=labels, adapt="disjoint")
    with pytest.raises(ValueError, match=r"left no \w+ to be tested"):
        disjoint.load().parts()
