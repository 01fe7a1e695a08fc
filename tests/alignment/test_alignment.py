"""An alignment holds together, and what is written opens in another library."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from praatio import textgrid

from cleser.alignment import Alignment, Phone, write_textgrid

times = st.lists(st.floats(0.001, 2.0), min_size=1, max_size=12)


@given(gaps=times, durations=times)
def test_a_sequence_of_phones(gaps, durations):
    count = min(len(gaps), len(durations))
    edges = np.cumsum(np.ravel(list(zip(gaps[:count], durations[:count], strict=True))))
    starts, ends = edges[::2], edges[1::2]
    alignment = Alignment(starts, ends, ("a",) * count)
    assert list(alignment) == [Phone(s, e, "a") for s, e in zip(starts, ends, strict=True)]
    bounds = alignment.bounds(50, frames=40)
    for (first, last), start in zip(bounds, starts, strict=True):
        assert 0 <= first <= last <= 40
        assert last > first or round(start * 50) >= 40
    assert alignment[1:] == Alignment(starts[1:], ends[1:], ("a",) * (count - 1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"starts": [0.1, np.nan]}, "phone 1 'b' lasts from nan to 0.3 s"),
        ({"starts": [-0.1, 0.2]}, "expected finite times from 0 on"),
        ({"ends": [0.2, 0.2]}, "phone 1 'b' lasts from 0.2 to 0.2 s .*expected an end after"),
        ({"ends": [0.21, 0.3]}, r"the one before ends at 0.21 s\), expected to start after"),
        ({"phones": ("a",)}, r"starts has the shape \(2,\), expected \(1,\)"),
        ({"phones": ("a", "")}, "phone 1 has no symbol"),
        ({"stress": [1]}, "stress has the shape"),
        ({"tones": ("˥",)}, "tones has the shape"),
        ({"quality": 1.5}, "quality is 1.5, expected 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused(change, said):
    parts = {"starts": [0.1, 0.2], "ends": [0.2, 0.3], "phones": ("a", "b")}
    with pytest.raises(ValueError, match=said):
        Alignment(**{**parts, **change})


def test_arrays_are_not_changed_behind_its_back():
    starts = np.array([0.1])
    alignment = Alignment(starts, [0.2], "a")
    starts[0] = 5
    assert alignment.starts[0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        alignment.starts[0] = 5


def test_cut_out_of_a_longer_recording():
    alignment = Alignment([1.0, 1.2, 1.5], [1.2, 1.5, 2.0], "abc", stress=[0, 1, 0])
    part = alignment.cut(1.15, 1.6)
    np.testing.assert_allclose(part.starts, [0.05])
    np.testing.assert_allclose(part.ends, [0.35])
    assert part.phones == ("b",)
    assert part.stress.tolist() == [1]


def test_written_files_open_in_praatio(tmp_path):
    alignment = Alignment(
        [0.1, 0.25, 0.6],
        [0.25, 0.4, 0.75],
        ("t", 'iː"', "a"),
        stress=[0, 2, 1],
        tones=("", "", "˧˥"),
        lengths=("", "", "ː"),
        quality=0.5,
    )
    path = tmp_path / "new" / "a.TextGrid"
    write_textgrid(path, alignment, duration=1.0)
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=True)
    assert grid.tierNames == ("phones", "alignment")
    assert [tuple(e) for e in grid.getTier("phones").entries] == [
        (0, 0.1, ""),
        (0.1, 0.25, "t"),
        (0.25, 0.4, 'ˌiː"'),
        (0.4, 0.6, ""),
        (0.6, 0.75, "ˈaː˧˥"),
        (0.75, 1.0, ""),
    ]
    assert list(path.parent.iterdir()) == [path]


def test_a_file_needs_a_length(tmp_path):
    empty = Alignment([], [], ())
    with pytest.raises(ValueError, match="no phone and no duration"):
        write_textgrid(tmp_path / "a.TextGrid", empty)
    write_textgrid(tmp_path / "a.TextGrid", empty, duration=1)
    assert (
        len(textgrid.openTextgrid(str(tmp_path / "a.TextGrid"), True).getTier("phones").entries)
        == 1
    )
    with pytest.raises(ValueError, match="ends at 2 s, after the recording's 1 s"):
        write_textgrid(tmp_path / "a.TextGrid", Alignment([0], [2], "a"), duration=1)
