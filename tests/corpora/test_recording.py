"""What a header promises is held against what is there; what it lacks is made good."""

import struct

import numpy as np
import pytest
import soundfile

from cleser.corpora import describe, probe
from cleser.corpora.manifest import Listing, assemble
from cleser.corpora.recording import RecordingError, read_header, read_samples
from cleser.speech import AudioError, load_audio

KINDS = {
    "wav": {},
    "ulaw.wav": {"subtype": "ULAW"},
    "gsm.wav": {"subtype": "GSM610"},
    "g721.wav": {"subtype": "G721_32"},
    "adpcm.wav": {"subtype": "IMA_ADPCM"},
    "extensible.wav": {"format": "WAVEX"},
    "rf64": {"format": "RF64"},
    "w64": {},
    "flac": {},
    "ogg": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {},
    "aiff": {},
    "au": {},
    "caf": {},
    "sph": {"format": "NIST"},
}


def noise(seconds=3.0):
    """Loud, then soft, so that a variable bitrate varies."""
    sound = np.random.default_rng(0).normal(0, 0.2, int(16_000 * seconds))
    sound[len(sound) // 2 :] /= 500
    return sound.astype("float32")


def written(path, **kind):
    soundfile.write(path, noise(), 16_000, **kind)
    return path.read_bytes()


def row(path):
    rows = {"utterance": ["u"], "path": [str(path)], "language": "de", "emotion": "anger"}
    import pandas as pd

    return assemble("own", Listing(pd.DataFrame(rows), []))


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_read_to_its_end_and_half_of_it_is_refused(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    content = written(path, **KINDS[kind])
    samples, rate = read_samples(path)
    assert rate == 16_000
    assert 0 <= len(samples) - 48_000 < 1_200  # codecs fill their last block
    assert read_header(path) == (16_000, 1, len(samples))
    part, _ = read_samples(path, 1.0, 1.5)
    assert len(part) == 8_000
    if KINDS[kind].get("subtype") != "OPUS":  # which is decoded alike from its start only
        np.testing.assert_allclose(part, samples[16_000:24_000], atol=1e-4)
    for share in (0.3, 0.5, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(AudioError, match=rf"a\.{kind}: (is cut off|cannot be)"):
            load_audio(path)
        with pytest.raises(RecordingError, match=r"is cut off|cannot be"):
            read_header(path)
        assert [p["path"] for p in probe(row(path)).attrs["problems"]] == [str(path)]


def test_describe_names_a_flac_of_which_the_header_alone_is_whole(tmp_path):
    path = tmp_path / "a.flac"
    content = written(path)
    first = content.index(b"\xff\xf8")  # the first frame
    path.write_bytes(content[: first + 8])
    found = describe(row(path))
    assert len(found.problems) == 1
    assert "cut off" in found.problems[0].reason


def mpeg_frames(content):
    """Start and length of each frame of MPEG 2, layer III, at 16 kHz, as the tables of ISO 13818-3 say."""
    kilobits = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    at = 0
    while at < len(content):
        length = 72 * 1000 * kilobits[content[at + 2] >> 4] // 16_000 + (content[at + 2] >> 1 & 1)
        yield at, length
        at += length


@pytest.mark.parametrize(
    "before", [b"", b"ID3\x04\0\0\0\0\0\x0a" + b"\xff\xf3\x10\xc4" + b"\xff\xe0" * 3]
)
@pytest.mark.parametrize("after", [b"", b"TAG" + b"\0" * 125])
def test_an_mp3_of_variable_bitrate_without_a_frame_count(tmp_path, before, after):
    path = tmp_path / "a.mp3"
    content = written(path, bitrate_mode="VARIABLE", compression_level=0.3)
    assert b"Xing" in content[:64]
    frames = list(mpeg_frames(content))
    path.write_bytes(before + content[frames[1][0] :] + after)
    samples, _ = read_samples(path)
    spoken = 576 * (len(frames) - 1)  # samples of that many frames, less the decoder's delay
    assert spoken - 1_200 < len(samples) <= spoken
    assert read_header(path).frames == len(samples)
    path.write_bytes(before + content[frames[1][0] : frames[-3][0] + 20])
    with pytest.raises(RecordingError, match=f"last MPEG frame, number {len(frames) - 4}, is not"):
        read_header(path)
    # In time with the file that does say its length, which has the encoder's delay taken off too.
    path.write_bytes(content)
    whole, _ = read_samples(path)
    delay = len(samples) - len(whole)
    lag = max(range(delay + 1), key=lambda i: float(samples[i : i + 20_000, 0] @ whole[:20_000, 0]))
    np.testing.assert_allclose(samples[lag : lag + 40_000], whole[:40_000], atol=1e-3)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_a_wav_written_to_a_pipe_does_not_know_its_size(tmp_path, size):
    path = tmp_path / "a.wav"
    content = bytearray(written(path))
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(content)
    assert len(read_samples(path)[0]) == 48_000
    assert read_header(path).frames == 48_000


def test_an_empty_wav_stays_empty_whatever_chunks_follow(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(0), 16_000)
    content = path.read_bytes()
    for after in (b"", b"LIST\x04\0\0\0INFO", b"bext\x03\0\0\0abc\0"):
        path.write_bytes(content + after)
        with pytest.raises(RecordingError, match="holds no samples"):
            read_header(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS pointer"),
        (b"NIST_1A\n   1024\nsample_coding -s26 pcm,embedded-shorten-v2.00\n", "sph2pipe"),
        (b"no sound", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_what_is_no_recording_says_what_it_is(tmp_path, content, said):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=said):
        read_header(path)


def test_a_sampling_rate_of_no_recording_is_refused(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(0.1), 3)
    with pytest.raises(RecordingError, match="sampling rate of 3 Hz, expected 1000 to 768000"):
        read_samples(path)
