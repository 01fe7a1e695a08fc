"""What training steps are made of, read while the steps before are taken: by a thread, or by other processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final, TypeAlias, TypeVar

import torch
import torch.utils.data
from torch import Tensor

from cleser.models.batch import Batch
from cleser.speech.audio import AudioError
from cleser.training.audio import WaveformBatch
from cleser.training.dataset import Dataset
from cleser.training.processes import on_cpu
from cleser.training.reading import Excerpt, ExcerptRequest, Excerpts

Sides: TypeAlias = Sequence[Dataset | None]  # the source, and the target where a recipe sees it
Step: TypeAlias = Sequence[Tensor | None]  # which utterances of each
Loaded: TypeAlias = list[Batch | WaveformBatch | None]  # and what is loaded of them
S = TypeVar("S")
T = TypeVar("T")
_MOST: Final = 4  # worker processes by default: more would wait for the network


def default_workers(processes: int = 1) -> int:
    """How many worker processes each of some training processes gets: spare cores, four at most; none without a GPU.

    On a CPU a step takes seconds and its recordings are decoded in milliseconds: a worker would need longer to start
    than it ever saves, and would take a core from the network.

    Args:
        processes: Number of processes that train together on this machine.
    """
    if on_cpu():
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(0, min(_MOST, (cores or 1) // processes - 1))


class StepLoader:
    """Reads the features or recordings of training steps in advance.

    Stored features are gathered by a thread. Recordings are decoded, resampled and cropped by worker processes, each
    of which reads whole steps, two ahead, so that four are eight steps ahead; without workers, by threads, one step
    ahead. Both read the same.

    If several processes train together, each has its share of every step. They average their gradients, and shares
    may differ by an utterance. A supervised loss is a mean of weighted utterances over the share: the weights are
    scaled by the share's size, so that the average over processes is the mean over the batch. Losses between utterances
    see the utterances of all processes and need no such scaling.

    Args:
        sides: Source and target.
        crop: Longest stretch of a recording, in seconds.
        workers: Worker processes; they live until :meth:`close`, and begin only where there is something to decode.
        rank: Rank of this process among those that train together.
        ranks: Number of these processes.
    """

    def __init__(
        self, sides: Sides, *, crop: float, workers: int = 0, rank: int = 0, ranks: int = 1
    ) -> None:
        self.crop, self.rank, self.ranks = crop, rank, ranks
        excerpts = [None if side is None else side.source.excerpts for side in sides]
        self._coming: list[list[ExcerptRequest | None]] = []
        self._decoding: Any = None
        if workers and any(e is not None for e in excerpts):
            self._decoding = torch.utils.data.DataLoader(
                _Decoded(excerpts),
                batch_size=None,
                sampler=_Order(self._coming),
                num_workers=workers,
                persistent_workers=True,
                collate_fn=_as_it_is,
                multiprocessing_context="spawn",  # a fork of a process with threads may hang
                generator=torch.Generator(),  # its own: what the network draws must not depend on workers
            )

    def __call__(
        self, sides: Sides, steps: Sequence[Step], seeds: tuple[int, ...]
    ) -> Iterator[Loaded]:
        """What each step is made of, in order.

        Args:
            sides: Source and target, with the labels that batches are to have.
            steps: Positions in them.
            seeds: Decide, with the side and the position, which stretch is taken of a recording.

        Raises:
            AudioError: A recording can no longer be read.
        """
        own = [[None if at is None else at[self.rank :: self.ranks] for at in s] for s in steps]

        def wanted(step: Step) -> list[ExcerptRequest | None]:
            return [
                None if side is None or at is None else side.wanted(at, self.crop, (*seeds, i))
                for i, (side, at) in enumerate(zip(sides, step, strict=True))
            ]

        def read_and_load(step: Step) -> Loaded:
            excerpts = [None if side is None else side.source.excerpts for side in sides]
            return _load(sides, step, _read(excerpts, wanted(step)))

        if self._decoding is None:
            loaded = prefetched(own, read_and_load)
        else:
            self._coming[:] = [wanted(step) for step in own]
            loaded = self._decoded(sides, own)
        for step, shares in zip(steps, loaded, strict=True):
            yield [self._weighted(*one) for one in zip(shares, step, strict=True)]

    def _decoded(self, sides: Sides, steps: Sequence[Step]) -> Iterator[Loaded]:
        for step, read in zip(steps, self._decoding, strict=True):
            if isinstance(read, AudioError):
                raise read
            yield _load(sides, step, read)

    def _weighted(
        self, share: Batch | WaveformBatch | None, at: Tensor | None
    ) -> Batch | WaveformBatch | None:
        if share is None or at is None:
            return None
        scale = len(share) * self.ranks / len(at)
        return share if scale == 1 else replace(share, weight=share.weight * scale)

    def close(self) -> None:
        """End the worker processes."""
        self._decoding = None


class _Decoded(torch.utils.data.Dataset[Any]):
    """What worker processes give for what is wanted of each side."""

    def __init__(self, excerpts: list[Excerpts | None]) -> None:
        self.excerpts = excerpts

    def __getitem__(
        self, wanted: list[ExcerptRequest | None]
    ) -> list[list[Excerpt] | None] | AudioError:
        try:
            return _read(self.excerpts, wanted, threads=1)
        except AudioError as error:  # raised where it is read, and without a worker's traceback
            return error


class _Order(torch.utils.data.Sampler[list[ExcerptRequest | None]]):
    """What is wanted for the steps of an epoch, one after another."""

    def __init__(self, coming: list[list[ExcerptRequest | None]]) -> None:
        self.coming = coming

    def __iter__(self) -> Iterator[list[ExcerptRequest | None]]:
        return iter(self.coming)

    def __len__(self) -> int:
        return len(self.coming)


def _read(
    excerpts: Sequence[Excerpts | None],
    wanted: Sequence[ExcerptRequest | None],
    threads: int | None = None,
) -> list[list[Excerpt] | None]:
    return [
        None if one is None or what is None else one.read(what, threads=threads)
        for one, what in zip(excerpts, wanted, strict=True)
    ]


def _load(sides: Sides, step: Step, read: Sequence[list[Excerpt] | None]) -> Loaded:
    return [
        None if side is None or at is None else side.load(at, read=one)
        for side, at, one in zip(sides, step, read, strict=True)
    ]


def _as_it_is(read: S) -> S:
    return read


def prefetched(items: Sequence[S], load: Callable[[S], T]) -> Iterator[T]:
    """What the items load to, each while the one before it is worked on.

    >>> list(prefetched([1, 2, 3], lambda number: number**2))
    [1, 4, 9]
    """
    with ThreadPoolExecutor(1) as pool:
        coming = [pool.submit(load, item) for item in items[:1]]
        for item in items[1:]:
            ready = coming.pop()
            coming.append(pool.submit(load, item))
            yield ready.result()
        for ready in coming:
            yield ready.result()
