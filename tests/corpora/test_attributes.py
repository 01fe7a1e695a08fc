"""Arousal, valence and dominance: from the corpora's scales to one, and back."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleser.corpora import describe, load, problems
from cleser.corpora.attributes import (
    ATTRIBUTES,
    attributes_of,
    on_scale,
    parse_scale,
    to_original,
    with_mapped_attributes,
)
from tests.corpora.trees import write_corpus

SCALES = {"msp": (1, 7), "iemocap": (1, 5), "semaine": (-1, 1)}


@pytest.fixture
def table(tmp_path):
    """A manifest to which columns are added."""
    write_corpus(tmp_path, "mine", speakers=1)
    rows = pd.read_csv(tmp_path / "manifest.csv")

    def written(**columns):
        rows.assign(**columns).to_csv(tmp_path / "with.csv", index=False)
        return f"manifest:{tmp_path / 'with.csv'}"

    return written


@given(
    ends=st.tuples(st.integers(-10, 10), st.integers(1, 20)),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_a_scale_is_mapped_by_a_line_and_back(ends, shares):
    low, high = ends[0], ends[0] + ends[1]
    raw = [low + share * (high - low) for share in shares]
    rows = pd.DataFrame({"utterance": range(len(raw)), "valence": raw, "scale": f"{low}..{high}"})
    mapped = with_mapped_attributes(rows)
    np.testing.assert_allclose(mapped["valence"], [2 * share - 1 for share in shares], atol=1e-12)
    np.testing.assert_allclose(to_original(mapped["valence"], f"{low}..{high}"), raw, atol=1e-12)
    assert "scale" not in mapped


def test_a_manifest_says_its_scale_in_a_column_or_behind_its_name(table):
    columns = {"arousal": [1, 3, 5, None], "valence": [2, 2, 2, 2]}
    for spec in (table(**columns) + "?scale=1..5", table(**columns, scale="1..5")):
        manifest = load(spec)
        assert manifest["arousal"].tolist()[:3] == [-1, 0, 1]
        assert np.isnan(attributes_of(manifest)).tolist() == [[False, False, True]] * 3 + [
            [True, False, True]
        ]
        assert set(manifest["original_scale"]) == {"1..5"}


def test_what_was_loaded_loads_again_unchanged(table, tmp_path):
    manifest = load(table(dominance=[1, 7, 4, 2.5], scale="1..7"))
    manifest.to_csv(tmp_path / "again.csv", index=False)
    again = load(f"manifest:{tmp_path / 'again.csv'}")
    pd.testing.assert_frame_equal(again, manifest)


def test_columns_of_msp_podcast_bring_their_scale(table):
    assert load(table(EmoAct=[1, 7, 4, 4]))["arousal"].tolist() == [-1, 1, 0, 0]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"arousal": [0.5, 3, 0, 0]}, "arousal is 3, expected -1 to 1; say on which scale"),
        ({"valence": [1, 2, 9, 0], "scale": "1..7"}, "valence is 9, expected 1 to 7"),
        ({"valence": [1, 2, 3, 0], "scale": "7 to 1"}, "scale is '7 to 1', expected its ends"),
        ({"valence": ["high", 2, 3, 0]}, "valence is 'high', expected a number"),
    ],
)
def test_values_beyond_the_scale_are_refused(table, columns, said):
    with pytest.raises(ValueError, match=said):
        load(table(**columns))


def test_a_published_value_beyond_its_scale_is_missing_and_named(write):
    root = write("Audios/MSP-PODCAST_0001_0008.wav")
    (root / "labels_consensus.csv").write_text(
        "FileName,EmoClass,EmoAct,EmoVal,EmoDom\nMSP-PODCAST_0001_0008.wav,N,0.5,4,7\n"
    )
    manifest = load(f"msp-podcast:{root}")
    assert attributes_of(manifest)[0].tolist()[1:] == [0, 1]
    assert np.isnan(manifest["arousal"].iloc[0])
    assert [p.reason for p in problems(manifest)] == [
        "is beyond its scale and counts as missing: 0.5, expected 1 to 7"
    ]


def test_several_scales_side_by_side():
    rows = pd.concat(
        [
            on_scale(
                pd.DataFrame({"utterance": [name], **dict.fromkeys(ATTRIBUTES, high)}),
                f"{low}..{high}",
                "table",
            )[0]
            for name, (low, high) in SCALES.items()
        ]
    )
    assert attributes_of(with_mapped_attributes(rows)).tolist() == [[1] * 3] * 3


def test_a_corpus_without_attributes_has_no_such_columns(table):
    manifest = load(table())
    assert not {*ATTRIBUTES, "original_scale"} & set(manifest)
    assert np.isnan(attributes_of(manifest)).all()
    assert describe(manifest, probe=False).attributes.empty


def test_describe_counts_and_measures(table):
    values = [1, 7, 4, None]
    found = describe(load(table(arousal=values, scale="1..7")), probe=False).attributes
    row = found.loc["arousal (1..7)"]
    assert row[["known", "missing", "mean", "lowest", "highest"]].tolist() == [3, 1, 0, -1, 1]
    assert row["sd"] == pytest.approx(1.0)
    assert found.loc["valence (1..7)", "missing"] == 4


@pytest.mark.parametrize("text", ["", "1", "1..", "5..1", "1..1", "a..b"])
def test_what_is_no_scale(text):
    with pytest.raises(ValueError, match="scale is"):
        parse_scale(text)
