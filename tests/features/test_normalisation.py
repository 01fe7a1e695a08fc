"""Standardising against plain loops, and that nothing leaks between groups."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from cleser.features.moments import GroupMoments
from cleser.features.normalisation import Shrinkage
from cleser.features.pooled import Features
from cleser.features.standards import standardise, standardise_utterances
from tests.features.loops import moments, standardised


def make(lengths=(3, 1, 5, 2), shift=0.0, seed=0):
    torch.manual_seed(seed)
    return Features(
        [f"u{i}" for i in range(len(lengths))],
        torch.randn(sum(lengths), 2, 3) * 4 + shift,
        torch.tensor([0, *lengths]).cumsum(0),
        torch.randn(len(lengths), 2, 3) * 2 - shift,
        [""] * sum(lengths),
    )


def test_groups_equal_a_loop():
    features, groups = make(), pd.Series(["a", "b", "a", "b"])
    found = standardise(features, groups)
    tokens = features.tokens.split(features.offsets.diff().tolist())
    for name in "ab":
        inside = (groups == name).to_numpy(copy=True)
        pooled = torch.cat([t for t, i in zip(tokens, inside, strict=True) if i])
        mean, std = pooled.mean(0), pooled.std(0, correction=0)
        for i in np.flatnonzero(inside):
            begin, end = features.offsets[i], features.offsets[i + 1]
            torch.testing.assert_close(found.tokens[begin:end], (tokens[i] - mean) / std)
        summaries = features.summaries[inside]
        expected = (summaries - summaries.mean(0)) / summaries.std(0, correction=0)
        torch.testing.assert_close(found.summaries[inside], expected)


def test_another_speaker_changes_nothing():
    features, groups = make(), pd.Series(["a", "a", "a", "b"])
    louder = Features(
        features.utterances,
        torch.cat([features.tokens[:9], features.tokens[9:] * 100]),
        features.offsets,
        features.summaries,
        features.phones,
    )
    one, other = standardise(features, groups), standardise(louder, groups)
    torch.testing.assert_close(one.tokens[:9], other.tokens[:9])


def test_shrinkage_equals_a_loop():
    """Eq. 2 by hand, in two corpora, one speaker of whom is not trusted."""
    features = make((3, 1, 5, 2, 4, 2), seed=3)
    speakers, corpora = pd.Series(list("xyxyzz")), pd.Series(list("aaaabb"))
    shrinkage = Shrinkage(speakers, corpora, distrusted=["y"], strength=3.0)
    found = standardise(features, speakers, shrinkage=shrinkage)
    tokens = features.tokens.double().split(features.offsets.diff().tolist())
    for i, (speaker, corpus) in enumerate(zip(speakers, corpora, strict=True)):
        own, wide = (
            np.flatnonzero(s == name) for s, name in ((speakers, speaker), (corpora, corpus))
        )
        weight = 0.0 if speaker == "y" else len(own) / (len(own) + 3)
        for values, part in (
            (torch.cat([tokens[j] for j in own]), "own"),
            (torch.cat([tokens[j] for j in wide]), "wide"),
        ):
            if part == "own":
                mean, variance = weight * values.mean(0), weight * values.var(0, correction=0)
            else:
                mean = mean + (1 - weight) * values.mean(0)
                variance = variance + (1 - weight) * values.var(0, correction=0)
        begin, end = features.offsets[i], features.offsets[i + 1]
        expected = ((tokens[i] - mean) / variance.sqrt()).clamp(-6, 6).float()
        torch.testing.assert_close(found.tokens[begin:end], expected)


def test_a_single_utterance_keeps_what_sets_it_apart():
    features = make((3, 3, 3), seed=2)
    speakers, corpora = pd.Series(list("xyz")), pd.Series(list("aaa"))
    assert (standardise(features, speakers).summaries == 0).all()
    found = standardise(features, speakers, shrinkage=Shrinkage(speakers, corpora))
    assert (found.summaries.abs() > 0.01).all()


def test_a_reference_is_used_for_everyone():
    reference = moments(make(shift=3.0, seed=1))
    found = standardise(make(), pd.Series(list("abcd")), reference=reference)
    expected = (make().tokens - reference.token_mean) / reference.token_std
    torch.testing.assert_close(found.tokens, expected.float().clamp(-6, 6))


def test_what_is_typical_of_a_group_is_no_group_by_itself():
    """The mean of the groups' means, and the root of the mean of their variances: a large group counts once."""
    features, groups = make((3, 1, 5, 2, 4)), pd.Series(["a", "b", "a", "b", "c"])
    codes = torch.from_numpy(pd.factorize(groups)[0].astype(np.int64))
    running = GroupMoments(3)
    running.add(features, codes)
    for found, expected in zip(running.typical(), moments(features, groups), strict=True):
        torch.testing.assert_close(found, expected)


def test_moments_that_come_in_parts_are_those_of_the_whole():
    features, codes = make((3, 1, 5, 2)), torch.tensor([0, 1, 0, 1])
    whole, parts = GroupMoments(2), GroupMoments(2)
    whole.add(features, codes)
    tokens = features.tokens.split(features.offsets.diff().tolist())
    for i in (2, 0, 3, 1):
        one = Features(
            [f"u{i}"], tokens[i], torch.tensor([0, len(tokens[i])]), features.summaries[i : i + 1],
            [""] * len(tokens[i]),
        )  # fmt: skip
        parts.add(one, codes[i : i + 1])
    for a, b in zip(whole.each(), parts.each(), strict=True):
        torch.testing.assert_close(a, b)


def test_utterances_need_nothing_but_themselves():
    features, reference = make(), moments(make(seed=1))
    found = standardise_utterances(features, reference)
    alone = Features(
        ["u2"], features.tokens[4:9], torch.tensor([0, 5]), features.summaries[2:3], [""] * 5
    )
    expected = standardise_utterances(alone, reference)
    torch.testing.assert_close(found.tokens[4:9], expected.tokens)
    torch.testing.assert_close(found.summaries[2:3], expected.summaries)


def test_constant_channels_and_outliers_are_tamed():
    """Of n values one alone lies √(n − 1) deviations from the mean at most: 7.7 of these 60."""
    features = make((20, 20, 15, 5))
    features.tokens[:, 0, 0] = 7.0
    features.tokens[0, 1, 1] = 1e6
    found = standardise(features, pd.Series(["a"] * 4))
    assert (found.tokens[:, 0, 0] == 0).all()
    assert found.tokens[0, 1, 1] == 6
    assert found.tokens.abs().max() == 6
    assert torch.isfinite(found.tokens).all()


def test_unknown_groups_are_a_group():
    found = standardise(make(), pd.Series(["a", None, "a", None], dtype="str"))
    assert torch.isfinite(found.tokens).all()
    with pytest.raises(ValueError, match="found 2 groups, expected one for each of 4"):
        standardise(make(), pd.Series(["a", "b"]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_features_keep_their_type_and_their_memory(dtype):
    """float16 and bfloat16 have too few bits to be standardised in."""
    features = make()
    of_type = replace(
        features,
        tokens=features.tokens.to(dtype).transpose(1, 2).contiguous().transpose(1, 2),
        summaries=features.summaries.to(dtype),
    )
    of_type.summaries.requires_grad_()  # as a network's own output has it; no gradient goes through
    before = of_type.tokens.clone(), of_type.summaries.clone()
    found = standardise(of_type, pd.Series(list("abab")))
    assert not found.summaries.requires_grad
    assert found.tokens.dtype == found.summaries.dtype == dtype
    assert torch.equal(of_type.tokens, before[0])
    assert torch.equal(of_type.summaries, before[1])
    expected = standardised(of_type, list("abab"))
    for name in ("tokens", "summaries"):  # statistics are kept in single precision
        one, other = (getattr(x, name).to(dtype).float() for x in (found, expected))
        torch.testing.assert_close(one, other, rtol=torch.finfo(dtype).eps, atol=1e-5)
