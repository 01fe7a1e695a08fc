"""Planted leaks are found, and only they."""

import shutil
from dataclasses import replace

import pandas as pd
import pytest
import soundfile

from cleser.corpora.audit import LeakageError, audit, audit_parts
from cleser.corpora.protocol import Protocol
from tests.corpora.sounds import babble, write
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
    with pytest.raises(LeakageError, match=r"stand with their labels in train") as error:
        audit(replace(protocol, source=protocol.target).load())
    assert str(error.value).endswith("(--split kfold:5 or leave-one-speaker-out)")
    # Two corpora have another cure.
    rewrite(protocol.target[0], lambda rows: rows.__setitem__("corpus", "a"))
    rewrite(protocol.target[0], lambda r: r.__setitem__("utterance", "t" + r["utterance"]))
    with pytest.raises(LeakageError) as error:
        audit(protocol.load())
    assert "kfold" not in str(error.value)


def test_classes_that_nobody_selects_on_are_said(protocol):
    assert not any("dev has no" in note for note in audit(protocol.load(), repeats=3).notes)
    # One speaker alone is sad: whoever is drawn for development, it is not the other two.
    path = protocol.source[0].removeprefix("manifest:")
    rows = pd.read_csv(path)
    first = rows["speaker"].eq(rows["speaker"].min())
    rows[first | ~rows["emotion"].eq("sadness")].to_csv(path, index=False)
    found = audit(protocol.load(), repeats=3)
    said = [note for note in found.notes if "dev has no" in note]
    assert said == [
        "dev has no utterance of sadness: epochs and temperatures are chosen without it"
    ]


def test_a_speaker_on_both_sides_is_refused(protocol):
    rewrite(protocol.target[0], lambda rows: rows.__setitem__("corpus", "a"))
    rewrite(protocol.target[0], lambda r: r.__setitem__("utterance", "t" + r["utterance"]))
    with pytest.raises(LeakageError, match=r"3 speakers stand in train and test.*a/s"):
        audit(replace(protocol, dev=0.01).load(), content=False)


def test_the_same_sound_under_another_name_is_refused(protocol, tmp_path):
    """A copy in another container, under another speaker's name: only its samples tell."""
    samples, rate = soundfile.read(tmp_path / "a/s1-anger-0.wav", dtype="int16")
    soundfile.write(tmp_path / "b/copy.flac", samples, rate, subtype="PCM_16")
    rewrite(
        protocol.target[0], lambda rows: rows.__setitem__("path", ["copy.flac", *rows["path"][1:]])
    )
    with pytest.raises(LeakageError, match=r"identical sound.*a/s1-anger-0 = b/s0-anger-0"):
        audit(protocol.load())
    audit(protocol.load(), content=False)


@pytest.fixture
def spoken(protocol, tmp_path):
    """The protocol with recordings that are more like speech than tones are."""
    for i, path in enumerate(sorted(tmp_path.glob("*/*.wav"))):
        write(path, babble(i))
    return protocol


def test_the_same_recording_re_encoded_is_refused(spoken, tmp_path):
    """Both files are named, and where to look: how similar they are, and how they lie to each other."""
    sound, rate = soundfile.read(tmp_path / "a/s1-anger-0.wav")
    soundfile.write(tmp_path / "b/copy.ogg", 0.3 * sound[160:], rate, subtype="VORBIS")
    rewrite(
        spoken.target[0], lambda rows: rows.__setitem__("path", ["copy.ogg", *rows["path"][1:]])
    )
    said = (
        r"the same recording, re-encoded, stands in (train|dev) and test: "
        r"a/s1-anger-0 = b/s0-anger-0 \(.*a/s1-anger-0.wav and .*b/copy.ogg, "
        r"similarity (0.9\d|1.00) at a lag of -10.0 ms\)"
    )
    with pytest.raises(LeakageError, match=said):
        audit(spoken.load())


@pytest.mark.parametrize("seed", range(3))
def test_a_copy_of_train_in_dev_is_refused(spoken, tmp_path, seed):
    """Whichever speaker is held out: a copy of each speaker's recording under the next one's name."""
    for i in range(4):
        sound, rate = soundfile.read(tmp_path / f"a/s{i}-anger-0.wav")
        soundfile.write(tmp_path / f"a/s{(i + 1) % 4}-sadness-0.wav", 0.5 * sound, rate)
    with pytest.raises(LeakageError, match="re-encoded, stands in train and dev"):
        audit(replace(spoken, seed=seed).load())


def test_a_copy_of_auxiliary_in_test_is_refused(spoken, tmp_path):
    third = write_corpus(tmp_path / "c", "c", language="fr", seed=2)
    shutil.copy(tmp_path / "c/s0-anger-0.wav", tmp_path / "b/s1-anger-0.wav")
    with pytest.raises(LeakageError, match="identical sound stands in auxiliary and test"):
        audit(replace(spoken, auxiliary=[third]).load())


def test_a_copy_of_auxiliary_in_train_is_reported(spoken, tmp_path):
    third = write_corpus(tmp_path / "c", "c", language="fr", seed=2)
    shutil.copy(tmp_path / "c/s0-anger-0.wav", tmp_path / "a/s1-anger-0.wav")
    rewrite(spoken.source[0], lambda rows: rows.drop(rows[rows["speaker"] == "s0"].index))
    found = audit(replace(spoken, auxiliary=[third], dev=0.01, seed=4).load())
    assert found.pairs[["part", "other_part"]].to_numpy().tolist() == [["source", "auxiliary"]]


def test_a_sealed_target_is_not_read(spoken, tmp_path):
    shutil.copy(tmp_path / "a/s1-anger-0.wav", tmp_path / "b/s0-anger-0.wav")
    assert audit(spoken.load(), sealed=True).pairs.empty
    with pytest.raises(LeakageError):
        audit(spoken.load())


def test_copies_within_the_target_are_reported(protocol, tmp_path):
    shutil.copy(tmp_path / "b/s0-anger-0.wav", tmp_path / "b/s0-sadness-0.wav")
    found = audit(protocol.load())
    assert found.duplicates["utterance"].tolist() == ["b/s0-anger-0", "b/s0-sadness-0"]
    assert found.duplicates["group"].nunique() == 1
    assert found.duplicates["kind"].tolist() == ["exact", "exact"]
    assert any("identical sound" in note for note in found.notes)


def test_near_copies_within_the_target_are_reported(spoken, tmp_path):
    sound, rate = soundfile.read(tmp_path / "b/s0-anger-0.wav")
    soundfile.write(tmp_path / "b/s0-sadness-0.wav", 0.5 * sound, rate)
    shutil.copy(tmp_path / "b/s2-anger-0.wav", tmp_path / "b/s2-sadness-0.wav")
    found = audit(spoken.load())
    assert found.duplicates[["group", "utterance", "kind"]].to_numpy().tolist() == [
        [0, "b/s0-anger-0", "near"],
        [0, "b/s0-sadness-0", "near"],
        [1, "b/s2-anger-0", "exact"],
        [1, "b/s2-sadness-0", "exact"],
    ]
    assert set(found.duplicates["role"]) == {"target"}
    assert any("re-encoded, under several names, once" in note for note in found.notes)
    assert not any(str(tmp_path) in note for note in found.notes)  # they go into run folders


def test_recordings_that_cannot_be_read_are_reported(spoken, tmp_path):
    (tmp_path / "a/s0-anger-0.wav").write_text("no sound")
    found = audit(spoken.load())
    assert [problem.path for problem in found.problems] == [str(tmp_path / "a/s0-anger-0.wav")]
    assert any(
        "1 recordings could not be compared" in note and "s0-anger-0.wav cannot be read" in note
        for note in found.notes
    )


def test_oracle_speakers_stay_apart(protocol):
    assert audit(replace(protocol, target_access="labels").load()).refused == []


def test_missing_speakers_are_reported(protocol):
    rewrite(protocol.target[0], lambda rows: rows.__setitem__("speaker", None))
    found = audit(protocol.load())
    assert any("16 of 16 utterances have no speaker" in note for note in found.notes)


def test_shared_texts_are_reported_in_one_language_only(protocol):
    assert not any("source and target" in note for note in audit(protocol.load()).notes)
    rewrite(protocol.source[0], lambda rows: rows.__setitem__("language", "en"))
    assert any("1 texts are spoken in source and target" in n for n in audit(protocol.load()).notes)


def test_texts_of_dev_that_stand_in_train_are_reported(protocol):
    assert any(
        "1 texts are spoken in train and dev, of 1 in dev" in n
        for n in audit(protocol.load()).notes
    )
    rewrite(protocol.source[0], lambda rows: rows.__setitem__("text", rows["utterance"]))
    assert not any("train and dev" in note for note in audit(protocol.load()).notes)


def test_a_source_without_speakers_is_told(protocol):
    assert not any("held out" in note for note in audit(protocol.load()).notes)
    known = ["s0"]  # of four speakers
    rewrite(
        protocol.source[0],
        lambda rows: rows.__setitem__(
            "speaker", rows["speaker"].where(rows["speaker"].isin(known))
        ),
    )
    cast = protocol.load()
    unnamed = int(cast.parts().dev["speaker"].isna().sum())
    assert unnamed
    said = f"a names no speakers of {unnamed} utterances in dev, which were held out one by one"
    assert any(said in note for note in audit(cast).notes)
    rewrite(protocol.source[0], lambda rows: rows.__setitem__("speaker", None))
    notes = audit(protocol.load()).notes
    assert any("a names no speakers, so that single utterances were held out" in n for n in notes)


def frame(tmp_path, *names, **columns):
    rows = {"utterance": list(names), "path": [str(tmp_path / f"{n}.wav") for n in names]}
    fixed = {"start": 0.0, "end": float("nan"), "corpus": "c", "language": "de", "emotion": None}
    return pd.DataFrame({**rows, **fixed, "speaker": None, "text": None, **columns})


def test_parts_share_nothing(tmp_path):
    for i, name in enumerate("abcd"):
        write(tmp_path / f"{name}.wav", babble(i))
    parts = {
        "train": frame(tmp_path, "a", "b", speaker=["c/1", "c/2"], text="x"),
        "test": frame(tmp_path, "c", "d", speaker=["c/3", "c/4"], text=["y", "z"]),
    }
    found = audit_parts(parts)
    assert (found.refused, found.notes) == ([], [])


def test_what_parts_share_is_refused(tmp_path):
    """A speaker, a recording listed twice, a re-encoded one; texts and missing speakers are only noted."""
    for i, name in enumerate("abcd"):
        write(tmp_path / f"{name}.wav", babble(i))
    write(tmp_path / "e.wav", 0.5 * babble(1))
    parts = {
        "train": frame(tmp_path, "a", "b", "c", speaker=["c/1", "c/2", None], text="x"),
        "dev": frame(tmp_path, "d", "a", speaker="c/5", text=["x", "y"]),
        "test": frame(tmp_path, "e", speaker="c/1", text="z"),
    }
    found = audit_parts(parts)
    refused = " ".join(found.refused)
    assert len(found.refused) == 3
    assert "1 speakers stand in train and test: c/1" in refused
    assert "once a recording with identical sound stands in train and dev: a = a" in refused
    assert "once the same recording, re-encoded, stands in train and test: b = e" in refused
    notes = " ".join(found.notes)
    assert "train: 1 of 3 utterances have no speaker" in notes
    assert "1 texts are spoken in train and dev, of 2 in dev: x" in notes
