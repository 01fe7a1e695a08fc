"""Features of a corpus: the same from the cache, after an interruption, and around broken recordings."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cleser.alignment import Alignment
from cleser.corpora.registry import load
from cleser.features import PooledStore, StoredFeatures, StoreSettings, pipeline
from cleser.features.pooled import Features, Record, token_bounds
from cleser.features.stored import extract_features, store_features
from cleser.speech import AcousticBackbone, TransformersBackbone, load_audio, utterance_key
from tests.corpora.trees import write_corpus
from tests.speech.tiny_models import save_tiny


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
    monkeypatch.setattr(pipeline, "load_audio", None)
    same(first, extract_features(manifest, backbone, cache=tmp_path / "cache"))


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
    assert torch.equal(found.tokens[:begin], plain.tokens[: plain.offsets[1]])
    assert torch.equal(found.tokens[end:], plain.tokens[plain.offsets[2] :])
    assert torch.equal(found.summaries[::2], plain.summaries[::2])
    torch.testing.assert_close(found.summaries, plain.summaries, atol=1e-3, rtol=1e-3)
    sound = load_audio(rows["path"][1])
    frames = backbone(sound[None], torch.tensor([len(sound)]))
    inside = frames.hidden_states[:, 0, 10:25][:, frames.mask[0, 10:25]]
    torch.testing.assert_close(
        found.tokens[begin + 1, :, :40], inside.mean(1), atol=1e-3, rtol=1e-3
    )


def test_a_phone_in_silence_is_no_token(backbone):
    from cleser.alignment import Alignment

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


def of_frames(frames, mask, bounds):
    """Mean and deviation [S, L, 2D] of stretches of the frames [L, T, D] that count, by plain loops."""
    rows = []
    for first, last in bounds:
        inside = frames[:, first:last][:, mask[first:last]].double()
        rows.append(torch.cat([inside.mean(1), inside.std(1, correction=0)], -1))
    return torch.stack(rows)


@pytest.mark.parametrize("tokens", ["phone", "uniform", "none"])
def test_a_record_is_the_summary_and_then_the_tokens_with_their_frames(
    tokens, manifest, backbone, tmp_path
):
    from cleser.alignment import Alignment
    from cleser.speech import load_audio

    known = Alignment([0.05, 0.1, 0.25], [0.1, 0.25, 0.3], ("a", "t", "o"))
    alignments = [known, None, *[known] * 14]
    stored = store_features(
        manifest, backbone, alignments=alignments, record=Record(tokens), cache=tmp_path
    )
    order = [3, 0, 1, 3]
    found = stored.take(order)
    alone = stored.take(order, tokens=False)
    assert torch.equal(alone.summaries, found.summaries)
    assert alone.tokens.shape == (0, 2, 80)
    for place, row in enumerate(order):
        sound = load_audio(manifest["path"][row])
        frames = backbone(sound[None], torch.tensor([len(sound)]))
        mask, hidden = frames.mask[0], frames.hidden_states[:, 0]
        within, phones = token_bounds(
            mask, alignments[row] if tokens == "phone" else None, backbone.frame_rate, 10
        )
        whole = of_frames(hidden, mask, [(0, len(mask))])[0]
        torch.testing.assert_close(found.summaries[place].double(), whole, atol=1e-3, rtol=2e-3)
        assert found.frames[place] == mask.sum()
        begin, end = found.offsets[place : place + 2].tolist()
        if tokens == "none":
            assert begin == end
            continue
        assert found.phones[begin:end] == phones
        assert found.sizes[begin:end].tolist() == within.diff()[:, 0].tolist()
        counted = hidden[:, mask]
        expected = of_frames(counted, torch.ones(counted.shape[1], dtype=torch.bool), within)
        torch.testing.assert_close(found.tokens[begin:end].double(), expected, atol=2e-3, rtol=2e-3)


def test_other_phones_of_the_same_times_are_other_features(manifest, backbone, tmp_path):
    from cleser.alignment import Alignment

    rows = manifest.iloc[:1]
    one, other = (Alignment([0.05, 0.1], [0.1, 0.3], phones) for phones in ("pa", "ta"))
    first = extract_features(rows, backbone, alignments=[one], cache=tmp_path)
    second = extract_features(rows, backbone, alignments=[other], cache=tmp_path)
    assert (first.phones, second.phones) == (["p", "a"], ["t", "a"])


def test_a_part_of_features_and_parts_together_are_as_loops_make_them():
    torch.manual_seed(0)
    offsets = torch.tensor([0, 2, 2, 5])
    features = Features(
        list("uvw"), torch.randn(5, 1, 2), offsets, torch.randn(3, 1, 2), list("paito"),
        sizes=torch.arange(5), frames=torch.arange(3),
    )  # fmt: skip
    order = torch.tensor([2, 0, 1, 2])
    found = features.pick(order)
    tokens = [t for i in order.tolist() for t in range(offsets[i], offsets[i + 1])]
    assert found.utterances == list("wuvw")
    assert torch.equal(found.tokens, features.tokens[tokens])
    assert found.phones == [features.phones[t] for t in tokens]
    assert found.sizes.tolist() == tokens
    assert found.offsets.tolist() == [0, 3, 5, 5, 8]
    both = Features.join([features.pick(torch.tensor([2, 0])), features.pick(torch.tensor([1, 2]))])
    for name in ("tokens", "offsets", "summaries", "sizes", "frames"):
        assert torch.equal(getattr(both, name), getattr(found, name))


def test_summaries_are_taken_over_from_a_store_that_has_tokens_too(
    manifest, backbone, tmp_path, monkeypatch
):
    phones = [Alignment([0.0], [0.1], ("a",)), *[None] * (len(manifest) - 1)]
    expected = store_features(
        manifest, backbone, alignments=phones, record=Record("none"), cache=tmp_path / "fresh"
    )
    most = manifest.iloc[:-2]
    whole = store_features(most, backbone, alignments=phones[:-2], cache=tmp_path / "cache")
    heard = []
    monkeypatch.setattr(
        pipeline,
        "load_audio",
        lambda path, *a, **b: heard.append(path) or load_audio(path, *a, **b),
    )
    found = store_features(
        manifest, backbone, alignments=phones, record=Record("none"), cache=tmp_path / "cache"
    )
    assert sorted(heard) == sorted(manifest["path"][-2:])
    one, other = (view.take(range(len(view))).summaries for view in (found, expected))
    assert found.utterances == expected.utterances
    # They were encoded in other batches.
    torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)
    assert torch.equal(one[:-2], whole.take(range(len(whole))).summaries)


@pytest.mark.parametrize("family", ["whisper", "wav2vec2"])
@pytest.mark.parametrize("tokens", ["phone", "none"])
def test_some_layers_are_taken_over_from_a_store_of_all(
    family, tokens, manifest, tmp_path, monkeypatch
):
    """Whether tokens are wanted or not, of the utterances that are there, and as if they were encoded alone."""
    model = save_tiny(family, tmp_path / "model")
    whole, part = TransformersBackbone(model), TransformersBackbone(model, layers=[2, 0])
    record = Record(tokens)
    expected = store_features(manifest, part, record=record, cache=tmp_path / "fresh")
    kept = store_features(manifest.iloc[:-2], whole, cache=tmp_path / "cache")
    heard = []
    monkeypatch.setattr(
        pipeline,
        "load_audio",
        lambda path, *a, **b: heard.append(path) or load_audio(path, *a, **b),
    )
    found = store_features(manifest, part, record=record, cache=tmp_path / "cache")
    assert sorted(heard) == sorted(manifest["path"][-2:])
    one, other = (view.take(range(len(view))) for view in (found, expected))
    assert one.utterances == other.utterances and one.phones == other.phones
    assert torch.equal(one.offsets, other.offsets) and torch.equal(one.frames, other.frames)
    torch.testing.assert_close(one.summaries, other.summaries, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(one.tokens, other.tokens, atol=1e-2, rtol=1e-2)
    all_layers = kept.take(range(len(kept))).summaries
    assert torch.equal(one.summaries[:-2], all_layers[:, [2, 0]])


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="asks Linux what is mapped")
@pytest.mark.parametrize("tokens", [False, True])
def test_what_is_taken_leaves_nothing_of_the_store_in_memory(tmp_path, tokens):
    """However much around a value the system maps, and in whatever order utterances are taken."""
    count = 256
    store = PooledStore.create(tmp_path, StoreSettings("tiny@1", (0,), 4096, "phone"))
    keys = [utterance_key(str(number)) for number in range(count)]
    with store.writer(0) as writer:
        for number, key in enumerate(keys):
            values = np.full((2, 1, 4096), number % 100)
            writer.add(key, values, frames=[2, 1], labels=["", "a"])
    store.refresh()
    stored = StoredFeatures(store, keys, keys, list(range(count)))
    for at in torch.randperm(count, generator=torch.Generator().manual_seed(0)).split(16):
        taken = stored.take(at, tokens=tokens)
        assert torch.equal(taken.summaries[:, 0, 0], (at % 100).float())
        assert taken.frames.tolist() == 16 * [2] and len(taken.tokens) == 16 * tokens
        assert taken.sizes.tolist() == 16 * tokens * [1]
        text = Path("/proc/self/smaps").read_text().split(f"{tmp_path}", 1)[1]
        assert int(text.split("Rss:", 1)[1].split()[0]) == 0
