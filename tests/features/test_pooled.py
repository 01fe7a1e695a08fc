"""Features of a corpus: the same from the cache, after an interruption, and around broken recordings."""

import pandas as pd
import pytest
import torch

from cleser.corpora.registry import load
from cleser.features import pooled
from cleser.features.pooled import extract_features
from cleser.speech import AcousticBackbone
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
    monkeypatch.setattr(pooled, "load_audio", None)
    same(first, extract_features(manifest, backbone, cache=tmp_path / "cache"))


def test_an_interruption_loses_only_the_shard_in_hand(manifest, backbone, tmp_path, monkeypatch):
    monkeypatch.setattr(pooled, "SHARD", 4)
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


def test_tokens_are_phones_where_they_are_known(manifest, backbone, tmp_path):
    from cleser.alignment import Alignment
    from cleser.speech import load_audio

    rows = manifest.iloc[:3]
    known = Alignment([0.05, 0.1, 0.25], [0.1, 0.25, 0.3], ("a", "t", "o"))
    uniform = Alignment([0.0], [0.3], ("a",), uniform=True)
    plain = extract_features(rows, backbone, cache=tmp_path)
    found = extract_features(rows, backbone, alignments=[None, known, uniform], cache=tmp_path)
    begin, end = found.offsets[1:3].tolist()
    others = found.phones[:begin] + found.phones[end:]
    assert found.phones[begin:end] == ["a", "t", "o"]
    assert set(others) == {""}
    torch.testing.assert_close(found.tokens[:begin], plain.tokens[: plain.offsets[1]])
    torch.testing.assert_close(found.tokens[end:], plain.tokens[plain.offsets[2] :])
    torch.testing.assert_close(found.summaries, plain.summaries)
    sound = load_audio(rows["path"][1])
    frames = backbone(sound[None], torch.tensor([len(sound)]))
    inside = frames.hidden_states[:, 0, 10:25][:, frames.mask[0, 10:25]]
    torch.testing.assert_close(
        found.tokens[begin + 1, :, :40], inside.mean(1), atol=1e-3, rtol=1e-3
    )


def test_a_phone_in_silence_is_no_token(backbone):
    from cleser.alignment import Alignment
    from cleser.features.pooled import token_bounds

    mask = torch.tensor([False] * 10 + [True] * 20)
    hidden = Alignment([0.0, 0.05], [0.05, 0.3], ("p", "a"))
    bounds, phones = token_bounds(mask, hidden, 100, 10)
    assert (bounds.tolist(), phones) == ([[0, 20]], ["a"])
    silent = Alignment([0.0], [0.05], ("p",))
    bounds, phones = token_bounds(mask, silent, 100, 10)
    assert (bounds.tolist(), phones) == ([[0, 10], [10, 20]], ["", ""])


def test_alignments_are_as_many_as_rows(manifest, backbone, tmp_path):
    with pytest.raises(ValueError, match="found 1 alignments, expected one for each of 16 rows"):
        extract_features(manifest, backbone, alignments=[None], cache=tmp_path)
