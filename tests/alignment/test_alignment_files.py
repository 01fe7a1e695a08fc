"""Files of alignments: as praatio and Praat write them, in every encoding, and broken in every place."""

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from praatio import textgrid as praatio
from praatio.utilities.constants import Interval

from cleser.alignment import Alignment, AlignmentError, read_alignment, write_textgrid

PHONES = [(0.1, 0.2, "DH"), (0.2, 0.35, "AH0"), (0.5, 0.75, "K"), (0.75, 1.0, "AE1")]
WORDS = [(0.1, 0.35, "the"), (0.5, 1.0, "ca")]


def save(path, tiers, layout="long_textgrid"):
    grid = praatio.Textgrid(0, 1.2)
    for name, entries in tiers.items():
        grid.addTier(praatio.IntervalTier(name, [Interval(*e) for e in entries], 0, 1.2))
    grid.save(str(path), layout, includeBlankSpaces=True)
    return path


@pytest.mark.parametrize("layout", ["long_textgrid", "short_textgrid"])
@pytest.mark.parametrize(
    "tiers",
    [
        {"words": WORDS, "phones": PHONES},
        {"words": WORDS, "x": PHONES},
        {"": WORDS, "x": PHONES},
        {"MAU": PHONES, "KAN": WORDS},
        {"B - words": WORDS, "B - phones": PHONES},
        {"only": PHONES},
    ],
)
def test_the_tier_of_phones_is_found(tmp_path, layout, tiers):
    path = save(tmp_path / "a.TextGrid", tiers, layout)
    alignment = read_alignment(path)
    assert list(alignment) == [
        (0.1, 0.2, "ð"),
        (0.2, 0.35, "ə"),
        (0.5, 0.75, "k"),
        (0.75, 1.0, "æ"),
    ]
    assert alignment.stress.tolist() == [0, 0, 0, 1]
    assert alignment.tones is None
    assert alignment.lengths is None
    assert alignment.quality is None
    assert not alignment.uniform


def test_a_tier_by_name_or_position(tmp_path):
    path = save(tmp_path / "a.TextGrid", {"one": PHONES, "two": [(0, 1, "S")], "words": WORDS})
    assert read_alignment(path, tier="two").phones == ("s",)
    assert read_alignment(path, tier=1).phones == ("s",)
    assert read_alignment(path, tier=-2).phones == ("s",)
    with pytest.raises(
        AlignmentError, match=r"a.TextGrid: there is no tier 'three', found \['one'"
    ):
        read_alignment(path, tier="three")
    with pytest.raises(AlignmentError, match=r"there is no tier 3, found 3"):
        read_alignment(path, tier=3)
    path = save(tmp_path / "b.TextGrid", {"x": PHONES, "y": PHONES})
    with pytest.raises(AlignmentError, match=r"cannot tell which tier .* name one of \['x', 'y'\]"):
        read_alignment(path)
    path = save(tmp_path / "c.TextGrid", {"A - phones": PHONES, "B - phones": PHONES})
    with pytest.raises(AlignmentError, match=r"several tiers could be phones"):
        read_alignment(path)


ENCODINGS = {
    "utf-8": "utf-8",
    "utf-8 with mark": "utf-8-sig",
    "utf-16 with mark": "utf-16",
    "utf-16 little-endian": "utf-16-le",
    "utf-16 big-endian": "utf-16-be",
}


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("layout", ["long_textgrid", "short_textgrid"])
def test_unicode(tmp_path, encoding, newline, layout):
    entries = [(0.1, 0.2, "ˈʃ"), (0.2, 0.3, "yː"), (0.3, 0.4, "t͡s"), (0.5, 0.6, "ç")]
    path = save(tmp_path / "a.TextGrid", {"phones": entries}, layout)
    text = path.read_text(encoding="utf-8").replace("\n", newline)
    path.write_bytes(text.encode(encoding))
    alignment = read_alignment(path)
    assert alignment.phones == ("ʃ", "y", "ts", "ç")
    assert alignment.stress.tolist() == [1, 0, 0, 0]
    assert alignment.lengths == ("", "ː", "", "")


@pytest.mark.parametrize(
    ("encoding", "newline"), [("latin-1", "\n"), ("mac-roman", "\r"), ("mac-roman", "\n")]
)
def test_one_byte_encodings(tmp_path, encoding, newline):
    tiers = {"Wörter": [(0, 0.5, "Füße")], "phones": [(0, 0.2, "ø"), (0.2, 0.4, "æ")]}
    path = save(tmp_path / "a.TextGrid", tiers)
    path.write_bytes(path.read_text(encoding="utf-8").replace("\n", newline).encode(encoding))
    assert read_alignment(path).phones == ("ø", "æ")
    assert len(read_alignment(path, tier="phones")) == 2


def test_praats_trigraphs(tmp_path):
    marks = [r"\'1\as\:f", r"\sw", r"d\li\zh", r"\ct\~^", r"n\|v"]
    entries = [(i / 10, (i + 1) / 10, mark) for i, mark in enumerate(marks)]
    alignment = read_alignment(save(tmp_path / "a.TextGrid", {"phones": entries}))
    assert alignment.phones == ("ɑ", "ə", "dʒ", "ɔ̃", "n̩")
    assert alignment.stress.tolist() == [1, 0, 0, 0, 0]


def test_files_of_a_corpus_may_differ_in_alphabet(tmp_path):
    written = {
        "arpabet": "HH AH0 L OW1",
        "ipa": "h ə l oʊ",
        "xsampa": "h @ l oU",
        "espeak": "h @ l '0 I#",
    }
    for name, marks in written.items():
        entries = [(i / 10, (i + 1) / 10, mark) for i, mark in enumerate(marks.split())]
        save(tmp_path / f"{name}.TextGrid", {"words": WORDS, "phones": entries})
    for name in ("arpabet", "ipa", "xsampa"):
        assert read_alignment(tmp_path / f"{name}.TextGrid").phones == ("h", "ə", "l", "oʊ")
    assert read_alignment(tmp_path / "espeak.TextGrid").phones == ("h", "ə", "l", "ɒ", "ɨ")
    with pytest.raises(AlignmentError, match=r"line .*: 'HH' is no symbol of the alphabet ipa"):
        read_alignment(tmp_path / "arpabet.TextGrid", alphabet="ipa")


LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = "AH0"
        intervals [2]:
            xmin = 0.5
            xmax = 1
            text = "N"
"""


def test_praats_own_layout(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(LONG)
    assert read_alignment(path).phones == ("ə", "n")
    # Praat reads any layout in which the free-standing values come in order.
    path.write_text(LONG.replace("\n", "   ! a comment\n").replace("xmin =", "anything"))
    assert read_alignment(path).phones == ("ə", "n")
    path.write_text(LONG.replace("            ", "").replace("    ", "\t"))
    assert read_alignment(path).phones == ("ə", "n")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"ooTextFile"', '"Praat"', "line 1: found 'Praat', expected a file of the type"),
        ('"TextGrid"', '"Sound"', "line 2: found the class 'Sound'"),
        ("<exists>", "<absent>", "the file has no tier of intervals"),
        ("size = 1\n", "size = 2\n", "line 22: the file ends, expected the class of a tier"),
        ('"IntervalTier"', '"Interval"', "line 10: found 'Interval', expected \"IntervalTier\""),
        ("intervals: size = 2", "intervals: size = 3", "line 22: the file ends, expected the start of interval 3 of 3"),
        ("intervals: size = 2", "intervals: size = 1.5", "line 14: found 1.5, expected the number of intervals"),
        ("intervals: size = 2", "intervals: size = 99999", "line 14: found 99999, expected the number of intervals"),
        ("size = 1\n", "size = 99999\n", "line 7: found 99999, expected the number of tiers"),
        ("<exists>", "", "line 7: found '1', expected <exists>"),
        ("xmax = 0.5\n", "xmax = half\n", "line 18: found '\"AH0\"', expected the end of interval 1 of 2"),
        ("xmax = 0.5\n", "xmax = 0\n", "line 16: 'AH0' lasts from 0 to 0 s"),
        ("xmin = 0.5\n", "xmin = 0.4\n", "line 20: 'N' lasts from 0.4 to 1 s, after one that ends at 0.5"),
        ('"N"', '"N', "line 22: the file ends within a text, expected the text of interval 2"),
        ('"N"', '"QX"', r"line 20: no alphabet has all of these symbols, .* lacks \['QX'\]"),
        (LONG, "", "line 1: the file ends, expected \"ooTextFile\""),
    ],
)  # fmt: skip
def test_broken_files_name_the_line(tmp_path, old, new, said):
    path = tmp_path / "broken.TextGrid"
    assert LONG.count(old) == 1 or old == '"N"'
    path.write_text(LONG.replace(old, new))
    with pytest.raises(
        AlignmentError, match=rf"broken\.TextGrid(:|, ){said}|broken\.TextGrid.*{said}"
    ):
        read_alignment(path)


def test_a_file_cut_anywhere_raises_or_is_whole(tmp_path):
    path = tmp_path / "cut.TextGrid"
    for end in range(len(LONG) - 3):
        path.write_text(LONG[:end])
        with pytest.raises(AlignmentError, match=r"cut.TextGrid"):
            read_alignment(path)


def test_point_tiers_are_passed_over(tmp_path):
    grid = praatio.Textgrid(0, 1)
    grid.addTier(praatio.PointTier("phones", [(0.1, "x"), (0.2, "y")], 0, 1))
    grid.addTier(praatio.IntervalTier("sounds", [Interval(0, 0.5, "a")], 0, 1))
    for layout in ("long_textgrid", "short_textgrid"):
        grid.save(str(tmp_path / "a.TextGrid"), layout, includeBlankSpaces=True)
        assert read_alignment(tmp_path / "a.TextGrid").phones == ("a",)


marks = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=8), max_size=8
)


@settings(max_examples=60, deadline=None)
@given(texts=marks, layout=st.sampled_from(["long_textgrid", "short_textgrid"]))
def test_any_words_beside_the_phones(tmp_path_factory, texts, layout):
    """Quotes, backslashes and layouts within marks do not lead astray, as praatio writes them."""
    folder = tmp_path_factory.mktemp("words")
    tricky = [
        *texts,
        'xmin = 1 xmax = 2 text = "A"',
        '"',
        '""',
        "! no comment",
        'class = "IntervalTier"',
    ]
    count = len(tricky)
    words = [(i / count, (i + 1) / count, mark or "x") for i, mark in enumerate(tricky)]
    path = save(folder / "a.TextGrid", {"words": words, "phones": PHONES}, layout)
    assert read_alignment(path).phones == ("ð", "ə", "k", "æ")


def test_what_was_written_is_read_again(tmp_path):
    random_ = random.Random(0)
    for trial in range(50):
        count = random_.randint(0, 12)
        edges = np.cumsum([round(random_.uniform(0.01, 0.3), 4) for _ in range(2 * count)])
        alignment = Alignment(
            edges[::2].round(9),
            edges[1::2].round(9),
            tuple(
                random_.choice(["a", "ɪ", "tʃʰ", "ʔ", "ç", "k͡p", "cç", "ⁿd"]) for _ in range(count)
            ),
            stress=[random_.choice([0, 1, 2]) for _ in range(count)] if count > 4 else None,
            tones=tuple(random_.choice(["", "˥", "˨˩˦"]) for _ in range(count))
            if count > 6
            else None,
            lengths=tuple(random_.choice(["", "ː"]) for _ in range(count)) if count > 8 else None,
            quality=random_.choice([None, 0.25, 1.0]),
            uniform=random_.choice([False, True]),
        )
        path = tmp_path / f"{trial}.TextGrid"
        write_textgrid(path, alignment, duration=float(edges[-1] if count else 0) + 0.5)
        again = read_alignment(path, alphabet="ipa")
        if alignment.uniform:  # their marks are no symbols of phones
            assert again.uniform
            np.testing.assert_array_equal(again.starts, alignment.starts)
        else:
            assert again == _without_empty_parts(alignment)


def _without_empty_parts(alignment):
    from dataclasses import replace

    return replace(
        alignment,
        stress=alignment.stress if np.any(alignment.stress) else None,
        tones=alignment.tones if any(alignment.tones or ()) else None,
        lengths=alignment.lengths if any(alignment.lengths or ()) else None,
    )


def test_ctm(tmp_path):
    path = tmp_path / "a.ctm"
    path.write_text(
        ";; made by hand\nu1 1 0.00 0.10 sil\nu1 1 0.20 0.10 AH0_I 0.9\nu1 1 0.10 0.11 HH_B\n\nu2 1 0.5 0.1 N_S\n"
    )
    first = read_alignment(path, tier="u1")
    assert first.phones == ("h", "ə")
    np.testing.assert_allclose(first.starts, [0.1, 0.2])
    np.testing.assert_allclose(first.ends, [0.2, 0.3])  # 0.21 overlaps by rounding alone
    assert read_alignment(path, tier="u2").phones == ("n",)
    with pytest.raises(
        AlignmentError, match=r"a.ctm: found 2 recordings \['u1', 'u2'\], expected one"
    ):
        read_alignment(path)
    with pytest.raises(AlignmentError, match=r"none is 'u3'"):
        read_alignment(path, tier="u3")
    path.write_text("u1 1 0.0 0.1 HH\nu1 1 0.1\n")
    with pytest.raises(
        AlignmentError, match=r"a.ctm, line 2: found 'u1 1 0.1', expected recording, channel"
    ):
        read_alignment(path)
    path.write_text("u1 1 0.0 0.1 HH\nu1 1 0.05 0.1 N\n")
    with pytest.raises(
        AlignmentError, match=r"line 2: 'N' lasts from 0.05 to 0.15 s, after one that ends at 0.1"
    ):
        read_alignment(path)


def test_json(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps(
            {
                "start": 0,
                "end": 1,
                "tiers": {
                    "words": {"type": "interval", "entries": WORDS},
                    "phones": {"type": "interval", "entries": [*PHONES, (1.0, 1.1, "")]},
                },
            },
            indent=2,
        )
    )
    assert read_alignment(path).phones == ("ð", "ə", "k", "æ")
    path.write_text(json.dumps([["ˈa", 0.0, 0.1], ["t", 0.1, 0.2]]))
    assert read_alignment(path).phones == ("a", "t")
    for layout in ("json", "textgrid_json"):
        save(path, {"words": WORDS, "phones": PHONES}, layout)
        assert read_alignment(path).phones == ("ð", "ə", "k", "æ")
    path.write_text('{"tiers":\n {"phones": 3}}')
    with pytest.raises(AlignmentError, match=r"a.json, line 1: found .*, expected"):
        read_alignment(path)
    path.write_text('[["a", 0.0, 0.1],\n ["t", 0.05, 0.2]]')
    with pytest.raises(AlignmentError, match=r"a.json, line 2: 't' lasts from 0.05"):
        read_alignment(path)
    path.write_text('{"tiers":\n oops}')
    with pytest.raises(AlignmentError, match=r"a.json, line 2: .*expected JSON"):
        read_alignment(path)


def test_other_kinds_are_refused(tmp_path):
    with pytest.raises(AlignmentError, match=r"found the suffix '.lab', expected one of"):
        read_alignment(tmp_path / "a.lab")
    with pytest.raises(FileNotFoundError):
        read_alignment(tmp_path / "a.TextGrid")
