"""A corpus through a backbone into a store: read, encoded, pooled and written all at once.

While the model encodes a batch, threads decode the next ones and another writes the last: the model never waits for
a disk. On a processor every core encodes a batch of its own, since cores that share one batch wait for each other
in every layer. Layers are pooled as they appear. Several processes share the work by taking every n-th utterance, and
what a store already holds is not done again.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cleser.alignment import Alignment
from cleser.anchors.streaming import StreamingPool
from cleser.corpora.recording import read_header
from cleser.features.pooled import Record
from cleser.features.store import PooledStore, StoreSettings, StoreWriter
from cleser.files import write_text
from cleser.speech.audio import AudioError, load_audio
from cleser.speech.backbones import Backbone
from cleser.speech.backbones.crew import Crew, device_of, moved_to
from cleser.speech.batching import batches_by_length
from cleser.speech.digests import file_digest, utterance_key

_Cut = tuple[Tensor, list[str]]  # times [S, 2] in seconds, and labels
_Results = tuple[StreamingPool | None, list[_Cut]]
Announce = Callable[[str], object]
_LONG = 600.0  # seconds of sound from which on size and time are said
_AHEAD = 4  # batches decoded before they are needed
_TURNS = 4  # batches that each of several workers gets at least


@dataclass
class Extraction:
    """What became of a corpus.

    Attributes:
        store: With the utterances that could be used.
        keys: Each row's name in the store; None where the recording could not be used.
        left_out: Those recordings: ``{"path": …, "reason": …}``.
        padding: Share of what was encoded that was padding.
    """

    store: PooledStore
    keys: list[str | None]
    left_out: list[dict[str, str]] = field(default_factory=list)
    padding: float = 0.0


def extract_to_store(
    manifest: pd.DataFrame,
    backbone: Backbone,
    folder: str | os.PathLike[str],
    *,
    record: Record | None = None,
    alignments: Sequence[Alignment | None] | None = None,
    dtype: Literal["float16", "float32"] = "float16",
    seconds: float | None = None,
    device: torch.device | None = None,
    share: tuple[int, int] = (0, 1),
    workers: int | None = None,
    advance: Callable[[int], object] | None = None,
    announce: Announce | None = None,
    announce_from: float = _LONG,
    shortest: float = 0.0,
) -> Extraction:
    """Encode a manifest's utterances and keep them pooled, from all the backbone's layers.

    Args:
        manifest: Rows with ``path, start, end``.
        backbone: What turns sound into frames.
        folder: Of the store; one that is there goes on, if it holds the same.
        record: What to keep; by default the mean over each utterance.
        alignments: When each utterance's phones sound, one for each row, None where nobody knows.
        dtype: How values are kept.
        seconds: How much sound a batch may hold, padding included; by default 32 on a CPU and 480 on a GPU. A corpus
            that gives the workers no more than a few such batches is cut into smaller ones.
        device: Where the backbone runs meanwhile; by default where it is.
        share: ``(rank, ranks)``: of the rows, those whose number is rank modulo ranks.
        workers: Batches encoded at once, by threads that divide torch's among them; by default one for each of these
            on a CPU, and one on a GPU.
        advance: Called with the number of utterances finished, for progress.
        announce: Called before the work with what it will take of the disk and about how long.
        announce_from: Seconds of sound from which on it is called.
        shortest: Seconds below which an utterance is left out.

    Raises:
        ValueError: The store holds something else, the alignments are not as many as the rows, or the disk is too
            small.
    """
    record = record or Record("none", std=False)
    known = alignments if alignments is not None else [None] * len(manifest)
    if len(known) != len(manifest):
        raise ValueError(
            f"found {len(known)} alignments, expected one for each of {len(manifest)} rows"
        )
    store = PooledStore.create(folder, StoreSettings.of(backbone, record, dtype))
    rank, ranks = share
    paths, starts, ends = (manifest[c].tolist()[rank::ranks] for c in ("path", "start", "end"))
    rows = list(zip(paths, starts, ends, range(rank, len(known), ranks), strict=True))
    padding = 0.0
    with ThreadPoolExecutor(os.cpu_count()) as readers:
        items = list(
            readers.map(
                lambda row: _Item.look(*row, known=known, record=record, shortest=shortest), rows
            )
        )
        done = {i.key for i in items if i.key is not None and i.key in store}
        todo = [i for i in items if i.problem is None and i.key not in done]
        if advance:
            advance(len(items) - len(todo))
        if todo:
            plan = _Plan.of(todo, store, record)
            plan.check(store.folder)
            with moved_to(backbone, device):
                crew = Crew(backbone, workers)
                if announce and plan.seconds >= announce_from:
                    announce(plan.said(backbone, crew.size))
                work = _Work(crew, record, seconds or _batch(crew.device), advance)
                with writer_of(store, rank) as writer, crew, ThreadPoolExecutor(1) as scribe:
                    work.run(todo, readers, scribe, writer)
            padding = work.padding
            store.refresh()
    left_out = [{"path": str(i.path), "reason": i.problem} for i in items if i.problem is not None]
    _note(store.folder / f"left-out-{rank}.jsonl", left_out, set(manifest["path"]))
    keys = [i.key if i.problem is None else None for i in items]
    return Extraction(store, keys, left_out, padding)


def _batch(device: torch.device) -> float:
    """How much sound a batch holds, in seconds."""
    return 480.0 if device.type == "cuda" else 32.0


class _Plan(NamedTuple):
    """What an extraction will take.

    Attributes:
        utterances: That are still to be encoded.
        seconds: Of sound.
        size: Of what is kept of them, in bytes.
    """

    utterances: int
    seconds: float
    size: int

    @classmethod
    def of(cls, items: list[_Item], store: PooledStore, record: Record) -> _Plan:
        row = store.row_bytes + 12  # with its times and frame count
        rows = sum(record.rows(item.seconds, item.alignment) for item in items)
        return cls(len(items), sum(item.seconds for item in items), rows * row)

    def check(self, folder: Path) -> None:
        """Refuse a disk that is too small."""
        free = shutil.disk_usage(folder).free
        if self.size > free:
            raise ValueError(
                f"{folder}: the features of {self.utterances} utterances take about {_bytes(self.size)}, and "
                f"{_bytes(free)} are free: take fewer layers (--backbone MODEL,layers=middle) or another disk "
                "(CLESER_CACHE); cleser extract can also leave out tokens (--tokens none)"
            )

    def said(self, backbone: Backbone, workers: int) -> str:
        """Size and time in a sentence."""
        takes = self.seconds / _speed(backbone) / workers
        return (
            f"{self.utterances} utterances, {_time(self.seconds)} of sound: about {_bytes(self.size)}, "
            f"{_time(takes)} of work"
        )


def _bytes(size: float) -> str:
    """A size as people say it.

    >>> _bytes(3.2e5), _bytes(4.25e7), _bytes(1.3e10)
    ('320 kB', '42 MB', '13.0 GB')
    """
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _time(seconds: float) -> str:
    """A duration as people say it.

    >>> _time(20), _time(150), _time(8000)
    ('20 s', '2 min', '2.2 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@torch.inference_mode()
def _speed(backbone: Backbone) -> float:
    """Seconds of sound that are encoded a second, by a trial on noise."""
    length = min(10 * backbone.rate, backbone.longest or math.inf)
    noise = 0.1 * torch.randn(1, int(length), device=device_of(backbone))
    lengths = torch.tensor([noise.shape[1]])
    backbone(noise, lengths)  # the first call is slower than any other
    began = time.perf_counter()
    backbone(noise, lengths).hidden_states.sum().item()  # waits for a GPU
    return length / backbone.rate / (time.perf_counter() - began)


def keys_of(
    manifest: pd.DataFrame, alignments: Sequence[Alignment | None], record: Record
) -> list[str | None]:
    """What utterances are called in a store of this kind, a key a row; None where a recording cannot be used."""
    places = (manifest[c].tolist() for c in ("path", "start", "end"))
    rows = list(zip(*places, range(len(alignments)), strict=True))
    with ThreadPoolExecutor(os.cpu_count()) as readers:
        items = list(
            readers.map(lambda row: _Item.look(*row, known=alignments, record=record), rows)
        )
    return [item.key if item.problem is None else None for item in items]


def writer_of(store: PooledStore, rank: int = 0) -> StoreWriter:
    """A writer of a name that nobody else is using: several runs may fill one store."""
    for number in count():
        try:
            return store.writer(f"{rank}-{number}" if number else rank)
        except BlockingIOError:
            continue
    raise AssertionError("there is always another name")


class _File(NamedTuple):
    """What a recording's name in the store and its length follow from."""

    digest: str
    seconds: float


@cache
def _read(path: str, size: int, changed: int) -> _File:
    header = read_header(path)
    return _File(file_digest(path), header.frames / header.samplerate)


def _file(path: str) -> _File:
    """Digest and length of a file; read once by a process, as long as the file stays as it is."""
    found = os.stat(path)  # noqa: PTH116  (Path objects cost more than the call)
    return _read(path, found.st_size, found.st_mtime_ns)


@dataclass
class _Item:
    """An utterance on its way; its alignment is asked for when it is needed, so that not all are held."""

    path: str
    start: float
    end: float
    number: int
    known: Sequence[Alignment | None] = field(repr=False)
    seconds: float = 0.0
    key: str | None = None
    problem: str | None = None

    @property
    def alignment(self) -> Alignment | None:
        return self.known[self.number]

    @classmethod
    def look(
        cls, path: str, start: float, end: float, number: int, *,
        known: Sequence[Alignment | None], record: Record, shortest: float = 0.0,
    ) -> _Item:  # fmt: skip
        """Find out its name and length without decoding it."""
        item = cls(path, start, end, number, known)
        try:
            digest, whole = _file(path)
            item.seconds = min(whole, whole if math.isnan(end) else end) - start
            cuts, spoken = None, record.phones(item.alignment)
            if spoken is not None:
                digest += " " + " ".join(spoken.phones)
                cuts = np.stack([spoken.starts, spoken.ends], 1)
            item.key = utterance_key(digest, start, end, cuts)
        except (OSError, ValueError) as error:
            item.problem = str(error)
        if item.problem is None and not item.seconds > 0:
            item.problem = f"holds {whole:.3f} s of sound, expected some at {start} to {end} s"
        if item.problem is None and item.seconds < shortest - _ROUNDED:
            item.problem = f"lasts {item.seconds:.3f} s, expected {shortest} s or more"
        return item


_ROUNDED: Final = 1e-4  # seconds by which the difference of two times may be off


class _Encoded(NamedTuple):
    """A batch that is being encoded: its size, what of it could be decoded, and what comes of that."""

    size: int
    batch: list[_Item]
    results: Future[_Results]


class _Work:
    """Batches on their way from disk to disk."""

    def __init__(
        self,
        crew: Crew,
        record: Record,
        seconds: float,
        advance: Callable[[int], object] | None,
    ) -> None:
        self.crew = crew
        self.backbone = crew.backbone
        self.record = record
        self.seconds = seconds
        self.advance = advance
        self._encoded = self._padded = 0

    @property
    def padding(self) -> float:
        return self._padded / max(1, self._encoded + self._padded)

    def run(
        self,
        items: list[_Item],
        readers: ThreadPoolExecutor,
        scribe: ThreadPoolExecutor,
        writer: StoreWriter,
    ) -> None:
        written: Future[None] | None = None
        for encoded in self._encoded_ahead(items, readers):
            results = encoded.results.result()
            if written is not None:
                written.result()  # one batch behind: a full disk stops the run, memory stays bounded
            written = scribe.submit(_write, writer, encoded.batch, *results)
            if self.advance:
                self.advance(encoded.size)
        if written is not None:
            written.result()

    def _encoded_ahead(self, items: list[_Item], readers: ThreadPoolExecutor) -> Iterator[_Encoded]:
        """Batches in their order, while each worker has one more waiting."""
        coming: deque[_Encoded] = deque()
        for group, batch, sounds in self._read(items, readers):
            heard = sum(map(len, sounds))
            self._encoded += heard
            self._padded += max(map(len, sounds), default=0) * len(sounds) - heard
            coming.append(
                _Encoded(group, batch, self.crew.pool.submit(self._encode, batch, sounds))
            )
            if len(coming) > 2 * self.crew.size:
                yield coming.popleft()
        yield from coming

    def _read(
        self, items: list[_Item], readers: ThreadPoolExecutor
    ) -> Iterator[tuple[int, list[_Item], list[Tensor]]]:
        """Size of each batch, what of it could be decoded, and its sounds; some batches are decoded ahead."""
        order = batches_by_length([item.seconds for item in items], self._budget(items))
        waiting: list[tuple[list[_Item], list[Future[Tensor | None]]]] = []
        for numbers in [*order, *[[]] * _AHEAD]:
            group = [items[i] for i in numbers]
            waiting.append((group, [readers.submit(self._load, item) for item in group]))
            if len(waiting) > _AHEAD:
                batch, coming = waiting.pop(0)
                sounds = [sound.result() for sound in coming]
                kept = [
                    item for item, sound in zip(batch, sounds, strict=True) if sound is not None
                ]
                yield len(batch), kept, [sound for sound in sounds if sound is not None]

    def _budget(self, items: list[_Item]) -> float:
        """Each of several workers gets a few batches: with one or two, some would be done long before others."""
        if self.crew.size == 1:
            return self.seconds
        share = sum(item.seconds for item in items) / self.crew.size
        return min(self.seconds, share / _TURNS)

    def _load(self, item: _Item) -> Tensor | None:
        try:
            sound = load_audio(item.path, self.backbone.rate, start=item.start, end=item.end)
        except AudioError as error:
            item.problem = str(error).removeprefix(f"{item.path}: ")
            return None
        shortest, longest = self.backbone.shortest, self.backbone.longest
        if len(sound) < shortest or (longest is not None and len(sound) > longest):
            limit = f"at most {longest}" if len(sound) > shortest else f"at least {shortest}"
            item.problem = f"has {len(sound)} samples at {self.backbone.rate} Hz, expected {limit}"
            return None
        return sound

    @torch.inference_mode()
    def _encode(self, batch: list[_Item], sounds: list[Tensor]) -> _Results:
        """Set the model to a batch; what a GPU gives may still be on its way when this returns."""
        if not batch:
            return None, []
        backbone, device = self.crew.mine, self.crew.device
        lengths = torch.tensor([len(sound) for sound in sounds])
        padded = pad_sequence(sounds, batch_first=True)
        padded = padded.pin_memory() if device.type == "cuda" else padded
        cuts: list[_Cut] = []
        counts = backbone.count_frames(lengths).tolist()

        def cut(mask: Tensor) -> list[Tensor]:
            found = []
            for frames_of, item, frames in zip(mask.cpu(), batch, counts, strict=True):
                bounds, labels = self.record.stretches(
                    frames_of[:frames], item.alignment, backbone.frame_rate
                )
                cuts.append((bounds.double() / backbone.frame_rate, labels))
                found.append(bounds)
            return found

        pool = StreamingPool(cut, backbone.n_layers, std=self.record.std)
        backbone.stream(padded.to(device, non_blocking=True), lengths, pool)
        return pool, cuts


def _write(
    writer: StoreWriter, batch: list[_Item], pool: StreamingPool | None, cuts: list[_Cut]
) -> None:
    if pool is None:
        return
    for item, (values, kept), frames, (times, labels) in zip(
        batch, pool.values(), pool.counts(), cuts, strict=True
    ):
        if not len(values):
            item.problem = "holds no speech: every frame is silent"
            continue
        names = [name for name, there in zip(labels, kept, strict=True) if there]
        try:
            writer.add(
                str(item.key),
                values,
                times=times[kept].numpy(),
                frames=frames.numpy(),
                labels=names,
            )
        except ValueError as error:
            item.problem = str(error).removeprefix(f"{item.key}: ")


def _note(path: Path, left_out: list[dict[str, str]], seen: set[str]) -> None:
    """A line for each recording that could not be used; no file if all could.

    Args:
        path: The file; what it says of recordings of other extractions into this store stays.
        left_out: What could not be used this time.
        seen: Paths of all recordings that were asked for this time.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    before = [json.loads(line) for line in lines]
    rows = [*(row for row in before if row["path"] not in seen), *left_out]
    if not rows:
        path.unlink(missing_ok=True)
    elif rows != before:  # what has nothing new to say writes nothing
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
