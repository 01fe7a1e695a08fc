"""Backbones, speaker encoders and phone models are opened by one function, and fail alike."""

import json
import logging
import shutil

import huggingface_hub
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from cleser.alignment.aligners.ctc_phone_model import CTCPhoneModel
from cleser.speech import TransformersBackbone
from cleser.speech.checkpoints import copy_checkpoint
from cleser.speech.speakers import TransformersSpeakerEncoder
from tests.speech.tiny_models import BLOCKS, CONVOLUTIONS, GROUP, save_tiny

XVECTOR = {"tdnn_dim": (8, 8), "tdnn_kernel": (3, 1), "tdnn_dilation": (1, 1), "xvector_output_dim": 6,
           "num_labels": 2}  # fmt: skip
OPENERS = {
    "Model": TransformersBackbone,
    "ForXVector": TransformersSpeakerEncoder,
    "ForCTC": CTCPhoneModel,
}


@pytest.fixture(scope="module", params=OPENERS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def folder(kind, tmp_path_factory):
    """A checkpoint of each kind."""
    folder = tmp_path_factory.mktemp(kind)
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(**{**CONVOLUTIONS, **BLOCKS, **GROUP, **XVECTOR})
    getattr(transformers, f"Wav2Vec2{kind}")(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=False, sampling_rate=8000).save_pretrained(
        folder
    )
    (folder / "vocab.json").write_text(
        json.dumps({"<pad>": 0, **{symbol: 1 + i for i, symbol in enumerate("abcdefg")}})
    )
    return folder


def test_a_folder_is_opened_as_path_or_text_and_says_its_rate(kind, folder):
    one, other = OPENERS[kind](folder), OPENERS[kind](str(folder), revision="main")
    assert one.rate == other.rate == 8000
    assert one.source == other.source == str(folder)


def test_what_is_not_there_is_said_alike(kind, tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path} cannot be loaded as a [a-zA-Z ]+"):
        OPENERS[kind](tmp_path)
    with pytest.raises(ValueError, match="cannot be loaded as a"):
        OPENERS[kind](tmp_path / "nowhere")


def test_no_weight_is_left_to_chance(kind, folder, tmp_path):
    weights = load_file(folder / "model.safetensors")
    name = next(n for n in weights if n.endswith("layers.1.final_layer_norm.weight"))
    del weights[name]
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    logging.disable(logging.WARNING)
    with pytest.raises(ValueError, match=f"lacks 1 weights, the first being '{name}'"):
        OPENERS[kind](tmp_path)
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("kept", [0, 0.1, 0.9])
def test_weights_that_were_not_fetched_to_their_end_are_named(kind, folder, tmp_path, kept):
    cut = shutil.copytree(folder, tmp_path / "cut") / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[: int(kept * cut.stat().st_size)])
    with pytest.raises(
        ValueError, match=rf"{cut} cannot be loaded as a .*: it is cut off .*; fetch the model anew"
    ):
        OPENERS[kind](cut.parent)


def test_a_model_without_its_head_is_refused(kind, tmp_path):
    if kind == "Model":
        return
    transformers.Wav2Vec2Model(
        transformers.Wav2Vec2Config(**{**CONVOLUTIONS, **BLOCKS})
    ).save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps({"<pad>": 0, "a": 1}))
    logging.disable(logging.WARNING)
    with pytest.raises(ValueError, match=r"lacks \d+ weights"):
        OPENERS[kind](tmp_path)
    logging.disable(logging.NOTSET)


def test_an_encoder_without_its_decoder_is_opened_and_copied_without_a_word(tmp_path, capfd):
    """Nothing random stands in the copy for what is not there."""
    folder = save_tiny("whisper", tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    kept = {name: t for name, t in tensors.items() if "decoder." not in name}
    assert len(kept) < len(tensors)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    capfd.readouterr()
    levels = transformers.utils.logging
    level, bars = levels.get_verbosity(), levels.is_progress_bar_enabled()
    handler = logging.StreamHandler()  # as a program sets one up
    logging.getLogger("transformers").addHandler(handler)
    try:
        opened = TransformersBackbone(folder)
        copy_checkpoint(folder, tmp_path / "copy")
    finally:
        logging.getLogger("transformers").removeHandler(handler)
    assert capfd.readouterr() == ("", "")
    assert (levels.get_verbosity(), levels.is_progress_bar_enabled()) == (level, bars)
    copied = load_file(tmp_path / "copy" / "model.safetensors")
    assert copied.keys() == kept.keys()
    assert TransformersBackbone(tmp_path / "copy").fingerprint == opened.fingerprint


@pytest.mark.parametrize("content", ['{"do_normalize": fal', '{"sampling_rate": "of the ', ""])
def test_a_damaged_extractor_is_not_taken_for_none(kind, folder, tmp_path, content):
    """The defaults would be another sampling rate or normalisation, in silence."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(
        ValueError, match=r"cannot be loaded as a .*: preprocessor_config\.json, which"
    ):
        OPENERS[kind](tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    assert OPENERS[kind](tmp_path).rate == 16000  # a folder without one gets the defaults
    processor = tmp_path / "processor_config.json"
    processor.write_text('{"processor_class": "WhisperProcessor"}')  # says nothing of sounds
    assert OPENERS[kind](tmp_path).rate == 16000
    processor.write_text('{"feature_extractor": {"sampling_r')
    with pytest.raises(ValueError, match=r": processor_config\.json, which"):
        OPENERS[kind](tmp_path)


def test_an_extractor_that_cannot_be_reached_is_not_taken_for_none(tmp_path, monkeypatch):
    """Off line, unless the hub once said that there is none."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    commit, repository = "0" * 40, tmp_path / "models--some--model"
    save_tiny("wav2vec2", repository / "snapshots" / commit, processor=False)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    with pytest.raises(ValueError, match=r"some/model cannot be loaded.*fetch the model anew"):
        TransformersBackbone("some/model")
    known = repository / ".no_exist" / commit
    known.mkdir(parents=True)
    for name in ("preprocessor_config.json", "processor_config.json"):
        (known / name).touch()
    assert TransformersBackbone("some/model").rate == 16000
