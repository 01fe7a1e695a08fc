"""The synthetic corpus: the same from the same knobs, and what is planted can be measured."""

import hashlib
import json
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from cleser.corpora import load
from cleser.speech.backbones.pitch import track_pitch
from cleser.synthesis import corpus as synthetic
from cleser.synthesis.corpus import Knobs, parse_knobs, say, style_of, voice_of
from cleser.synthesis.expression import (
    AFFECT,
    CONFLICTING,
    EMOTIONS,
    MEANS,
    affect,
    cues,
    expressed,
    language_map,
    manner,
    mixture,
)
from cleser.synthesis.sentences import SENTENCES

SMALL = "?speakers=4&sentences=1"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path))
    return tmp_path


def content(manifest):
    """Everything of a corpus but where it lies."""
    sounds = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in manifest["path"]]
    return manifest.drop(columns="path").to_json(), sounds


def test_same_knobs_same_bytes_after_anything_else(monkeypatch, tmp_path):
    first = content(load(f"synthetic:en{SMALL}"))
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "another"))
    load(f"synthetic:zh{SMALL}")
    assert content(load(f"synthetic:en{SMALL}")) == first


def test_same_knobs_same_bytes_in_a_fresh_process(monkeypatch, tmp_path):
    first = content(load("synthetic:de?speakers=2&sentences=1"))
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "another"))
    code = "from cleser.corpora import load; load('synthetic:de?speakers=2&sentences=1')"
    subprocess.run([sys.executable, "-c", code], check=True)
    before = next((tmp_path / "another").rglob("manifest.parquet")).stat().st_mtime_ns
    manifest = load("synthetic:de?speakers=2&sentences=1")
    assert content(manifest) == first
    assert Path(manifest["path"][0]).with_name("manifest.parquet").stat().st_mtime_ns == before


def test_a_larger_corpus_contains_the_smaller_one():
    small, large = (load(f"synthetic:en?speakers={n}&sentences=1") for n in (2, 3))
    sounds = dict(zip(large["utterance"], content(large)[1], strict=True))
    for name, sound in zip(small["utterance"], content(small)[1], strict=True):
        assert sounds[name] == sound


def test_the_manifest_tells_languages_apart_and_holds_the_truth():
    manifest = load(f"synthetic:zh{SMALL}&seed=5")
    assert len(manifest) == 4 * 4
    assert set(manifest["corpus"]) == {"synthetic-zh"}
    assert set(manifest["language"]) == {"zh"}
    assert manifest["speaker"].str.startswith("synthetic-zh/seed5-").all()
    assert set(manifest["emotion"]) == set(EMOTIONS)
    assert manifest["style"].dtype.kind == "i"
    assert manifest["split"].isna().all()
    assert set(manifest["text"]) == {SENTENCES["zh"][0]}
    info = soundfile.info(manifest["path"][0])
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")


@pytest.mark.parametrize("language", SENTENCES)
def test_phones_are_where_the_speech_is(language):
    manifest = load(f"synthetic:{language}?speakers=2&sentences=1")
    for path, phones in zip(manifest["path"], manifest["phones"], strict=True):
        samples, rate = soundfile.read(path)
        starts, ends = np.array([(start, end) for _, start, end in json.loads(phones)]).T
        assert (ends > starts).all()
        assert (starts[1:] >= ends[:-1] - 1e-6).all()
        assert starts[0] >= 0
        assert ends[-1] <= len(samples) / rate
        spoken = np.zeros(len(samples), dtype=bool)
        for start, end in zip(starts, ends, strict=True):
            spoken[round(start * rate) : round(end * rate)] = True
        assert np.square(samples[~spoken]).sum() < 0.01 * np.square(samples).sum()
        assert spoken.mean() > 0.75


def test_languages_share_phonemes_and_have_their_own():
    def inventory(language):
        knobs = Knobs(language)
        found = (say(knobs, 0, "neutral", i).phones for i in range(len(SENTENCES[language])))
        return {phone.strip("ˈˌː") for phones in found for phone in phones}

    en, zh, de = (inventory(language) for language in ("en", "zh", "de"))
    assert {"θ", "ð"} <= en - zh - de
    assert {"tɕ", "ts."} <= zh - en - de
    assert {"y", "ç"} <= de - en
    assert {"m", "n", "f"} <= en & zh & de


@pytest.mark.parametrize("styles", [1, 2, 3, 4])
def test_styles_are_balanced_within_languages_and_genders(styles):
    knobs = Knobs("en", speakers=2 * styles * 3, styles=styles)
    pairs = [(style_of(knobs, i), synthetic.gender_of(knobs, i)) for i in range(knobs.speakers)]
    assert {pairs.count(pair) for pair in set(pairs)} == {3}
    assert len(set(pairs)) == 2 * styles


def test_style_and_gap_zero_leave_the_means_alone():
    for language in SENTENCES:
        matrix, shift = language_map(language, 0.0, 0)
        assert np.array_equal(matrix, np.eye(6))
        assert not shift.any()
    for style in range(4):
        for i, emotion in enumerate(EMOTIONS):
            u = cues(emotion, "zh", 3, 1, style=style, strength=0.0, gap=0.0, jitter=0.0, seed=9)
            assert np.allclose(u, MEANS[i])


def test_styles_disagree_about_every_emotion_in_the_cues_in_conflict():
    assert np.allclose(MEANS.mean(axis=0), 0)
    for a, b in permutations(range(4), 2):
        for emotion in EMOTIONS:
            one, other = (expressed(mixture(emotion), style, 1.0) for style in (a, b))
            assert np.abs(one - other)[CONFLICTING].max() > 0.9
            assert np.array_equal(one[~CONFLICTING], other[~CONFLICTING])
    for style in range(4):
        # A speaker's mean does not betray the style, nor do the conflicting cues' values.
        values = np.array([expressed(mixture(emotion), style, 1.0) for emotion in EMOTIONS])
        assert np.allclose(values.mean(axis=0), 0)
        assert np.allclose(np.sort(values, axis=0), np.sort(MEANS, axis=0))


def test_a_blend_lies_between_two_emotions_and_annotators_hear_both():
    """Shares of the two follow from the cues, without chance, style and language gap."""
    given = {"style": 0, "strength": 0.0, "gap": 0.0, "jitter": 0.0, "seed": 3}
    seen = []
    for emotion in EMOTIONS:
        for sentence in range(8):
            u = cues(emotion, "en", 1, sentence, blend=1.0, **given)
            shares, *_ = np.linalg.lstsq(
                np.vstack([MEANS.T, np.ones(4)]), np.append(u, 1.0), rcond=None
            )
            assert np.allclose(MEANS.T @ shares, u)
            own = shares[EMOTIONS.index(emotion)]
            assert 0.5 <= own <= 1
            assert np.sum(np.abs(shares) > 1e-6) <= 2
            seen.append(own)
            felt = affect(emotion, "en", 1, sentence, jitter=0.0, seed=3, blend=1.0)
            assert np.allclose(felt, shares @ AFFECT)
    assert min(seen) < 0.6
    assert max(seen) > 0.9
    assert np.allclose(cues("anger", "en", 1, 0, blend=0.0, **given), MEANS[0])


def test_a_language_turns_scales_and_shifts_by_the_gap():
    (half, small), (full, large) = (language_map("en", gap, 0) for gap in (0.5, 1.0))
    assert np.allclose(half @ half, full)
    assert np.allclose(2 * small, large)
    assert not np.allclose(full, language_map("zh", 1.0, 0)[0])
    assert not np.allclose(full, language_map("en", 1.0, 1)[0])


def pitch_and_level(said):
    sound = torch.from_numpy(said.samples)[None]
    frames = torch.ones(1, sound.shape[1] // 160, dtype=torch.bool)
    track = track_pitch(sound, frames, frames, rate=16000, hop=160)
    semitones = track.semitones[track.voiced > 0]
    return float(semitones.median()), float(10 * np.log10(np.square(said.samples).mean()))


def test_planted_styles_are_heard():
    def measured(speaker, emotion, style):
        said = say(Knobs("en", style=style, gap=0.0, jitter=0.0), speaker, emotion, 1)
        return np.array([*pitch_and_level(said), 1 / said.ends[-1]])

    for speaker in (0, 1):
        hot = measured(speaker, "anger", 0.0) - measured(speaker, "sadness", 0.0)
        assert (hot > [3, 6, 0]).all()  # higher, louder, faster: without styles for all
    assert style_of(Knobs("en"), 0) == 0
    assert style_of(Knobs("en"), 1) == 1
    assert (measured(0, "anger", 1.0) - measured(0, "sadness", 1.0) > [3, 6, 0]).all()
    assert (measured(1, "anger", 1.0) - measured(1, "sadness", 1.0) < [-3, -6, 0]).all()


def test_gap_and_jitter_change_the_sound():
    plain = Knobs("en", gap=0.0, jitter=0.0)
    sounds = [
        say(knobs, 0, "anger", 0).samples.tobytes()
        for knobs in (
            plain,
            Knobs("en", gap=1.0, jitter=0.0),
            Knobs("en", gap=0.0, jitter=1.0),
            Knobs("en", gap=0.0, jitter=0.0, seed=1),
        )
    ]
    assert len(set(sounds)) == 4


def test_speakers_have_voices_of_their_own():
    knobs = Knobs("en")
    voices = [voice_of(knobs, i) for i in range(knobs.speakers)]
    assert len(set(voices)) == len(voices)
    assert voice_of(Knobs("en", style=0.0, gap=1.0), 3) == voices[3]


def test_manners_stay_in_range():
    assert manner(np.full(6, 100.0)) == manner(np.full(6, 3.0))


def test_interrupted_making_goes_on_where_it_stopped(monkeypatch, tmp_path):
    expected = content(load(f"synthetic:en{SMALL}"))
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "another"))
    spoken = []

    def fails_in_between(*arguments):
        spoken.append(arguments)
        if len(spoken) == 6:
            raise KeyboardInterrupt
        return say(*arguments)

    monkeypatch.setattr(synthetic, "say", fails_in_between)
    with pytest.raises(KeyboardInterrupt):
        load(f"synthetic:en{SMALL}")
    made = list((tmp_path / "another").rglob("*.wav"))
    assert 0 < len(made) < 16
    assert not list((tmp_path / "another").rglob("manifest.parquet"))
    spoken.clear()
    monkeypatch.setattr(synthetic, "say", lambda *a: spoken.append(a) or say(*a))
    assert content(load(f"synthetic:en{SMALL}")) == expected
    assert len(spoken) == 16 - len(made)


def test_a_lost_recording_is_made_again_and_a_second_load_makes_nothing(monkeypatch):
    manifest = load(f"synthetic:en{SMALL}")
    expected = content(manifest)
    Path(manifest["path"][7]).unlink()
    assert content(load(f"synthetic:en{SMALL}")) == expected
    monkeypatch.setattr(synthetic, "say", None)
    assert content(load(f"synthetic:en{SMALL}")) == expected


def test_knobs_are_read():
    assert parse_knobs("en") == Knobs("en")
    knobs = parse_knobs("zh?speakers=3&sentences=2&styles=1&style=0.5&gap=2&jitter=0&seed=7")
    assert knobs == Knobs("zh", 3, 2, 1, 0.5, 2.0, 0.0, 7)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("xx", r"no language 'xx', expected one of \['en', 'zh', 'de'"),
        ("en?stile=1", r"no knob 'stile', expected some of \['speakers', 'sentences', 'styles'"),
        ("en?speakers=many", "speakers is 'many', expected int from 1 to 10000"),
        ("en?speakers=0", "speakers is '0', expected int from 1"),
        ("en?speakers=2.5", "speakers is '2.5', expected int"),
        ("en?sentences=11", "sentences is '11', expected int from 1 to 10"),
        ("en?styles=5", "styles is '5', expected int from 1 to 4"),
        ("en?style=nan", "style is 'nan', expected float from 0 to 1"),
        ("en?gap", "'gap' is no query, expected knob=value"),
        ("en?gap=1&gap=0", "a knob is set twice"),
    ],
)
def test_a_bad_spec_says_what_is_expected(spec, message):
    with pytest.raises(ValueError, match=message):
        load(f"synthetic:{spec}")


def test_affect_is_a_linear_function_of_what_was_expressed():
    """With chance it lies between the emotions, without it is theirs; it knows neither style nor language's turn."""
    for emotion, expected in zip(EMOTIONS, AFFECT, strict=True):
        plain = affect(emotion, "en", 0, 0, jitter=0.0, seed=0)
        np.testing.assert_allclose(plain, expected, atol=1e-12)
    drawn = np.array(
        [
            [
                affect("neutral", "en", speaker, 0, jitter=jitter, seed=0)
                - affect("neutral", "en", speaker, 0, jitter=0.0, seed=0)
                for speaker in range(10)
            ]
            for jitter in (0.1, 0.2)
        ]
    )
    np.testing.assert_allclose(drawn[1], 2 * drawn[0], atol=1e-12)
    shown = np.array(
        [
            cues("neutral", "en", s, 0, style=0, strength=0.0, gap=0.0, jitter=0.1, seed=0)
            for s in range(10)
        ]
    )
    chance = shown - MEANS[EMOTIONS.index("neutral")]
    # The smallest map that fits.
    found, *_ = np.linalg.lstsq(MEANS, AFFECT - AFFECT.mean(0), rcond=None)
    np.testing.assert_allclose(drawn[0], chance @ found, atol=1e-12)
