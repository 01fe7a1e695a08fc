"""Metrics of several emotions at once, against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from cleser.evaluation import interval
from cleser.evaluation.multi_label import (
    average_precision,
    exact_match,
    multi_label_counts,
    multi_label_f1,
)

CLASSES = ["anger", "fear", "joy"]


def table(seed, truth, p):
    rows = pd.DataFrame({"seed": seed, "utterance": range(len(p)), "speaker": None})
    rows["speaker"] = [f"s{i % 5}" for i in range(len(p))]
    for k, name in enumerate(CLASSES):
        rows[f"true_{name}"], rows[f"sigmoid_{name}"] = truth[:, k], p[:, k]
    return rows


def drawn(seed, size=60):
    rng = np.random.default_rng(seed)
    truth = rng.random((size, 3)) < [0.5, 0.3, 0.2]
    truth[~truth.any(1), 0] = True
    p = np.clip(0.3 * truth + rng.random((size, 3)) * 0.7, 0, 1)
    p[:4] = [[0.5, 0.0, 1.0], [0.4999999, 0.5, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    return truth, p


def test_metrics_of_each_seed_by_scikit_learn():
    seeds = [drawn(seed) for seed in range(3)]
    rows = pd.concat([table(s, *of) for s, of in enumerate(seeds)], ignore_index=True)
    found = multi_label_counts(rows, CLASSES)
    total = found.counts.sum(1)
    for s, (truth, p) in enumerate(seeds):
        decided = p >= 0.5
        assert multi_label_f1(total)[s] == pytest.approx(f1_score(truth, decided, average="macro"))
        hundredths = np.floor(100 * p) / 100
        expected = average_precision_score(truth, hundredths, average="macro")
        assert average_precision(total)[s] == pytest.approx(expected)
        assert exact_match(total)[s] == pytest.approx(accuracy_score(truth, decided))
    for g, name in enumerate(found.names):
        own = seeds[0][0][[f"s{i % 5}" == name for i in range(60)]]
        assert found.tested[0, g, :, 0].tolist() == own.sum(0).tolist()
    assert interval(found, multi_label_f1).covers == "speakers and seeds"


def test_a_probability_that_is_a_threshold_reaches_it():
    p = np.arange(101) / 100
    rows = table(0, np.ones((101, 3), bool), np.stack([p] * 3, 1))
    counts = multi_label_counts(rows, CLASSES).counts.sum((0, 1))
    assert (counts[:3] == 1).all()


def test_classes_that_no_utterance_has_do_not_count():
    truth = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
    p = np.array([[0.9, 0.2, 0.7], [0.8, 0.6, 0.1], [0.6, 0.3, 0.2], [0.9, 0.9, 0.9]])
    counts = multi_label_counts(table(0, truth, p), CLASSES).counts.sum((0, 1))
    # The last utterance is unknown. Anger: 2 hits, 1 false alarm; fear: 1 hit, 1 missed.
    assert multi_label_f1(counts) == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert average_precision(counts) == pytest.approx((1 + 1) / 2)
    assert exact_match(counts) == pytest.approx(1 / 3)


def test_nothing_to_measure():
    truth, p = drawn(0)
    assert multi_label_counts(table(0, truth & False, p), CLASSES) is None
    rows = table(0, truth, p)
    assert multi_label_counts(rows.drop(columns=["sigmoid_joy"]), CLASSES) is None
    none = multi_label_counts(rows, CLASSES).counts.sum((0, 1)) * 0
    assert np.isnan([m(none) for m in (multi_label_f1, average_precision, exact_match)]).all()
