"""The compiled reader says what the careful one says, of every file, or leaves it to that one."""

import itertools
import sys
import threading

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cleser.speech.alignment import Alignment, AlignmentError, read, read_alignment, write_textgrid
from cleser.speech.alignment.textgrid_bulk import BulkReader

ARPABET = ["AH0", "K", "AE1", "T", "sil", "", "SH", "IY2", "sp"]
IPA = ["ə", "ˈaː", "tʃʰ", "t͡s", "", "<eps>", "ɔ̃", "a˧˥", r"\sw", "b", "p\u032a\u02b0\u02d0"]
PINYIN = ["zh", "ong1", "i4", "sil", "n", "iang3"]
ODD = ["QX", 'a""b', "x\ny", "a b", "ʃ" * 9, "!", "é", "\\", "Ah0", "0"]
NUMBERS = st.one_of(
    st.integers(0, 3),
    st.floats(0, 9).map(lambda x: round(x, 4)),
    st.floats(0, 9),
    st.sampled_from(["1e-3", "00.5", "5.", "-0", "-1.25", "1.0000000000000000001", "nan", ".5"]),
).map(str)


@st.composite
def files(draw):
    """Mostly whole TextGrids in one of the two formats, at times with something off."""
    long = draw(st.booleans())
    say = (lambda name, value: f"{name} = {value} ") if long else (lambda _, value: str(value))
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += [say("xmin", 0), say("xmax", 9), "tiers? <exists> " if long else "<exists>"]
    names = draw(
        st.lists(st.sampled_from(["phones", "words", "x", "Wörter", "alignment"]), max_size=3)
    )
    lines += [say("size", len(names))] + ["item []: "] * long
    for number, name in enumerate(names, 1):
        marks = st.sampled_from(draw(st.sampled_from([ARPABET, IPA, PINYIN, ARPABET + ODD])))
        count = draw(st.integers(0, 6))
        edges = [f"{e:.{draw(st.integers(2, 5))}f}" for e in np.linspace(0, 2, count + 1)]
        point = draw(st.sampled_from([False] * 7 + [True]))
        lines += [f"    item [{number}]:"] * long
        lines += [
            say("class", '"TextTier"' if point else '"IntervalTier"'),
            say("name", f'"{name}"'),
        ]
        lines += [say("xmin", 0), say("xmax", 9), say("intervals: size", count)]
        for i, (start, end) in enumerate(itertools.pairwise(edges), 1):
            times = [start] if point else [start, end]
            if draw(st.integers(0, 30)) == 0:
                times[-1] = draw(NUMBERS)
            lines += [f"        intervals [{i}]:"] * long
            lines += [say("xmin", time) for time in times]
            lines += [say("text", f'"{draw(marks)}"')]
    text = "\n".join(lines) + "\n"
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(text)))
        piece = draw(
            st.sampled_from(
                ["", '"', "!", " ", "9", "<", "-", "\t", "\x0c", "\x00", "é", "%", " ! "]
            )
        )
        text = text[:at] + piece + text[at + draw(st.integers(0, 2)) :]
    newline = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    encoding = draw(
        st.sampled_from(["utf-8"] * 4 + ["utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
    )
    return text.replace("\n", newline).encode(encoding, "replace")


def outcome(path, *, many, **arguments):
    """What is read, or what is said instead."""
    before, read.MANY = read.MANY, many
    try:
        return read_alignment(path, **arguments)
    except AlignmentError as error:
        return str(error)
    finally:
        read.MANY = before


def agree(path, **arguments):
    quick = outcome(path, many=-1, **arguments)
    careful = outcome(path, many=sys.maxsize, **arguments)
    assert quick == careful
    if isinstance(quick, Alignment):
        for name in ("starts", "ends", "stress"):
            part, other = getattr(quick, name), getattr(careful, name)
            assert part is other is None or (part.dtype == other.dtype and not part.flags.writeable)
        assert [type(p) for p in quick] == [type(p) for p in careful]
    return quick


@settings(max_examples=300, deadline=None)
@given(
    content=files(),
    tier=st.sampled_from([None, None, None, "phones", 0, -1, 5]),
    alphabet=st.sampled_from([None, None, "ipa", "arpabet", "klingon"]),
)
@example(b"", None, None)
@example(b"\xff\xfe", None, None)
def test_it_agrees_with_the_careful_reader(tmp_path_factory, content, tier, alphabet):
    path = tmp_path_factory.mktemp("grids") / "a.TextGrid"
    path.write_bytes(content)
    agree(path, tier=tier, alphabet=alphabet)


def plain(marks, digits=3, encoding="utf-8"):
    """A whole short file of one tier, of which the compiled reader needs no help."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", "9", "<exists>", "1"]
    lines += ['"IntervalTier"', '"phones"', "0", "9", str(len(marks))]
    for i, mark in enumerate(marks):
        lines += [f"{i / 7:.{digits}f}", f"{(i + 1) / 7:.{digits}f}", f'"{mark}"']
    return ("\n".join(lines) + "\n").encode(encoding)


@pytest.mark.parametrize("marks", [ARPABET, IPA, PINYIN, ["", "sil"], [], ["ʔ"]])
def test_it_reads_plain_files_itself(tmp_path, marks):
    reader = BulkReader()
    found = reader.read(plain(marks), None, None)
    path = tmp_path / "a.TextGrid"
    path.write_bytes(plain(marks))
    assert found == outcome(path, many=sys.maxsize)
    assert isinstance(found, Alignment)


@pytest.mark.parametrize("digits", [1, 3, 12, 15, 17, 25])
def test_times_are_rounded_as_float_rounds_them(digits):
    found = BulkReader().read(plain(["a"] * 60, digits), None, None)
    starts = [float(f"{i / 7:.{digits}f}") for i in range(60)]
    if digits > 1:  # of one digit some phones would not last
        assert found.starts.tolist() == starts


def test_bytes_that_are_no_characters_are_left_to_the_careful_reader():
    for wrong in (b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\x80", b"\xc3"):
        content = plain(["a", "b"]).replace(b'"b"', b'"' + wrong + b'"')
        assert BulkReader().read(content, None, None) is None
    for right in ("é", "ʃ", "न", "𝼆"):  # of two to four bytes
        words = plain(["a"]).replace(b"phones", right.encode())
        assert BulkReader().read(words, 0, None).phones == ("a",)


def test_what_write_textgrid_notes_is_read(tmp_path):
    path = tmp_path / "a.TextGrid"
    for uniform in (False, True):
        written = Alignment([0.1, 0.2], [0.2, 0.4], ("a", "b"), quality=0.25, uniform=uniform)
        write_textgrid(path, written, 0.5)
        assert agree(path) == written


def test_many_symbols_from_many_threads(tmp_path):
    vowels, signs = "aeiouyæøœɐɑɒɔəɛɪʊʌ", ["", "ː", "ˑ", "̃", "ʰ", "ˈ"]
    marks = [sign + v if sign == "ˈ" else v + sign for v in vowels for sign in signs]
    reader, wrong = BulkReader(), []
    grids = [plain(marks[i:] + marks[:i]) for i in range(0, len(marks), 3)]
    path = tmp_path / "a.TextGrid"
    path.write_bytes(plain(marks))
    expected = outcome(path, many=sys.maxsize).phones

    def work(own):
        for i in own:
            found = reader.read(grids[i], None, None).phones
            if found != expected[3 * i :] + expected[: 3 * i]:
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(range(n, len(grids), 3),)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_it_takes_over_after_many_files(tmp_path, monkeypatch):
    path = tmp_path / "a.TextGrid"
    path.write_bytes(plain(["a"]))
    monkeypatch.setattr(read, "files", itertools.count())
    monkeypatch.setattr(read, "MANY", 2)
    calls = []
    monkeypatch.setattr(read, "_bulk_reader", lambda: calls.append(1) or BulkReader())
    assert [read_alignment(path).phones for _ in range(3)] == [("a",)] * 3
    assert calls == [1]
