"""Batches of utterances on their way from disk to disk: decoded ahead, encoded, pooled, and written behind.

While the model encodes a batch, threads decode the next ones and another writes the last: the model never waits for
a disk. On a processor every core encodes a batch of its own, since cores that share one batch wait for each other
in every layer. Layers are pooled as they appear.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cleser.anchors.streaming import StreamingPool
from cleser.features.pooled import Record
from cleser.features.store_writer import StoreWriter
from cleser.features.utterance import Utterance
from cleser.speech.audio import CANCELLED, AudioError, channels_cancel, load_audio
from cleser.speech.backbones.replicas import ReplicaPool
from cleser.speech.batching import batches_by_length

_Cut = tuple[Tensor, list[str]]
"""Times [S, 2] in seconds, and labels."""
_Results = tuple[StreamingPool | None, list[_Cut]]
# Batches decoded before they are needed.
_AHEAD: Final = 4
# Batches that each of several workers gets at least.
_TURNS: Final = 4


class _Encoded(NamedTuple):
    """A batch that is being encoded: its size, what of it could be decoded, and what comes of that."""

    size: int
    batch: list[Utterance]
    results: Future[_Results]


class Pipeline:
    """Encodes utterances batch by batch and writes them to a store.

    Args:
        replicas: The backbone, and the threads that encode with it.
        record: What is kept of an utterance.
        seconds: How much sound a batch may hold, padding included.
        advance: Called with the number of utterances finished, for progress.
    """

    def __init__(
        self,
        replicas: ReplicaPool,
        record: Record,
        seconds: float,
        advance: Callable[[int], object] | None,
    ) -> None:
        self.replicas = replicas
        self.backbone = replicas.backbone
        self.record = record
        self.seconds = seconds
        self.advance = advance
        self._encoded = self._padded = 0

    @property
    def padding(self) -> float:
        """Share of what was encoded that was padding."""
        return self._padded / max(1, self._encoded + self._padded)

    def run(self, items: list[Utterance], writer: StoreWriter) -> None:
        """Encode and write all of them; those that cannot be used get a ``problem``."""
        with ThreadPoolExecutor(os.cpu_count()) as readers, ThreadPoolExecutor(1) as scribe:
            written: Future[None] | None = None
            for encoded in self._encoded_ahead(items, readers):
                results = encoded.results.result()
                # One batch behind: a full disk stops the run, and memory stays bounded.
                if written is not None:
                    written.result()
                written = scribe.submit(_write, writer, encoded.batch, *results)
                if self.advance:
                    self.advance(encoded.size)
            if written is not None:
                written.result()

    def _encoded_ahead(
        self, items: list[Utterance], readers: ThreadPoolExecutor
    ) -> Iterator[_Encoded]:
        """Batches in their order, while each worker has one more waiting."""
        coming: deque[_Encoded] = deque()
        for group, batch, sounds in self._read(items, readers):
            heard = sum(map(len, sounds))
            self._encoded += heard
            self._padded += max(map(len, sounds), default=0) * len(sounds) - heard
            coming.append(
                _Encoded(group, batch, self.replicas.pool.submit(self._encode, batch, sounds))
            )
            if len(coming) > 2 * self.replicas.size:
                yield coming.popleft()
        yield from coming

    def _read(
        self, items: list[Utterance], readers: ThreadPoolExecutor
    ) -> Iterator[tuple[int, list[Utterance], list[Tensor]]]:
        """Size of each batch, what of it could be decoded, and its sounds; some batches are decoded ahead."""
        order = batches_by_length([item.seconds for item in items], self._budget(items))
        waiting: list[tuple[list[Utterance], list[Future[Tensor | None]]]] = []
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

    def _budget(self, items: list[Utterance]) -> float:
        """Each of several workers gets a few batches: with one or two, some would be done long before others."""
        if self.replicas.size == 1:
            return self.seconds
        share = sum(item.seconds for item in items) / self.replicas.size
        return min(self.seconds, share / _TURNS)

    def _load(self, item: Utterance) -> Tensor | None:
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
    def _encode(self, batch: list[Utterance], sounds: list[Tensor]) -> _Results:
        """Set the model to a batch; what a GPU gives may still be on its way when this returns."""
        if not batch:
            return None, []
        backbone, device = self.replicas.mine, self.replicas.device
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


def _speechless(item: Utterance) -> str:
    """What is said of an utterance none of whose frames is heard; it was decoded before, so it can be read."""
    if channels_cancel(item.path, start=item.start, end=item.end):
        return CANCELLED
    return "holds no speech: every frame is silent"


def _write(
    writer: StoreWriter, batch: list[Utterance], pool: StreamingPool | None, cuts: list[_Cut]
) -> None:
    if pool is None:
        return
    for item, (values, kept), frames, (times, labels) in zip(
        batch, pool.values(), pool.counts(), cuts, strict=True
    ):
        if not len(values):
            item.problem = _speechless(item)
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
