"""Vectors of a corpus: from the cache the same, around broken recordings, and after an interruption."""

import pytest
import soundfile
import torch

from cleser.corpora.registry import load
from cleser.speech import AcousticSpeakerEncoder, embed_speakers, load_audio
from cleser.speech.speakers import corpus
from tests.corpora.trees import write_corpus


@pytest.fixture
def manifest(tmp_path):
    return load(write_corpus(tmp_path / "a", "a"))


@pytest.fixture(scope="module")
def encoder():
    return AcousticSpeakerEncoder()


def test_rows_are_the_manifests(manifest, encoder, tmp_path):
    found = embed_speakers(manifest, encoder, cache=tmp_path)
    assert found.utterances == manifest["utterance"].tolist()
    assert len(found) == len(manifest)
    expected = encoder.embed([load_audio(path) for path in manifest["path"]])
    torch.testing.assert_close(found.values, expected)


def test_the_cache_gives_the_same_and_reads_no_sound(manifest, encoder, tmp_path, monkeypatch):
    first = embed_speakers(manifest, encoder, cache=tmp_path)
    monkeypatch.setattr(corpus, "load_audio", None)
    second = embed_speakers(manifest, encoder, cache=tmp_path)
    assert torch.equal(first.values, second.values)


def test_an_interruption_loses_only_the_shard_in_hand(manifest, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus, "_SHARD", 4)
    whole = embed_speakers(manifest, encoder, cache=tmp_path / "whole")

    def stop(done):
        if len(list((tmp_path / "cut").rglob("*.safetensors"))) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_speakers(manifest, encoder, cache=tmp_path / "cut", advance=stop)
    again = embed_speakers(manifest, encoder, cache=tmp_path / "cut")
    assert torch.equal(whole.values, again.values)
    assert whole.utterances == again.utterances


def test_broken_recordings_are_left_out_and_listed(manifest, encoder, tmp_path):
    broken = manifest["path"][5]
    with open(broken, "wb") as file:  # noqa: PTH123
        file.write(b"RIFF nothing")
    click = manifest["path"][6]
    soundfile.write(click, [0.1], 44100)
    found = embed_speakers(manifest, encoder, cache=tmp_path)
    assert len(found) == len(found.values) == len(manifest) - 2
    assert not set(manifest["utterance"][5:7]) & set(found.utterances)
    assert [problem["path"] for problem in found.left_out] == [broken, click]
    assert "cannot be read" in found.left_out[0]["reason"]
    assert found.left_out[1]["reason"].startswith("has 1 samples at 44100 Hz, expected enough")


def test_an_empty_manifest_is_an_error(manifest, encoder):
    with pytest.raises(ValueError, match="manifest is empty"):
        embed_speakers(manifest.iloc[:0], encoder)
