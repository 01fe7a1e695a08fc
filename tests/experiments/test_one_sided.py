"""Speakers with one emotion each are noticed without their labels, and standardised with their corpus."""

import numpy as np
import pandas as pd
import pytest
import torch

from cleser.corpora.protocol import Protocol
from cleser.experiments.one_sided import (
    OneSidedness,
    choose_normalisation,
    fit_one_sidedness,
    intraclass,
    speakers_of_one_emotion,
)
from cleser.speech import load_backbone
from cleser.training.from_manifest import summaries_of
from tests.corpora.trees import EMOTIONS, write_corpus


def corpus(name, *, speakers=8, takes=6, voice=0.7, single=False, seed=0):
    """Summaries in blocks [n, 2, 6]: an emotion's direction, a speaker's voice, and noise."""
    rng = np.random.default_rng(seed)
    effects = np.random.default_rng(99).normal(size=(len(EMOTIONS), 6))
    rows, values = [], []
    for s in range(speakers):
        offset = voice * rng.normal(size=6)
        for k, emotion in enumerate(EMOTIONS):
            of = f"{name}/s{s}-{emotion}" if single else f"{name}/s{s}"
            for _ in range(takes):
                rows.append({"corpus": name, "speaker": of, "emotion": emotion})
                values.append(effects[k] + offset + rng.normal(size=6))
    layers = torch.tensor(np.array(values)).float()
    return torch.stack([layers, layers + 1], 1).split(50), pd.DataFrame(rows, dtype="str")


def test_what_the_source_says_equals_a_regression_on_all_of_it_at_once():
    """The weights are those of weighted ridge regression on features standardised by speaker."""
    blocks, rows = corpus("a")
    every = torch.cat(blocks).double()
    for _, at in rows.groupby("speaker").indices.items():
        every[at] = (every[at] - every[at].mean(0)) / every[at].std(0, correction=0)
    x = every.clamp(-6, 6).mean(1).numpy()
    y = np.equal.outer(rows["emotion"].to_numpy(), EMOTIONS) - 1 / len(EMOTIONS)
    # Emotions are balanced: all weights are alike.
    penalty = np.trace(x.T @ x / len(x)) / x.shape[1]
    expected = np.linalg.solve(x.T @ x / len(x) + penalty * np.eye(x.shape[1]), x.T @ y / len(x))
    source = fit_one_sidedness(blocks, rows, EMOTIONS)
    # Standardised values are float32.
    np.testing.assert_allclose(source.weights, expected, atol=1e-5)
    whole = fit_one_sidedness([torch.cat(blocks)], rows, EMOTIONS)
    assert whole.threshold == pytest.approx(source.threshold, rel=1e-9)


def test_the_correlation_equals_the_analysis_of_variance():
    """Against the one-way F of SciPy: (F − 1) / (F − 1 + n) for groups of n."""
    from scipy.stats import f_oneway

    rng = np.random.default_rng(0)
    groups = [rng.normal(rng.normal(), 1, 5) for _ in range(7)]
    scores, names = np.concatenate(groups)[:, None], np.repeat(np.arange(7), 5).astype(object)
    f = f_oneway(*groups).statistic
    assert intraclass(scores, names) == pytest.approx((f - 1) / (f - 1 + 5))


def test_what_cannot_be_known_is_nan():
    assert np.isnan(intraclass(np.zeros((3, 1)), np.array(list("abc"), dtype=object)))
    assert np.isnan(intraclass(np.zeros((3, 1)), np.array(list("aaa"), dtype=object)))
    assert np.isnan(intraclass(np.zeros((0, 1)), np.array([], dtype=object)))


@pytest.mark.parametrize("seed", range(5))
def test_one_emotion_a_speaker_is_noticed(seed):
    source = fit_one_sidedness(*corpus("a", seed=seed), EMOTIONS)
    several = source.correlation(*corpus("b", seed=seed + 50))
    single = source.correlation(*corpus("b", single=True, seed=seed + 50))
    assert several < source.threshold < single


def test_the_threshold_lies_halfway_between_the_two_correlations():
    """Of which the shares of variance are the squares."""
    source = OneSidedness(torch.zeros(1, 1), 0.04, 0.64)
    assert source.threshold == pytest.approx(0.5**2)
    assert OneSidedness(torch.zeros(1, 1), 0.0, 0.36).threshold == pytest.approx(0.3**2)
    assert np.isnan(OneSidedness(torch.zeros(1, 1), 0.1, np.nan).threshold)


def test_labels_of_the_target_are_not_looked_at():
    source = fit_one_sidedness(*corpus("a"), EMOTIONS)
    summaries, rows = corpus("b", seed=3)
    blank = rows.assign(emotion=None)
    assert source.correlation(summaries, rows) == source.correlation(summaries, blank)


def test_it_is_kept_with_the_run():
    source = fit_one_sidedness(*corpus("a"), EMOTIONS)
    again = OneSidedness.restore(source.tensors())
    assert again.threshold == source.threshold
    assert torch.equal(again.weights, source.weights)


def test_labelled_speakers_of_one_emotion_are_known():
    rows = pd.DataFrame(
        {
            "speaker": ["a", "a", "b", "b", "c", None, None],
            "emotion": ["anger", "anger", "anger", "neutral", "anger", "anger", "anger"],
        },
        dtype="str",
    )
    assert speakers_of_one_emotion(rows) == ["a"]


def test_other_terms_are_left_as_they_are():
    backbone = load_backbone("acoustic")
    protocol = Protocol(["x:1"], ["y:2"], normalisation="speaker")
    assert choose_normalisation(protocol, None, pd.DataFrame(), backbone, []) == (protocol, "")
    sealed = Protocol(["x:1"], ["y:2"], target_access="nothing")
    settled, note = choose_normalisation(sealed, None, pd.DataFrame(), backbone, [])
    assert settled.normalisation == "corpus"
    assert "source's statistics" in note


@pytest.mark.parametrize("takes", [1, 2])
def test_a_target_is_settled_from_its_sound(tmp_path, monkeypatch, takes):
    """On recordings: several emotions a speaker; one emotion each; and speakers with two utterances."""
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "cache"))
    backbone = load_backbone("acoustic")
    source = write_corpus(tmp_path / "a", "a", speakers=6, takes=3)
    target = write_corpus(tmp_path / "b", "b", speakers=6, takes=takes, seed=1)
    cast = Protocol([source], [target]).load()
    nobody = [None] * len(cast.source)
    learned = fit_one_sidedness(*summaries_of(cast.source, backbone, nobody, title="a"), EMOTIONS)

    def said(rows):
        return choose_normalisation(cast.protocol, learned, rows, backbone, [None] * len(rows))[1]

    def settled(rows):
        return choose_normalisation(cast.protocol, learned, rows, backbone, [None] * len(rows))[
            0
        ].normalisation

    rows = cast.heard
    assert settled(rows) == "shrunk"
    single = rows.assign(speaker=rows["speaker"].str.cat(rows["emotion"], sep="-"))
    assert settled(single) == "corpus"
    pairs = rows.groupby("speaker").head(2)
    assert settled(pairs) == "corpus"
    assert settled(rows.assign(speaker=None)) == "corpus"
    assert "no speakers of the target are known" in said(rows.assign(speaker=None))
    assert settled(rows.assign(speaker="anna")) == "corpus"
    assert "one speaker is known, to whom nobody" in said(rows.assign(speaker="anna"))
    assert "half of the target's 6 speakers have 2 utterances" in said(pairs)


def test_a_source_that_cannot_tell_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "cache"))
    backbone = load_backbone("acoustic")
    source, target = (write_corpus(tmp_path / n, n, speakers=3, takes=1) for n in "ab")
    cast = Protocol([source], [target]).load()
    nobody = [None] * len(cast.source)
    learned = fit_one_sidedness(*summaries_of(cast.source, backbone, nobody, title="a"), EMOTIONS)
    settled, note = choose_normalisation(
        cast.protocol, learned, cast.heard, backbone, [None] * len(cast.heard)
    )
    assert settled.normalisation == "shrunk"
    assert "too few utterances" in note


def test_a_half_of_the_source_that_tells_nothing_leaves_the_other():
    summaries, rows = corpus("a")
    rows["speaker"] = ["a", *["b"] * (len(rows) - 1)]  # whose mean is all that there is of a
    learned = fit_one_sidedness(summaries, rows, EMOTIONS)
    assert learned.weights.isfinite().all()
    assert learned.weights.any()


def test_source_speakers_of_one_utterance_each_cannot_tell(tmp_path, monkeypatch):
    """As in corpora whose speaker is a recording: nothing is left of them once their own mean is subtracted."""
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "cache"))
    source, target = (write_corpus(tmp_path / n, n, speakers=3, takes=1) for n in "ab")
    cast = Protocol([source], [target]).load()
    backbone, phones = load_backbone("acoustic"), [None] * len(cast.heard)
    each = cast.source.assign(speaker=cast.source["utterance"])
    learned = fit_one_sidedness(*summaries_of(each, backbone, phones, title="a"), EMOTIONS)
    assert not learned.weights.any()
    settled, note = choose_normalisation(cast.protocol, learned, cast.heard, backbone, phones)
    assert settled.normalisation == "shrunk"
    assert "the source's speakers have too few utterances" in note


def test_a_threshold_of_zero_is_not_divided_by(tmp_path, monkeypatch):
    """As noise gives it, in which speakers differ by no more than their utterances."""
    monkeypatch.setenv("CLESER_CACHE", str(tmp_path / "cache"))
    source, target = (write_corpus(tmp_path / n, n, speakers=3, takes=1) for n in "ab")
    cast = Protocol([source], [target]).load()
    backbone, phones = load_backbone("acoustic"), [None] * len(cast.heard)
    size = 2 * backbone.dim
    source = OneSidedness(torch.ones(size, 2, dtype=torch.float64), 0.0, 0.0)
    settled, note = choose_normalisation(cast.protocol, source, cast.heard, backbone, phones)
    assert settled.normalisation in ("shrunk", "corpus")
    assert "more than 0.0 % would mean one emotion each" in note
