"""The road from audio: equal to that of features where nothing is trained, and every recipe learns along it."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from torch.nn.utils.rnn import pad_sequence

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
import soundfile

import cleser
from cleser import progress
from cleser.corpora.protocol import Protocol
from cleser.experiments.data import Data
from cleser.experiments.experiment import Experiment
from cleser.experiments.export import export
from cleser.experiments.export.folder import _described, _portable
from cleser.experiments.neural import encoder_for
from cleser.experiments.prediction.evaluate import evaluate
from cleser.features.moments import Moments
from cleser.models import ModelConfig
from cleser.recipes import METHODS, ClassicalConfig, ERMConfig
from cleser.settings import from_plain, to_plain
from cleser.speech import Alignment, load_backbone, write_textgrid
from cleser.speech.backbones import long_convolution
from cleser.speech.backbones.fine_tuning import FineTuning
from cleser.training import loop
from cleser.training.audio import PADDING, AudioEncoder, WaveformBatch, _without
from cleser.training.from_manifest import load_dataset
from cleser.training.heard import RecordingSource
from cleser.training.loop import TrainingConfig
from cleser.training.reading import Excerpt, stretch
from cleser.training.recipe import Task
from cleser.training.recognition import embedded
from tests.corpora.trees import write_corpus
from tests.elsewhere import DEVICE, Elsewhere
from tests.speech.tiny_models import save_tiny

FAMILIES = ("wav2vec2", "hubert", "wavlm", "xls-r", "whisper")
QUICK = TrainingConfig(epochs=2, batch_size=6, learning_rate=3e-3)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLESER_CACHE", str(tmp_path_factory.getbasetemp() / "audio-cache"))
        yield


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora")
    return (
        write_corpus(root / "a", "a", language="de", speakers=3),
        write_corpus(root / "b", "b", speakers=2, seed=1),
        write_corpus(root / "c", "c", language="fr", speakers=2, seed=2),
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {family: str(save_tiny(family, root / family)) for family in FAMILIES}


def small(name):
    """A recipe's own settings with a small network and a short training."""
    config = to_plain(METHODS[name].config())
    config["training"] = to_plain(QUICK)
    if "model" in config:
        config["model"] |= {"dim": 8, "dropout": 0.1, "input_dropout": 0.0}
    return from_plain(METHODS[name].config, config)


def run(name, specs, out, backbone, tuning, *, config=None, seeds=1, workers=0, **terms):
    config = config or small(name)
    terms = {"auxiliary": [specs[2]], **terms}
    protocol = Protocol([specs[0]], [specs[1]], **terms)
    experiment = Experiment(
        name, to_plain(config), protocol, seeds, out, backbone, tuning, workers=workers
    )
    return METHODS[name].run(experiment, config, load_backbone(backbone))


NETWORKS = [name for name, method in METHODS.items() if method.build is not None]


# Every recipe with an encoder that is tuned and one that is not; every other encoder with the recipe that uses most.
@pytest.mark.parametrize(
    ("name", "family"),
    [
        *itertools.product(NETWORKS, ["acoustic", "whisper"]),
        *(("sapa", family) for family in FAMILIES if family != "whisper"),
    ],
)
def test_every_recipe_learns_from_audio(name, family, specs, models, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    tuning = FineTuning("head") if family == "acoustic" else FineTuning("lora", adapters=4)
    backbone = models.get(family, family)
    results = run(name, specs, tmp_path / "run", backbone, tuning)
    assert results["n_utterances"] == 8
    lines = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1]
    assert all(np.isfinite(line["train_loss"]) for line in lines)
    said = capsys.readouterr().err
    for work in ("seed 0, epoch 1", "recognising"):
        assert re.search(rf"{work}: (\d+) of \1 \(100%\)", said)


@pytest.mark.parametrize(
    ("family", "normalisation"),
    [
        ("acoustic", "corpus"),
        ("acoustic", "utterance"),
        ("wavlm", "speaker"),
        ("whisper", "speaker"),
    ],
)
def test_both_roads_are_one_where_the_backbone_stays(family, normalisation, specs, models):
    """Batches of the same numbers, for every way to standardise, in any batching."""
    backbone = load_backbone(models.get(family, family))
    cast = Protocol([specs[0]], [specs[1]], normalisation=normalisation).load()
    kept = Data(cast, backbone, auxiliary=False)
    heard = Data(cast, backbone, auxiliary=False, tuning=FineTuning("head"))
    # A value of float16 is off by 2⁻¹² of itself, which is divided by its channel's spread. The tones of this corpus
    # have a pitch of 45.549 ± .0005 semitones within an utterance, of which float32 leaves two digits.
    near = {"acoustic": 2e-3, "wavlm": 0.1, "whisper": 0.1}[family]
    near = {"atol": 5e-2 if normalisation == "utterance" else near, "rtol": 1e-2}
    encoder = encoder_for(backbone, heard.tuning, heard.vocabulary, cast.protocol)
    for expected, dataset in ((kept.seen, heard.seen), (kept.target, heard.target)):
        found = dataset.encoded_by(encoder)
        for at in ([3, 0, 5], [7]):
            one, other = expected.batch(at), found.batch(at)
            torch.testing.assert_close(other.tokens, one.tokens, **near)
            torch.testing.assert_close(other.summaries, one.summaries, **near)
            assert torch.equal(other.offsets, one.offsets)
            assert torch.equal(other.phonemes, one.phonemes)
            assert torch.equal(other.weight, one.weight)
            assert all(torch.equal(other.labels[n], one.labels[n]) for n in one.labels)
        torch.testing.assert_close(found.summaries(), expected.summaries(), **near)


def test_what_is_said_is_taken_out_on_both_roads(specs, tmp_path):
    backbone = load_backbone("acoustic")
    terms = Protocol([specs[0]], [specs[1]])
    cast = terms.load()
    for rows in (cast.source, cast.target):
        for number, (name, path) in enumerate(zip(rows["utterance"], rows["path"], strict=True)):
            end = soundfile.info(path).duration + 0.09  # no frame is left over
            phones = Alignment([0.0, 0.05, 0.2], [0.05, 0.2, end], "pai" if number % 2 else "pia")
            write_textgrid(tmp_path / f"{name}.TextGrid", phones)
    with_content = replace(terms, lexical_normalisation=False).load()
    kept, plain, heard = (
        Data(c, backbone, auxiliary=False, alignments=str(tmp_path), tuning=FineTuning(scope))
        for c, scope in ((cast, "features"), (with_content, "features"), (cast, "head"))
    )
    encoder = encoder_for(backbone, heard.tuning, heard.vocabulary, terms)
    for own, before, other in (
        (kept.seen, plain.seen, heard.seen),
        (kept.target, plain.target, heard.target),
    ):
        assert (own.summaries() - before.summaries()).abs().max() > 0.1
        everyone = torch.arange(len(own))
        found, expected = other.encoded_by(encoder).batch(everyone), own.batch(everyone)
        torch.testing.assert_close(found.tokens, expected.tokens, atol=2e-3, rtol=1e-3)
        torch.testing.assert_close(found.summaries, expected.summaries, atol=2e-3, rtol=1e-3)
        assert torch.equal(found.phonemes, expected.phonemes)
        assert (found.phonemes >= 0).all()
        assert not other.load(everyone).table[-1].any()  # of frames of phones that nobody knows


def test_what_phonemes_have_is_moved_with_the_batch_and_taken_off_their_frames_alone():
    """At once: a copy of its own for each phone would have a GPU wait as often."""
    generator = torch.Generator().manual_seed(0)
    frames, table = (torch.randn(n, 3, 4, generator=generator) for n in (9, 5))
    table[-1] = 0
    rows, phones = {"p": 2, "a": 0, "i": 3}, ["a", "x", "p", "a"]  # nobody knows x
    bounds = torch.tensor([[1, 3], [3, 4], [4, 5], [6, 9]])
    expected = frames.clone()
    for first, last, row in ((1, 3, 0), (4, 5, 2), (6, 9, 0)):
        expected[first:last] -= table[row]
    assert torch.equal(_without(frames, bounds, phones, rows, table), expected)
    assert _without(frames, bounds, ["x", "", "x", ""], rows, table) is frames
    moments = Moments(*torch.zeros(4, 2, 3, 8))
    alignments = [None, Alignment([0.0], [0.5], "a")]
    sounds = WaveformBatch(
        torch.zeros(2, 8), torch.tensor([8, 6]), alignments, [rows, {}], moments, table=table
    )
    assert sounds.pick([1]).content == [{}] and torch.equal(sounds.pick([1]).table, table)
    with Elsewhere():
        there = sounds.to(DEVICE)
        found = _without(frames.to(DEVICE), bounds, phones, there.content[0], there.table)
        assert found.device == DEVICE
        assert torch.equal(found.cpu(), expected)


def test_an_epoch_of_many_steps_says_how_far_it_has_come(specs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_SECONDS", 0.0)
    for folder, many in (("few", loop._MANY_STEPS), ("many", 2)):
        monkeypatch.setattr(loop, "_MANY_STEPS", many)
        run("erm", specs, tmp_path / folder, "acoustic", FineTuning())
        assert ("epoch 1: 2 of 2" in capsys.readouterr().err) == (folder == "many")


def test_both_roads_train_alike_where_the_backbone_stays(specs, tmp_path):
    config = ERMConfig(ModelConfig(dim=8, token_view=True), QUICK)
    run("erm", specs, tmp_path / "kept", "acoustic", FineTuning(), config=config)
    run("erm", specs, tmp_path / "heard", "acoustic", FineTuning("head"), config=config)
    one, other = (
        pd.read_json(tmp_path / r / "metrics.jsonl", lines=True) for r in ("kept", "heard")
    )
    pd.testing.assert_frame_equal(one, other, atol=1e-3, rtol=1e-3)


def test_subsets_and_joins_keep_their_utterances(specs):
    backbone = load_backbone("acoustic")
    cast = Protocol([specs[0]], [specs[1]], target_access="labels").load()
    kept = Data(cast, backbone, auxiliary=False)
    heard = Data(cast, backbone, auxiliary=False, tuning=FineTuning("head"))
    encoder = encoder_for(backbone, heard.tuning, heard.vocabulary, cast.protocol)
    parts = cast.parts(0)
    one, other = kept.learned(parts), heard.learned(parts).encoded_by(encoder)
    pd.testing.assert_frame_equal(one.manifest, other.manifest)
    assert torch.equal(one.weight, other.weight)
    everything = torch.arange(len(one))
    torch.testing.assert_close(
        other.batch(everything).tokens, one.batch(everything).tokens, atol=2e-3, rtol=1e-3
    )
    blank = parts.test.assign(emotion=None)
    assert (heard.target.subset(blank).labels["emotion"] == -1).all()


def test_phones_are_cut_with_the_recording():
    wave = np.arange(1000.0, dtype=np.float32)
    spoken = Alignment([0.1, 0.4, 0.8], [0.4, 0.7, 0.9], ("p", "a", "t"))
    for seed in range(20):
        cut, phones = stretch(Excerpt(wave, spoken), 1000, 0.5, (seed,))
        assert len(cut) == 500
        first = float(cut[0]) / 1000
        expected = {
            name: (max(0.0, start - first), min(0.5, end - first))
            for start, end, name in spoken
            if end > first and start < first + 0.5
        }
        assert set(phones.phones) == set(expected)
        for start, end, name in phones:
            assert (start, end) == pytest.approx(expected[name])
        again, _ = stretch(Excerpt(wave, spoken), 1000, 0.5, (seed,))
        assert np.array_equal(cut, again)
    assert stretch(Excerpt(wave, spoken), 1000, 1.0, (0,)) == (wave, spoken)
    begun = [stretch(Excerpt(wave, None), 1000, 0.5, (s,)).wave[0] for s in range(20)]
    assert len(set(begun)) > 10


def test_a_crop_of_silence_is_no_dead_end(specs):
    backbone = load_backbone("acoustic")
    data = Data(Protocol([specs[0]], [specs[1]]).load(), backbone, auxiliary=False,
                tuning=FineTuning("head"))  # fmt: skip
    encoder = encoder_for(backbone, data.tuning, data.vocabulary, data.cast.protocol)
    sounds = data.seen.load([0, 1])
    sounds.waveforms[0] = 0
    batch = encoder(sounds)
    assert torch.isfinite(batch.tokens).all()
    assert (batch.offsets.diff() > 0).all()


def test_weights_of_the_backbone_move_where_they_should(specs, models, tmp_path):
    """And the run keeps those that were trained, no others."""
    tuning = FineTuning("top", top=1, learning_rate=1e-3)
    run("erm", specs, tmp_path / "run", models["wavlm"], tuning)
    with safe_open(tmp_path / "run" / "model.safetensors", "pt") as file:
        names = [n for n in file.keys() if ".encoder:" in n]  # noqa: SIM118
        kept = {n.split(":", 1)[1]: file.get_tensor(n) for n in names}
    start = load_backbone(models["wavlm"]).state_dict()
    assert kept
    assert all(".layers.2." in n for n in kept)
    assert any(not torch.equal(kept[n], start[n]) for n in kept)


def test_a_tuned_run_is_opened_again(specs, models, tmp_path):
    """By evaluate, by predict, and from its export, always with the tuned backbone's numbers."""
    out = tmp_path / "run"
    tuning = FineTuning("lora", adapters=4, learning_rate=1e-2)
    private = shutil.copytree(models["wav2vec2"], tmp_path / "somebody" / "tiny")
    run("erm", specs, out, str(private), tuning, seeds=2, normalisation="utterance")
    evaluate(out, (specs[1],), out=tmp_path / "again")
    one, other = (pd.read_parquet(f / "predictions.parquet") for f in (out, tmp_path / "again"))
    pd.testing.assert_frame_equal(one, other, check_exact=False, atol=1e-4)

    folder = export(out, tmp_path / "model")
    shutil.rmtree(private)  # it came along
    for path in folder.rglob("*.*"):
        assert b"somebody" not in path.read_bytes(), path
    card = (folder / "README.md").read_text()
    assert "`tiny` (wav2vec2, in `backbone/`, layers 0, 1, 2, 3, SHA-256" in card
    files = [os.path.join(tmp_path_of(specs[1]), f"{u.removeprefix('b/')}.wav") for u in one["utterance"].unique()]  # noqa: PTH118  # fmt: skip
    found = cleser.load_model(folder).predict(files)
    shares = [n for n in one.columns if n.startswith("p_")]
    expected = one.groupby("utterance", sort=False)[shares].mean()
    np.testing.assert_allclose(found[shares], expected, atol=1e-4)


def test_a_backbone_from_the_hub_is_named_with_its_commit(models):
    """As if it had come from there: nothing can be downloaded here."""
    backbone = load_backbone(f"{models['whisper']},layers=0+2")
    backbone.source, backbone.revision = "owner/name", "c0ffee"
    assert _portable("owner/name,revision=main,layers=0+2", backbone) == (
        "owner/name,layers=0+2,revision=c0ffee"
    )
    assert _described(backbone).startswith(
        "`owner/name` (whisper, revision c0ffee, layers 0, 2, SHA-256 of its weights "
    )


def tmp_path_of(spec):
    return os.path.dirname(spec.split(":", 1)[1])  # noqa: PTH120


def test_gradients_of_several_batches_make_one_step(specs, models, tmp_path):
    """Two batches of four, gathered, are one of eight where the loss is a mean over utterances."""
    model = ModelConfig(dim=8, token_view=True, input_dropout=0.0, token_dropout=0.0, dropout=0.0)
    folder = save_tiny("wav2vec2", tmp_path / "still", **STILL)

    def losses(name, batch_size, accumulate):
        config = ERMConfig(model, TrainingConfig(epochs=3, batch_size=batch_size, clip=1e9))
        tuning = FineTuning("full", accumulate=accumulate)
        run("erm", specs, tmp_path / name, str(folder), tuning, config=config)
        return pd.read_json(tmp_path / name / "metrics.jsonl", lines=True)

    one, other = losses("one", 8, 1), losses("two", 4, 2)
    pd.testing.assert_frame_equal(one, other, atol=1e-4, rtol=1e-4)


STILL = {
    "hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0, "final_dropout": 0.0,
}  # fmt: skip


def test_what_is_padded_is_bounded_and_changes_nothing(specs, models, monkeypatch):
    """One batch of lengths from .1 to 2 s, in pieces and in one: the same numbers, and gradients."""
    backbone = load_backbone(models["whisper"])
    sounds = noises([0.1, 2.0, 0.55, 1.9, 0.5, 1.0], backbone)
    heard = []
    one = AudioEncoder(backbone, (), by_utterance=False, whole_batch=True)
    other = AudioEncoder(backbone, (), by_utterance=False)
    forward = type(backbone).forward

    def noted(self, waveforms, lengths):
        heard.append((waveforms.numel(), int(lengths.sum())))
        return forward(self, waveforms, lengths)

    monkeypatch.setattr(type(backbone), "forward", noted)
    backbone.requires_grad_(True)
    weight = next(p for n, p in backbone.named_parameters() if "fc1.weight" in n)
    found = []
    for encoder in (one, other):
        batch = encoder.eval()(sounds)
        (batch.tokens.square().sum() + batch.summaries.square().sum()).backward()
        found.append((batch, weight.grad.clone()))
        weight.grad = None
    assert len(heard) == 5 and heard[0][0] > 1.9 * heard[0][1]
    padded, spoken = (sum(n) for n in zip(*heard[1:], strict=True))
    assert spoken == heard[0][1] and 1 - spoken / padded <= PADDING
    (whole, gradient), (pieces, its_own) = found
    assert torch.equal(whole.offsets, pieces.offsets)
    torch.testing.assert_close(pieces.tokens, whole.tokens, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(pieces.summaries, whole.summaries, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(its_own, gradient, atol=1e-3, rtol=1e-3)


def noises(seconds, backbone):
    draw = torch.Generator().manual_seed(0)
    waves = [0.1 * torch.randn(round(s * backbone.rate), generator=draw) for s in seconds]
    zero = torch.zeros(len(waves), backbone.n_layers, 2 * backbone.dim)
    moments = Moments(zero, zero + 1, zero, zero + 1)
    padded, lengths = pad_sequence(waves, batch_first=True), torch.tensor([len(w) for w in waves])
    return WaveformBatch(padded, lengths, [None] * len(waves), [{}] * len(waves), moments)


def test_half_precision_is_near(specs, models):
    backbone = load_backbone(models["wavlm"])
    cast = Protocol([specs[0]], [specs[1]]).load()
    data = Data(cast, backbone, auxiliary=False, tuning=FineTuning("head"))
    sounds = data.seen.load([0, 4, 7])
    full, half = (
        AudioEncoder(backbone, (), by_utterance=False, precision=precision).eval()(sounds)
        for precision in ("float32", "bfloat16")
    )
    assert half.tokens.dtype == torch.float32
    assert not torch.equal(full.tokens, half.tokens)
    assert (full.summaries - half.summaries).abs().mean() < 0.1


@pytest.mark.parametrize("family", ["wav2vec2", "wavlm", "whisper"])
def test_recognition_hears_every_recording_once(family, specs, models, monkeypatch):
    """On as many cores as there are, with the same numbers as on one, by the weights as they are at that time."""
    backbone = load_backbone(models[family])
    data = Data(Protocol([specs[0]], [specs[1]]).load(), backbone, auxiliary=False,
                tuning=FineTuning("lora", adapters=4))  # fmt: skip
    encoder = encoder_for(backbone, data.tuning, data.vocabulary, data.cast.protocol)
    recipe = METHODS["erm"].build(
        small("erm"), Task(*data.shape, data.vocabulary, backbone.mix, data.prior)
    )
    dataset = data.seen.encoded_by(encoder.train())
    monkeypatch.setattr("cleser.training.audio._SHARE", 0.5)
    monkeypatch.setattr(RecordingSource, "at_once", 5)
    heard, threads = [], set()
    forward = type(backbone).forward

    def noted(self, waveforms, lengths):
        heard.extend(lengths.tolist())
        threads.add(threading.get_ident())
        assert not self.training
        return forward(self, waveforms, lengths)

    monkeypatch.setattr(type(backbone), "forward", noted)
    expected = sorted(len(r.wave) for r in dataset.source.excerpts.read(dataset.wanted(range(12))))
    before, found = torch.get_num_threads(), []
    for changed in (False, True):
        for number in (1, 2):
            heard.clear(), threads.clear()
            torch.set_num_threads(number)
            try:
                found.append(embedded(recipe, dataset, ["utterances", "logits"]))
            finally:
                torch.set_num_threads(before)
            assert sorted(heard) == expected
            assert (threading.get_ident() in threads) == (number == 1)
            assert encoder.training
        if not changed:
            with torch.no_grad():
                for parameter in encoder.backbone.parameters():
                    if parameter.requires_grad:
                        parameter.add_(0.3)
    for one, other in itertools.chain(zip(*found[:2], strict=True), zip(*found[2:], strict=True)):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert (found[0][0] - found[2][0]).abs().max() > 1e-2


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(specs, models, tmp_path):
    """Crops, dropout of the backbone and its optimiser's state go on as if nothing had been.

    The killed run has its recordings decoded by other processes, the uninterrupted one by itself.
    """
    tuning = FineTuning("lora", adapters=4, crop=0.25)
    config = ERMConfig(ModelConfig(dim=8, token_view=True), TrainingConfig(epochs=4, batch_size=4))
    run("erm", specs, tmp_path / "whole", models["wav2vec2"], tuning, config=config)
    script = f"""
from tests.training.test_audio import *
from pathlib import Path
config = ERMConfig(ModelConfig(dim=8, token_view=True), TrainingConfig(epochs=4, batch_size=4))
tuning = FineTuning("lora", adapters=4, crop=0.25)
run("erm", {specs!r}, Path({str(tmp_path / "killed")!r}), {models["wav2vec2"]!r}, tuning, config=config, workers=2)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    metrics = tmp_path / "killed" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if metrics.exists() and len(metrics.read_text().splitlines()) >= 2:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.001)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "results.json").exists()
    run("erm", specs, tmp_path / "killed", models["wav2vec2"], tuning, config=config, workers=1)
    for name in ("metrics.jsonl", "results.json"):
        assert (tmp_path / "killed" / name).read_text() == (tmp_path / "whole" / name).read_text()


def test_epochs_are_judged_by_the_weights_that_they_reached(specs, models, tmp_path, monkeypatch):
    """What is kept of the weights between two uses follows every step; a resumed run keeps nothing from before."""
    tuning = FineTuning("full", learning_rate=1e-2)

    def lines(name):
        run("erm", specs, tmp_path / name, models["xls-r"], tuning)
        return (tmp_path / name / "metrics.jsonl").read_text()

    found = lines("kept")

    def stop(history):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # interrupted after the first epoch, and resumed
        report = loop.Checkpoint.save
        patch.setattr(loop.Checkpoint, "save", lambda *a: report(*a) or stop(a))
        with pytest.raises(KeyboardInterrupt):
            lines("resumed")
    assert lines("resumed") == found
    monkeypatch.setattr(long_convolution, "_spectrum", long_convolution._transform)
    assert lines("fresh") == found


def test_a_crop_too_short_for_the_backbone_is_said_at_the_start(specs, models, tmp_path):
    tuning = FineTuning("head", crop=0.002)
    out, nowhere = tmp_path / "run", ("manifest:missing.csv", *specs[1:])
    with pytest.raises(
        ValueError, match=r"crop is 0\.002 s.* at 16000 Hz: give --tune\.crop 0\.003 or more"
    ):
        run("erm", nowhere, out, models["wav2vec2"], tuning)
    assert not out.exists()
    run("erm", specs, out, models["wav2vec2"], replace(tuning, crop=0.003))


def test_what_learns_from_features_alone_is_told(specs, tmp_path):
    with pytest.raises(ValueError, match="cannot learn from audio"):
        run(
            "classical",
            specs,
            tmp_path / "svm",
            "acoustic",
            FineTuning("head"),
            config=ClassicalConfig(),
        )


def test_unreadable_recordings_are_left_out(specs, tmp_path):
    spec = write_corpus(tmp_path / "d", "d", speakers=2, seed=3)
    (tmp_path / "d" / "s0-anger-0.wav").write_bytes(b"RIFF")
    results = run("erm", (specs[0], spec, specs[2]), tmp_path / "run", "acoustic",
                  FineTuning("head"))  # fmt: skip
    assert results["n_utterances"] == 7
    assert len(results["left_out"]) == 1


def test_statistics_do_not_depend_on_how_they_are_gathered(specs, monkeypatch):
    from cleser.features import stored

    backbone = load_backbone("acoustic")
    cast = Protocol([specs[0]], [specs[1]]).load()
    whole = Data(cast, backbone, auxiliary=False, tuning=FineTuning("head"))
    monkeypatch.setattr(stored, "BLOCK", 5)
    parts = Data(cast, backbone, auxiliary=False, tuning=FineTuning("head"))
    reference = load_dataset(cast.source, whole.protocol, whole.vocabulary, backbone, title="")[1]
    for name in whole.moments._fields:
        expected = getattr(reference, name)
        for found in (getattr(whole.moments, name), getattr(parts.moments, name)):
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    assert isinstance(whole.seen.source, RecordingSource)


@pytest.mark.cuda
@pytest.mark.parametrize("family", ["acoustic", "wavlm", "whisper"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_recipe_learns_on_a_gpu(name, family, specs, models, tmp_path, monkeypatch):
    """In half precision, blocks computed twice: what the processor's tests leave out."""
    half = {"precision": "bfloat16", "checkpointing": True}
    tuning = FineTuning("head") if family == "acoustic" else FineTuning("full", **half)
    used = []
    step = METHODS[name].build.step
    monkeypatch.setattr(
        METHODS[name].build,
        "step",
        lambda self, source, target: (
            used.append(source.tokens.device.type) or step(self, source, target)
        ),
    )
    results = run(name, specs, tmp_path / "run", models.get(family, family), tuning)
    assert results["n_utterances"] == 8
    assert set(used) == {"cuda"}
    lines = [json.loads(x) for x in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["train_loss"]) for line in lines)
