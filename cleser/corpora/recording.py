"""Recordings as files: what a header promises is held against what is there, and what it lacks is made good.

libsndfile reads what it finds: half a file passes as a short one. A WAV file written to a pipe says that it holds
nothing, and an MP3 file of variable bitrate without a frame count is cut where a guess ends. Here a file that was cut
off is refused, and the two others are opened with the header that they should have had.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import soundfile

RATES: Final = (1_000, 768_000)
"""Sampling rates of speech, in Hz; a header that says another is broken."""

_BLOCK: Final = 1 << 20  # frames: what a header promises is not allocated before it is read
_UNKNOWN: Final = 1 << 40  # frames that libsndfile reports where it does not know them
_SLIP: Final = 64  # bytes: some programs count a header of 44 or 58 bytes among the samples
_STREAMED: Final = 0x7FFFF000  # sizes from here on stand for "until the end": written to a pipe
UNREAD: Final = (
    *(".m4a", ".m4b", ".aac", ".wma", ".amr", ".3gp"),
    *(".mp4", ".avi", ".mkv", ".mov", ".webm", ".flv", ".wmv", ".mpg", ".mpeg"),
)
"""Endings of sound and films that libsndfile does not read."""
_OGG_PAGE: Final = 65_307  # bytes of the longest page


class RecordingError(ValueError):
    """A file that is no whole recording; the message says why, and who reads it adds the name."""


class Header(NamedTuple):
    """What a recording is like.

    Attributes:
        samplerate: Sampling rate, in Hz.
        channels: Number of channels.
        frames: Samples of each channel.
    """

    samplerate: int
    channels: int
    frames: int


def read_header(path: str | Path) -> Header:
    """Read what a recording is like, and make sure that it reaches its end.

    Raises:
        RecordingError: The file cannot be read, is cut off, or holds no samples.
    """
    with open_recording(path) as file:
        if not file.frames:
            raise RecordingError("holds no samples")
        if file.format == "FLAC":
            _read_last(file)
        return Header(file.samplerate, file.channels, file.frames)


def read_samples(
    path: str | Path, start: float = 0.0, end: float | None = None
) -> tuple[npt.NDArray[np.float32], int]:
    """Read a recording, or a part of one.

    Args:
        path: Any file that libsndfile reads.
        start: Where the part begins, in seconds.
        end: Where the part ends, in seconds; None means the end of the file.

    Returns:
        Samples [T, channels], and the sampling rate in Hz.

    Raises:
        RecordingError: The file cannot be read, is cut off, or ends before ``start``.
    """
    import soundfile  # noqa: PLC0415  (as below: who computes with features needs no recordings)

    with open_recording(path) as file:
        first = round(start * file.samplerate)
        last = file.frames if end is None else round(end * file.samplerate)
        if not file.frames:
            raise RecordingError("holds no samples")
        if not 0 <= first < min(last, file.frames):
            length = f"{file.frames / file.samplerate:.3f} s of sound"
            raise RecordingError(f"found {length}, expected some at {start} to {end} s")
        count = min(last, file.frames) - first
        try:
            blocks = list(samples_between(file, first, first + count))
            samples = np.concatenate(blocks) if blocks else np.zeros((0, file.channels), np.float32)
        except soundfile.LibsndfileError as error:
            raise RecordingError(f"cannot be decoded ({said(error)})") from error
        if len(samples) < count:
            raise RecordingError(
                f"is cut off: the header promises {file.frames} samples, found {first + len(samples)}"
            )
        return samples, file.samplerate


def open_recording(path: str | Path) -> soundfile.SoundFile:
    """Open a recording whose header keeps its promises.

    Raises:
        RecordingError: The file cannot be read, or is cut off.
    """
    import soundfile  # noqa: PLC0415

    try:
        # From memory rather than the path: it may need another header.
        with Path(path).open("rb") as file:
            start = file.read(64)
            check = next((c for magic, c in _CHECKS.items() if start.startswith(magic)), None)
            if check is None and _is_mpeg(start):
                check = _check_mpeg
            content = check(file) if check else None
        found = soundfile.SoundFile(_name(path) if content is None else io.BytesIO(content))
    except OSError as error:
        raise RecordingError(f"cannot be read ({error.strerror or error})") from error
    except soundfile.LibsndfileError as error:
        raise RecordingError(f"cannot be read ({said(error)}){conversion(Path(path))}") from error
    try:
        _check_claims(found)
    except RecordingError:
        found.close()
        raise
    return found


def _name(path: str | Path) -> str | bytes:
    """A file's name as libsndfile takes it: on Unix it may hold bytes that are no text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def conversion(path: Path) -> str:
    """The end of a message about sound or a film that libsndfile does not read: how it is converted, or nothing."""
    ending = path.suffix.lower()
    if ending not in UNREAD:
        return ""
    return f": convert it with ffmpeg -i NAME{ending} -ac 1 -ar 16000 NAME.wav"


def _check_claims(file: soundfile.SoundFile) -> None:
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise RecordingError(
            f"has a sampling rate of {file.samplerate} Hz, expected {RATES[0]} to {RATES[1]}"
        )
    if file.frames >= _UNKNOWN:
        raise RecordingError("does not say how long it is, as if written to a pipe: encode it anew")


def samples_between(
    file: soundfile.SoundFile, first: int, last: int, most: int = _BLOCK
) -> Iterator[npt.NDArray[np.float32]]:
    """Samples [T, channels] from first to last, at most so many at a time; fewer where the file ends early.

    GSM 6.10 and G.721, which can only be read from their start, are read from there.
    """
    at = first if file.seekable() else 0
    if 0 < at < last:
        file.seek(at)
    while at < last:
        asked = min(most, last - at)
        block: npt.NDArray[np.float32] = file.read(asked, dtype="float32", always_2d=True)
        if at + len(block) > first:
            yield block[max(first - at, 0) :]
        if len(block) < asked:
            return
        at += asked


def _read_last(file: soundfile.SoundFile) -> None:
    import soundfile  # noqa: PLC0415

    try:
        file.seek(file.frames - 1)
        found = len(file.read(1))
    except soundfile.LibsndfileError:
        found = 0
    if not found:
        raise RecordingError(
            f"is cut off: the header promises {file.frames} samples, the last cannot be read"
        )


def said(error: soundfile.LibsndfileError) -> str:
    """What libsndfile says of an error, or its number."""
    text = error.error_string.strip().rstrip(".")
    return text or f"libsndfile's error {error.code}"


def _size(file: BinaryIO) -> int:
    return file.seek(0, io.SEEK_END)


def _refuse_cut(promised: int, there: int) -> None:
    if promised > there + _SLIP:
        raise RecordingError(
            f"is cut off: the header promises {promised} bytes of samples, found {there}"
        )


def _check_riff(file: BinaryIO) -> bytes | None:
    """WAV and RF64, of which 32-bit sizes may be wrong: the whole file with a right one where it is."""
    size, file_start = _size(file), 12
    order = ">" if _at(file, 0, 4) == b"RIFX" else "<"
    large: int | None = None
    for name, at, length in _chunks(file, file_start, size, order):
        if name == b"ds64":
            large = struct.unpack("<Q", _at(file, at + 8, 8).ljust(8, b"\0"))[0]
        if name != b"data":
            continue
        if length == 0xFFFFFFFF and large is not None:
            _refuse_cut(large, size - at)
        elif length == 0 and at < size and not _ends_in_chunks(file, at, size, order):
            file.seek(0)
            content = bytearray(file.read())
            content[at - 4 : at] = struct.pack(order + "I", min(size - at, 0xFFFFFFFF))
            return bytes(content)
        elif length < _STREAMED:
            _refuse_cut(length, size - at)
        return None
    return None


def _chunks(file: BinaryIO, at: int, size: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, first byte and length of each chunk, as far as they can be followed."""
    while at + 8 <= size:
        name, length = struct.unpack(order + "4sI", _at(file, at, 8))
        yield name, at + 8, length
        at += 8 + length + length % 2


def _ends_in_chunks(file: BinaryIO, at: int, size: int, order: str) -> bool:
    """Whether what follows a chunk that says it is empty are further chunks, so that it is."""
    for name, first, length in _chunks(file, at, size, order):
        if not name.isascii() or not name.decode("ascii").isprintable():
            return False
        if first + length + length % 2 >= size:
            return first + length <= size
    return False


def _at(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def _check_aiff(file: BinaryIO) -> None:
    size = _size(file)
    for name, at, length in _chunks(file, 12, size, ">"):
        if name == b"SSND" and length < _STREAMED:
            _refuse_cut(length, size - at)


def _check_w64(file: BinaryIO) -> None:
    # A chunk is 16 bytes of name, 8 of length (these 24 included), contents.
    size, at = _size(file), 40
    while at + 24 <= size:
        name, length = struct.unpack("<4s12xQ", _at(file, at, 24))
        if name == b"data":
            _refuse_cut(length - 24, size - at - 24)
        if length < 24:
            return
        at += (length + 7) // 8 * 8


def _check_au(file: BinaryIO) -> None:
    order = ">" if _at(file, 0, 4) == b".snd" else "<"
    head = _at(file, 4, 8)
    if len(head) == 8:
        first, length = struct.unpack(order + "II", head)
        if length < _STREAMED:
            _refuse_cut(length, _size(file) - first)


def _check_nist(file: BinaryIO) -> None:
    head = _at(file, 0, 1024).decode("ascii", errors="replace")
    if "embedded-shorten" in head or "embedded-wavpack" in head:
        raise RecordingError("is a compressed SPHERE file: expand it with sph2pipe -f wav")
    found = {
        name: int(value)
        for name, value in re.findall(r"^(\w+) -i (\d{1,15})\s*$", head, re.MULTILINE)
    }
    first = re.match(r"NIST_1A\s+(\d{1,9})\s", head)
    names = ("sample_count", "channel_count", "sample_n_bytes")
    if first and all(name in found for name in names):
        promised = found[names[0]] * found[names[1]] * found[names[2]]
        _refuse_cut(promised, _size(file) - int(first[1]))


def _check_ogg(file: BinaryIO) -> None:
    """The last page says that it is the last."""
    size = _size(file)
    tail = _at(file, max(size - 2 * _OGG_PAGE, 0), 2 * _OGG_PAGE)
    page = tail[tail.rfind(b"OggS") :]
    segments = page[26] if len(page) > 26 else 0
    whole = len(page) > 26 and len(page) >= 27 + segments + sum(page[27 : 27 + segments])
    if not whole or not page[5] & 4:
        raise RecordingError("is cut off: the last page of the Ogg stream is missing")


# MPEG audio: a file of frames, each with a header of its own ---------------------------------------------------------

_SAMPLERATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_KILOBITS: Final = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
# Bits of a frame's header that are the same in all: sync, version, layer, rate.
_FIXED: Final = 0xFFFE0C00


def _is_mpeg(start: bytes) -> bool:
    return start.startswith(b"ID3") or _frame_length(start[:4]) is not None


def _frame_length(header: bytes) -> int | None:
    """Bytes of the frame that a header begins, None where it is none or does not say."""
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0:
        return None
    bits = int.from_bytes(header, "big")
    version, layer = bits >> 19 & 3, 4 - (bits >> 17 & 3)
    bitrate, rate, padding = bits >> 12 & 15, bits >> 10 & 3, bits >> 9 & 1
    if version == 1 or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    kilobits = _KILOBITS[1 if version == 3 else 2, layer][bitrate - 1]
    samplerate = _SAMPLERATES[version][rate]
    if layer == 1:
        return (12_000 * kilobits // samplerate + padding) * 4
    half = layer == 3 and version != 3
    return (72_000 if half else 144_000) * kilobits // samplerate + padding


def _check_mpeg(file: BinaryIO) -> bytes | None:
    """Follow the frames to the end: the file with their number in front where it does not say it itself."""
    file.seek(0)
    content = file.read()
    first, count, whole = _frames(content)
    if first is None:
        return None  # no frame at all, or a kind whose frames do not say their length
    promised = _promised_frames(content[first:])
    if promised is None:
        if not whole:
            raise RecordingError(f"is cut off: its last MPEG frame, number {count}, is not whole")
        return _info_frame(content[first : first + 4], count) + content[first:]
    if count - 1 < promised:
        raise RecordingError(
            f"is cut off: the header promises {promised} MPEG frames, found {count - 1}"
        )
    return None


def _frames(content: bytes) -> tuple[int | None, int, bool]:
    """Where the first frame begins, how many there are, and whether the last is whole."""
    at = 0
    if content[:3] == b"ID3" and len(content) >= 10:  # of seven bits a byte
        at = 10 + sum((content[6 + i] & 127) << (21 - 7 * i) for i in range(4))
        at += 10 * (content[5] >> 4 & 1)
    first: int | None = None
    fixed, count = 0, 0
    while (at := content.find(b"\xff", at)) >= 0:
        header = content[at : at + 4]
        length = _frame_length(header)
        bits = int.from_bytes(header, "big") & _FIXED
        following = content[at + length : at + length + 4] if length else b""
        strange = first is not None and bits != fixed
        # Bytes within a tag may look like a header; another one behind the frame makes it one.
        chance = first is None and len(following) == 4 and _frame_length(following) is None
        if length is None or strange or chance:
            at += 1
            continue
        if first is None:
            first, fixed = at, bits
        if at + length > len(content):
            return first, count, False
        at, count = at + length, count + 1
    return first, count, True


def _promised_frames(content: bytes) -> int | None:
    """How many frames the first one, if it is of the kind that holds no sound, says that there are."""
    for tag in (b"Xing", b"Info"):
        at = content.find(tag, 4, 64)
        if at >= 0 and len(content) >= at + 12 and content[at + 7] & 1:
            return int.from_bytes(content[at + 8 : at + 12], "big")
    at = content.find(b"VBRI", 4, 64)
    return int.from_bytes(content[at + 14 : at + 18], "big") if at >= 0 else None


def _info_frame(header: bytes, count: int) -> bytes:
    """A frame that holds the number of frames, after which decoders do not guess it."""
    bits = int.from_bytes(header, "big")
    bits = bits & ~(15 << 12) | 14 << 12 | 1 << 16  # room enough, and no checksum
    stereo, new = bits >> 6 & 3 != 3, bits >> 19 & 3 == 3
    side = (32 if stereo else 17) if new else (17 if stereo else 9)
    head = bits.to_bytes(4, "big")
    tag = bytes(side) + b"Xing" + (1).to_bytes(4, "big") + count.to_bytes(4, "big")
    return (head + tag).ljust(_frame_length(head) or 0, b"\0")


def _check_pointer(_: BinaryIO) -> None:
    raise RecordingError(POINTER)


POINTER: Final = "is a Git LFS pointer in place of a recording: git lfs pull fetches it"
_CHECKS: Final[dict[bytes, Callable[[BinaryIO], bytes | None]]] = {
    b"RIFF": _check_riff,
    b"RIFX": _check_riff,
    b"RF64": _check_riff,
    b"FORM": _check_aiff,
    b"riff": _check_w64,
    b".snd": _check_au,
    b"dns.": _check_au,
    b"NIST_1A": _check_nist,
    b"OggS": _check_ogg,
    b"version https://git-lfs": _check_pointer,
}
