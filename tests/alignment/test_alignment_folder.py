"""The alignments of a corpus are found, matched to utterances, and what is missing is said."""

import json
import unicodedata

import numpy as np
import pandas as pd
import pytest

from cleser.alignment import Alignment, load_alignments, write_textgrid


def manifest(*rows):
    names = ["utterance", "path", "start", "end"]
    return pd.DataFrame([dict(zip(names, row, strict=True)) for row in rows])


def write(path, phones="a", first=0.0):
    starts = first + 0.1 * np.arange(len(phones))
    write_textgrid(path, Alignment(starts, starts + 0.1, tuple(phones)))


def said(alignments):
    return [a if a is None else "".join(a.phones) for a in alignments]


ROWS = [
    ("emodb/03a01Fa", "c/wav/03a01Fa.wav", 0.0, np.nan),
    ("emodb/x", "c/wav/08b.flac", 0.0, np.nan),
]


@pytest.mark.parametrize(
    "names",
    [
        ("03a01Fa.TextGrid", "x.TextGrid"),
        ("03a01Fa.textgrid", "08b.TextGrid"),
        ("emodb/03a01Fa.TextGrid", "speaker/x.TextGrid"),
        ("ForceAligned/03a01Fa.TextGrid", "ForceAligned/08b.TextGrid"),
    ],
)
def test_files_are_named_like_the_utterance_or_its_recording(tmp_path, names):
    write(tmp_path / names[0], "ab")
    write(tmp_path / names[1], "ta")
    found = load_alignments(manifest(*ROWS), tmp_path)
    assert said(found) == ["ab", "ta"]
    assert found.problems == []
    assert found.summary() == "2 of 2 utterances have an alignment"


def test_folders_behind_links_are_looked_into_once(tmp_path):
    write(tmp_path / "else/x.TextGrid", "ab")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/emodb").symlink_to(tmp_path / "else", target_is_directory=True)
    (tmp_path / "else/above").symlink_to(tmp_path / "kept", target_is_directory=True)
    assert said(load_alignments(manifest(*ROWS[1:]), tmp_path / "kept")) == ["ab"]


def test_the_utterances_own_file_comes_first(tmp_path):
    write(tmp_path / "x.TextGrid", "ab")
    write(tmp_path / "08b.TextGrid", "ta")
    assert said(load_alignments(manifest(*ROWS[1:]), tmp_path)) == ["ab"]


def test_like_names_are_told_apart_by_folders(tmp_path):
    rows = [
        (f"turev-db/{f}-1234", f"Sound Source/{f}/1234.wav", 0.0, np.nan) for f in ("Sad", "Calm")
    ]
    write(tmp_path / "Sad/1234.TextGrid", "s")
    write(tmp_path / "Calm/1234.TextGrid", "k")
    assert said(load_alignments(manifest(*rows), tmp_path)) == ["s", "k"]
    rows[0] = ("turev-db/1234", "elsewhere/1234.wav", 0.0, np.nan)
    found = load_alignments(manifest(*rows), tmp_path)
    assert said(found) == [None, "k"]
    assert "named alike" in found.problems[0]["reason"]


def test_parts_of_a_recording_are_cut(tmp_path):
    write(tmp_path / "long.TextGrid", "abcdef", first=1.0)
    rows = [
        ("c/one", "long.wav", 1.2, 1.4),
        ("c/two", "long.wav", 1.4, np.nan),
        ("c/long", "long.wav", 0.0, np.nan),
    ]
    found = load_alignments(manifest(*rows), tmp_path)
    assert said(found) == ["cd", "ef", "abcdef"]
    np.testing.assert_allclose(found[0].starts, [0, 0.1], atol=1e-9)
    np.testing.assert_allclose(found[2].starts[0], 1.0)
    write(tmp_path / "two.TextGrid", "x", first=0.3)
    assert load_alignments(manifest(rows[1]), tmp_path)[0].starts[0] == pytest.approx(0.3)


def test_one_ctm_file_for_many(tmp_path):
    (tmp_path / "all.ctm").write_text(
        "03a01Fa 1 0.0 0.1 HH\n03a01Fa 1 0.1 0.1 AH0\n08b 1 0 0.2 N\n"
    )
    assert said(load_alignments(manifest(*ROWS), tmp_path)) == ["hə", "n"]
    write(tmp_path / "08b.TextGrid", "a")
    assert said(load_alignments(manifest(*ROWS), tmp_path)) == ["hə", "a"]
    (tmp_path / "03a01Fa.ctm").write_text("03a01Fa 1 0.0 0.1 K\n")
    assert said(load_alignments(manifest(ROWS[0]), tmp_path)) == ["k"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("named", ["NFC", "NFD"])
def test_names_are_found_in_another_form(tmp_path, form, named):
    """Ids of utterances have one form, and files that of the system which they come from."""
    own, recording, spoken = (unicodedata.normalize(named, f"é{n}") for n in range(3))
    write(tmp_path / f"{own}.TextGrid", "a")
    write(tmp_path / f"{recording}.TextGrid", "abcdef")
    (tmp_path / "all.ctm").write_text(f"{spoken} 1 0.0 0.1 K\n")
    (tmp_path / f"{spoken}x.ctm").write_text(f"{spoken}x 1 0.0 0.1 HH\n")
    names = ("c/é0", "long.wav", 0.5, 0.7), ("c/x", "é1.wav", 0.2, 0.4), ("c/é2", "y.wav", 0, 0.1)
    rows = [tuple(unicodedata.normalize(form, n) if i < 2 else n for i, n in enumerate(row))
            for row in (*names, ("c/é2x", "z.wav", 0, 0.1))]  # fmt: skip
    assert said(load_alignments(manifest(*rows), tmp_path)) == ["a", "cd", "k", "h"]


def test_what_is_missing_or_broken_is_said(tmp_path):
    rows = [*ROWS, ("emodb/y", "y.wav", 0.0, np.nan)]
    write(tmp_path / "03a01Fa.TextGrid")
    (tmp_path / "08b.TextGrid").write_text("no grid")
    found = load_alignments(manifest(*rows), tmp_path)
    assert said(found) == ["a", None, None]
    assert [p["path"] for p in found.problems] == [f"{tmp_path}/08b.TextGrid", "y.wav"]
    assert found.summary().startswith(
        f"1 of 3 utterances has an alignment; 1 cannot be read ({tmp_path}/08b.TextGrid: line 1: "
    )
    assert found.summary().endswith("1 has no alignment (y.wav)")
    with pytest.raises(
        ValueError, match=r"none of 1 utterances .*expected files like q\.TextGrid; found 03a01Fa"
    ):
        load_alignments(manifest(("c/q", "q.wav", 0.0, np.nan)), tmp_path)
    with pytest.raises(ValueError, match="no such folder of alignments"):
        load_alignments(manifest(*rows), tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="found no file that ends in one of"):
        load_alignments(manifest(*rows), tmp_path / "empty")


def test_several_without_an_alignment_have_none(tmp_path):
    write(tmp_path / "03a01Fa.TextGrid")
    rows = [*ROWS, ("emodb/y", "y.wav", 0.0, np.nan)]
    expected = "1 of 3 utterances has an alignment; 2 have none (c/wav/08b.flac)"
    assert load_alignments(manifest(*rows), tmp_path).summary() == expected


def test_phones_that_the_manifest_states():
    rows = manifest(*ROWS)
    with pytest.raises(ValueError, match="no column 'phones', expected a folder"):
        load_alignments(rows)
    rows["phones"] = [json.dumps([["ts.h", 0.0, 0.1], ["ˈɑu", 0.1, 0.3]]), None]
    found = load_alignments(rows)
    assert found[0].phones == ("ʈʂʰ", "ɑu")
    assert found[1] is None
    assert (
        found.summary() == "1 of 2 utterances has an alignment; 1 has no alignment (c/wav/08b.flac)"
    )
