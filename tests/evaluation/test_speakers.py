"""Counts per speaker and seed against loops."""

import numpy as np
import pandas as pd
import pytest

from cleser.evaluation import cluster, confusion_matrix
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


def test_without_speakers_utterances_are_clusters_and_it_is_said():
    found = cluster(predictions(known=False), CLASSES)
    assert found.unit == "utterances"
    assert len(found.names) == found.unknown == 120
    some = predictions()
    some.loc[some["utterance"] == "x/0-anger-0", "speaker"] = None
    mixed = cluster(some, CLASSES)
    assert (mixed.unit, len(mixed.names), mixed.unknown) == ("speakers", 7, 1)


def test_some_seeds_are_those_seeds_alone():
    rows = predictions(seeds=3)
    rows["seed"] = rows["seed"].map({0: 7, 1: 3, 2: 5})
    # seed 7 has not tested speaker 0, seed 5 tested nobody else
    rows = rows[~((rows["seed"] == 7) & (rows["speaker"] == "x/0"))]
    rows = rows[(rows["seed"] != 5) | (rows["speaker"] == "x/0")]
    everything = cluster(rows, CLASSES)
    assert everything.seeds == [3, 5, 7]
    for seeds in ([7], [3, 7], [5]):
        expected = cluster(pd.concat([rows[rows["seed"] == s] for s in seeds]), CLASSES)
        found = everything.only(seeds)
        assert (found.names, found.seeds) == (expected.names, seeds)
        np.testing.assert_array_equal(found.counts, expected.counts)


def test_utterances_without_a_speaker_are_those_of_some_seeds():
    """Each seed has tested another of them: what the others have tested does not count."""
    rows = predictions(seeds=3)
    first = rows.groupby("seed").cumcount()
    nameless = (rows["speaker"] == "x/0") & (first % 3 == rows["seed"])
    rows["speaker"] = rows["speaker"].mask(nameless)
    everything = cluster(rows, CLASSES)
    for seeds in ([0], [0, 2]):
        expected = cluster(rows[rows["seed"].isin(seeds)], CLASSES)
        assert 0 < expected.unknown < everything.unknown
        assert everything.only(seeds).unknown == expected.unknown


def test_bad_predictions_are_named():
    with pytest.raises(ValueError, match="no predictions"):
        cluster(predictions().iloc[:0], CLASSES)
    with pytest.raises(ValueError, match=r"emotion holds 'anger', expected one of \['joy'\]"):
        cluster(predictions(), ["joy"])
