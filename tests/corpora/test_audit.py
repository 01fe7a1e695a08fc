"""Planted leaks are found, and only they."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile

from cleser.corpora.audit import LeakageError, audit, fingerprints
from cleser.corpora.protocol import Protocol
from cleser.corpora.registry import load
from tests.corpora.trees import write_corpus


@pytest.fixture
def protocol(tmp_path):
    source = write_corpus(tmp_path / "a", "a", language="de", speakers=4)
    target = write_corpus(tmp_path / "b", "b", speakers=4, seed=1)
    return Protocol([source], [target])


def rewrite(spec, change):
    path = spec.removeprefix("manifest:")
    rows = pd.read_csv(path)
    change(rows)
    rows.to_csv(path, index=False)


def test_a_clean_protocol_passes(protocol):
    found = audit(protocol.load(), repeats=3)
    assert found.refused == []
    assert found.duplicates.empty
    assert any("transductive" in note for note in found.notes)


def test_the_target_as_its_own_source_is_refused(protocol):
    with pytest.raises(LeakageError, match=r"stand with their labels in train"):
        replace(protocol, source=protocol.target).audit()


def test_a_speaker_on_both_sides_is_refused(protocol):
    rewrite(protocol.target[0], lambda rows: rows.__setitem__("corpus", "a"))
    rewrite(protocol.target[0], lambda r: r.__setitem__("utterance", "t" + r["utterance"]))
    with pytest.raises(LeakageError, match=r"3 speakers stand in train and test.*a/s"):
        replace(protocol, dev=0.01).audit(content=False)


def test_the_same_sound_under_another_name_is_refused(protocol, tmp_path):
    """A copy in another container, under another speaker's name: only its samples tell."""
    samples, rate = soundfile.read(tmp_path / "a/s1-anger-0.wav", dtype="int16")
    soundfile.write(tmp_path / "b/copy.flac", samples, rate, subtype="PCM_16")
    rewrite(
        protocol.target[0], lambda rows: rows.__setitem__("path", ["copy.flac", *rows["path"][1:]])
    )
    with pytest.raises(LeakageError, match=r"a/s1-anger-0 = b/s0-anger-0"):
        audit(protocol.load())
    audit(protocol.load(), content=False)


def test_copies_within_the_target_are_reported(protocol, tmp_path):
    shutil.copy(tmp_path / "b/s0-anger-0.wav", tmp_path / "b/s0-sadness-0.wav")
    found = audit(protocol.load())
    assert found.duplicates["utterance"].tolist() == ["b/s0-anger-0", "b/s0-sadness-0"]
    assert found.duplicates["group"].nunique() == 1
    assert any("identical sound" in note for note in found.notes)


def test_oracle_speakers_stay_apart(protocol):
    assert replace(protocol, target_access="labels").audit().refused == []


def test_missing_speakers_are_reported(protocol):
    rewrite(protocol.target[0], lambda rows: rows.__setitem__("speaker", None))
    found = protocol.audit()
    assert any("16 of 16 utterances have no speaker" in note for note in found.notes)


def test_shared_texts_are_reported_in_one_language_only(protocol):
    assert not any("texts" in note for note in protocol.audit().notes)
    rewrite(protocol.source[0], lambda rows: rows.__setitem__("language", "en"))
    assert any("1 texts are spoken in source and target" in n for n in protocol.audit().notes)


def test_fingerprints_hear_stretches_and_ignore_containers(tmp_path):
    samples = (np.random.default_rng(0).standard_normal(8000) * 3000).astype("int16")
    soundfile.write(tmp_path / "whole.wav", samples, 16000)
    soundfile.write(tmp_path / "part.flac", samples[1600:3200], 16000)
    (tmp_path / "broken.wav").write_text("")
    rows = pd.DataFrame(
        {
            "utterance": ["stretch", "part", "whole", "broken"],
            "path": [
                str(tmp_path / n) for n in ("whole.wav", "part.flac", "whole.wav", "broken.wav")
            ],
            "start": [0.1, 0.0, 0.0, 0.0],
            "end": [0.2, np.nan, np.nan, np.nan],
        }
    )
    found = fingerprints(rows)
    assert found["stretch"] == found["part"] != found["whole"]
    assert pd.isna(found["broken"])


def test_the_known_pair_of_ravdess_is_found(corpora_root):
    sounds = fingerprints(load(f"ravdess:{corpora_root / 'ravdess'}"))
    twins = sounds[sounds.duplicated(keep=False)].index.tolist()
    assert twins == ["ravdess/03-01-03-01-02-01-07", "ravdess/03-01-03-01-02-02-07"]
