"""Resampling against loops, and intervals and tests against worlds whose truth is known."""

import itertools

import numpy as np
import pytest

from cleser.evaluation import cluster, confusion_matrix, interval, macro_f1, paired_difference, uar
from cleser.evaluation.speakers import Clusters, bounds, resample
from tests.evaluation.simulate import CLASSES, predictions


def test_clusters_equal_a_loop():
    rows = predictions()
    found = cluster(rows, CLASSES)
    assert found.unit == "speakers"
    for s, g in np.ndindex(2, 6):
        part = rows[(rows["seed"] == s) & (rows["speaker"] == found.names[g])]
        truth = [CLASSES.index(e) for e in part["emotion"]]
        predicted = [CLASSES.index(e) for e in part["predicted"]]
        np.testing.assert_array_equal(found.counts[s, g], confusion_matrix(truth, predicted, 4))


def test_resampling_equals_gathering_the_drawn_speakers():
    counts = cluster(predictions(), CLASSES).counts
    found = resample(counts, uar, resamples=20, seed=3)
    weights = np.random.default_rng(3).multinomial(6, np.full(6, 1 / 6), size=20)
    for b in range(20):
        drawn = np.repeat(np.arange(6), weights[b])
        expected = np.mean([uar(sum(counts[s, g] for g in drawn)) for s in range(2)])
        assert found[b] == pytest.approx(expected)


def test_unknown_speakers_are_resampled_as_utterances_and_it_is_said():
    found = cluster(predictions(known=False), CLASSES)
    assert found.unit == "utterances"
    assert len(found.names) == found.unknown == 120
    some = predictions()
    some.loc[some["utterance"] == "x/0-anger-0", "speaker"] = None
    mixed = cluster(some, CLASSES)
    assert (mixed.unit, len(mixed.names), mixed.unknown) == ("speakers", 7, 1)


def test_one_speaker_gives_no_interval():
    found = interval(cluster(predictions(speakers=1), CLASSES), uar)
    assert np.isnan(found.low)
    assert np.isnan(found.high)
    assert 0 < found.estimate < 1


def test_bounds_widen_as_a_student_distribution():
    """Of a normal distribution the t-percentiles are known in closed form."""
    from scipy import stats

    normal = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    for groups in (8, 24, 100):
        low, high = bounds(normal, 0.0, groups)
        expected = np.sqrt(groups / (groups - 1)) * stats.t.ppf(0.975, groups - 1)
        assert high == pytest.approx(expected, rel=0.01)
        assert low == pytest.approx(-expected, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("groups", [4, 10, 24])
def test_intervals_hold_the_truth_as_often_as_they_say(groups):
    rng = np.random.default_rng(groups)
    truth = np.array([0.8, 0.45, 0.6, 0.7])
    held = 0
    for trial in range(400):
        hits = rng.binomial(8, rng.beta(truth * 3, (1 - truth) * 3, (groups, 4)))
        counts = np.zeros((1, groups, 4, 4), dtype=int)
        for k in range(4):
            counts[0, :, k, k], counts[0, :, k, (k + 1) % 4] = hits[:, k], 8 - hits[:, k]
        names = [str(g) for g in range(groups)]
        found = interval(Clusters(counts, names, "speakers", 0), uar, resamples=1000, seed=trial)
        held += found.low <= truth.mean() <= found.high
    # 95 % of 400 ± 3 standard errors
    assert 0.917 <= held / 400 <= 0.983


def test_a_run_does_not_differ_from_itself():
    run = cluster(predictions(), CLASSES)
    found = paired_difference(run, run, uar)
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_swaps_equal_a_loop():
    a, b = (cluster(predictions(speakers=5, seed=s), CLASSES) for s in (0, 1))
    found = paired_difference(a, b, uar)
    assert found.exact
    observed = np.mean([uar(b.counts[s].sum(0)) - uar(a.counts[s].sum(0)) for s in range(2)])
    assert found.difference == pytest.approx(observed)
    extreme = 0
    for swap in itertools.product([False, True], repeat=5):
        one = [b.counts[:, g] if s else a.counts[:, g] for g, s in enumerate(swap)]
        two = [a.counts[:, g] if s else b.counts[:, g] for g, s in enumerate(swap)]
        shift = np.mean(uar(sum(two)) - uar(sum(one)))
        extreme += abs(shift) >= abs(observed) - 1e-12
    assert found.p == pytest.approx(extreme / 32)


def test_a_better_run_is_found_and_a_like_one_is_not():
    worse, better = (cluster(predictions(speakers=14, hit=h, seed=5), CLASSES) for h in (0.4, 0.7))
    found = paired_difference(worse, better, uar)
    assert not found.exact
    assert found.low > 0
    assert found.p < 0.01


@pytest.mark.slow
def test_the_swap_test_keeps_its_level():
    ps = []
    for trial in range(300):
        a, b = (
            cluster(predictions(speakers=8, takes=2, seeds=1, seed=2 * trial + s), CLASSES)
            for s in (0, 1)
        )
        ps.append(paired_difference(a, b, macro_f1, resamples=50).p)
    assert np.mean(np.array(ps) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_bad_predictions_are_named():
    with pytest.raises(ValueError, match="no predictions"):
        cluster(predictions().iloc[:0], CLASSES)
    with pytest.raises(ValueError, match=r"emotion holds 'anger', expected one of \['joy'\]"):
        cluster(predictions(), ["joy"])
    with pytest.raises(ValueError, match="tested different speakers"):
        paired_difference(
            cluster(predictions(speakers=3), CLASSES),
            cluster(predictions(speakers=4), CLASSES),
            uar,
        )
