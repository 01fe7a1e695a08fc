"""The study of phonemes, from corpora with known phones to tables and charts."""

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from cleser.alignment import write_textgrid
from cleser.alignment.corpus import textgrid_path
from cleser.anchors import is_vowel, to_ipa, vowel_position
from cleser.cli import main
from cleser.corpora import load
from cleser.speech import AcousticBackbone, load_alignments
from cleser.studies.phonemes import _consistencies, overlap, study_phonemes
from cleser.studies.vowel_chart import _spread, plot_vowels

pytest.importorskip("espeakng_loader")
SPECS = [f"synthetic:{language}?speakers=2&sentences=2" for language in ("en", "de")]


@pytest.fixture(scope="module")
def manifest():
    return pd.concat([load(spec) for spec in SPECS], ignore_index=True)


@pytest.fixture(scope="module")
def study(manifest):
    alignments = load_alignments(manifest)
    return study_phonemes(manifest, alignments, AcousticBackbone(), minimum=2, permutations=19)


def test_the_inventory_counts_phones(study, manifest):
    expected = {"en": Counter(), "de": Counter()}
    for language, phones in zip(manifest["language"], manifest["phones"], strict=True):
        expected[language].update(to_ipa(symbol, "espeak") for symbol, _, _ in json.loads(phones))
    table = study.inventory.set_index("phoneme")
    for language, counts in expected.items():
        assert {p: n for p, n in table[language].items() if n} == counts
    assert set(table.index[table["shared"]]) == set(expected["en"]) & set(expected["de"])
    assert ((table["kind"] == "vowel") == table.index.map(is_vowel)).all()
    assert table.loc["n", "class"] == "voiced alveolar nasal"
    row = overlap(study.inventory).set_index("language").loc["de"]
    known = sum(n for p, n in expected["de"].items() if p in expected["en"])
    assert row["coverage"] == pytest.approx(known / expected["de"].total())


def test_counterparts_are_of_the_other_language(study):
    table = study.inventory.set_index("phoneme")
    for row in study.counterparts.to_dict("records"):
        assert table.loc[row["phoneme"], row["in"]] == 0
        assert table.loc[row["counterpart"], row["in"]] > 0
        assert is_vowel(row["phoneme"]) == is_vowel(row["counterpart"])


def test_consistency_is_of_shared_phonemes(study):
    table = study.consistency
    shared = set(study.inventory["phoneme"][study.inventory["shared"]])
    assert set(table["phoneme"]) <= shared
    assert len(table) >= 5
    assert table["consistency"].between(-1, 1).all()
    emotions = table[["anger", "happiness", "neutral", "sadness"]]
    np.testing.assert_allclose(emotions.mean(axis=1), table["consistency"])
    assert (table["p_holm"] >= table["p_bh"] - 1e-12).all()
    assert (table["p_bh"] >= table["p"] - 1e-12).all()


@pytest.mark.parametrize("column", ["consistency", "own"])
def test_every_vowel_is_in_the_chart(study, column):
    vowels = study.inventory.loc[study.inventory["kind"] == "vowel", "phoneme"]
    shown = {text.get_text() for text in plot_vowels(study, column).axes[0].texts}
    assert set(vowels) <= shown


def test_the_command(tmp_path, capsys):
    out = tmp_path / "out"
    command = ["phonemes", *SPECS, "--out", str(out), "--minimum", "2", "--permutations", "9"]
    assert main(command) == 0
    assert "relative to the utterance" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {
        "inventory.csv", "counterparts.csv", "consistency.csv", "overall.csv", "vowels-consistency.svg",
        "vowels-consistency.png", "vowels-own.png",
        "vowels-own.svg",
    }  # fmt: skip
    assert len(pd.read_csv(out / "overall.csv")) == 2
    assert main([*command, "--alignments", str(tmp_path)]) == 2
    assert main([*command, "--alignments", "a", "b", "c"]) == 2


@pytest.mark.parametrize(
    ("corpora", "flags", "said"),
    [
        (SPECS, "--seed -3", "--seed is -3, expected 0 or more"),
        (SPECS, "--permutations 0", "--permutations is 0, expected 1 or more"),
        (SPECS, "--permutations -5", "--permutations is -5, expected 1 or more"),
        (SPECS, "--minimum 0", "--minimum is 0, expected 1 or more"),
        (SPECS, "--emotions anger angr", "--emotions angr: no utterance shows it"),
        (
            SPECS,
            "--map anger=rage --emotions rage angr",
            "expected some of happiness, neutral, rage",
        ),
        (SPECS, "--emotions anger", "--emotions names anger alone, expected two or more"),
        (SPECS[:1], "", "the corpora are all in en, expected two languages or more"),
    ],
)
def test_what_cannot_be_is_refused_at_once(tmp_path, capsys, corpora, flags, said, monkeypatch):
    monkeypatch.setattr("cleser.speech.load_backbone", None)
    assert main(["phonemes", *corpora, "--out", str(tmp_path / "out"), *flags.split()]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_uniform_segments_are_no_phones(manifest, tmp_path, capsys):
    """Which cleser align writes where there is no text."""
    german = manifest[manifest["language"] == "de"].drop(columns=["text", "phones"])
    german.to_csv(tmp_path / "de.csv", index=False)
    for spec, name in ((SPECS[0], "en"), (f"manifest:{tmp_path / 'de.csv'}", "de")):
        assert main(["align", spec, "--out", str(tmp_path / name)]) == 0
    command = [
        "phonemes",
        SPECS[0],
        f"manifest:{tmp_path / 'de.csv'}",
        "--out",
        str(tmp_path / "o"),
    ]
    folders = ["--alignments", str(tmp_path / "en"), str(tmp_path / "de")]
    assert main([*command, *folders]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "no utterance in de has phones, expected some in two languages" in said


def test_one_folder_may_hold_the_alignments_of_all(manifest, tmp_path, capsys):
    known = load_alignments(manifest)
    for row, alignment in zip(manifest.to_dict("records"), known, strict=True):
        write_textgrid(textgrid_path(tmp_path / row["language"], row["utterance"]), alignment)
    command = ["phonemes", *SPECS, "--minimum", "2", "--permutations", "9"]
    one, other = tmp_path / "one", tmp_path / "other"
    assert main([*command, "--out", str(one), "--alignments", str(tmp_path)]) == 0
    assert f"{len(manifest) // 2} of {len(manifest) // 2} utterances" in capsys.readouterr().out
    assert main([*command, "--out", str(other)]) == 0
    for name in ("inventory.csv", "counterparts.csv"):
        assert (one / name).read_text() == (other / name).read_text()


def test_vowels_of_one_place_stand_apart_rounded_ones_to_the_right():
    places = _spread({phoneme: vowel_position(phoneme) for phoneme in ("œ", "ɛ", "y", "i")})
    assert places["ɛ"][0] < places["œ"][0]
    assert places["i"][0] < places["y"][0]


def test_without_phones_there_is_nothing_to_study(manifest):
    with pytest.raises(ValueError, match="no utterance has an alignment"):
        study_phonemes(manifest, [None] * len(manifest), AcousticBackbone())


def test_an_emotion_without_a_known_phoneme_in_a_language_is_not_compared():
    emotion, language = (
        np.array(["anger", "calm", "joy"])[np.arange(60) % 3],
        np.repeat(["de", "en"], 30),
    )
    silent = (emotion == "calm") & (language == "en")
    features = SimpleNamespace(
        utterances=[f"u{i}" for i in range(60)], offsets=torch.arange(61) * 4,
        tokens=torch.randn(240, 2, 3, generator=torch.Generator().manual_seed(0)),
        phones=["" if silent[i // 4] else "aeio"[i % 4] for i in range(240)],
    )  # fmt: skip
    rows = {"utterance": features.utterances, "emotion": emotion, "language": language}
    rows = pd.DataFrame({**rows, "speaker": language})
    found = _consistencies(features, rows, 2, 9, 0)
    assert found.emotions == ["anger", "joy"]
    assert found.plain.by_emotion.shape == found.relative.by_emotion.shape == (4, 2)
