"""Alignments in few arrays: the same phones and times as the objects that they were made of."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleser.alignment import Alignment, load_alignments, write_textgrid
from cleser.alignment.folder import pack_alignments
from cleser.alignment.packed import PackedAlignments

SYMBOLS = ["a", "ʃ", "tʰ", "ŋ"]


@st.composite
def alignments(draw):
    if draw(st.booleans()):
        return None
    phones = draw(st.lists(st.sampled_from(SYMBOLS), max_size=5))
    edges = np.arange(len(phones) + 1) * draw(st.floats(0.01, 1))
    return Alignment(edges[:-1], edges[1:], tuple(phones), uniform=draw(st.booleans()))


@given(st.lists(alignments(), max_size=6))
def test_what_is_packed_comes_out_again(many):
    packed = pickle.loads(pickle.dumps(PackedAlignments(many)))
    assert len(packed) == len(many) and packed.known == sum(a is not None for a in many)
    for one, other in zip(packed, many, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.phones == other.phones and one.uniform == other.uniform
            assert np.array_equal(one.starts, other.starts)
            assert np.array_equal(one.ends, other.ends)
    assert [a is None for a in packed[1:]] == [a is None for a in many[1:]]
    with pytest.raises(IndexError):
        packed[len(many)]


def test_a_folder_is_packed_as_it_is_loaded(tmp_path):
    """Also what is wrong with it: a file that is missing, and one that is broken."""
    rows = pd.DataFrame({
        "utterance": [f"c/{n}" for n in "abcd"], "path": [f"{n}.wav" for n in "abcd"],
        "start": 0.0, "end": np.nan,
    })  # fmt: skip
    for name, phones in (("a", "pa"), ("b", "ta")):
        spoken = Alignment([0.0, 0.2], [0.2, 0.4], tuple(phones))
        write_textgrid(tmp_path / f"{name}.TextGrid", spoken, 0.5)
    (tmp_path / "c.TextGrid").write_text("nothing")
    loaded = load_alignments(rows, tmp_path)
    packed = pack_alignments(rows, tmp_path)
    assert packed.said == loaded.summary() and "2 of 4" in packed.said
    assert [a and a.phones for a in packed] == [a and a.phones for a in loaded]


def test_a_digest_is_of_who_has_which_phones_when_in_any_order():
    one, two = Alignment([0.0, 0.1], [0.1, 0.3], "ab"), Alignment([0.0], [0.2], "b")
    found = PackedAlignments([one, two, None]).digest(["x", "y", "z"])
    assert PackedAlignments([None, two, one]).digest(["z", "y", "x"]) == found
    others = [
        PackedAlignments([two, one, None]),
        PackedAlignments([one, two, two]),
        PackedAlignments([Alignment([0.0, 0.1], [0.1, 0.4], "ab"), two, None]),
        PackedAlignments([Alignment([0.0, 0.1], [0.1, 0.3], "ac"), two, None]),
        PackedAlignments([one, Alignment([0.0], [0.2], "b", uniform=True), None]),
    ]
    assert len({found, *(packed.digest(["x", "y", "z"]) for packed in others)}) == 6
    assert PackedAlignments([None]).digest(["x"]) != found
