import json

import pandas as pd
import pytest

from cleser.corpora import COLUMNS, Listing, Problem, problems, validate
from cleser.corpora.manifest import assemble
from cleser.corpora.terms import to_emotions

ROWS = pd.DataFrame(
    {
        "utterance": ["a", "b"],
        "path": ["a.wav", "b.wav"],
        "language": "de",
        "speaker": ["1", None],
        "emotion": ["anger", None],
        "style": [3, 4],
    }
)


def manifest(**changes):
    return assemble("mine", Listing(ROWS, [])).assign(**changes)


def test_assemble_completes_rows_and_prefixes_ids():
    found = assemble("mine", Listing(ROWS, [Problem("c.wav", "is empty (0 bytes)")]))
    assert list(found) == [*COLUMNS, "style"]
    assert found["utterance"].tolist() == ["mine/a", "mine/b"]
    assert found["speaker"].iloc[0] == "mine/1"
    assert found["speaker"].isna().tolist() == [False, True]
    assert found["start"].tolist() == [0.0, 0.0]
    assert found["end"].isna().all()
    assert problems(found) == [Problem("c.wav", "is empty (0 bytes)")]
    json.dumps(found.attrs)


def test_assemble_does_not_change_the_readers_rows():
    before = ROWS.copy()
    manifest()
    pd.testing.assert_frame_equal(ROWS, before)


def test_problems_survive_parquet(tmp_path):
    found = assemble("mine", Listing(ROWS, [Problem("c.wav", "is missing")]))
    found.to_parquet(tmp_path / "m.parquet")
    assert problems(pd.read_parquet(tmp_path / "m.parquet")) == problems(found)


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (
            "utterance",
            ["x", "x"],
            r"row 1 \(x; the first is row 0\): utterance is 'x', expected another id",
        ),
        ("path", ["x", ""], r"row 1 .*path is '', expected a value"),
        ("language", ["de", "deu"], r"row 1 .*language is 'deu', expected an ISO 639-1"),
        (
            "language",
            ["de", "cn"],
            r"'cn', expected an ISO 639-1 code, as de or en; did you mean zh",
        ),
        ("language", ["de", "qq"], r"'qq', expected an ISO 639-1 code, as de or en$"),
        ("language", ["de", None], r"row 1 .*language is missing, expected a value"),
        ("gender", ["female", "f"], r"row 1 .*gender is 'f', expected one of"),
        ("emotion", ["angry", None], r"row 0 .*emotion is 'angry', expected one of.*'anger'"),
        ("split", ["train", "fold1"], r"row 1 .*split is 'fold1', expected train"),
    ],
)
def test_validate_names_row_column_and_expectation(column, values, expected):
    with pytest.raises(ValueError, match=expected):
        validate(manifest(**{column: pd.Series(values, dtype="str")}))


@pytest.mark.parametrize(
    ("times", "column"),
    [({"start": [-1.0, 0.0]}, "start"), ({"start": [2.0, 0.0], "end": [1.0, 1.0]}, "end")],
)
def test_validate_refuses_impossible_times(times, column):
    with pytest.raises(ValueError, match=rf"row 0 .*: {column} is"):
        validate(manifest(**times))


def test_validate_refuses_missing_columns_and_wrong_types():
    with pytest.raises(ValueError, match=r"lacks the columns \['text'\]"):
        validate(manifest().drop(columns="text"))
    with pytest.raises(ValueError, match="column start has the type int64, expected float64"):
        validate(manifest(start=0))


@pytest.mark.parametrize("split", ["train", "dev", "test", "test1", "test3"])
def test_official_splits_of_corpora_are_valid(split):
    validate(manifest(split=pd.Series([split, None], dtype="str")))


def test_copies_of_a_manifest_share_its_problems():
    found = assemble("mine", Listing(ROWS, [Problem("c.wav", "is missing")]))
    part = found[found["emotion"] == "anger"].copy(deep=True)
    assert part.attrs["problems"] is found.attrs["problems"]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("cn", "zh"), ("jp", "ja"), ("gr", "el"), ("cz", "cs"), ("kr", "ko"), ("sp", "es"),
     ("cn-TW", "zh"), ("JP", "ja"), ("jap", "ja"), ("usa", "en"), ("GBR", "en"), ("bra", "pt"), ("sh", "sr"),
     ("bh", "bho")],
)  # fmt: skip
def test_a_country_is_no_language(wrong, right):
    listing = Listing(ROWS.assign(language=wrong), [])
    with pytest.raises(ValueError, match=f"language is '{wrong}', .*did you mean {right}"):
        assemble("mine", listing)
    assert set(assemble("mine", Listing(ROWS.assign(language=right), []))["language"]) == {right}


@pytest.mark.parametrize(
    ("written", "code"),
    [("yue", "yue"), ("zh-yue", "yue"), ("zh-yue-HK", "yue"), ("zh-HK", "zh"), ("zh-cmn", "zh"),
     ("zh-nan", "zh"), ("zh-nan-TW", "zh"), ("zh-hak", "hak"),
     ("Cantonese", "yue"), ("arz", "arz"), ("eng-USA", "en"), ("abk", "ab"), ("Romansh", "rm")],
)  # fmt: skip
def test_a_language_has_a_code_of_two_letters_or_else_of_three(written, code):
    found = assemble("mine", Listing(ROWS.assign(language=written), []))
    assert set(found["language"]) == {code}


@pytest.mark.parametrize("none", ["und", "mul", "nan", "q", "abcd"])
def test_what_stands_for_no_language_is_refused(none):
    with pytest.raises(ValueError, match=f"language is '{none}', expected an ISO 639-1 code"):
        assemble("mine", Listing(ROWS.assign(language=none), []))


def test_words_are_read_once_however_many_corpora_there_are(monkeypatch):
    calls = []

    def counted(labels, rename=None, corpus=""):
        calls.append(corpus)
        return to_emotions(labels, rename, corpus)

    monkeypatch.setattr("cleser.corpora.manifest.to_emotions", counted)
    labels = ["hap", "A", " F ", "sad", None]
    rows = pd.DataFrame({"utterance": [*"abcde"], "path": [*"abcde"], "language": "de"})
    rows = rows.assign(emotion=labels, corpus=["emodb", "emodb", "shemo", "own", "other"])
    found = assemble("mine", Listing(rows, []))["emotion"].fillna("").tolist()
    assert found == ["happiness", "fear", "fear", "sadness", ""]
    assert calls == ["", "emodb", "shemo"]
