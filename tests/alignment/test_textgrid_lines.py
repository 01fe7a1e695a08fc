"""TextGrids read line by line hold the same as value by value, or are left to the careful reader."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from praatio import textgrid as praatio
from praatio.utilities.constants import Interval

from cleser.alignment.files.textgrid import _read_text, _Values, decode
from cleser.alignment.files.textgrid_lines import read_lines
from cleser.alignment.files.tiers import AlignmentError

WORDS = [Interval(0.1, 0.35, "the"), Interval(0.5, 1.0, "ca")]
PHONES = [
    Interval(*e) for e in ((0.1, 0.2, "ð"), (0.2, 0.35, "ə"), (0.5, 0.75, "K"), (0.75, 1, "a"))
]
LAYOUTS = ("long_textgrid", "short_textgrid")


def written(folder, layout):
    grid = praatio.Textgrid(0, 1.2)
    for name, entries in (("words", WORDS), ("phones", PHONES)):
        grid.addTier(praatio.IntervalTier(name, entries, 0, 1.2))
    grid.save(str(folder / layout), layout, includeBlankSpaces=True)
    return decode((folder / layout).read_bytes())


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return {layout: written(tmp_path_factory.mktemp("texts"), layout) for layout in LAYOUTS}


def contents(tiers):
    return [
        (t.name, list(t.starts), list(t.ends), list(t.marks), list(map(t.where, range(len(t.marks)))), t.notes)
        for t in tiers
    ]  # fmt: skip


def agree(text):
    """Whether the line-by-line reader took the text; what it read must be what the careful one reads."""
    found = read_lines(text)
    if found is None:
        return False
    assert contents(found) == contents(_read_text(_Values(text, "a.TextGrid")))
    return True


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("end", [" \n", "\n"])  # Praat and praatio leave a blank, others do not
def test_usual_files_are_read_by_lines(texts, layout, end):
    text = texts[layout].replace(" \n", end)
    assert agree(text)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"K"', '"K""k"'),
        ('"K"', '"K\nk"'),
        ('"K"', r'"\sw"'),
        ('"K"', '"K" ! a comment'),
        ('"K"', '5 "K"'),
        ('"K"', '"K" 5'),
        ('""', '5 ""'),
        ('""', '"" 5'),
        ('"K"\n', '"K" "k"\n\n'),
        ('"K"\n', '"K""k"\n\n'),
        ('"K"\n', '"K"\n\n'),
        ("0.75", "75%"),
        ("0.75", "3/4"),
        ("0.75", ".75"),
        ("0.75", " .75"),
        ("0.75", "+0.75"),
        ("0.75", "7.5e-1"),
        ("0.75", "0.7_5"),
        ("0.75", "٠.75"),
        ("0.75", "0.75\xa0"),
        ("0.75", "nan"),
        ("0.75", "0.75 0.75"),
        ("0.75", "0.75.0"),
        ("0.35\n0.5\n", "0.35\n0.4\n"),
        ("xmin = 0.5", "xmin = 0.4"),
        ("intervals [3]:", "intervals [3]: 1"),
        ("intervals [3]:", "intervals 3:"),
        ("xmin = 0.5 \n", "\n"),
        ("xmax = 0.5 \n", "xmin = 0.5 \n"),
        ('"phones"', '"pho""nes"'),
        ('"phones"', '"phones" "x"'),
        ("IntervalTier", "TextTier"),
        ("<exists>", "<absent>"),
        ("size = 2", "size = 1"),
        ("size = 2", "size = 3"),
        ("<exists>\n2", "<exists>\n3"),
        ("intervals: size = 7", "intervals: size = 6"),
        ("intervals: size = 7", "intervals: size = 8"),
        ("1.2\n7\n", "1.2\n6\n"),
        ("1.2\n7\n", "1.2\n99999999999\n"),
        ("1.2\n7\n", "1.2\n0\n"),
    ],
)
def test_unusual_files_are_left_to_the_careful_reader(texts, layout, old, new):
    text = texts[layout]
    everywhere, first, last = text.replace(old, new), text.replace(old, new, 1), text.rsplit(old, 1)
    for changed in {everywhere, first, new.join(last)} - {text}:
        try:
            assert not agree(changed) or new == "7.5e-1"
        except AlignmentError:
            pytest.fail("read by lines what the careful reader refuses")


pieces = st.sampled_from(
    [*'"\n .+-_!%<', "\\", "0", "1.2", "5 ", '""', '" "', "\n\n", "nan", "xmin = ", "text = ", "٣", "\x0b", "\xa0",
     "\x85"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    layout=st.sampled_from(LAYOUTS),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), pieces), min_size=1, max_size=3),
    lines=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=2),
)
@example("short_textgrid", [(0.0, 0, "")], [])
def test_both_agree_on_any_edit(texts, layout, edits, lines):
    """Characters put in place of others, and lines that swap their places."""
    text = texts[layout]
    for share, dropped, piece in edits:
        at = int(share * len(text))
        text = text[:at] + piece + text[at + dropped :]
    rows = text.split("\n")
    for a, b in (tuple(int(share * (len(rows) - 1)) for share in pair) for pair in lines):
        rows[a], rows[b] = rows[b], rows[a]
    agree("\n".join(rows))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_agree_wherever_a_file_is_cut(texts, layout):
    text = texts[layout]
    taken = [at for at in range(len(text)) if agree(text[:at])]
    assert np.all(np.diff([*taken, len(text)]) == 1)
    assert text[taken[0] - 1] == '"'  # the last mark is whole; only blanks follow
