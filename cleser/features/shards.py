"""Files that grow by whole records: a shard of data, and an index that names only complete records.

A writer appends an utterance's data to ``shard-NAME.bin`` and waits until it is on the disk; only then it appends a
record of fixed size to ``shard-NAME.idx``. If the process is killed, an incomplete record may follow the last complete
one; readers never see it, and the next writer of that name overwrites it. Records carry checksums of themselves and
of their data.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
import weakref
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

ALIGNMENT = 64  # bytes: every array begins at a cache line

# Little-endian throughout, so that a store may move between machines.
RECORD = np.dtype(
    [
        ("key", "S32"),
        ("offset", "<u8"),  # of the data in the shard, in bytes
        ("rows", "<u4"),  # S
        ("text", "<u4"),  # bytes of the labels
        ("data", "<u4"),  # CRC-32 of the data
        ("seal", "<u4"),  # CRC-32 of the record up to here
    ]
)
Records = NDArray[Any]
N = TypeVar("N", int, NDArray[np.int64])

_SEALED = RECORD.itemsize - 4


def padded(size: N) -> N:
    """The next multiple of the alignment."""
    return -size % ALIGNMENT + size


@dataclass(frozen=True)
class Layout:
    """Where in an utterance's data its parts lie: values [S, ·], times [S, 2], frame counts [S], labels.

    Of many utterances at once, where rows and bytes of labels are arrays.

    Attributes:
        row: Bytes of a row of values.
    """

    row: int

    def times(self, rows: N) -> N:
        """Offset of the times."""
        return padded(rows * self.row)

    def frames(self, rows: N) -> N:
        """Offset of the frame counts."""
        return self.times(rows) + 8 * rows

    def text(self, rows: N) -> N:
        """Offset of the labels."""
        return self.frames(rows) + 4 * rows

    def size(self, rows: N, text: N) -> N:
        """Bytes of all, up to where the next utterance begins."""
        return padded(self.text(rows) + text)


def read_records(index: Path, layout: Layout) -> Records:
    """The whole records of an index whose data is there; what a kill or a power cut left is passed over."""
    raw = index.read_bytes()
    records = np.frombuffer(raw[: len(raw) // RECORD.itemsize * RECORD.itemsize], dtype=RECORD)
    if not len(records):
        return records
    cut = memoryview(raw)
    begins = range(0, len(records) * RECORD.itemsize, RECORD.itemsize)
    seals = np.array([zlib.crc32(cut[b : b + _SEALED]) for b in begins], dtype=np.uint32)
    data = index.with_suffix(".bin")
    have = data.stat().st_size if data.exists() else 0
    whole: Records = records[(seals == records["seal"]) & (_ends(records, layout) <= have)]
    return whole


def _ends(records: Records, layout: Layout) -> NDArray[np.int64]:
    offset, rows, text = (records[name].astype(np.int64) for name in ("offset", "rows", "text"))
    return offset + layout.size(rows, text)


class ShardWriter:
    """Appends utterances to one shard, which it alone may write.

    Args:
        folder: Where the shard lies.
        name: Its name.
        layout: Where the parts of an utterance's data lie.

    Raises:
        BlockingIOError: Another process is writing this shard.
    """

    def __init__(self, folder: Path, name: str, layout: Layout) -> None:
        self.layout = layout
        self.index = folder / f"shard-{name}.idx"
        self._data = _open_locked(self.index.with_suffix(".bin"))
        self._index = os.open(self.index, os.O_RDWR | os.O_CREAT, 0o666)
        self.records = self._recover()

    def _recover(self) -> Records:
        """Cut off what the last writer left unfinished."""
        records = read_records(self.index, self.layout)
        self._end = int(_ends(records, self.layout).max()) if len(records) else 0
        os.ftruncate(self._data, self._end)
        whole = records.tobytes()
        if os.fstat(self._index).st_size != len(whole):
            # In place: what is kept is a prefix, unless a disk has lost a record amid others.
            _write(self._index, whole, 0)
            os.ftruncate(self._index, len(whole))
        self._records_end = len(whole)
        return records

    def append(
        self, key: str, values: memoryview, times: bytes, frames: bytes, text: bytes, rows: int
    ) -> None:
        """Add an utterance; when this returns, it is on the disk.

        Args:
            key: Its name, 32 characters at most.
            values: Bytes of its values [S, ·].
            times: Bytes of the rows' times [S, 2], float32.
            frames: Bytes of the rows' frame counts [S], int32.
            text: Labels of the rows.
            rows: S.

        Raises:
            OSError: The disk is full; the error names the shard.
        """
        try:
            self._append(key, values, times, frames, text, rows)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.index.with_suffix(""))) from error

    def _append(
        self, key: str, values: memoryview, times: bytes, frames: bytes, text: bytes, rows: int
    ) -> None:
        data = bytearray(self.layout.size(rows, len(text)))
        begin = self.layout.times(rows)
        data[: values.nbytes] = values
        data[begin : begin + len(times) + len(frames)] = times + frames
        data[self.layout.text(rows) : self.layout.text(rows) + len(text)] = text
        _write(self._data, data, self._end)
        os.fdatasync(self._data) if hasattr(os, "fdatasync") else os.fsync(self._data)
        record = np.zeros(1, dtype=RECORD)
        record[0] = (key.encode(), self._end, rows, len(text), zlib.crc32(data), 0)
        record["seal"] = zlib.crc32(record.tobytes()[:_SEALED])
        _write(self._index, record.tobytes(), self._records_end)
        self._end += len(data)
        self._records_end += RECORD.itemsize

    def drop(self, keys: Collection[str]) -> None:
        """Forget utterances; their data stays until shards are merged."""
        kept = self.records[~np.isin(self.records["key"].astype("U32"), list(keys))]
        # A kill amid this leaves records twice, or one whose seal is broken: nothing that is believed and wrong.
        _write(self._index, kept.tobytes(), 0)
        os.ftruncate(self._index, kept.nbytes)
        self.records, self._records_end = kept, kept.nbytes

    def close(self) -> None:
        """Bring the index to the disk and let others write the shard."""
        os.fsync(self._index)
        os.close(self._index)
        os.close(self._data)


def _open_locked(path: Path) -> int:
    """Open a file for this process alone; the lock ends with the process, however that ends."""
    import fcntl  # noqa: PLC0415  (not on Windows, where a store can still be read)

    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise BlockingIOError(
                f"{path}: another process is writing to it, expected a name of its own for each worker"
            ) from error
        # Between the two calls the file may have been merged into another and deleted.
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(handle).st_ino:
                return handle
        os.close(handle)


def _write(handle: int, data: bytes | bytearray, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(handle, rest, offset)
        rest, offset = rest[written:], offset + written


class ShardReader:
    """A shard's data, read from anywhere in it.

    Attributes:
        memory: The file as memory, see `map_file`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.memory = map_file(path)
        self._handle: int | None = None
        if hasattr(os, "preadv"):  # not on Windows
            self._handle = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._handle)

    def read_into(self, buffer: NDArray[Any], offset: int) -> None:
        """Fill a buffer with what lies at an offset.

        The memory map is left alone: its pages count as this process' memory, and the system maps as many around the
        ones that are touched as it likes, two megabytes on some. To map a page also takes longer than to copy it.

        Raises:
            OSError: The file ends before.
        """
        if self._handle is None:
            found = np.frombuffer(self.memory or b"", np.uint8)[offset : offset + buffer.nbytes]
            buffer.reshape(-1).view(np.uint8)[: len(found)] = found
            size = len(found)
        else:
            size = os.preadv(self._handle, [buffer.data], offset) if buffer.nbytes else 0
        if size < buffer.nbytes:
            raise OSError(
                f"{self.path}: found {size} bytes at {offset}, expected {buffer.nbytes}: the file was cut; extract "
                "anew with --verify"
            )


def map_file(path: Path) -> mmap.mmap | None:
    """The file as memory, or ``None`` where it is empty.

    Private and writable, since torch has no read-only tensors: what is written to the memory never reaches the
    file. Nothing is reserved for such writes, so that a store may be larger than memory.
    """
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return None
        if sys.platform == "linux":
            no_reserve = 0x4000  # mmap.MAP_NORESERVE, which Python names from 3.13 on
            flags = mmap.MAP_PRIVATE | no_reserve
            return mmap.mmap(file.fileno(), 0, flags, mmap.PROT_READ | mmap.PROT_WRITE)
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def as_tensor(memory: mmap.mmap | None, dtype: torch.dtype) -> torch.Tensor:
    """All of a shard as one tensor, without a copy."""
    count = len(memory) // dtype.itemsize if memory else 0
    if memory is None or not count:
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(memory, dtype=dtype, count=count)


def remove(index: Path) -> None:
    """Delete a shard: its index first, so that no record is ever without its data."""
    for path in (index, index.with_suffix(".bin")):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
