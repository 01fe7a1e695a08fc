"""The study of layers through the command line, beside frames pooled and compared by hand."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from cleser.anchors import pool_phones
from cleser.cli import main
from cleser.losses import coral
from cleser.speech import Alignment, TransformersBackbone, load_audio, write_textgrid
from tests.speech.tiny_models import save_tiny

PHONES = Alignment([0.02, 0.1, 0.2, 0.28], [0.1, 0.2, 0.28, 0.4], ("h", "a", "t", "iː"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny("wavlm", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """Two tables of noise of two colours, twelve utterances each, and alignments of all but one."""
    folder = tmp_path_factory.mktemp("sounds")
    generator = np.random.default_rng(0)
    for language, smoothing in (("en", 1), ("tr", 5)):
        rows = []
        for i in range(12):
            name = f"{language}{i}"
            noise = generator.standard_normal(8000 + 400 * i)
            noise = np.convolve(noise, np.ones(smoothing) / smoothing, "same")
            soundfile.write(folder / f"{name}.wav", 0.2 * noise, 16000)
            rows.append({"path": f"{name}.wav", "language": language, "speaker": f"s{i % 3}",
                         "emotion": ("anger", "sadness")[i % 2]})  # fmt: skip
            if i:
                write_textgrid(folder / f"{name}.TextGrid", PHONES)
        pd.DataFrame(rows).to_csv(folder / f"{language}.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def study(model, corpora, tmp_path_factory):
    """The folder that the command wrote, twice: the second time from the features that were kept."""
    out = tmp_path_factory.mktemp("study")
    command = ["layers", f"manifest:{corpora / 'en.csv'}", f"manifest:{corpora / 'tr.csv'}",
               "--backbone", f"{model},layers=0+2+3", "--alignments", str(corpora), "--emotions",
               "--group", "2", "--device", "cpu", "--out", str(out)]  # fmt: skip
    assert main(command) == 0
    first = (out / "languages.csv").read_bytes()
    (out / "languages.csv").unlink()
    assert main(command) == 0
    assert (out / "languages.csv").read_bytes() == first
    return out


def frames(model, corpora, language):
    """[3, T, D] of each utterance."""
    backbone = TransformersBackbone(model, layers=[0, 2, 3])
    paths = [corpora / f"{language}{i}.wav" for i in range(12)]
    return backbone, [backbone.extract([load_audio(path)])[0] for path in paths]


def test_languages_are_compared_on_pooled_utterances_and_vowels(study, model, corpora):
    table = pd.read_csv(study / "languages.csv").set_index(["units", "emotion", "layer"])
    pooled = {"utterance": [], "vowel": []}
    for language in ("en", "tr"):
        backbone, encoded = frames(model, corpora, language)
        pooled["utterance"].append(torch.stack([x.mean(1) for x in encoded], 1))
        vowels = []
        for x in encoded[1:]:
            edges = torch.tensor(np.stack([PHONES.starts, PHONES.ends], 1) * backbone.frame_rate)
            bounds = edges.round().long()[[1, 3]]
            vowels.append(torch.stack([pool_phones([layer], [bounds]) for layer in x]))
        pooled["vowel"].append(torch.cat(vowels, 1))
    for units, sides in pooled.items():
        scale = torch.cat(sides, 1).std(1, correction=0, keepdim=True)
        en, tr = (side / scale for side in sides)
        for place, layer in enumerate([0, 2, 3]):
            row = table.loc[units, "all", layer]
            assert [row["n_source"], row["n_target"]] == [en.shape[1], tr.shape[1]]
            expected = coral(en[place], tr[place]).item()
            assert row["coral"] == pytest.approx(expected, rel=0.02)  # the store keeps float16
        if units == "utterance":  # of which every second is sad
            row = table.loc["utterance", "sadness", 3]
            assert row["n_source"] == row["n_target"] == 6
            sad = coral(en[2, 1::2], tr[2, 1::2]).item()
            assert row["coral"] == pytest.approx(sad, rel=0.02)


def test_layers_are_chosen_by_each_policy_under_the_backbones_own_numbers(study):
    found = json.loads((study / "study.json").read_text())
    table = pd.read_csv(study / "languages.csv")
    assert found["layers"] == [0, 2, 3]
    for units in ("utterance", "vowel"):
        chosen = found["selected"][units]
        assert chosen["last"]["coral"] == [3]
        rows = table[(table["units"] == units) & (table["emotion"] == "all")]
        assert chosen["single"]["coral"] == [rows.loc[rows["coral"].idxmin(), "layer"]]
        assert chosen["group"]["coral"] in ([0, 2], [2, 3])
    assert {row["path"][-7:] for row in found["left_out"]} == {"en0.wav", "tr0.wav"}
    assert {row["reason"] for row in found["left_out"]} == {"has no alignment of its phones"}


def test_tables_and_maps_are_written(study):
    layers = pd.read_csv(study / "layers.csv")
    assert set(layers["layer"]) == {0, 2, 3}
    own = layers[layers["layer"] == layers["other"]]
    np.testing.assert_allclose(own["cka"], 1)
    for name, said in (("languages", "en–tr, vowels, anger"), ("layers", "tr, utterances")):
        assert said in list(ET.parse(study / f"{name}.svg").getroot().itertext())
        assert (study / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert not list(study.rglob("*.part"))


def test_a_group_has_a_layer_and_at_most_all(corpora, tmp_path, capsys):
    specs = [f"manifest:{corpora / name}.csv" for name in ("en", "tr")]
    command = ["layers", *specs, "--device", "cpu", "--out", str(tmp_path)]
    assert main([*command, "--group", "0"]) == 2
    assert "--group is 0, expected 1 or more" in capsys.readouterr().err
    assert main([*command, "--group", "99"]) == 0
    assert "--group 99: the backbone gives" in capsys.readouterr().out


def test_what_cannot_be_compared_is_refused(corpora, tmp_path: Path, capsys):
    command = ["layers", f"manifest:{corpora / 'en.csv'}", "--out", str(tmp_path)]
    assert main(command) == 2
    assert "the corpora have one language (['en']), expected two or more" in capsys.readouterr().err
    rows = pd.read_csv(corpora / "en.csv").replace({"emotion": {"anger": "Wut"}})
    rows.to_csv(corpora / "wut.csv", index=False)
    command[1] = f"manifest:{corpora / 'wut.csv'}"
    assert main(command) == 2
    assert "(--map Wut=CLASS)" in capsys.readouterr().err
    assert main([*command, "--map", "wut=anger"]) == 2
    assert "the corpora have one language (['en']), expected two or more" in capsys.readouterr().err
    (corpora / "broken.wav").write_text("no sound")
    broken = pd.read_csv(corpora / "tr.csv").assign(
        path="broken.wav", utterance=list("abcdefghijkl")
    )
    broken.to_csv(corpora / "broken.csv", index=False)
    command = ["layers", *[f"manifest:{corpora / name}.csv" for name in ("en", "broken")]]
    assert main([*command, "--out", str(tmp_path), "--device", "cpu"]) == 2
    assert "'tr' has no two utterances that could be used" in capsys.readouterr().err
