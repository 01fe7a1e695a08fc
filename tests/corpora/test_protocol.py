"""Roles, divisions and the hash that stands for them."""

from dataclasses import replace

import pandas as pd
import pytest

from cleser.corpora.protocol import Protocol
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


def test_emotions_are_mapped_only_when_asked(specs, tmp_path):
    emotions = ("anger", "happiness", "calm", "sadness")
    calm = write_corpus(tmp_path / "c", "c", speakers=2, emotions=emotions)
    plain = Protocol([specs[0]], [calm]).load()
    assert set(plain.target["emotion"]) == {"anger", "happiness", "sadness"}
    mapped = Protocol([specs[0]], [calm], map={"calm": "neutral"}).load()
    assert (mapped.target["emotion"] == "neutral").sum() == 2
    with pytest.raises(ValueError, match=r"no utterance of \['neutral'\].*--map"):
        Protocol([calm], [specs[0]]).load()


def test_official_splits_are_kept(tmp_path):
    def official(corpus, seed):
        spec = write_corpus(tmp_path / corpus, corpus, speakers=6, seed=seed)
        path = spec.removeprefix("manifest:")
        rows = pd.read_csv(path)
        speaker = rows["speaker"].str[1:].astype(int)
        rows["split"] = speaker.map(lambda s: ("train", "dev", "test1")[s % 3])
        rows.to_csv(path, index=False)
        return spec

    protocol = Protocol([official("a", 0)], [official("b", 1)], split="official")
    parts = protocol.load().parts()
    assert set(parts.train["split"]) == {"train"}
    assert set(parts.dev["split"]) == {"dev"}
    assert set(parts.adapt["corpus"]) == {"b"}
    assert set(parts.adapt["split"]) == {"train"}
    assert set(parts.test["split"]) == {"test1"}


def test_no_official_split_is_an_error(specs):
    with pytest.raises(ValueError, match="no official train split"):
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
        ({"target_access": "nothing"}, "forbids; use normalisation='utterance'"),
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
