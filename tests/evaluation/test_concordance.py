"""CCC and RMSE: against definitions, and their intervals over speakers and seeds."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cleser.evaluation.concordance import ccc, mean_ccc, moment_matrix, moments, rmse
from cleser.evaluation.intervals import interval, paired_difference
from cleser.evaluation.measures import measures
from cleser.evaluation.results import _metric
from cleser.evaluation.variance import influence, speakers_model
from cleser.losses import concordance_loss

NUMBERS = st.floats(-1, 1, allow_subnormal=False).map(lambda x: round(x, 3))
PAIRS = st.integers(2, 12).flatmap(
    lambda n: st.tuples(*[arrays.arrays(float, n, elements=NUMBERS)] * 2)
)


def slow_ccc(truth, predicted):
    """By the definition, in two passes."""
    n = len(truth)
    mt, mp = sum(truth) / n, sum(predicted) / n
    vt = sum((t - mt) ** 2 for t in truth) / n
    vp = sum((p - mp) ** 2 for p in predicted) / n
    both = sum((t - mt) * (p - mp) for t, p in zip(truth, predicted, strict=True)) / n
    spread = vt + vp + (mt - mp) ** 2
    return 2 * both / spread if spread > 1e-12 else 1.0


@given(PAIRS)
def test_by_the_definition(pairs):
    truth, predicted = pairs
    found = moment_matrix(truth, predicted)
    # Values have three digits, so that a spread is 0 or at least 1e-7: cancellation leaves 1e-15 / 1e-7.
    assert ccc(found) == pytest.approx(slow_ccc(truth, predicted), abs=1e-7)
    assert rmse(found) == pytest.approx(np.sqrt(np.mean((truth - predicted) ** 2)), abs=1e-7)


def test_it_is_one_minus_the_loss():
    t, p = np.random.default_rng(0).uniform(-1, 1, (2, 50))
    loss = concordance_loss(torch.from_numpy(p), torch.from_numpy(t))
    assert ccc(moment_matrix(t, p)) == pytest.approx(1 - loss.item(), abs=1e-12)


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [([0, 1, 2], 1.0), ([2, 1, 0], -1.0), ([1, 1, 1], 0.0), ([10, 11, 12], 4 / 3 / (4 / 3 + 100))],
)
def test_closed_forms(predicted, expected):
    assert ccc(moment_matrix([0, 1, 2], predicted)) == pytest.approx(expected, abs=1e-12)


def test_degenerate_cases():
    assert np.isnan(ccc(np.zeros((3, 3))))
    assert np.isnan(rmse(np.zeros((3, 3))))
    assert ccc(moment_matrix([0.3] * 7, [0.3] * 7)) == 1
    assert ccc(moment_matrix([0.3] * 7, [0.1] * 7)) == pytest.approx(0, abs=1e-12)
    assert rmse(moment_matrix([1, np.nan], [0, 5])) == 1
    with pytest.raises(ValueError, match="shapes"):
        moment_matrix([1, 2], [1])


def table(speakers=8, seeds=3, takes=10, noise=0.3, bias=0.2, rng=None):
    """Predictions of numbers, with a bias of each speaker and of each seed."""
    rng = rng or np.random.default_rng(0)
    of_speaker = bias * rng.standard_normal(speakers)
    truth = rng.uniform(-1, 1, (speakers, takes))
    of_seed = 0.05 * rng.standard_normal(seeds)
    noises = noise * rng.standard_normal((seeds, speakers, takes))
    said = truth + of_speaker[:, None] + of_seed[:, None, None] + noises
    seed, speaker, take = np.indices(said.shape).reshape(3, -1)
    return pd.DataFrame(
        {
            "seed": seed,
            "utterance": [f"{g}-{i}" for g, i in zip(speaker, take, strict=True)],
            "speaker": [f"s{g}" for g in speaker],
            "valence": truth[speaker, take],
            "predicted_valence": said.ravel(),
        }
    )


def test_moments_by_a_loop():
    rows = table()
    rows.loc[rows.index[::7], "valence"] = np.nan
    found = moments(rows, ["valence"])
    assert found.counts.shape == (3, 8, 3, 3)
    for s, seed in enumerate(found.seeds):
        for g, name in enumerate(found.names):
            own = rows[(rows["seed"] == seed) & (rows["speaker"] == name)]
            expected = moment_matrix(own["valence"], own["predicted_valence"])
            np.testing.assert_allclose(found.counts[s, g], expected, atol=1e-12)


def test_what_a_speaker_contributes_is_the_ccc_without_a_share_of_its_utterances():
    """Weighted moments, one utterance after another, in place of the sums."""
    rows = table(speakers=5, seeds=1)
    found = influence(moments(rows, ["valence"]).counts, ccc)[0]
    share = 5 - np.sqrt(20)
    t, p = rows["valence"].to_numpy(), rows["predicted_valence"].to_numpy()
    for g, name in enumerate(sorted(rows["speaker"].unique())):
        w = np.where(rows["speaker"] == name, 1 - share, 1.0)
        mt, mp = np.average(t, weights=w), np.average(p, weights=w)
        vt, vp = np.average((t - mt) ** 2, weights=w), np.average((p - mp) ** 2, weights=w)
        both = np.average((t - mt) * (p - mp), weights=w)
        without = 2 * both / (vt + vp + (mt - mp) ** 2)
        assert found[g] == pytest.approx((slow_ccc(t, p) - without) / share, abs=1e-10)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """150 draws of a world: 95 % ± 3 standard errors of a share are 143 − 8 … 150."""
    rng = np.random.default_rng(1)
    large = table(speakers=2000, seeds=20, takes=1, rng=rng)
    truth = float(ccc(moments(large, ["valence"]).counts.sum((0, 1))))
    held = 0
    for _ in range(150):
        found = interval(
            moments(table(speakers=16, seeds=3, takes=4, rng=rng), ["valence"]), ccc, bounds=(-1, 1)
        )
        held += found.low <= truth <= found.high
    assert held >= 134


def test_intervals_know_the_metric_s_bounds():
    worse = moments(table(noise=3, bias=2), ["valence"])
    found = interval(worse, rmse, bounds=(0, np.inf))
    assert found.high > 1
    assert found.covers == "speakers and seeds"
    opposite = moments(table(noise=0, bias=0).assign(valence=lambda t: -t["valence"]), ["valence"])
    assert interval(opposite, ccc, bounds=(-1, 1)).low == pytest.approx(-1, abs=0.05)


def test_differences_are_paired():
    a = table(noise=0.5)
    b = a.assign(predicted_valence=0.5 * (a["predicted_valence"] + a["valence"]))
    first, second = (moments(rows, ["valence"]) for rows in (a, b))
    found = paired_difference(first, second, ccc, bounds=(-1, 1))
    expected = np.mean([ccc(second.counts.sum(1)) - ccc(first.counts.sum(1))])
    assert found.difference == pytest.approx(expected, abs=1e-10)
    assert found.p < 0.05
    same = paired_difference(first, first, ccc, bounds=(-1, 1))
    assert same.difference == 0


def test_the_mean_over_attributes():
    rows = table().assign(
        arousal=lambda t: t["valence"] ** 2, predicted_arousal=lambda t: t["predicted_valence"] ** 2
    )
    both = moments(rows, ["arousal", "valence"]).counts.sum(1)
    single = [ccc(moments(rows, [name]).counts.sum(1)) for name in ("arousal", "valence")]
    np.testing.assert_allclose(mean_ccc(both), np.mean(single, axis=0), atol=1e-12)


def with_arousal(known):
    """A table of two attributes, of which one is known of some utterances."""
    rows = table().assign(
        arousal=lambda t: t["valence"] ** 2, predicted_arousal=lambda t: t["predicted_valence"]
    )
    return rows.assign(arousal=rows["arousal"].where(known(rows)))


def test_the_mean_over_attributes_does_not_depend_on_their_order():
    """Also where one is known of other speakers than the other."""
    rows = with_arousal(lambda t: t["speaker"] < "s4")
    first, second = (
        interval(moments(rows, names), mean_ccc, bounds=(-1, 1))
        for names in (["arousal", "valence"], ["valence", "arousal"])
    )
    assert first.estimate == pytest.approx(second.estimate)
    assert (first.low, first.high, first.dof) == pytest.approx(
        (second.low, second.high, second.dof)
    )
    whole = rows.assign(arousal=rows["valence"])
    both, one = moments(whole, ["arousal", "valence"]), moments(whole, ["valence"])
    expected, found = speakers_model(one.tested), speakers_model(both.tested)
    assert found == pytest.approx(expected)


def test_a_seed_without_a_value_is_left_out_and_json_has_no_nan():
    rows = with_arousal(lambda t: t["seed"] != 1)
    found = _metric(measures(rows, [], ["arousal", "valence"])["ccc"])
    others = rows[rows["seed"] != 1]
    expected = _metric(measures(others, [], ["arousal", "valence"])["ccc"])
    assert found.pop("seeds") == [expected["seeds"][0], None, expected["seeds"][1]]
    expected.pop("seeds")
    assert found == expected
    never = rows.assign(arousal=rows["arousal"].where(rows["seed"] == 0))
    never["valence"] = never["valence"].where(never["seed"] == 1)
    nowhere = _metric(measures(never, [], ["arousal", "valence"])["ccc"])
    json.dumps(nowhere, allow_nan=False)


def test_without_a_truth_there_is_nothing_to_measure():
    with pytest.raises(ValueError, match="no prediction has a truth of \\['valence'\\]"):
        moments(table().assign(valence=np.nan), ["valence"])
