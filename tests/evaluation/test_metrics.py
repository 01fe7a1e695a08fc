"""Metrics against scikit-learn, absent classes included."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

import cleser.evaluation
from cleser.evaluation import accuracy, confusion_matrix, f1, macro_f1, precision, recall, uar

labels = st.lists(st.integers(0, 4), min_size=1, max_size=60)


@settings(max_examples=300, deadline=None)
@given(labels, st.randoms())
@pytest.mark.filterwarnings("ignore")
def test_everything_equals_scikit_learn(truth, random):
    predicted = [random.randint(0, 4) for _ in truth]
    counts = confusion_matrix(truth, predicted, 5)
    present = sorted(set(truth))
    np.testing.assert_array_equal(counts, sk.confusion_matrix(truth, predicted, labels=range(5)))
    assert uar(counts) == pytest.approx(sk.balanced_accuracy_score(truth, predicted))
    assert accuracy(counts) == pytest.approx(sk.accuracy_score(truth, predicted))
    expected = sk.f1_score(truth, predicted, labels=present, average="macro", zero_division=0)
    assert macro_f1(counts) == pytest.approx(expected)
    for ours, theirs in (
        (recall, sk.recall_score),
        (precision, sk.precision_score),
        (f1, sk.f1_score),
    ):
        values = theirs(truth, predicted, labels=range(5), average=None, zero_division=np.nan)
        ours_here = ours(counts)
        known = ~np.isnan(ours_here) & ~np.isnan(values)
        np.testing.assert_allclose(ours_here[known], values[known])


def test_stacked_matrices_equal_one_by_one():
    counts = np.random.default_rng(0).integers(0, 9, (3, 2, 4, 4))
    for metric in (uar, macro_f1, accuracy):
        stacked = metric(counts)
        for i, j in np.ndindex(3, 2):
            assert stacked[i, j] == pytest.approx(float(metric(counts[i, j])))


def test_nothing_is_nan_and_not_a_number_of_luck():
    assert np.isnan(uar(np.zeros((3, 3))))
    assert np.isnan(recall(np.array([[0, 0], [1, 1]]))[0])
    assert uar(np.array([[0, 0], [1, 1]])) == 0.5


def test_bad_labels_are_named():
    with pytest.raises(ValueError, match="predicted holds 0 to 4, expected 0 to 3"):
        confusion_matrix([0, 1], [0, 4], 4)
    with pytest.raises(ValueError, match="shapes"):
        confusion_matrix([0, 1], [0], 4)


def test_who_counts_recalls_needs_neither_pages_nor_recordings():
    code = (
        "import sys; from cleser.evaluation import uar; "
        "assert not {'jinja2', 'pandas', 'rich', 'torch'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_that_are_imported_late_are_listed():
    assert set(cleser.evaluation.__all__) <= set(dir(cleser.evaluation))
    with pytest.raises(AttributeError, match=r"'cleser\.evaluation' has no attribute 'nothing'"):
        cleser.evaluation.nothing  # noqa: B018


def test_files_of_the_room_are_found_after_one_import():
    """In a process that has imported nothing else: names are looked for when they are asked for."""
    code = (
        "import sys, cleser.evaluation as room; assert 'torch' not in sys.modules; "
        "assert room.metrics.uar is room.uar and room.results.Run is room.Run"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
