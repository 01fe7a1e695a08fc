"""Sentences that a corpus repeats, found by sound, and taken off."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import adjusted_rand_score, silhouette_score

from cleser.features.sentences import (
    _silhouette,
    find_sentences,
    knows_texts,
    remove_sentences,
    repeated,
    sentences_of,
)
from tests.features.loops import without_sentences


def utterances(sentences=6, emotions=4, speakers=5, spread=0.4, seed=0):
    """Content of every sentence in every emotion by every speaker; emotions move it less than sentences do."""
    rng = np.random.default_rng(seed)
    said, felt = rng.standard_normal((sentences, 32)), rng.standard_normal((emotions, 32))
    grid = [(s, e) for s in range(sentences) for e in range(emotions) for _ in range(speakers)]
    which, emotion = np.array(grid).T
    noise = rng.standard_normal((len(grid), 32))
    return said[which] + spread * (felt[emotion] + noise), which, emotion


def test_silhouettes_are_scikit_learns():
    content, which, _ = utterances()
    which = np.where(np.arange(len(which)) == 3, 6, which)  # one group has a single member
    unit = content / np.linalg.norm(content, axis=1, keepdims=True)
    distance = (1 - unit @ unit.T).clip(0)
    np.fill_diagonal(distance, 0)
    expected = silhouette_score(distance, which, metric="precomputed")
    assert _silhouette(distance, which) == pytest.approx(expected, abs=1e-9)


def test_sentences_are_found_whatever_the_emotion():
    content, which, emotion = utterances()
    found = find_sentences(content)
    assert adjusted_rand_score(which, found) == 1
    assert abs(adjusted_rand_score(emotion, found)) < 0.05
    assert found[0] == 0  # numbered in order of appearance


def test_more_utterances_than_are_compared_join_the_nearest_sentence(monkeypatch):
    monkeypatch.setattr("cleser.features.sentences._CLUSTERED", 60)
    content, which, _ = utterances()
    assert adjusted_rand_score(which, find_sentences(content)) > 0.95


def test_of_a_large_corpus_a_sample_and_one_block_after_another_are_held(monkeypatch):
    monkeypatch.setattr("cleser.features.sentences._CLUSTERED", 30)
    monkeypatch.setattr("cleser.features.sentences.BLOCK", 16)
    content, which, _ = utterances()
    rows = pd.DataFrame({"corpus": np.where(np.arange(len(which)) % 2, "a", "b"), "text": None})
    asked = []

    def content_at(places):
        asked.append(places.tolist())
        return content[places]

    assert sentences_of(rows, content_at).equals(sentences_of(rows, content))
    assert sorted(place for places in asked for place in places) == list(range(len(which)))
    assert [len(places) for places in asked] == 2 * [30, 16, 14]


def test_where_a_sample_repeats_nothing_the_others_are_not_read(monkeypatch):
    monkeypatch.setattr("cleser.features.sentences._CLUSTERED", 60)
    content = np.random.default_rng(1).standard_normal((200, 256))
    rows = pd.DataFrame({"corpus": "a", "text": [None] * 200})
    asked = []
    found = sentences_of(rows, lambda at: asked.append(len(at)) or content[at])
    assert found.isna().all() and asked == [60]


@pytest.mark.parametrize("count", [0, 1, 7, 80])
def test_where_nothing_is_repeated_nothing_is_found(count):
    content = np.random.default_rng(1).standard_normal((count, 256))
    assert find_sentences(content).tolist() == [-1] * count
    assert find_sentences(np.zeros((count, 4))).tolist() == [-1] * count


def test_texts_come_before_sound_and_corpora_stay_apart():
    content, which, _ = utterances()
    rows = pd.DataFrame({"corpus": "a", "text": [None] * len(which)})
    rows.loc[len(which) // 2 :, "corpus"] = "b"
    rows.loc[len(which) // 2 :, "text"] = "One  text"
    rows.loc[len(which) - 1, "text"] = "one text"
    assert knows_texts(rows).to_dict() == {"a": False, "b": True}
    silent = sentences_of(rows)
    assert silent[rows["corpus"] == "a"].isna().all()
    assert silent[rows["corpus"] == "b"].unique().tolist() == ["b: one text"]
    heard = sentences_of(rows, content)
    assert heard[rows["corpus"] == "a"].nunique() == 3
    assert heard[rows["corpus"] == "b"].equals(silent[rows["corpus"] == "b"])


def test_what_is_taken_off_by_a_loop():
    x = torch.randn(9, 2, 3, generator=torch.Generator().manual_seed(0))
    said = ["a", "a", "a", "b", None, "c", "c", "a", None]
    taken = remove_sentences(x, pd.Series(said), strength=2.0)
    torch.testing.assert_close(taken, without_sentences(x, said, strength=2.0))
    codes, size = repeated(pd.Series(said))
    assert codes.tolist() == [0, 0, 0, -1, -1, 1, 1, 0, -1]
    assert size.tolist() == [4, 2]
    untouched = remove_sentences(x, pd.Series(range(9)).astype(str))
    assert torch.equal(untouched, x)
    assert untouched.data_ptr() != x.data_ptr()
    with pytest.raises(ValueError, match="found 1 sentences, expected one for each of 9"):
        remove_sentences(x, pd.Series(["a"]))
