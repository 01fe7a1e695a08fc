"""Phones carried from espeak-ng's speech to that of other voices, whose phone times are known."""

import numpy as np
import pytest
import soxr
import torch

from cleser.alignment import SynthesisAligner, read_alignment, write_textgrid
from cleser.anchors import to_ipa
from cleser.speech import load_audio
from cleser.synthesis.corpus import Knobs, parse_knobs, say
from cleser.synthesis.espeak import Speech, synthesise
from cleser.synthesis.sentences import SENTENCES

VOICES = {"en": "en", "zh": "cmn", "de": "de"}
KNOBS = Knobs("en", seed=11)


@pytest.fixture(scope="module")
def aligners():
    return {language: SynthesisAligner(voice) for language, voice in VOICES.items()}


def errors(alignment, said: Speech, shift: float = 0.0):
    assert len(alignment) == len(said.phones)
    return np.abs(np.r_[alignment.starts - said.starts, alignment.ends - said.ends] - shift)


@pytest.mark.parametrize("language", VOICES)
def test_boundaries_of_other_voices(aligners, language):
    knobs = parse_knobs(f"{language}?seed=11")
    wrong = []
    for speaker in range(4):
        emotion = ("anger", "sadness", "happiness", "neutral")[speaker]
        said = say(knobs, speaker, emotion, speaker)
        text = SENTENCES[language][speaker]
        wrong.append(errors(aligners[language].align(torch.from_numpy(said.samples), text), said))
    wrong = np.concatenate(wrong)
    assert np.median(wrong) < 0.01
    assert (wrong < 0.06).mean() > 0.95


def test_silence_around_and_within_is_left_out(aligners):
    said = say(KNOBS, 0, "neutral", 0)
    random = np.random.default_rng(0)
    at = round(said.starts[7] * 16000)
    sound = np.concatenate(
        [np.zeros(8000), said.samples[:at], np.zeros(6400), said.samples[at:], np.zeros(12000)]
    )
    noisy = torch.from_numpy((sound + 1e-3 * random.normal(size=len(sound))).astype(np.float32))
    alignment = aligners["en"].align(noisy, SENTENCES["en"][0])
    shift = np.where(np.arange(len(said.phones)) < 7, 0.5, 0.9)
    assert np.median(errors(alignment, said, np.r_[shift, shift])) < 0.01
    assert alignment.starts[7] - alignment.ends[6] > 0.3


def test_quality_tells_the_right_text_from_a_wrong_one(aligners):
    waveform = torch.from_numpy(say(KNOBS, 1, "happiness", 2).samples)
    right, wrong = (aligners["en"].align(waveform, SENTENCES["en"][k]).quality for k in (2, 6))
    assert right > 0.8
    assert wrong < 0.6


def test_one_speaker_alone_has_no_quality_and_no_speaker_is_refused():
    waveform = torch.from_numpy(say(KNOBS, 0, "neutral", 0).samples)
    alone = SynthesisAligner("en", speakers=[("m4", 1.0)])
    assert alone.align(waveform, SENTENCES["en"][0]).quality is None
    with pytest.raises(ValueError, match="speakers is empty"):
        SynthesisAligner("en", speakers=[])


@pytest.mark.parametrize("language", ["ru", "ja", "yue", "tr", "cmn", "da", "sv", "ga", "si"])
def test_any_language_in_ipa(tmp_path, language):
    text = {
        "ru": "Привет, как дела?",
        "ja": "こんにちは",
        "yue": "你好香港",
        "tr": "Yığın güneş",
        "cmn": "一二三",
        "da": "rødgrød med fløde",
        "sv": "sju sjösjuka sjömän",
        "ga": "conas atá tú, a mhac",
        "si": "අඹ කඳු",
    }
    said = synthesise(text[language], voice=language, variant="f3")
    waveform = torch.from_numpy(soxr.resample(said.samples, said.rate, 16000))
    alignment = SynthesisAligner(language).align(waveform, text[language])
    assert len(alignment) == len(said.phones)
    assert all(to_ipa(phone, "ipa") == phone for phone in alignment.phones)
    write_textgrid(tmp_path / "a.TextGrid", alignment)
    assert read_alignment(tmp_path / "a.TextGrid").phones == alignment.phones


def test_the_same_again(aligners):
    waveform = torch.from_numpy(say(KNOBS, 0, "neutral", 0).samples)
    first = aligners["en"].align(waveform, SENTENCES["en"][0])
    assert first == SynthesisAligner("en").align(waveform.clone(), SENTENCES["en"][0])


@pytest.mark.parametrize(
    ("waveform", "text", "message"),
    [
        (torch.zeros(0), "word", r"shape \[0\], expected \[T\]"),
        (torch.ones(2, 16000), "word", r"shape \[2, 16000\]"),
        (torch.zeros(16000), "word", "is silent: all its samples are alike"),
        (torch.tensor([0.0, torch.nan]).repeat(8000), "word", "NaN or infinite"),
        (torch.randn(800), "A long sentence in a short time.", "11 frames, expected one at least"),
        (torch.randn(16000), "...", "says nothing to '...'"),
    ],
)
def test_what_cannot_be_aligned_is_refused(aligners, waveform, text, message):
    with pytest.raises(ValueError, match=message):
        aligners["en"].align(waveform, text)


def test_real_speech_in_time(corpora_root, aligners):
    """Boundaries that the eye finds in a spectrogram of EMO-DB: the fricatives of sieben Stunden."""
    path = corpora_root / "emodb" / "wav" / "03a07Fa.flac"
    if not path.exists():
        pytest.skip("no EMO-DB here")
    alignment = aligners["de"].align(load_audio(path), "In sieben Stunden wird es soweit sein.")
    waveform = load_audio(path).numpy()
    crossings = {}
    for start, end, phone in alignment:
        part = waveform[round(start * 16000) : round(end * 16000)]
        crossings.setdefault(phone, []).append(np.abs(np.diff(np.sign(part))).mean() / 2)
    assert min(crossings["ʃ"] + crossings["s"]) > 1.5 * max(crossings["i"] + crossings["n"])
