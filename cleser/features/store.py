"""Pooled features of many utterances on disk, written by parallel workers and read without a copy."""

from __future__ import annotations

import itertools
import json
import mmap
import os
import re
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cleser.features.shards import (
    RECORD,
    Layout,
    Records,
    ShardReader,
    ShardWriter,
    as_tensor,
    read_records,
    remove,
)
from cleser.features.store_settings import DTYPES, StoreSettings
from cleser.features.store_writer import StoreWriter
from cleser.files import write_bytes
from cleser.memory import empty

_WORKER = re.compile(r"\w[\w.-]*")
_MERGED = "merged-"
FORMAT = 2  # of what is on the disk; stores of another one are not read


class PooledBatch(NamedTuple):
    """Some utterances' features, one after another.

    Attributes:
        values: [S, L, C].
        offsets: Where each utterance's rows begin, int64 [B + 1].

    >>> batch = PooledBatch(torch.zeros(5, 1, 2), torch.tensor([0, 2, 5]))
    >>> batch.offsets.diff().tolist()  # rows of each utterance
    [2, 3]
    """

    values: Tensor
    offsets: Tensor


class PooledStore:
    """Features [S, L, C] of utterances: S phones, tokens or one summary, L layers, C channels.

    A folder with ``settings.json`` and, for each worker that wrote to it, a shard of data and its index. A kill at
    any moment loses at most the utterances being added; ``missing`` then says what is left to do. Reading maps the
    shards into memory: ``store[key]`` is a view into the map, and pages are loaded as they are touched. Opened stores
    see what was complete when they were opened; :meth:`refresh` looks again.

    An utterance has a key (:func:`utterance_key`), values [S, L, C], times [S, 2] in seconds (NaN where not given),
    the number of frames that each row is made of (0 where not given) and labels, such as its phones.

    >>> import tempfile, torch
    >>> folder = tempfile.mkdtemp()
    >>> settings = StoreSettings("acoustic", layers=(0,), dim=2, pooling="phones mean")
    >>> store = PooledStore.create(folder, settings)
    >>> key = "0" * 32
    >>> with store.writer("a") as writer:
    ...     writer.add(key, torch.ones(3, 1, 2), labels=["h", "ə", "j"])
    True
    >>> store.refresh()
    >>> store[key].shape, store.labels(key)
    (torch.Size([3, 1, 2]), ['h', 'ə', 'j'])
    """

    def __init__(self, folder: Path, settings: StoreSettings) -> None:
        self.folder = folder
        self.settings = settings
        self._dtype = DTYPES[settings.dtype]
        self._shape = (len(settings.layers), settings.dim)
        self._layout = Layout(len(settings.layers) * settings.dim * self._dtype.itemsize)
        self.refresh()

    @classmethod
    def create(cls, folder: str | os.PathLike[str], settings: StoreSettings) -> PooledStore:
        """Begin a store, or go on with one that has the same settings.

        Raises:
            ValueError: The folder holds a store with other settings.
        """
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        if not (path / "settings.json").exists():
            text = json.dumps({"format": FORMAT, **asdict(settings)}, indent=2) + "\n"
            write_bytes(path / "settings.json", text.encode(), durable=True)
        store = cls.open(path)
        for field in fields(settings):
            found, expected = (getattr(s, field.name) for s in (store.settings, settings))
            if found != expected:
                raise ValueError(
                    f"{path}: found a store with {field.name} {found!r}, expected {expected!r}"
                )
        return store

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> PooledStore:
        """Open a store.

        Raises:
            ValueError: The folder holds none.
        """
        path = Path(folder) / "settings.json"
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise ValueError(f"{path}: not found, expected the folder of a store") from error
        except ValueError as error:
            raise ValueError(f"{path}: holds no JSON, expected the settings of a store") from error
        if not isinstance(found, dict):
            raise ValueError(f"{path}: holds {found!r}, expected the settings of a store")
        # Before the settings are read, which another format may call otherwise.
        if (kind := found.pop("format", 1)) != FORMAT:
            raise ValueError(
                f"{path}: found a store of format {kind}, expected {FORMAT}: extract anew, into another folder"
            )
        try:
            settings = StoreSettings(**found)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}, expected the settings of a store") from error
        return cls(Path(folder), settings)

    def refresh(self) -> None:
        """See what has been added since."""
        records: list[Records] = []
        self._readers: list[ShardReader] = []
        self._flat: list[Tensor] = []
        for index in self._indices():
            try:
                found = read_records(index, self._layout)
                reader = ShardReader(index.with_suffix(".bin"))
            except FileNotFoundError:
                continue  # merged into another shard this very moment
            records.append(found)
            self._readers.append(reader)
            self._flat.append(as_tensor(reader.memory, self._dtype))
        shards = np.repeat(np.arange(len(records)), [len(r) for r in records])
        joined = np.concatenate([np.empty(0, RECORD), *records])
        keys = joined["key"].astype("U32").tolist()
        # Of an utterance that two workers have added, either will do: its key says that they are the same.
        self._where: dict[str, int] = {key: i for i, key in reversed(list(enumerate(keys)))}
        self._shard: list[int] = shards.tolist()
        self._records = joined
        self._begin: list[int] = joined["offset"].tolist()
        self._rows: list[int] = joined["rows"].tolist()

    def __len__(self) -> int:
        return len(self._where)

    def __iter__(self) -> Iterator[str]:
        """Keys in alphabetical order, whoever wrote them."""
        return iter(sorted(self._where))

    def __contains__(self, key: object) -> bool:
        return key in self._where

    def __getitem__(self, key: str) -> Tensor:
        """Values [S, L, C]: a view into the file's memory map, in the store's dtype.

        Writing to it changes this process' copy of the touched pages and never the file.

        Raises:
            KeyError: The store does not hold this utterance.
        """
        return self.views((key,))[0]

    def views(self, keys: Iterable[str]) -> list[Tensor]:
        """Values [S_i, L, C] of each utterance, as views into the memory map: nothing is copied.

        Raises:
            KeyError: The store does not hold an utterance.
        """
        flat, shard, rows, begin = self._flat, self._shard, self._rows, self._begin
        layers, dim = self._shape
        strides = (layers * dim, dim, 1)
        try:
            found = [self._where[key] for key in keys]
        except KeyError as error:
            raise self._unknown(error.args[0]) from None
        size = self._dtype.itemsize
        return [
            flat[shard[i]].as_strided((rows[i], layers, dim), strides, begin[i] // size)
            for i in found
        ]

    def prefetch(self, keys: Iterable[str], *, rows: int | None = None) -> None:
        """Ask the system to read these utterances from the disk in the background, all at once.

        Without it each view is read when it is first touched, with much that lies around it.

        Args:
            keys: Keys of the utterances.
            rows: How many of each one's first rows are wanted; all by default.

        Raises:
            KeyError: The store does not hold an utterance.
        """
        if not hasattr(mmap, "MADV_WILLNEED"):
            return
        for key in keys:
            i = self._find(key)
            memory = self._readers[self._shard[i]].memory
            begin = self._begin[i]
            page = begin % mmap.PAGESIZE
            wanted = self._rows[i] if rows is None else min(rows, self._rows[i])
            if memory is not None and wanted:
                size = wanted * self._layout.row
                memory.madvise(mmap.MADV_WILLNEED, begin - page, size + page)

    def release(self) -> None:
        """Give back the memory of all pages that were touched: they are mapped again when they are touched again.

        What is mapped counts as this process' memory as long as the system has enough; without this a pass over a
        store looks as large as the store. Views stay valid, and lose what was written to them.
        """
        if hasattr(mmap, "MADV_DONTNEED"):
            for reader in self._readers:
                if reader.memory is not None:
                    reader.memory.madvise(mmap.MADV_DONTNEED)

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return PooledStore.open, (self.folder,)  # a data loader's worker maps the files anew

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's values."""
        return self._layout.row

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return sum(self._rows[i] for i in self._where.values()) * self._layout.row

    def _find(self, key: str) -> int:
        try:
            return self._where[key]
        except KeyError:
            raise self._unknown(key) from None

    def _unknown(self, key: str) -> KeyError:
        return KeyError(f"{self.folder}: holds no utterance {key!r} among its {len(self)}")

    def rows(self, keys: Iterable[str]) -> NDArray[np.int64]:
        """How many rows S each utterance has, int64 [B], without touching the values."""
        return np.array([self._rows[self._find(key)] for key in keys], dtype=np.int64)

    def read(self, keys: Sequence[str], *, rows: int | None = None) -> PooledBatch:
        """Read utterances from the file, as they are kept; the memory map is left alone.

        What is mapped counts as this process' memory as far as the system likes to map it, which may be two megabytes
        around each value. What is read takes the memory of the batch.

        Args:
            keys: Keys of the utterances; one may come more than once.
            rows: How many of each one's first rows are wanted; all by default.

        Returns:
            Values [S, L, C] in the store's dtype, with S = ΣS_i, and offsets [B + 1].

        Raises:
            KeyError: The store does not hold an utterance.
            OSError: A file ends before the data that its index names.
        """
        found, bounds = self._wanted(keys, rows)
        values = empty((bounds[-1], *self._shape), self._dtype)
        raw = values.view(torch.uint8).numpy()
        for i, begin, end in zip(found, bounds, bounds[1:], strict=False):
            self._fill(raw[begin:end], i, 0)
        return PooledBatch(values, torch.tensor(bounds))

    def _wanted(self, keys: Iterable[str], rows: int | None) -> tuple[list[int], list[int]]:
        """The utterances' records, and where in a row of all the first rows of each begin, and the last ones end."""
        found = [self._find(key) for key in keys]
        counts = [self._rows[i] if rows is None else min(rows, self._rows[i]) for i in found]
        return found, [0, *itertools.accumulate(counts)]

    def times(self, key: str) -> Tensor:
        """Where the rows begin and end in the utterance, in seconds, float32 [S, 2]; NaN where unknown."""
        i = self._find(key)
        rows = self._rows[i]
        times = np.empty((rows, 2), np.float32)
        self._fill(times, i, self._layout.times(rows))
        return torch.from_numpy(times)

    def frames(self, key: str) -> Tensor:
        """How many frames each row is made of, int32 [S]; 0 where unknown."""
        return self.frames_of((key,))

    def frames_of(self, keys: Sequence[str], *, rows: int | None = None) -> Tensor:
        """How many frames the rows of several utterances are made of, one utterance after another, int32 [ΣS_i].

        Args:
            keys: Keys of the utterances.
            rows: How many of each one's first rows are wanted; all by default.
        """
        found, bounds = self._wanted(keys, rows)
        counts = np.empty(bounds[-1], np.int32)
        for i, begin, end in zip(found, bounds, bounds[1:], strict=False):
            self._fill(counts[begin:end], i, self._layout.frames(self._rows[i]))
        return torch.from_numpy(counts)

    def labels(self, key: str) -> list[str]:
        """The rows' labels, S of them; none where none were given."""
        i = self._find(key)
        text = np.empty(int(self._records["text"][i]), np.uint8)
        self._fill(text, i, self._layout.text(self._rows[i]))
        return text.tobytes().decode().split("\n")[:-1]

    def _fill(self, buffer: NDArray[Any], i: int, offset: int) -> None:
        """Read what lies at an offset in an utterance's data."""
        self._readers[self._shard[i]].read_into(buffer, self._begin[i] + offset)

    def batch(
        self,
        keys: Sequence[str],
        *,
        layers: Sequence[int] | None = None,
        dtype: torch.dtype | None = None,
        out: Tensor | None = None,
    ) -> PooledBatch:
        """Gather utterances, one copy from the map into the batch.

        Args:
            keys: Keys of the utterances; one may come more than once.
            layers: Which of the settings' layers to take; all by default.
            dtype: Type of the values; the store's by default.
            out: Memory for them, [S or more, L, C] of that dtype on the CPU, such as the batch before: to get new
                memory takes about as long as the copy.

        Returns:
            Values [S, L, C] with S = ΣS_i, the first rows of ``out`` where that is given, and offsets [B + 1].

        Raises:
            KeyError: The store does not hold an utterance.
            ValueError: The store does not hold a layer, or ``out`` does not hold the batch.
        """
        views = self.views(keys)
        places = None if layers is None else torch.tensor(self._places(layers), dtype=torch.int64)
        width = self._shape[0] if places is None else len(places)
        offsets = np.zeros(len(views) + 1, dtype=np.int64)
        np.cumsum([len(view) for view in views], out=offsets[1:])
        self.prefetch(keys)
        shape = (int(offsets[-1]), width, self._shape[1])
        values = _room(shape, dtype or self._dtype, out)
        if places is None and values.dtype == self._dtype and views:
            torch.cat(views, out=values)  # at once: half the time of one after the other
        else:
            for view, part in zip(views, values.split(np.diff(offsets).tolist()), strict=True):
                part.copy_(view if places is None else view.index_select(1, places))
        return PooledBatch(values, torch.from_numpy(offsets))

    def _places(self, layers: Sequence[int]) -> list[int]:
        for layer in layers:
            if layer not in self.settings.layers:
                raise ValueError(
                    f"{self.folder}: holds no layer {layer}, expected of {list(self.settings.layers)}"
                )
        return [self.settings.layers.index(layer) for layer in layers]

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those that the store does not hold, in their order, each once."""
        return [key for key in dict.fromkeys(keys) if key not in self._where]

    def verify(self) -> list[str]:
        """The keys whose data is not what was written: every byte is read and its checksum compared."""
        broken = []
        for key in self:
            data, record = self._data(key)
            if zlib.crc32(data) != record["data"]:
                broken.append(key)
        return broken

    def discard(self, keys: Collection[str]) -> None:
        """Forget utterances, such as those that :meth:`verify` found broken: they are then ``missing``.

        Raises:
            BlockingIOError: Another process is writing to the store.
        """
        for index in self._indices() if keys else ():
            shard = self._locked(index)
            shard.drop(keys)
            shard.close()
        self.refresh()

    def _data(self, key: str) -> tuple[memoryview, np.void]:
        """All of an utterance's bytes, and its record."""
        i = self._find(key)
        record = self._records[i]
        data = np.empty(self._layout.size(self._rows[i], int(record["text"])), np.uint8)
        self._fill(data, i, 0)
        return data.data, record

    def writer(self, worker: str | int) -> StoreWriter:
        """What adds utterances; a context manager.

        Args:
            worker: A name of its own for each process or thread that writes at the same time. A name used before goes
                on where that writer ended, or was ended.

        Raises:
            BlockingIOError: Another process is writing under this name.
            ValueError: The name is no plain word.
        """
        name = str(worker)
        if not _WORKER.fullmatch(name) or name.startswith(_MERGED):
            raise ValueError(f"worker is {name!r}, expected letters, digits, '.', '_' and '-'")
        shard = ShardWriter(self.folder, name, self._layout)
        return StoreWriter(shard, self._shape, self._dtype, known=self._where.keys())

    def merge(self) -> None:
        """Make one shard of all, in the order of keys: the same utterances give the same bytes.

        A kill leaves the old shards, or both, or the new one: every utterance stays. Takes the disk space of a copy.

        Raises:
            BlockingIOError: Another process is writing to the store.
        """
        old = self._indices()
        locks = []
        try:
            for index in old:
                locks.append(self._locked(index))
            self.refresh()
            self._write_merged(old)
            for index in old:
                remove(index)
        finally:
            for lock in locks:
                lock.close()
        self.refresh()

    def _indices(self) -> list[Path]:
        return sorted(self.folder.glob("shard-*.idx"))

    def _locked(self, index: Path) -> ShardWriter:
        """A shard for this process alone."""
        return ShardWriter(self.folder, index.stem.removeprefix("shard-"), self._layout)

    def _write_merged(self, old: list[Path]) -> None:
        taken = {index.name for index in old}
        number = next(n for n in range(len(old) + 1) if f"shard-{_MERGED}{n}.idx" not in taken)
        index = self.folder / f"shard-{_MERGED}{number}.idx"
        records = np.zeros(len(self), dtype=RECORD)
        with index.with_suffix(".bin").open("wb") as file:
            for i, key in enumerate(self):
                data, records[i] = self._data(key)
                records["offset"][i] = file.tell()
                records["seal"][i] = zlib.crc32(records[i : i + 1].tobytes()[:-4])
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        write_bytes(index, records.tobytes(), durable=True)


def _room(shape: tuple[int, ...], dtype: torch.dtype, out: Tensor | None) -> Tensor:
    """Memory for a batch: the first rows of ``out``, or new."""
    if out is None:
        return empty(shape, dtype)
    fits = out.ndim == 3 and len(out) >= shape[0] and out.shape[1:] == shape[1:]
    if not fits or out.dtype != dtype or out.device.type != "cpu":
        raise ValueError(
            f"out is {list(out.shape)} of {out.dtype} on {out.device}, "
            f"expected {list(shape)} or more rows, of {dtype} on the CPU"
        )
    return out[: shape[0]]
