"""Datasets: what each utterance weighs, and what joining and picking keep."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from cleser.recipes.styles import descriptions
from cleser.speech import Features
from cleser.training.dataset import Dataset, balance
from cleser.training.heard import RecordingSource
from cleser.training.reading import Excerpts
from cleser.training.sources import MemorySource
from cleser.training.vocabulary import Vocabulary

NAMES = Vocabulary(("anger", "sadness"), ("s",), ("de",), ("small", "large"))


def dataset(corpus: str, emotions: list[str | None]) -> Dataset:
    rows = pd.DataFrame(
        {
            "utterance": [f"{corpus}-{i}" for i in range(len(emotions))],
            "corpus": corpus,
            "language": "de",
            "speaker": "s",
            "emotion": pd.Series(emotions, dtype="str"),
        }
    )
    values = torch.arange(len(rows), dtype=torch.float32)[:, None, None]
    features = Features(
        rows["utterance"].tolist(), values, torch.arange(len(rows) + 1), values, [""] * len(rows)
    )
    return Dataset(rows, MemorySource(features), NAMES.encode(rows), {}, balance(rows), [])


SMALL = ["anger", "anger", "sadness", None]
LARGE = ["anger"] * 9 + ["sadness"] * 3


def test_every_emotion_of_every_corpus_counts_alike():
    """What the weights of each add up to is the same, the unknown weigh nothing, and the known are one on average."""
    joined = Dataset.join([dataset("small", SMALL), dataset("large", LARGE)])
    totals: dict[tuple[str, str], float] = {}
    known = 0
    for row, weight in zip(joined.manifest.itertuples(), joined.weight.tolist(), strict=True):
        if pd.isna(row.emotion):
            assert weight == 0
            continue
        known += 1
        totals[row.corpus, row.emotion] = totals.get((row.corpus, row.emotion), 0) + weight
    assert len(totals) == 4
    for total in totals.values():
        assert total == pytest.approx(known / 4, rel=2e-6)  # sums of a few float32


def test_a_corpus_of_fewer_emotions_does_not_make_these_count_more():
    """Each emotion of each corpus counts alike, and weights are single precision, as losses are."""
    joined = Dataset.join([dataset("few", ["anger"] * 4), dataset("all", ["anger", "sadness"] * 2)])
    assert joined.weight.dtype == torch.float32
    assert joined.weight.tolist() == pytest.approx([2 / 3] * 4 + [4 / 3] * 4)


def test_a_part_is_balanced_by_itself_and_batches_carry_the_weights():
    joined = Dataset.join([dataset("small", SMALL), dataset("large", LARGE)])
    part = joined.subset(joined.manifest.iloc[[0, 1, 2, 4]])
    assert part.weight.tolist() == pytest.approx([2 / 3, 2 / 3, 4 / 3, 4 / 3], rel=2e-6)
    assert part.batch([2, 0]).weight.tolist() == part.weight[[2, 0]].tolist()
    blank = part.subset(part.manifest.assign(emotion=pd.Series([None] * 4, dtype="str")))
    assert blank.weight.tolist() == [0, 0, 0, 0]
    assert (blank.labels["emotion"] == -1).all()


def test_a_part_may_be_empty():
    part = dataset("small", SMALL).subset(dataset("other", SMALL).manifest)
    assert len(part) == len(part.labels["emotion"]) == 0


def test_parts_of_parts_and_joins_of_parts_are_the_features_of_their_rows():
    """Each utterance's features are its number within its corpus, whatever became of the order."""
    small, large = dataset("small", SMALL), dataset("large", LARGE)
    part = large.subset(large.manifest.iloc[[9, 2, 7, 4]])
    again = part.subset(part.manifest.iloc[[3, 1]])
    joined = Dataset.join([again, small, part])
    numbers = joined.manifest["utterance"].str.split("-").str[1].astype(int).tolist()
    assert numbers == [4, 2, 0, 1, 2, 3, 9, 2, 7, 4]
    assert joined.summaries().flatten().tolist() == numbers
    order = [8, 0, 3, 3, 6]
    batch = joined.batch(order)
    assert batch.summaries.flatten().tolist() == [numbers[i] for i in order]
    assert batch.tokens.flatten().tolist() == [numbers[i] for i in order]
    assert len(joined.batch(order, tokens=False).tokens) == 0


def test_an_utterance_is_described_once_and_as_its_summary_says(monkeypatch):
    whole = dataset("large", LARGE)
    part = whole.subset(whole.manifest.iloc[[7, 2, 5]])
    read: list[int] = []
    load = MemorySource.load

    def noted(self, at, **given):
        read.extend(at.tolist())
        return load(self, at, **given)

    monkeypatch.setattr(MemorySource, "load", noted)
    for of, expected in ((part, [7, 2, 5]), (whole, range(len(LARGE))), (part, [7, 2, 5])):
        assert descriptions(of).flatten().tolist() == list(expected)
    assert sorted(read) == list(range(len(LARGE)))


def test_of_recordings_nothing_is_taken_off_and_nothing_is_moved():
    """They have no features yet; what is wrapped about them would be asked for features when it is too late."""
    stored = dataset("small", SMALL)
    source = RecordingSource(
        Excerpts([""] * 4, [0.0] * 4, [1.0] * 4, [None] * 4, 16000), stored.source
    )
    heard = replace(stored, source=source)
    with pytest.raises(ValueError, match="found recordings, expected stored features"):
        heard.without_sentences(pd.Series(["a", "a", "b", "b"]))
    by = stored.recolouring(stored, [0], ridge=1.0)
    with pytest.raises(ValueError, match="found recordings, expected stored features"):
        heard.recoloured(by)
