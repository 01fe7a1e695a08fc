"""Alignments as programs leave them: every format that Praat reads, others' JSON and label files, and small faults.

Praat itself, by parselmouth, writes the TextGrids and is the judge of what they say.
"""

import json

import numpy as np
import pandas as pd
import parselmouth
import pytest
import soundfile
from parselmouth.praat import call
from praatio import textgrid as praatio

from cleser.alignment import (
    Alignment,
    AlignmentError,
    load_alignments,
    read_alignment,
    write_textgrid,
)

SHORT = ["0", "0.5", '"AH0"', "0.5", "1", '"N"']


def grid(*values, head='"ooTextFile"\n"TextGrid"', size=2):
    lines = [head, "", "0", "1", "<exists>", "1", '"IntervalTier"', '"phones"', "0", "1", str(size)]
    return "\n".join([*lines, *values]) + "\n"


def praats(path):
    """What Praat finds in the tier of phones."""
    found = parselmouth.read(str(path))
    names = [
        call(found, "Get tier name...", n + 1) for n in range(call(found, "Get number of tiers"))
    ]
    tier = names.index("phones") + 1
    rows = range(1, call(found, "Get number of intervals...", tier) + 1)
    parts = ("start time", "end time", "label")
    labels = [
        tuple(call(found, f"Get {part} of interval...", tier, i) for part in parts) for i in rows
    ]
    return [row for row in labels if row[2]]


def same(alignment, rows):
    np.testing.assert_allclose(alignment.starts, [row[0] for row in rows])
    np.testing.assert_allclose(alignment.ends, [row[1] for row in rows])
    assert list(alignment.phones) == [row[2] for row in rows]


@pytest.fixture
def own(tmp_path):
    """A grid of phones, words and points, made by Praat."""
    marks = ["ʃ", "", "a", "t͡s".replace("\u0361", "")]
    path = tmp_path / "own.TextGrid"
    edges = np.linspace(0, 1, len(marks) + 1)
    values = [v for a, b, m in zip(edges, edges[1:], marks, strict=False) for v in (a, b, f'"{m}"')]
    path.write_text(grid(*map(str, values), size=len(marks)))
    found = parselmouth.read(str(path))
    call(found, "Insert interval tier...", 1, "wörds")
    call(found, "Set interval text...", 1, 1, 'sch"ats')
    call(found, "Insert point tier...", 3, "points")
    call(found, "Insert point...", 3, 0.3, "x")
    return found


@pytest.mark.parametrize(
    "kind", ["text file", "short text file", "chronological text file", "binary file"]
)
@pytest.mark.parametrize(
    "encoding", ["UTF-8", "UTF-16", "try ASCII, then UTF-16", "try ISO Latin-1, then UTF-16"]
)
def test_whatever_praat_writes(tmp_path, own, kind, encoding):
    call("Text writing preferences...", encoding)
    path = tmp_path / "a.TextGrid"
    try:
        call(own, f"Save as {kind}...", str(path))
    finally:
        call("Text writing preferences...", "try ASCII, then UTF-16")
    same(read_alignment(path), praats(path))
    assert read_alignment(path, tier=1).phones == ("ʃ", "a", "ts")
    call(own, "Duplicate tier...", 3, 1, "tones")
    call(own, f"Save as {kind}...", str(path))
    assert (
        read_alignment(path, tier=2).phones
        == read_alignment(path, tier=-2).phones
        == ("ʃ", "a", "ts")
    )
    with pytest.raises(AlignmentError, match=r"a\.TextGrid: tier 0 is 'tones' and holds points"):
        read_alignment(path, tier=0)
    with pytest.raises(AlignmentError, match="there is no tier 4, found 4"):
        read_alignment(path, tier=4)


@pytest.mark.parametrize("number", ["50%", "1/2", "5e-1", "+0.5", "0.500000000000000000", "05e-01"])
def test_numbers_that_praat_reads(tmp_path, number):
    path = tmp_path / "a.TextGrid"
    path.write_text(grid("0", number, '"a"', number, "1", '"n"'))
    same(read_alignment(path), praats(path))
    assert read_alignment(path).starts.tolist() == [0, 0.5]


def test_numbers_that_are_none_are_said(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(grid("0", "0x1p-1", '"a"', "0x1p-1", "1", '"n"'))
    assert read_alignment(path).starts.tolist() == [0, 0.5]
    for number in ("0,5", "0.5s", "1/0", "1_0", "0x", "1/2/3"):
        path.write_text(grid("0", number, '"a"', "0.5", "1", '"n"'))
        with pytest.raises(AlignmentError, match=rf"line 14: found '{number}', expected the end"):
            read_alignment(path)


@pytest.mark.parametrize(
    "head",
    ['"ooTextFile short"\n"TextGrid"', 'File type = "ooTextFile short"\n"TextGrid"'],
)
def test_the_short_head(tmp_path, head):
    path = tmp_path / "a.TextGrid"
    path.write_text(grid(*SHORT, head=head).replace("AH0", "a").replace("N", "n"))
    same(read_alignment(path), praats(path))


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("said", [0, 1])
def test_intervals_are_counted_as_they_stand(tmp_path, place, said):
    """As praatio does; Praat itself would drop the last one."""
    path = tmp_path / "a.TextGrid"
    text = grid(*SHORT, size=said)
    if place == "first":
        text = text.replace("<exists>\n1", "<exists>\n2")
        text += '"IntervalTier"\n"words"\n0\n1\n1\n0\n1\n"an"\n'
    path.write_text(
        'File type = "ooTextFile"\nObject class = "TextGrid"\n' + text.split("\n", 2)[2]
    )
    found = read_alignment(path)
    assert found.phones == ("ə", "n")
    assert found.notes == (f"tier 'phones' says that it has {said} intervals, found 2",)
    theirs = praatio.openTextgrid(str(path), includeEmptyIntervals=True).getTier("phones")
    assert [entry.label for entry in theirs.entries] == ["AH0", "N"]


def test_a_size_of_tiers_that_is_too_small_drops_none(tmp_path):
    path = tmp_path / "a.TextGrid"
    text = grid(*SHORT).replace('"phones"', '"words"')
    path.write_text(text + '"IntervalTier"\n"phones"\n0\n1\n1\n0\n1\n"AH0"\n')
    assert read_alignment(path).phones == ("ə",)


def test_comments_and_quotes(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(grid('0 ! from "here"', "0.5", '"a" ! to', "0.5", "1", '"n"') + '! the "end\n')
    same(read_alignment(path), praats(path))
    path.write_text(grid("0", "0.5", '"""a"""', "0.5", "1", '"n ! b"'))
    assert [row[2] for row in praats(path)] == ['"a"', "n ! b"]
    with pytest.raises(AlignmentError, match="no alphabet has all"):
        read_alignment(path)


@pytest.mark.parametrize("at", range(0, 200, 3))
def test_a_binary_file_cut_anywhere_names_the_byte(tmp_path, own, at):
    path = tmp_path / "a.TextGrid"
    call(own, "Save as binary file...", str(path))
    content = path.read_bytes()
    if at < len(content):
        path.write_bytes(content[:at])
        with pytest.raises(AlignmentError, match=r"the file ends|expected"):
            read_alignment(path)
    if 12 < at < len(content):
        with pytest.raises(AlignmentError, match=r"byte \d+: the file ends, expected"):
            read_alignment(path)


def test_a_phone_of_no_length_and_an_unknown_symbol_cost_no_file(tmp_path):
    path = tmp_path / "a.TextGrid"
    rows = [(0, 0.1, "K"), (0.1, 0.1, "AE1"), (0.1, 0.2, "QX"), (0.2, 0.3, "T"), (0.3, 0.25, "S")]
    rows += [(0.3, 0.4, "IY0"), (0.4, 0.5, "T"), (0.5, 0.6, "AE1")]
    path.write_text(
        grid(*(str(v) if not isinstance(v, str) else f'"{v}"' for r in rows for v in r), size=8)
    )
    found = read_alignment(path)
    assert found.phones == ("k", "t", "i", "t", "æ")
    assert found.starts.tolist() == [0, 0.2, 0.3, 0.4, 0.5]
    assert found.notes == (
        "1 unknown symbol left out: 'QX' (line 19)",
        "2 phones of no length left out (line 16)",
    )
    assert found[1:].notes == found.notes
    most = grid("0", "0.1", '"QX"', "0.1", "0.2", '"XQ"', "0.2", "0.3", '"AH0"', size=3)
    path.write_text(most)
    with pytest.raises(AlignmentError, match=r"line 13: no alphabet has all .*'QX'"):
        read_alignment(path)


def test_marks_of_noise(tmp_path):
    marks = {
        "FAVE": (["NS", "LG", "CG", "LS", "AH0", "N", "sp", "{LG}"], ("ə", "n")),
        "SPPAS": (["+", "#", "@", "n", "*", "dummy"], ("ə", "n")),
        "Buckeye": (["{B_TRANS}", "SIL", "IVER", "VOCNOISE", "<IVER>", "ah", "tq", "ihn"], ("ʌ", "ʔ", "ɪ̃")),
        "WebMAUS": (["<p:>", "<usb>", "<nib>", "_p:_", "@", "n", "p:"], ("ə", "n", "p")),
    }  # fmt: skip
    for name, (symbols, expected) in marks.items():
        times = np.linspace(0, 1, len(symbols) + 1)
        rows = zip(times, times[1:], symbols, strict=False)
        path = tmp_path / f"{name}.TextGrid"
        path.write_text(
            grid(*(v for a, b, m in rows for v in (str(a), str(b), f'"{m}"')), size=len(symbols))
        )
        assert read_alignment(path).phones == expected, name


def test_xsampas_backslashes_are_no_trigraphs(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_text(grid("0", "0.5", '"p\\"', "0.5", "1", '"r\\_0"'))
    assert read_alignment(path).phones == ("ɸ", "ɹ̥")


def test_timit_and_buckeye(tmp_path):
    path = tmp_path / "a.PHN"
    path.write_text("0 1600 h#\n1600 3200 sh\n3200 3200 q\n3200 4800 iy\n4800 6400 kcl\n")
    found = read_alignment(path)
    assert found.phones == ("ʃ", "i", "k̚")
    path.write_text("0 1600 h#\n1600 3200 hh\n3200 4800 ay\n4800 6400 h#\n")
    assert read_alignment(path).phones == ("h", "aɪ")  # hh and ay could be IPA too
    assert read_alignment(path, alphabet="ipa").phones == ("hh", "ay")
    assert found.starts.tolist() == [0.1, 0.2, 0.3]
    path.write_text("0 1600 h#\n1600 oops\n")
    with pytest.raises(AlignmentError, match=r"a\.PHN, line 2: found '1600 oops', expected first"):
        read_alignment(path)
    path = tmp_path / "a.phones"
    head = "signal a\ntype 0\ncolor 121\nnfields 1\n#\n"
    path.write_text(
        f"{head}   0.100000  121 SIL\n   0.250000  121 dh; *\n   0.3  122 ah\n  1 122 IVER\n"
    )
    found = read_alignment(path)
    assert found.phones == ("ð", "ʌ")
    path.write_text(f"{head} 0.1 121 SIL\n 0.2 121 aa\n 0.3 122 n\n")
    assert read_alignment(path).phones == ("ɑ", "n")
    assert found.starts.tolist() == [0.1, 0.25]
    path.write_text(head + "soon 121 SIL\n")
    with pytest.raises(AlignmentError, match=r"a\.phones, line 6: found 'soon 121 SIL'"):
        read_alignment(path)
    path.write_text("0.1 121 SIL\n")
    with pytest.raises(AlignmentError, match="found no line '#'"):
        read_alignment(path)


def test_jsons_of_other_aligners(tmp_path):
    path = tmp_path / "a.json"

    def read(content, **options):
        path.write_text(json.dumps(content))
        return read_alignment(path, **options)

    phones = [[0.1, 0.2, "DH"], [0.2, 0.3, "AH0"]]
    words = [[0.1, 0.3, "the"]]
    mfa = {
        name: {"type": "interval", "entries": e}
        for name, e in (("words", words), ("phones", phones))
    }
    assert read({"start": 0, "end": 1, "tiers": mfa}).phones == ("ð", "ə")
    assert read({"tiers": {"anna": mfa}}).phones == ("ð", "ə")
    scored = {"phones": {"entries": [[*entry, 0.9] for entry in phones]}}
    assert read({"tiers": scored}).starts.tolist() == [0.1, 0.2]
    gentle = {"transcript": "the cat", "words": [
        {"case": "success", "word": "the", "start": 0.1, "end": 0.3,
         "phones": [{"phone": "dh_B", "duration": 0.1}, {"phone": "ah_E", "duration": 0.1}]},
        {"case": "not-found-in-audio", "word": "cat"},
    ]}  # fmt: skip
    assert list(read(gentle)) == [(0.1, 0.2, "ð"), (0.2, 0.3, "ʌ")]
    emur = {"name": "a", "annotates": "a.wav", "sampleRate": 1000, "links": [], "levels": [
        {"name": "Utterance", "type": "ITEM", "items": [{"id": 1, "labels": []}]},
        {"name": "Phonetic", "type": "SEGMENT", "items": [
            {"id": 2, "sampleStart": 100, "sampleDur": 100, "labels": [{"name": "Phonetic", "value": "V"}]},
            {"id": 3, "sampleStart": 200, "sampleDur": 50, "labels": [{"name": "Phonetic", "value": "m"}]},
        ]},
        {"name": "Tone", "type": "EVENT", "items": [{"id": 4, "samplePoint": 3, "labels": []}]},
    ]}  # fmt: skip
    assert list(read(emur)) == [(0.1, 0.2, "ʌ"), (0.2, 0.25, "m")]
    letters = [
        {"char": "n", "start": 0.1, "end": 0.2},
        {"char": " "},
        {"char": "a", "start": 0.2, "end": 0.3},
    ]
    whisperx = {
        "segments": [
            {"text": "na", "words": [{"word": "na", "start": 0.1, "end": 0.3}], "chars": letters}
        ]
    }
    with pytest.raises(AlignmentError, match=r"words and letters .*, and no phones"):
        read(whisperx)
    assert read(whisperx, tier="chars").phones == ("n", "a")
    with pytest.raises(AlignmentError, match=r"'words' holds .*gentle's"):
        read({"words": [{"start": 0.1, "phones": [{"phone": "a"}]}]})
    path.write_text("[" * 100_000)
    with pytest.raises(AlignmentError, match="expected JSON"):
        read_alignment(path)


def test_channels_of_a_recording_are_different_speakers(tmp_path):
    path = tmp_path / "all.ctm"
    path.write_text("sw1 A 0.0 0.1 HH\nsw1 B 0.05 0.1 AH0\nsw1 A 0.1 0.1 N\nsw2 1 0 0.1 S\n")
    assert read_alignment(path, tier="sw1-A").phones == ("h", "n")
    assert read_alignment(path, tier="sw1-B").phones == ("ə",)
    assert read_alignment(path, tier="sw2").phones == ("s",)
    with pytest.raises(AlignmentError, match=r"'sw1' has several channels, .*\['sw1-A', 'sw1-B'\]"):
        read_alignment(path, tier="sw1")
    rows = [("c/sw1", "sw1.wav"), ("c/sw1-B", "sw1-B.wav"), ("c/sw2", "sw2.wav")]
    found = load_alignments(manifest(rows), tmp_path)
    assert [a and a.phones for a in found] == [None, ("ə",), ("s",)]
    assert "several channels" in found.problems[0]["reason"]


def manifest(rows, start=0.0, end=np.nan):
    frame = pd.DataFrame(rows, columns=["utterance", "path"])
    return frame.assign(start=start, end=end)


@pytest.fixture
def corpus(tmp_path):
    """Recordings of two seconds, and a folder for their alignments."""
    rows = []
    for name in "abcd":
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, np.full(32_000, 0.1), 16_000)
        rows.append((f"c/{name}", str(path)))
    (tmp_path / "grids").mkdir()
    return manifest(rows), tmp_path / "grids"


def place(folder, name, scale=1.0, count=10):
    edges = np.linspace(0.2, 1.8, count + 1) * scale
    write_textgrid(folder / f"{name}.TextGrid", Alignment(edges[:-1], edges[1:], ("a",) * count))


def test_times_that_are_not_the_recordings_are_not_used(corpus):
    rows, folder = corpus
    for name, scale in (("a", 1), ("b", 1), ("c", 1000), ("d", 0.01)):
        place(folder, name, scale)
    found = load_alignments(rows, folder)
    assert [a is not None for a in found] == [True, True, False, False]
    reasons = {p["path"]: p["reason"] for p in found.problems}
    assert reasons == {
        f"{folder}/c.TextGrid": "does not fit its recording: its phones end at 1800 s, the sound at 2.00 s; "
        "are its times milliseconds?",
        f"{folder}/d.TextGrid": "does not fit its recording: its phones cover 0.02 s of 2.00 s",
    }
    assert "2 do not fit their recordings" in found.summary()
    place(folder, "b", 1000)
    with pytest.raises(ValueError, match=r"grids: 3 of 4 alignments do not fit .* milliseconds\?"):
        load_alignments(rows, folder)


def test_a_phone_may_end_a_frame_late_and_parts_are_held_against_their_own_time(corpus):
    rows, folder = corpus
    edges = np.array([0.2, 1.0, 2.05])
    write_textgrid(folder / "a.TextGrid", Alignment(edges[:-1], edges[1:], "an"))
    assert load_alignments(rows.head(1), folder).problems == []
    place(folder, "a")
    part = rows.head(1).assign(utterance="c/part", start=1.9, end=2.0)
    found = load_alignments(part, folder)  # a pause in a recording that is spoken
    assert len(found[0]) == 0
    own = rows.head(1).assign(utterance="c/own", start=1.0, end=1.5)
    place(folder, "own")
    with pytest.raises(ValueError, match=r"end at 1.8 s, the sound at 0.50 s"):
        load_alignments(own, folder)


def shifted(folder, name, begin):
    """Eight phones, the first of them at ``begin``."""
    edges = begin + np.linspace(0, 0.8, 9)
    write_textgrid(folder / f"{name}.TextGrid", Alignment(edges[:-1], edges[1:], 8 * ("a",)))


def test_times_that_count_from_another_start_are_not_used(corpus):
    """Files of whole recordings, named like parts of them, and files of parts, named like whole recordings."""
    rows, folder = corpus
    parts = rows.assign(utterance=[f"c/{n}-part" for n in "abcd"], start=1.0, end=1.9)
    for name, begin in zip("abcd", (0.05, 0.05, 0.05, 1.05), strict=True):
        shifted(folder, f"{name}-part", begin)
    found = load_alignments(parts, folder)
    assert [a is not None for a in found] == [True, True, True, False]
    assert (
        "d-part.TextGrid: its phones end at 1.85 s, the sound at 0.90 s; do its times"
        in found.summary()
    )
    assert "the recording's start, not the utterance's? A file named like" in found.summary()
    for name in "abc":
        shifted(folder, f"{name}-part", 1.05)
    with pytest.raises(ValueError, match=r"4 of 4 alignments .* leave out start and end"):
        load_alignments(parts, folder)

    own = rows.assign(start=1.0, end=1.9)
    for name, begin in zip("abcd", (1.05, 1.05, 1.05, 0.05), strict=True):
        shifted(folder, name, begin)
    found = load_alignments(own, folder)
    assert [a and len(a) for a in found] == [8, 8, 8, None]
    assert "its phones lie from 0.05 to 0.85 s, the utterance from 1 s to 1.9 s" in found.summary()
    for name in "abc":
        shifted(folder, name, 0.05)
    with pytest.raises(
        ValueError, match=r"4 of 4 alignments .* from the utterance's start\? .* name it so"
    ):
        load_alignments(own, folder)


def test_windows_without_speech_are_those_of_a_recording_all_the_same(corpus):
    rows, folder = corpus
    shifted(folder, "a", 0.05)
    windows = pd.concat([rows.head(1)] * 2, ignore_index=True)
    windows = windows.assign(utterance=["c/a-0", "c/a-1"], start=[0.0, 1.0], end=[1.0, 2.0])
    found = load_alignments(windows, folder)
    assert [None if a is None else len(a) for a in found] == [8, 0]


def test_what_was_mended_is_counted(corpus):
    rows, folder = corpus
    for name in "abcd":
        place(folder, name)
    text = (folder / "b.TextGrid").read_text()
    (folder / "b.TextGrid").write_text(text.replace("intervals: size = 11", "intervals: size = 3"))
    found = load_alignments(rows, folder)
    assert all(found)
    assert found.notes == [
        {
            "path": f"{folder}/b.TextGrid",
            "reason": "tier 'phones' says that it has 3 intervals, found 11",
        }
    ]
    assert found.summary().endswith(
        f"1 mended ({folder}/b.TextGrid: tier 'phones' says that it has 3 intervals, found 11)"
    )


def test_one_file_that_cannot_be_opened_is_its_own_problem(corpus, monkeypatch):
    rows, folder = corpus
    for name in "abd":
        place(folder, name)
    (folder / "c.TextGrid").symlink_to(folder / "c.TextGrid")  # a loop
    (folder / "x.ctm").write_text("broken\n")
    found = load_alignments(rows, folder)
    assert [a is not None for a in found] == [True, True, False, True]
    assert {p["path"].rpartition("/")[2] for p in found.problems} == {"c.TextGrid"}
    (folder / "d.TextGrid").unlink()
    found = load_alignments(rows, folder)
    assert {p["path"].rpartition("/")[2] for p in found.problems} == {
        "c.TextGrid",
        "x.ctm",
        "d.wav",
    }
