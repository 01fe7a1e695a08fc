"""Calibration against loops, closed forms and worlds whose truth is known."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from scipy.special import softmax

from cleser.evaluation import (
    fit_temperature,
    fit_temperatures,
    reliability,
    temper,
    tempered,
    write_results,
)
from tests.evaluation.test_report import make_run

NAMES = ["a", "b", "c"]


def world(n=600, speakers=6, seeds=1, sharpness=1.0, seed=0, shift=0.0):
    """Truth drawn from the probabilities themselves: at sharpness 1 they are calibrated, above it overconfident."""
    rng = np.random.default_rng(seed)
    logits = 1.5 * rng.standard_normal((seeds * n, len(NAMES)))
    truth = (rng.random(len(logits))[:, None] > softmax(logits, 1).cumsum(1)).sum(1)
    truth = np.where(rng.random(len(truth)) < shift, (truth + 1) % len(NAMES), truth)
    p = softmax(sharpness * logits, 1)
    return pd.DataFrame(
        {
            "seed": np.repeat(np.arange(seeds), n),
            "utterance": [f"u{i}" for i in range(n)] * seeds,
            "speaker": [f"s{i % speakers}" for i in range(n)] * seeds,
            "emotion": [NAMES[t] for t in truth],
            "predicted": [NAMES[i] for i in p.argmax(1)],
            **{f"p_{name}": p[:, k] for k, name in enumerate(NAMES)},
        }
    )


def shares(rows):
    return rows[[f"p_{name}" for name in NAMES]].to_numpy()


def codes(rows):
    return np.array([NAMES.index(name) for name in rows["emotion"]])


def by_loops(rows, bins):
    """ECE over bins of equal mass whose edges are utterances in order, as its definition says."""
    p, truth = shares(rows), codes(rows)
    sure = p.max(1)
    order = np.argsort(sure, kind="stable")
    total = 0.0
    for part in np.array_split(order, bins):
        hits = sum(float(p[i].argmax() == truth[i]) for i in part) / len(part)
        total += len(part) / len(rows) * abs(hits - sum(sure[i] for i in part) / len(part))
    return total


@pytest.mark.parametrize("bins", [1, 5, 10])
def test_the_error_is_that_of_its_definition(bins):
    rows = world()
    found = reliability(rows, NAMES, bins=bins)
    assert found.interval("ece").estimate == pytest.approx(by_loops(rows, bins))
    np.testing.assert_allclose(found.share, 1 / bins)
    wrong = shares(rows).argmax(1) != codes(rows)
    over = shares(rows).max(1).mean() - 1 + wrong.mean()
    assert found.interval("overconfidence").estimate == pytest.approx(over)
    peer = -np.log(shares(rows)[np.arange(len(rows)), codes(rows)]).mean()
    assert found.interval("log_loss").estimate == pytest.approx(peer)


def test_equal_confidences_are_never_divided_and_order_does_not_matter():
    rows = world(n=300)
    rows[[f"p_{name}" for name in NAMES]] = shares(rows).round(1)
    found = reliability(rows, NAMES)
    mixed = reliability(rows.sample(frac=1, random_state=1), NAMES)
    assert len(found.share) <= len(np.unique(shares(rows).max(1)))
    np.testing.assert_allclose(found.accuracy, mixed.accuracy)
    assert len(reliability(rows.assign(p_a=1.0, p_b=0.0, p_c=0.0), NAMES).share) == 1


def test_the_floor_is_what_a_calibrated_recogniser_shows():
    """Mean ECE of 80 calibrated worlds, within four of its standard errors."""
    found = [reliability(world(n=200, seed=s), NAMES) for s in range(80)]
    errors = [f.interval("ece").estimate for f in found]
    floor = np.mean([f.floor for f in found])
    assert np.mean(errors) == pytest.approx(floor, abs=4 * np.std(errors) / np.sqrt(80))


def test_intervals_over_like_speakers_are_students_t():
    rows = world(n=700, speakers=7, sharpness=2)
    over = shares(rows).max(1) - (shares(rows).argmax(1) == codes(rows))
    each = [over[rows["speaker"] == name].mean() for name in sorted(set(rows["speaker"]))]
    ends = stats.ttest_1samp(each, 0).confidence_interval(0.95)
    found = reliability(rows, NAMES).interval("overconfidence")
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))
    assert (found.dof, found.covers) == (pytest.approx(6), "speakers")


def test_one_speaker_has_no_interval():
    found = reliability(world(n=50, speakers=1), NAMES).interval("ece")
    assert np.isnan([found.low, found.high]).all()
    assert found.estimate > 0


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_was_planted(sharpness):
    """With 20,000 utterances the estimate's standard error is below 2 %."""
    rows = world(n=20_000, sharpness=sharpness)
    found = fit_temperature(shares(rows), codes(rows))
    assert found == pytest.approx(sharpness, rel=0.06)
    after = reliability(rows, NAMES, probabilities=temper(shares(rows), found))
    assert after.interval("ece").estimate < 3 * after.floor


def test_the_temperature_is_where_the_likelihood_is_greatest():
    rows = world(n=200, sharpness=2, seed=3)
    grid = np.exp(np.linspace(-2, 2, 401))
    losses = [
        -np.log(softmax(np.log(shares(rows)) / t, 1)[np.arange(200), codes(rows)]).mean()
        for t in grid
    ]
    assert fit_temperature(shares(rows), codes(rows)) == pytest.approx(
        grid[np.argmin(losses)], rel=1e-2
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 99), st.floats(0.05, 20))
def test_no_label_changes_and_rows_stay_shares(seed, temperature):
    p = np.random.default_rng(seed).dirichlet(np.full(4, 0.3), 20)
    q = temper(p, temperature)
    np.testing.assert_allclose(q.sum(1), 1)
    assert (np.take_along_axis(q, p.argmax(1)[:, None], 1)[:, 0] == q.max(1)).all()
    if temperature >= 1:  # below, small shares become nothing
        np.testing.assert_allclose(temper(q, 1 / temperature), temper(p, 1), atol=1e-9)


def test_extremes_stay_within_bounds():
    """All right: as sure as allowed; all alike and wrong: as unsure."""
    sure = np.tile([0.6, 0.3, 0.1], (9, 1))
    assert fit_temperature(sure, np.zeros(9, int)) == pytest.approx(0.05, rel=1e-3)
    assert fit_temperature(sure, np.full(9, 2)) == pytest.approx(20, rel=1e-3)
    assert np.isfinite(temper([[1.0, 0.0, 0.0]], 20)).all()
    for wrong in (0, -1, np.nan):
        with pytest.raises(ValueError, match="expected more than 0"):
            temper(sure, wrong)
    with pytest.raises(ValueError, match="N at least 1"):
        fit_temperature(np.empty((0, 3)), [])


def test_each_network_has_its_own_temperature():
    development = pd.concat(
        [world(n=4000, sharpness=s).assign(seed=seed) for seed, s in enumerate((1.0, 3.0))]
    )
    found = fit_temperatures(development, NAMES)
    assert [row["seed"] for row in found] == [0, 1]
    assert [row["temperature"] for row in found] == pytest.approx([1, 3], rel=0.15)
    q = tempered(development, NAMES, found)
    for seed, row in enumerate(found):
        own = (development["seed"] == seed).to_numpy()
        np.testing.assert_allclose(q[own], temper(shares(development)[own], row["temperature"]))
    with pytest.raises(ValueError, match=r"networks \[\(1,\)\] \(seed\) have no temperature"):
        tempered(development, NAMES, found[:1])
    folds = [development.assign(fold=name) for name in ("x", "y")]
    assert [(r["fold"], r["seed"]) for r in fit_temperatures(pd.concat(folds), NAMES)] == [
        ("x", 0), ("x", 1), ("y", 0), ("y", 1),
    ]  # fmt: skip


def test_results_calibrate_on_the_source_alone(tmp_path):
    """The temperature does not move with the target's labels, and before and after stand in the results."""
    folder = make_run(tmp_path / "run")
    results = json.loads((folder / "results.json").read_text())
    assert "after" not in results["calibration"]
    rows = pd.read_parquet(folder / "predictions.parquet")
    classes = results["confusion"]["classes"]
    own = rows.assign(utterance="source " + rows["utterance"])
    own.to_parquet(folder / "development.parquet")
    first = write_results(folder)["calibration"]
    p = rows[[f"p_{name}" for name in classes]].to_numpy()
    for row in first["temperatures"]:
        of = (rows["seed"] == row["seed"]).to_numpy()
        truth = np.array([classes.index(e) for e in rows["emotion"][of]])

        def loss(t, p=p[of], truth=truth):
            q = softmax(np.log(p) / t, 1)
            return -np.log(q[np.arange(len(truth)), truth]).mean()

        best = optimize.minimize_scalar(loss, bounds=(0.05, 20), method="bounded").x
        assert row["temperature"] == pytest.approx(best, rel=1e-3)
    rows.assign(emotion=rows["emotion"].sample(frac=1, random_state=0).to_numpy()).to_parquet(
        folder / "predictions.parquet"
    )
    second = write_results(folder)["calibration"]
    assert second["temperatures"] == first["temperatures"]
    assert second["before"]["ece"] != first["before"]["ece"]
