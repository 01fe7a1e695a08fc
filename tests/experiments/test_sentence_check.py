"""Whether sentences show one emotion each, told by the source."""

import numpy as np
import pandas as pd
import pytest
import torch

from cleser.experiments.one_sided import intraclass
from cleser.experiments.sentence_check import (
    SentenceCheck,
    fit_sentence_check,
    remove_target_content,
    said_in,
    sentences_of_one_emotion,
    sentences_taken_off,
)
from cleser.features import Features
from cleser.speech.backbones import AcousticBackbone
from cleser.training.dataset import Dataset, balance
from cleser.training.sources import MemorySource
from tests.features.loops import without_sentences

CLASSES = 3


def corpus(name, text, *, seed, speakers=6, sentences=5, repeats=2):
    """Every sentence in every emotion by every speaker; emotion and sentence each move the summary."""
    rng = np.random.default_rng(seed)
    felt = np.random.default_rng(99).standard_normal((CLASSES, 2, 4))
    said = 0.5 * rng.standard_normal((sentences, 2, 4))
    grid = pd.MultiIndex.from_product(
        [range(speakers), range(sentences), range(CLASSES), range(repeats)],
        names=["speaker", "sentence", "emotion", "take"],
    ).to_frame(index=False)
    x = (
        felt[grid["emotion"]]
        + said[grid["sentence"]]
        + 0.5 * rng.standard_normal((len(grid), 2, 4))
    )
    rows = pd.DataFrame({
        "utterance": [f"{name}/{i}" for i in range(len(grid))],
        "corpus": name,
        "speaker": name + grid["speaker"].astype(str),
        "emotion": grid["emotion"].map(lambda e: f"e{e}"),
        "text": text(grid),
    })  # fmt: skip
    summaries = torch.tensor(x, dtype=torch.float32)
    nothing = torch.zeros(len(rows) + 1, dtype=torch.long)
    features = Features(rows["utterance"].tolist(), summaries[:0], nothing, summaries, [])
    labels = {"emotion": torch.tensor(grid["emotion"].to_numpy())}
    return Dataset(rows, MemorySource(features), labels, {}, balance(rows), [])


def several(grid):
    return "sentence " + grid["sentence"].astype(str)


def single(grid):
    return "sentence " + grid["sentence"].astype(str) + " " + grid["emotion"].astype(str)


@pytest.fixture(scope="module")
def source():
    return corpus("s", several, seed=0)


def test_the_source_gives_its_class_means_and_how_far_emotions_spread(source):
    said = said_in(source, AcousticBackbone())
    bare = source.without_sentences(said)
    expected = without_sentences(source.summaries(), said)
    torch.testing.assert_close(bare.summaries(), expected)
    check = fit_sentence_check(source, bare, CLASSES)
    weights = torch.zeros(8, CLASSES, dtype=torch.float64)
    for x, emotion, weight in zip(
        expected.flatten(1).double(), source.labels["emotion"], source.weight, strict=True
    ):
        y = torch.full((CLASSES,), -1 / CLASSES, dtype=torch.float64)
        y[emotion] += 1
        weights += weight * torch.outer(x, y)
    torch.testing.assert_close(check.weights, weights)
    half = torch.tensor(source.manifest["speaker"].isin(["s0", "s2", "s4"]).to_numpy())
    scores = torch.zeros(len(source), CLASSES, dtype=torch.float64)
    for out in (half, ~half):
        of = torch.zeros_like(weights)
        for i in (~out).nonzero()[:, 0].tolist():
            y = torch.full((CLASSES,), -1 / CLASSES, dtype=torch.float64)
            y[source.labels["emotion"][i]] += 1
            of += source.weight[i] * torch.outer(expected[i].flatten().double(), y)
        scores[out] = source.summaries()[out].flatten(1).double() @ of
    found = intraclass(scores.numpy(), source.manifest["emotion"].to_numpy(object))
    assert check.single == pytest.approx(found)
    again = SentenceCheck.restore(check.tensors())
    assert again.single == check.single
    assert torch.equal(again.weights, check.weights)


def test_a_target_is_rid_of_sentences_unless_each_shows_one_emotion(source):
    backbone = AcousticBackbone()
    bare = source.without_sentences(said_in(source, backbone))
    check = fit_sentence_check(source, bare, CLASSES)
    free = corpus("t", several, seed=1)
    taken, said = remove_target_content(free, check, backbone)
    assert "the mean of each of 5 repeated sentences" in said
    expected = without_sentences(free.summaries(), said_in(free, backbone))
    torch.testing.assert_close(taken.summaries(), expected)
    tied = corpus("t", single, seed=1)
    left, said = remove_target_content(tied, check, backbone)
    assert "look as if each showed one emotion" in said
    torch.testing.assert_close(left.summaries(), tied.summaries())
    alone, said = remove_target_content(
        corpus("t", lambda grid: [str(i) for i in range(len(grid))], seed=1), check, backbone
    )
    assert "no sentences are repeated" in said
    joined = Dataset.join([bare, taken, left, alone])
    parts = [d.summaries() for d in (bare, taken, left, alone)]
    torch.testing.assert_close(joined.summaries(), torch.cat(parts))
    few = taken.subset(taken.manifest.iloc[5:9])
    torch.testing.assert_close(few.summaries(), taken.summaries()[5:9])


def test_labelled_sentences_of_one_emotion_are_known(source):
    tied = corpus("t", single, seed=1)
    said = said_in(tied, AcousticBackbone())
    assert sentences_of_one_emotion(tied.manifest, said) == sorted(said.unique())
    assert sentences_of_one_emotion(source.manifest, said_in(source, AcousticBackbone())) == []


def test_what_was_taken_off_a_target_is_told_with_a_digest_of_its_texts(source):
    backbone = AcousticBackbone()
    bare = source.without_sentences(said_in(source, backbone))
    check = fit_sentence_check(source, bare, CLASSES)
    target, tied = corpus("t", several, seed=1), corpus("t", single, seed=1)
    taken = remove_target_content(target, check, backbone)[0]
    rows = target.manifest
    known = np.arange(len(rows)) % 3 > 0
    fewer, one = (
        rows.assign(text=rows["text"].where(w)) for w in (known, np.arange(len(rows)) < 1)
    )
    told = [sentences_taken_off(taken, texts) for texts in (rows, fewer)]
    assert [said.partition(", ")[0] for said in told] == [
        "texts of 180 of 180 utterances", "texts of 120 of 180 utterances"
    ]  # fmt: skip
    others = rows.assign(text=rows["text"].to_numpy()[::-1])
    digests = {said.partition(", ")[2] for said in (*told, sentences_taken_off(taken, others))}
    assert len(digests) == 3
    assert sentences_taken_off(taken, one) == "sound"
    left = remove_target_content(tied, check, backbone)[0]
    assert [sentences_taken_off(d, rows) for d in (left, target)] == ["none", "none"]
