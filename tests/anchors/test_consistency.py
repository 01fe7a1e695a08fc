"""The statistic is what its equation says, finds what was planted, and nothing where nothing is."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest

from cleser.anchors.consistency import emotion_consistency
from cleser.multiple_tests import holm


def simulate(seed, *, shared=(), own=(), whole=0.0, phonemes=6, noise=1.0, utterances=12, dim=8):
    """Two languages; in ``shared`` phonemes emotions do the same, in ``own`` ones each language its own thing.

    Utterances shift all of their phones, by emotion (``whole``) and by chance, and speakers shift and stretch theirs.
    """
    random = np.random.default_rng(seed)
    common, everywhere = random.normal(size=(4, phonemes, dim)), random.normal(size=(4, dim))
    rows, labels = [], []
    number = 0
    for language in range(2):
        particular = random.normal(size=(4, phonemes, dim))
        for speaker in range(3):
            shift, stretch = 3 * random.normal(size=dim), 2 ** random.normal(size=dim)
            for emotion in random.permutation(np.arange(4 * utterances) % 4):
                accident = 0.7 * random.normal(size=dim) + whole * everywhere[emotion]
                for phoneme in random.integers(0, phonemes, 20):
                    x = noise * random.normal(size=dim) + accident
                    x = x + common[emotion, phoneme] * (phoneme in shared)
                    x = x + particular[emotion, phoneme] * (phoneme in own)
                    rows.append(shift + stretch * x)
                    labels.append((phoneme, emotion, language, 3 * language + speaker, number))
                number += 1
    names = ("phoneme", "emotion", "language", "speaker", "utterance")
    return np.array(rows), dict(zip(names, np.array(labels).T, strict=True))


def by_hand(x, of, phoneme):
    x = x.copy()
    for speaker in set(of["speaker"]):
        inside = of["speaker"] == speaker
        x[inside] = (x[inside] - x[inside].mean(0)) / x[inside].std(0)
    cosines = []
    for emotion in sorted(set(of["emotion"])):
        for a, b in combinations(sorted(set(of["language"])), 2):
            contrasts = []
            for language in (a, b):
                here = (of["phoneme"] == phoneme) & (of["language"] == language)
                contrasts.append(x[here & (of["emotion"] == emotion)].mean(0) - x[here].mean(0))
            cosines.append(
                contrasts[0]
                @ contrasts[1]
                / np.linalg.norm(contrasts[0])
                / np.linalg.norm(contrasts[1])
            )
    return np.mean(cosines)


def test_the_statistic_is_its_equation():
    x, of = simulate(0, shared=(0, 1), own=(2,))
    found = emotion_consistency(x, of, permutations=5)
    assert found.phonemes.tolist() == list(range(6))
    np.testing.assert_allclose(found.statistic, [by_hand(x, of, p) for p in range(6)], atol=1e-10)
    np.testing.assert_allclose(found.by_emotion.mean(1), found.statistic)
    np.testing.assert_allclose(found.overall, found.statistic.mean())
    for p in range(6):
        counts = [((of["phoneme"] == p) & (of["language"] == k)).sum() for k in (0, 1)]
        assert found.tokens[p] == min(counts)


@pytest.mark.parametrize("relative", [False, True])
def test_channels_may_be_gone_over_in_blocks(relative, monkeypatch):
    """Of 20 channels, 16, and then the others; the features stay as they are."""
    x, of = simulate(0, shared=(0, 1), own=(2,), dim=20)
    given = x.copy()
    whole = emotion_consistency(x, of, permutations=99, relative=relative)
    monkeypatch.setattr("cleser.anchors.consistency._VALUES", 1)
    found = emotion_consistency(x, of, permutations=99, relative=relative)
    np.testing.assert_allclose(found.by_emotion, whole.by_emotion, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found.p, whole.p)
    np.testing.assert_array_equal(x, given)
    if not relative:
        np.testing.assert_allclose(
            found.statistic, [by_hand(x, of, p) for p in range(6)], atol=1e-10
        )


def test_it_takes_less_memory_than_the_features(monkeypatch):
    """Of 24 MB in single precision, blocks of 1 MB in double are made; all of them would be 48 MB."""
    monkeypatch.setattr("cleser.anchors.consistency._VALUES", 1 << 17)
    _, of = simulate(0)
    rows = len(of["phoneme"])
    x = np.random.default_rng(0).standard_normal((rows, 6_000_000 // rows), dtype=np.float32)
    tracemalloc.start()
    emotion_consistency(x, of, permutations=5, relative=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes / 2


def test_three_languages_are_compared_in_pairs():
    x, of = simulate(1, shared=(0,))
    of = {**of, "language": np.where(of["speaker"] == 5, 2, of["language"])}
    found = emotion_consistency(x, of, permutations=5, minimum=1)
    np.testing.assert_allclose(found.statistic, [by_hand(x, of, p) for p in range(6)], atol=1e-10)


def test_what_was_planted_is_found():
    by_chance = 0
    for seed in range(3):
        x, of = simulate(seed, shared=(0, 3), own=(1,))
        found = emotion_consistency(x, of, permutations=499)
        assert found.statistic[[0, 3]].min() > 0.5
        assert (found.p_holm[[0, 3]] < 0.05).all()
        by_chance += int((found.p_holm[[1, 2, 4, 5]] < 0.05).sum())
    assert by_chance <= 1
    again = emotion_consistency(x, of, permutations=499)
    np.testing.assert_array_equal(again.p, found.p)


def test_what_the_whole_utterance_does_is_told_from_what_is_the_phonemes_own():
    x, of = simulate(3, whole=1.5, utterances=16)
    plain = emotion_consistency(x, of, permutations=499)
    assert (plain.p_holm < 0.05).all()
    assert plain.p_overall < 0.05
    assert (emotion_consistency(x, of, permutations=499, relative=True).p_bh > 0.05).all()
    x, of = simulate(3, whole=1.5, shared=(2,), utterances=16)
    relative = emotion_consistency(x, of, permutations=499, relative=True)
    assert relative.p_holm[2] < 0.05
    assert relative.statistic.argmax() == 2


def test_chance_alone_is_found_as_often_as_p_says():
    """Utterances shift all of their phones by chance: permuting phones in place of utterances would fail this."""
    p = np.concatenate(
        [
            emotion_consistency(*simulate(s, utterances=4), permutations=99, seed=s, minimum=1).p
            for s in range(40)
        ]
    )
    assert 0.03 < (p <= 0.05).mean() < 0.085
    assert 0.42 < (p <= 0.5).mean() < 0.58


def test_corrections():
    random = np.random.default_rng(0)
    for _ in range(20):
        p = random.uniform(size=random.integers(1, 30)) ** 3
        order = np.argsort(p)
        highest = 0.0
        for rank, i in enumerate(order):
            highest = max(highest, min(1.0, p[i] * (len(p) - rank)))
            assert holm(p)[i] == pytest.approx(highest)
    assert holm([]).shape == (0,)


def test_what_is_unknown_or_too_rare_is_left_out():
    x, of = simulate(4, shared=(0,))
    whole = emotion_consistency(x, of, permutations=20)
    more = {name: np.append(values, values[0]) for name, values in of.items()}
    more["phoneme"][-1] = -1
    padded = emotion_consistency(np.vstack([x, 100 + x[:1]]), more, permutations=20)
    np.testing.assert_allclose(padded.statistic, whole.statistic)
    rare = {**of, "phoneme": np.where(np.arange(len(x)) < 3, 99, of["phoneme"])}
    assert 99 not in emotion_consistency(x, rare, permutations=5).phonemes
    nobody = {**of, "speaker": np.full(len(x), -1)}
    assert np.isfinite(emotion_consistency(x, nobody, permutations=5).statistic).all()
    flat = emotion_consistency(np.hstack([x, np.ones((len(x), 1))]), of, permutations=20)
    np.testing.assert_allclose(flat.statistic, whole.statistic)


def test_what_cannot_be_compared_is_refused():
    x, of = simulate(5)
    with pytest.raises(ValueError, match=r"labels lack \['speaker'\]"):
        emotion_consistency(x, {k: v for k, v in of.items() if k != "speaker"})
    with pytest.raises(ValueError, match=r"expected \[S, D\] and \[S\]"):
        emotion_consistency(x[1:], of)
    with pytest.raises(ValueError, match="features of phone 7 are not finite"):
        emotion_consistency(np.where(np.arange(len(x))[:, None] == 7, np.nan, x), of)
    with pytest.raises(ValueError, match="found 1 languages"):
        emotion_consistency(x, {**of, "language": np.zeros(len(x))})
    with pytest.raises(ValueError, match="share 1 emotions"):
        emotion_consistency(
            x,
            {**of, "emotion": np.where(of["emotion"] == 0, 0, of["emotion"] + 4 * of["language"])},
        )
    with pytest.raises(ValueError, match="no phoneme has 1000 phones"):
        emotion_consistency(x, of, minimum=1000)
    with pytest.raises(ValueError, match="an utterance has two values of emotion"):
        emotion_consistency(x, {**of, "utterance": of["language"]})
