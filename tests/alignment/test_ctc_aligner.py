"""The path of a text through a model's outputs, against plain loops; and a small model, trained and saved."""

import itertools
import json
import sys

import numpy as np
import pytest
import torch

from cleser.alignment import Alignment, read_alignment
from cleser.alignment.aligners.base import spelled
from cleser.alignment.aligners.ctc import CTCAligner, _division, _longest, _path
from cleser.alignment.aligners.ctc_phone_model import CTCPhoneModel
from cleser.alignment.aligners.ctc_training import _example, _save, train_phone_model
from cleser.alignment.aligners.ctc_training import _model as tiny_model
from cleser.alignment.aligners.pronunciation import PhoneVocabulary, pronounce
from cleser.alignment.corpus import textgrid_path
from cleser.cli import main
from cleser.corpora import load
from cleser.synthesis.corpus import parse_knobs, say
from cleser.synthesis.expression import EMOTIONS
from cleser.synthesis.prosody import Manner, Voice, speak
from cleser.synthesis.sentences import SENTENCES

SYMBOLS = sorted({*"abdefhijklmnoprstuvzðəɛɡɪŋɔɹʃʊʌθæ", "tʃ"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that has learned nothing: what it says is arbitrary, and known to the last digit."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    _save(tiny_model(len(SYMBOLS) + 1), SYMBOLS, folder)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return CTCPhoneModel(folder)


def collapsed(outputs, blank):
    return [k for k, _ in itertools.groupby(outputs) if k != blank]


@pytest.mark.parametrize("seed", range(8))
def test_no_path_of_the_text_is_more_probable(seed):
    random = np.random.default_rng(seed)
    emissions = torch.from_numpy(random.normal(size=(6, 4)).astype(np.float32)).log_softmax(-1)
    targets = random.integers(1, 4, 3)
    scores = {
        outputs: sum(float(emissions[t, k]) for t, k in enumerate(outputs))
        for outputs in itertools.product(range(4), repeat=6)
        if collapsed(outputs, 0) == targets.tolist()
    }
    best = max(scores, key=scores.__getitem__)
    path = _path(emissions, targets, blank=0)
    assert [0 if k < 0 else targets[k] for k in path] == list(best)
    assert np.array_equal(np.unique(path[path >= 0]), np.arange(3))


def test_blanks_are_divided_where_both_phones_are_most_probable():
    random = np.random.default_rng(0)
    for _ in range(20):
        spoken = np.log(random.dirichlet(np.ones(5), size=random.integers(0, 9)))
        scores = [spoken[:cut, 1].sum() + spoken[cut:, 3].sum() for cut in range(len(spoken) + 1)]
        assert _division(spoken, 1, 3) == int(np.argmax(scores))


@pytest.mark.parametrize(
    ("silent", "stretch"),
    [("", (0, 0)), ("0", (0, 0)), ("1", (0, 1)), ("0110111", (4, 7)), ("1100", (0, 2))],
)
def test_the_longest_silent_stretch(silent, stretch):
    assert _longest(np.array([k == "1" for k in silent], bool)) == stretch


def test_windows_give_what_one_window_gives_away_from_their_edges(folder):
    waveform = torch.randn(16000 * 4, generator=torch.Generator().manual_seed(0))
    whole = CTCPhoneModel(folder).emissions(waveform)
    parts = CTCPhoneModel(folder, window=1.5, overlap=1.0).emissions(waveform)
    assert parts.shape == whole.shape == (397, len(SYMBOLS) + 1)
    # Attention hears the whole of what it is given, so that windows differ a little; frames stay in their place.
    assert (parts.argmax(-1) == whole.argmax(-1)).float().mean() > 0.7
    shifted = (parts[1:].argmax(-1) == whole[:-1].argmax(-1)).float().mean()
    assert (parts.argmax(-1) == whole.argmax(-1)).float().mean() > shifted


def test_the_model_is_what_transformers_makes_of_the_folder(folder, model):
    from transformers import AutoFeatureExtractor, AutoModelForCTC

    waveform = torch.randn(16000, generator=torch.Generator().manual_seed(1)) * 0.1 + 0.02
    inputs = AutoFeatureExtractor.from_pretrained(folder)(
        waveform.numpy(), sampling_rate=16000, return_tensors="pt"
    )
    with torch.no_grad():
        expected = AutoModelForCTC.from_pretrained(folder)(inputs.input_values).logits
    torch.testing.assert_close(
        model.emissions(waveform), expected[0].log_softmax(-1), atol=1e-4, rtol=1e-4
    )
    assert model.symbols == ("", *SYMBOLS)
    assert (model.blank, model.frame_rate) == (0, 100.0)


def test_its_middle_is_where_a_frame_hears_most(model):
    """A click moves the frame whose middle is nearest more than others, before attention mixes frames."""
    front = model.model.wav2vec2.feature_extractor
    for frame in (20, 50):
        sound = torch.zeros(16000)
        sound[round((model.first_frame + frame / model.frame_rate) * 16000)] = 1.0
        with torch.no_grad():
            moved = (front(sound[None]) - front(torch.zeros(1, 16000))).abs().sum(1)[0]
        touched = torch.nonzero(moved > 1e-6).flatten()
        assert touched.float().mean() == pytest.approx(frame, abs=1)


def test_an_alignment_has_the_phones_of_the_text_in_order(model):
    waveform = torch.randn(32000, generator=torch.Generator().manual_seed(2)) * 0.1
    alignment = CTCAligner(model, "en-us").align(waveform, "The third shop, right?")
    assert len(alignment) == len(pronounce("The third shop, right?", "en-us"))
    assert alignment.starts[0] >= 0
    assert alignment.ends[-1] <= 2
    assert 0 <= alignment.quality <= 1


def test_pauses_are_left_out(model):
    random = torch.Generator().manual_seed(3)
    loud = [torch.randn(12000, generator=random) * 0.1 for _ in range(2)]
    quiet = torch.randn(16000, generator=random) * 1e-5
    waveform = torch.cat([quiet, loud[0], quiet, loud[1], quiet])
    alignment = CTCAligner(model, "en-us").align(waveform, "The shop is on the hill")
    gaps = alignment.starts[1:] - alignment.ends[:-1]
    inside = (alignment.starts[1:] > 1.7) & (alignment.ends[:-1] < 2.8)
    assert (gaps[~inside] < 0.8).all()


def test_phones_of_several_outputs_and_of_none():
    vocabulary = PhoneVocabulary(["<", "a", "ɪ", "t", "ʃ", "uː", "ɑ5", "ts.h"])
    assert vocabulary.encode("ˈaɪ") == (1, 2)
    assert vocabulary.encode("tʃ") == (3, 4)
    assert vocabulary.encode("ˌuː") == (5,)
    assert vocabulary.encode("ˈɑ5") == (6,)
    assert vocabulary.encode("ts.h") == (7,)
    assert vocabulary.encode("d") == (3,)  # voice apart the same
    assert vocabulary.encode("ʒ") == (4,)
    with pytest.raises(ValueError, match="has no phones"):
        PhoneVocabulary(["", ""])


@pytest.mark.parametrize(
    ("waveform", "text", "message"),
    [
        (torch.zeros(16000), "word", "is silent"),
        (torch.randn(300), "word", "has 300 samples, expected 520 at least"),
        (torch.randn(1600), "Hardly anything can be said in so short a time.", "7 frames, too few"),
        (torch.randn(16000), "...", "says nothing"),
    ],
)
def test_what_cannot_be_aligned_is_refused(model, waveform, text, message):
    with pytest.raises(ValueError, match=message):
        CTCAligner(model, "en-us").align(waveform, text)


def test_folders_without_a_model_are_refused(tmp_path, folder):
    with pytest.raises(ValueError, match="cannot be loaded as a CTC phone model"):
        CTCPhoneModel(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="cannot be loaded as a CTC phone model"):
        CTCPhoneModel(tmp_path)
    with pytest.raises(ValueError, match="overlap is 3, expected 0 to less than the window, 2"):
        CTCPhoneModel(folder, window=2, overlap=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a model that has heard other speakers say the sentences of the synthetic corpus."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("trained")
    teachers = (None, "m4", "m5", "m8", "linda", "Alicia", "Andrea")
    utterances = []
    for i in range(40):
        tract, rate = 2 ** random.uniform(-0.15, 0.15), 165 * 2 ** random.uniform(-0.4, 0.4)
        pitch, tilt = random.uniform(-3, 4), random.uniform(-3, 3)
        voice = Voice("de", teachers[i % 7], tract, rate, pitch, tilt)
        said = speak(SENTENCES["de"][i % 10], voice, Manner(breath=random.uniform(-6, 12)), seed=i)
        alignment = spelled(said.phones, np.stack([said.starts, said.ends], 1), None)
        utterances.append((torch.from_numpy(said.samples), alignment))
    train_phone_model(utterances, folder, steps=110)
    return folder


def test_utterances_without_phones_are_blank_throughout(tmp_path):
    sound = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    silent, spoken = Alignment([], [], ()), Alignment([0.05, 0.1], [0.1, 0.15], ("a", "n"))
    frames, phones = _example((sound, silent), ["a", "n"])[1:]
    assert not frames.any()
    assert not len(phones)
    frames = _example((sound, spoken), ["a", "n"])[1].tolist()
    assert [o for o, last in zip(frames, [None, *frames], strict=False) if o != last] == [
        0,
        1,
        2,
        0,
    ]
    utterances = [(sound, silent), (sound, silent), (sound, spoken)]
    # Of some batches all are silent, in both halves of training.
    model = train_phone_model(utterances, tmp_path / "model", steps=12)
    assert all(weights.isfinite().all() for weights in model.model.parameters())
    with pytest.raises(ValueError, match="have no phones, expected some to learn from"):
        train_phone_model(utterances[:2], tmp_path / "none", steps=1)


def near(wrong):
    wrong = np.abs(np.concatenate(wrong))
    return np.median(wrong) <= 0.02 and (wrong <= 0.06).mean() >= 0.9


@pytest.mark.slow
def test_a_model_trained_on_known_phones_finds_those_of_other_speakers(trained):
    aligner = CTCAligner(CTCPhoneModel(trained), "de")
    wrong = []
    for i in range(10):
        said = say(parse_knobs("de?seed=7"), i, EMOTIONS[i % 4], i)
        found = aligner.align(torch.from_numpy(said.samples), SENTENCES["de"][i])
        wrong += [found.starts - said.starts, found.ends - said.ends]
    assert near(wrong)


@pytest.mark.slow
def test_the_command_aligns_a_corpus_with_a_model_from_its_folder(trained, tmp_path, capsys):
    spec = "synthetic:de?speakers=2&sentences=2&seed=7"
    command = ["align", spec, "--out", str(tmp_path), "--workers", "1"]
    assert main([*command, "--aligner", str(trained)]) == 0
    assert "16 aligned, 0 without a text" in capsys.readouterr().out
    wrong, shares = [], []
    for row in load(spec).itertuples():
        alignment = read_alignment(textgrid_path(tmp_path, row.utterance))
        times = np.array([phone[1:] for phone in json.loads(row.phones)])
        wrong += [alignment.starts - times[:, 0], alignment.ends - times[:, 1]]
        shares.append(alignment.quality)
    assert near(wrong)
    assert 0 < min(shares) <= max(shares) <= 1
    written = {path: path.read_bytes() for path in tmp_path.rglob("*.TextGrid")}
    next(iter(written)).unlink()
    assert main([*command, "--aligner", str(trained)]) == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.TextGrid")} == written
    assert main(command) == 2
    assert "alignments were made with aligner" in capsys.readouterr().err
    assert main([*command, "--aligner", str(tmp_path / "none")]) == 2
    assert "cannot be loaded as a CTC phone model" in capsys.readouterr().err


def test_without_torchaudio_the_sentence_names_what_to_install(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchaudio.functional", None)  # an import of it fails
    with pytest.raises(ImportError, match=r"needs a torchaudio that fits torch .*cleser\[ctc\]"):
        CTCAligner(model, "en-us")
