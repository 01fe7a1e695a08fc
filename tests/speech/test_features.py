"""Features of a corpus: the same from the cache, after an interruption, and around broken recordings."""

import pandas as pd
import pytest
import torch

from cleser.corpora.registry import load
from cleser.speech import AcousticBackbone, features
from cleser.speech.features import extract_features
from tests.corpora.trees import write_corpus


@pytest.fixture
def manifest(tmp_path):
    return load(write_corpus(tmp_path / "a", "a"))


@pytest.fixture(scope="module")
def backbone():
    return AcousticBackbone()


def same(a, b):
    assert a.utterances == b.utterances
    assert torch.equal(a.offsets, b.offsets)
    assert torch.equal(a.tokens, b.tokens)
    assert torch.equal(a.summaries, b.summaries)


def test_shapes_and_order(manifest, backbone, tmp_path):
    found = extract_features(manifest, backbone, cache=tmp_path / "cache")
    assert found.utterances == manifest["utterance"].tolist()
    assert found.summaries.shape == (16, 2, 80)
    assert found.tokens.shape == (int(found.offsets[-1]), 2, 80)
    for i in (0, 7, 15):
        row = extract_features(manifest.iloc[i : i + 1], backbone, cache=tmp_path / "other")
        begin, end = found.offsets[i], found.offsets[i + 1]
        torch.testing.assert_close(row.tokens, found.tokens[begin:end], atol=1e-3, rtol=1e-3)


def test_the_summary_is_the_mean_and_spread_of_the_frames(manifest, backbone, tmp_path):
    from cleser.speech import load_audio

    found = extract_features(manifest, backbone, cache=tmp_path / "cache")
    (frames,) = backbone.extract([load_audio(manifest["path"][3])])
    mean, std = found.summaries[3].chunk(2, -1)
    torch.testing.assert_close(mean, frames.mean(1), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(std, frames.std(1, correction=0), atol=1e-3, rtol=1e-3)


def test_the_cache_gives_the_same_and_reads_no_sound(manifest, backbone, tmp_path, monkeypatch):
    first = extract_features(manifest, backbone, cache=tmp_path / "cache")
    monkeypatch.setattr(features, "load_audio", None)
    same(first, extract_features(manifest, backbone, cache=tmp_path / "cache"))


def test_an_interruption_loses_only_the_shard_in_hand(manifest, backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_SHARD", 4)
    whole = extract_features(manifest, backbone, cache=tmp_path / "whole")

    def stop(done):
        if len(list((tmp_path / "cut").rglob("*.safetensors"))) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(manifest, backbone, cache=tmp_path / "cut", advance=stop)
    same(whole, extract_features(manifest, backbone, cache=tmp_path / "cut"))


def test_a_changed_recording_is_read_again(manifest, backbone, tmp_path):
    first = extract_features(manifest, backbone, cache=tmp_path / "cache")
    from_path, to_path = manifest["path"][0], manifest["path"][3]
    data = open(from_path, "rb").read()  # noqa: PTH123, SIM115
    open(to_path, "wb").write(data)  # noqa: PTH123, SIM115
    second = extract_features(manifest, backbone, cache=tmp_path / "cache")
    assert not torch.equal(first.summaries[3], second.summaries[3])
    torch.testing.assert_close(second.summaries[3], second.summaries[0], atol=1e-3, rtol=1e-3)


def test_broken_recordings_are_left_out_and_listed(manifest, backbone, tmp_path):
    broken = manifest["path"][5]
    with open(broken, "wb") as file:  # noqa: PTH123
        file.write(b"RIFF nothing")
    found = extract_features(manifest, backbone, cache=tmp_path / "cache")
    assert len(found) == 15
    assert manifest["utterance"][5] not in found.utterances
    assert [problem["path"] for problem in found.left_out] == [broken]
    assert "cannot be read" in found.left_out[0]["reason"]


def test_an_empty_manifest_is_an_error(manifest, backbone):
    with pytest.raises(ValueError, match="manifest is empty"):
        extract_features(pd.DataFrame(manifest.iloc[:0]), backbone)
