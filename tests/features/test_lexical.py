"""Lexical content against frames from which it is taken off one by one."""

import numpy as np
import pandas as pd
import pytest
import torch

from cleser.anchors import pool_phones
from cleser.features.lexical import LexicalOffsets
from cleser.speech import Features, LexicalContent

LAYERS, DIM = 2, 3
PHONES = (("p", "a"), ("a", "a", "i"), ("a", "p"), ("", "i"), ("p",))
BOUNDS = (
    ((0, 3), (4, 6)),  # frames 3 and 6 belong to no phone
    ((0, 2), (2, 3), (3, 7)),
    ((1, 4), (4, 9)),
    ((0, 2), (2, 6)),
    ((0, 1),),
)
FRAMES = (7, 8, 9, 6, 1)
ROWS = pd.DataFrame(
    {"corpus": ["one", "one", "two", "one", "two"], "speaker": ["x", "y", "x", None, "z"]}
)


def sounds(seed=0, level=40.0):
    torch.manual_seed(seed)
    return [level + 2 * torch.randn(n, LAYERS, DIM) for n in FRAMES]


def pooled(frames, bounds):
    found = pool_phones(frames.flatten(1)[None], [torch.tensor(bounds)], std=True)
    mean, std = (x.unflatten(-1, (LAYERS, DIM)) for x in found.chunk(2, -1))
    return torch.cat([mean, std], -1)


def describe(frames, which=range(5)):
    return Features(
        [str(i) for i in which],
        torch.cat([pooled(frames[i], BOUNDS[i]) for i in which]),
        torch.tensor([0, *(len(BOUNDS[i]) for i in which)]).cumsum(0),
        torch.cat([pooled(frames[i], [(0, FRAMES[i])]) for i in which]),
        [phone for i in which for phone in PHONES[i]],
        sizes=torch.tensor([end - begin for i in which for begin, end in BOUNDS[i]]),
        frames=torch.tensor([FRAMES[i] for i in which]),
    )


def by_hand(frames, strength):
    """Offsets (Eq. 1), frame by frame."""
    of_speaker, of_phone = {}, {}
    who = [
        (corpus, str(speaker)) for corpus, speaker in zip(ROWS.corpus, ROWS.speaker, strict=True)
    ]
    stretches = [
        (i, frames[i][begin:end], phone)
        for i in range(5)
        for (begin, end), phone in zip(BOUNDS[i], PHONES[i], strict=True)
        if phone
    ]
    for i, heard, _ in stretches:
        of_speaker.setdefault(who[i], []).extend(heard)
    for i, heard, phone in stretches:
        mean = torch.stack(of_speaker[who[i]]).mean(0)
        of_phone.setdefault((ROWS.corpus[i], phone), []).append(heard - mean)
    return {
        key: torch.cat(parts).mean(0) * len(parts) / (len(parts) + strength)
        for key, parts in of_phone.items()
    }


@pytest.mark.parametrize("strength", [0.0, 2.0])
def test_equals_frames_without_their_phonemes_mean(strength):
    frames = sounds()
    content = LexicalContent(strength)
    content.add(describe(frames), ROWS)
    offsets = by_hand(frames, strength)
    for (corpus, phone), expected in offsets.items():
        torch.testing.assert_close(
            content.offsets(corpus)[phone].float(), expected, atol=1e-5, rtol=1e-4
        )
    bare = [f.clone() for f in frames]
    for i, (bounds, phones) in enumerate(zip(BOUNDS, PHONES, strict=True)):
        for (begin, end), phone in zip(bounds, phones, strict=True):
            if phone:
                bare[i][begin:end] -= offsets[ROWS.corpus[i], phone]
    found, expected = content.remove(describe(frames), ROWS), describe(bare)
    torch.testing.assert_close(found.tokens, expected.tokens, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.summaries, expected.summaries, atol=1e-4, rtol=1e-3)


def test_parts_add_up_to_the_whole():
    frames = sounds()
    whole, parts = LexicalContent(), LexicalContent()
    whole.add(describe(frames), ROWS)
    for which in ([3, 0], [4], [2, 1]):
        parts.add(describe(frames, which), ROWS.iloc[which])
    for corpus in ("one", "two"):
        assert whole.offsets(corpus).keys() == parts.offsets(corpus).keys()
        for phone, offset in whole.offsets(corpus).items():
            torch.testing.assert_close(parts.offsets(corpus)[phone], offset)


def test_what_words_add_is_gone_and_what_manner_adds_stays():
    """Two words, said in two manners: afterwards the words are alike, and the manners as far apart as before."""
    word, manner = torch.tensor([5.0, -3.0]), torch.tensor([1.0, -1.0])
    said = [(w, m) for w in (0, 1) for m in (0, 1)] * 40
    values = torch.stack([word[w] + manner[m] for w, m in said])[:, None, None]
    features = Features(
        [str(i) for i in range(len(said))],
        torch.cat([values, torch.zeros_like(values)], -1),
        torch.arange(len(said) + 1),
        torch.cat([values, torch.zeros_like(values)], -1),
        ["ai"[w] for w, _ in said],
        sizes=torch.full((len(said),), 3),
        frames=torch.full((len(said),), 3),
    )
    rows = pd.DataFrame({"corpus": "c", "speaker": "s"}, index=range(len(said)))
    content = LexicalContent(strength=0)
    content.add(features, rows)
    left = content.remove(features, rows).summaries[:, 0, 0].reshape(40, 2, 2).mean(0)
    np.testing.assert_allclose(left, [[2.0, 0.0], [2.0, 0.0]], atol=1e-5)


def test_nothing_is_known_where_no_phone_is_named():
    features = describe(sounds())
    unnamed = Features(
        features.utterances, features.tokens, features.offsets, features.summaries,
        [""] * len(features.phones), sizes=features.sizes, frames=features.frames,
    )  # fmt: skip
    content = LexicalContent()
    content.add(unnamed, ROWS)
    assert content.offsets("one") == {}
    assert content.remove(unnamed, ROWS) is unnamed


def test_a_constant_channel_stays_constant():
    frames = [torch.full((n, LAYERS, DIM), 3.0) for n in FRAMES]
    content = LexicalContent()
    content.add(describe(frames), ROWS)
    found = content.remove(describe(frames), ROWS)
    assert not found.summaries.isnan().any()
    torch.testing.assert_close(found.summaries, describe(frames).summaries)


def test_features_that_were_picked_have_lost_their_frames():
    features = Features(
        ["u"], torch.zeros(1, 1, 2), torch.tensor([0, 1]), torch.zeros(1, 1, 2), [""]
    )
    with pytest.raises(ValueError, match="of how many frames"):
        LexicalContent().add(features, ROWS.iloc[:1])


def test_rows_belong_to_utterances():
    with pytest.raises(ValueError, match="found 2 rows, expected one for each of 5"):
        LexicalContent().add(describe(sounds()), ROWS.iloc[:2])


@pytest.mark.parametrize("known", ["ai", "a", ""])
def test_offsets_taken_off_in_place_are_those_taken_off_the_frames(known):
    """Frames by hand: of an utterance some of whose phones have an offset, and of one of another corpus."""
    torch.manual_seed(0)
    lengths = [3, 5, 2, 4]
    frames = torch.randn(2, sum(lengths) + 3, 2, 4) + 3  # three frames belong to no phone
    rows = [{name: i for i, name in enumerate(known)}, {}]
    offsets = LexicalOffsets(torch.randn(max(len(known), 1), 2, 4), rows, torch.tensor([1, 0]))

    def described(of):
        parts = of.split([*lengths, 3])[:-1]
        return [torch.cat([p.mean(0), p.std(0, correction=0)], -1) for p in (of, *parts)]

    raw = [described(of) for of in frames]
    expected = []
    for of, own in zip(frames, ({}, rows[0]), strict=True):
        moved = of.clone()
        for begin, length, name in zip([0, 3, 8, 10], lengths, "aiai", strict=True):
            if name in own:
                moved[begin : begin + length] -= offsets.table[own[name]]
        expected.append(described(moved))
    features = Features(
        ["u", "v"],
        torch.stack([t for one in raw for t in one[1:]]),
        torch.tensor([0, 4, 8]),
        torch.stack([one[0] for one in raw]),
        list("aiai") * 2,
        sizes=torch.tensor(lengths * 2),
        frames=torch.tensor([len(of) for of in frames]),
    )
    found = offsets.remove(features, torch.tensor([0, 1]))
    torch.testing.assert_close(found.tokens, torch.stack([t for one in expected for t in one[1:]]))
    torch.testing.assert_close(found.summaries, torch.stack([one[0] for one in expected]))
