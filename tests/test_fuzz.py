"""Files with faults anywhere: they are read, or refused in a sentence, in bounded memory.

``CLESER_FUZZ=2000`` tries as many mutations of each kind; by default it is a short search.
"""

import io
import json
import os
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleser.alignment import Alignment, AlignmentError, read_alignment
from cleser.corpora import load
from cleser.corpora.recording import RecordingError, read_header, read_samples

COUNT = int(os.environ.get("CLESER_FUZZ", "60"))
PIECES = (
    b"\0", b'"', b"!", b"1e999", b"-1", b"nan", b"inf", b"<exists>", b"50%", b"1/0", b"\n", b"\r", b",", b";", b"{",
    b"]", b"null", b"\\", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe9", b"9" * 400,
    b"[" * 2000,
)  # fmt: skip
edits = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from(("insert", "overwrite", "delete", "cut", "repeat")),
        st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)),
    ),
    min_size=1,
    max_size=6,
)


def mutated(content, changes):
    for share, kind, piece in changes:
        at = int(share * len(content))
        before, after = content[:at], content[at:]
        if kind == "insert":
            content = before + piece + after
        elif kind == "overwrite":
            content = before + piece + after[len(piece) :]
        elif kind == "delete":
            content = before + after[len(piece) :]
        elif kind == "cut":
            content = before
        else:
            content = before + after[:64] * 3 + after
    return content


def sound(rate=16_000, **kind):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, 4_000)
    soundfile.write(buffer, noise, rate, **kind)
    return buffer.getvalue()


LONG = b'''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 1
            text = "an ""ox"""
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = "AE1"
        intervals [2]:
            xmin = 0.5
            xmax = 1
            text = "N"
'''
SHORT = b'"ooTextFile short"\n"TextGrid"\n0\n1\n<exists>\n1\n"IntervalTier"\n"phones"\n0\n1\n1\n0\n1\n"a"\n'
CHRONOLOGICAL = (
    b'"Praat chronological TextGrid text file"\n0 1 ! Time domain.\n1 ! Number of tiers.\n'
    b'"IntervalTier" "phones" 0 1\n\n! phones:\n1 0 0.5\n"a"\n\n! phones:\n1 0.5 1\n"n"'
)


def text16(text):
    return struct.pack(">H", len(text)) + text


BINARY = (
    b"ooBinaryFile\x08TextGrid" + struct.pack(">ddBi", 0, 1, 1, 1)
    + b"\x0cIntervalTier" + text16(b"phones") + struct.pack(">ddi", 0, 1, 2)
    + struct.pack(">dd", 0, 0.5) + text16(b"a") + struct.pack(">dd", 0.5, 1) + text16(b"n")
)  # fmt: skip
PHONES = [[0.0, 0.5, "AE1"], [0.5, 1.0, "N"]]
JSONS = (
    {"start": 0, "end": 1, "tiers": {"phones": {"type": "interval", "entries": PHONES}}},
    {"words": [{"start": 0.0, "phones": [{"phone": "ae_B", "duration": 0.5}]}]},
    {"segments": [{"words": [{"word": "an", "start": 0, "end": 1}], "chars": []}]},
    {"sampleRate": 10, "levels": [{"name": "Phonetic", "type": "SEGMENT", "items": [
        {"sampleStart": 0, "sampleDur": 5, "labels": [{"name": "Phonetic", "value": "V"}]}]}]},
    [["a", 0.0, 0.5], ["n", 0.5, 1.0]],
)  # fmt: skip
SEEDS = {
    "a.TextGrid": (LONG, LONG.decode().encode("utf-16"), SHORT, CHRONOLOGICAL, BINARY),
    "a.ctm": (b"a 1 0.0 0.5 AE1 0.9\na 1 0.5 0.5 N\n;; end\n",),
    "a.json": tuple(json.dumps(content).encode() for content in JSONS),
    "a.csv": (
        b"path,language,emotion,start,end\na.wav,en,hap,0,0.1\na.wav,en,F,0.1,\n",
        b'file;language;gender;split\n"a.wav";english;F;Test1\n',
        b"file\tstart\tend\tlanguage\na.wav\t0 days 00:00:00\t00:00:00,2\ten-GB\n",
    ),
    "a.wav": tuple(
        sound(**kind)
        for kind in (
            {"format": "WAV"},
            {"format": "WAV", "subtype": "GSM610"},
            {"format": "RF64"},
            {"format": "W64"},
            {"format": "FLAC"},
            {"format": "OGG"},
            {"format": "MP3"},
            {"format": "AIFF"},
            {"format": "AU"},
            {"format": "NIST"},
        )
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    (root / "sound").mkdir()
    soundfile.write(root / "sound" / "a.wav", np.full(8_000, 0.1), 16_000)
    return root


def check_alignment(path):
    try:
        found = read_alignment(path)
    except AlignmentError as error:
        assert path.name in str(error)
        return
    if not found.uniform:  # the reader promises what the constructor checks
        assert Alignment(found.starts, found.ends, found.phones) is not None


def check_manifest(path):
    target = path.parent / "sound" / path.name
    target.write_bytes(path.read_bytes())
    try:
        load(f"manifest:{target}")
    except UnicodeError as error:
        raise AssertionError("a codec's words are no sentence") from error
    except ValueError as error:
        assert path.name in str(error) or "row" in str(error)


def check_recording(path):
    try:
        header = read_header(path)
    except RecordingError:
        header = None
    try:
        samples, rate = read_samples(path)
    except RecordingError:
        return
    assert header is None or (header.samplerate, header.channels) == (rate, samples.shape[1])


def resident():
    """Most memory that this process has had, in bytes; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("name", SEEDS)
def test_any_fault_is_a_sentence(folder, name):
    check = {"a.csv": check_manifest, "a.wav": check_recording}.get(name, check_alignment)
    before = resident()

    @settings(
        max_examples=COUNT,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(content=st.sampled_from(SEEDS[name]), changes=edits)
    def search(content, changes):
        path = folder / name
        path.write_bytes(mutated(content, changes))
        check(path)

    search()
    assert resident() - before < 500e6
