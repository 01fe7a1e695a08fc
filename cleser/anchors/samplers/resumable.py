"""What the batch samplers share: epochs, ranks, and a place to stop and go on from.

Batch b of epoch e is a function of the labels, the settings and (seed, e, b) alone. Where a sampler stands is therefore
two numbers, and a run that was killed goes on to exactly the batches that it would have seen.
"""

from __future__ import annotations

import hashlib
import operator
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor, distributed
from torch.utils.data import Sampler

from cleser.ranks import world
from cleser.relations import Labels, integers

T = TypeVar("T")
Items = npt.NDArray[np.int64]
"""Positions of utterances among the labels, int64."""
Place = tuple[int, int]
"""An epoch, and how many of its batches are done."""


class ResumableBatchSampler(Sampler[list[int]], ABC):
    """Batches of an endless sequence of epochs, which can be resumed within an epoch.

    Every iteration is one epoch. It begins when its first batch is requested, with the next epoch (even if the one
    before was not finished), with the epoch that ``set_epoch`` names, or within an epoch after ``load_state_dict``.
    All ranks go through the same batches, and rank r of W takes the items r, r + W, r + 2W, … of each: together the
    ranks hold the batch that a single process would have. A sampler can be pickled: within an epoch its copy
    stands where it stood, but the next iteration of the copy begins the next epoch. To go on within the epoch, load its
    state, or pickle the iteration, ``iter(sampler)``.

    Args:
        labels: What the batches are made of, for the fingerprint of the state.
        settings: The sampler's settings, likewise.
        seed: Seed of all random choices.
        rank: This process' rank. By default that of `torch.distributed` when an epoch begins, 0 without.
        world_size: Number of ranks, likewise.

    >>> from cleser.anchors import HierarchicalBatchSampler
    >>> labels = {"emotion": [0, 0, 1, 1] * 4, "language": [0, 1] * 8}
    >>> sampler = HierarchicalBatchSampler(labels, {"language": 2, "emotion": 2}, samples=1)
    >>> batches = iter(sampler)
    >>> first, state = next(batches), sampler.state_dict()  # interrupted after the first batch
    >>> second = next(batches)
    >>> sampler.load_state_dict(state)
    >>> next(iter(sampler)) == second
    True
    """

    def __init__(
        self,
        labels: Mapping[str, Items],
        settings: object,
        *,
        seed: int,
        rank: int | None,
        world_size: int | None,
    ) -> None:
        self.seed = _from_zero(seed, "seed")
        self._given = _given_place(rank, world_size)
        self._fingerprint = _fingerprint(labels, f"{type(self).__name__} {settings} {self.seed}")
        self._latest: Walk | None = None  # the iteration that was begun last
        self._next: Place | None = (0, 0)  # where the next one begins; None: behind the last

    @abstractmethod
    def _batch(self, epoch: int, number: int) -> Items | None:
        """Batch ``number`` of an epoch for all ranks; None behind the last."""

    @abstractmethod
    def _ends_at(self, epoch: int, number: int) -> bool:
        """Whether an epoch has no batch of this number."""

    @abstractmethod
    def _smallest(self) -> int:
        """Items that every batch has at least, all ranks together."""

    @property
    def rank(self) -> int:
        """This process' rank, now."""
        if self._given is not None:
            return self._given[0]
        return distributed.get_rank() if world() > 1 else 0

    @property
    def world_size(self) -> int:
        """Number of ranks, now."""
        return world() if self._given is None else self._given[1]

    @property
    def epoch(self) -> int:
        """The epoch that the next batch belongs to."""
        return self._place()[0]

    @property
    def batches_done(self) -> int:
        """Batches of this epoch that have been handed out, or received from a loader that is `counted`."""
        return self._place()[1]

    @property
    def sampler(self) -> ResumableBatchSampler:
        """The sampler itself, which is where Lightning and accelerate look for ``set_epoch``."""
        return self

    @property
    def drop_last(self) -> bool:
        """There is no such setting; who asks for it is about to share out batches that are already shared out.

        Raises:
            ValueError: There are several ranks, so that each would get a part of its part.
        """
        if self.world_size > 1:
            raise ValueError(
                f"{type(self).__name__} shares out each batch among the ranks by itself, and would be sharded "
                "twice. With accelerate, leave its loader out of `accelerator.prepare` and call "
                "`prepare_data_loader(loader, num_processes=1, process_index=0)`; with Lightning, set "
                "`Trainer(use_distributed_sampler=False)`; else build the sampler with rank=0 and "
                "world_size=1, for whole batches to be shared out by the loop"
            )
        raise AttributeError(f"{type(self).__name__} has no drop_last")

    def __iter__(self) -> Iterator[list[int]]:
        return Walk(self)

    def counted(self, loader: Iterable[T]) -> Iterator[T]:
        """A loader's batches, while ``state_dict`` counts those that come out here.

        A DataLoader with worker processes asks for batches long before they are trained on, and accelerate's asks for
        one ahead: the sampler, which sees only what is asked for, would count too many.

        Args:
            loader: A DataLoader of this sampler. One that shares out whole batches among ranks is not for counting:
                there, give ``state_dict`` the number.

        Raises:
            ValueError: The loader takes its batches from elsewhere.
        """
        before, walk = self._latest, None
        for number, batch in enumerate(loader, start=1):
            walk = walk or self._latest
            if walk is None or walk is before:
                raise ValueError("the loader has another batch sampler than this one")
            walk.received = walk.start + number
            yield batch

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration begin this epoch, or go on where ``load_state_dict`` says if that is in this epoch."""
        epoch = _from_zero(epoch, "epoch")
        if self._next is not None and self._next[0] == epoch:
            return
        if self._next is not None and self._next[1]:
            warnings.warn(
                f"set_epoch({epoch}) leaves epoch {self._next[0]}, where {self._next[1]} batches were done by "
                "the state that was loaded: begin with set_epoch(sampler.epoch) to go on from there",
                stacklevel=2,
            )
        self._next = epoch, 0
        latest = self._latest
        if latest and (latest.epoch != epoch or self._ends_at(epoch, latest.counted)):
            self._latest = None

    def state_dict(self, batches_done: int | None = None) -> dict[str, Any]:
        """Where the sampler stands, as plain numbers and strings.

        Args:
            batches_done: Batches of this epoch that were trained on, where that is less than were handed out (see
                `counted`).
        """
        epoch, done = self._place()
        if batches_done is not None:
            epoch = epoch if self._latest is None else self._latest.epoch
            epoch, done = self._or_next_epoch(epoch, _from_zero(batches_done, "batches_done"))
        return {"epoch": epoch, "batches_done": done, "fingerprint": self._fingerprint}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where another sampler of the same labels, settings and seed stood; the number of ranks may differ.

        Raises:
            ValueError: It was a sampler of other labels, settings or seed, or it is no state of a sampler, or of a
                place that this one does not have.
        """
        _check_state(state, ("epoch", "batches_done", "fingerprint"))
        if state["fingerprint"] != self._fingerprint:
            raise ValueError(
                f"state has fingerprint {state['fingerprint']}, expected {self._fingerprint}: "
                "it is of other labels, settings or another seed"
            )
        self._next = self._or_next_epoch(*self._place_in(state))
        self._latest = None

    def _begin(self, walk: Walk) -> Place:
        """Where an iteration begins that is asked for its first batch."""
        self._check_ranks()
        if self._next is None:
            assert self._latest is not None
            place = self._latest.epoch + 1, 0
        else:
            place = self._next
        self._next, self._latest = None, walk
        return place

    def _place(self) -> Place:
        if self._latest is None:
            assert self._next is not None
            return self._next
        return self._or_next_epoch(self._latest.epoch, self._latest.counted)

    def _place_in(self, state: Mapping[str, Any]) -> Place:
        """The place that a state names, which has to be one of this sampler's."""
        epoch, done = (
            _from_zero(int(state[n]), f"state[{n!r}]") for n in ("epoch", "batches_done")
        )
        if done and self._ends_at(epoch, done - 1):
            raise ValueError(
                f"state['batches_done'] is {done}, expected no more than epoch {epoch} has batches: "
                "give what state_dict of a sampler returned"
            )
        return epoch, done

    def _or_next_epoch(self, epoch: int, done: int) -> Place:
        """The same place; at the end of an epoch the start of the next one."""
        return (epoch + 1, 0) if self._ends_at(epoch, done) else (epoch, done)

    def _check_ranks(self) -> None:
        """Refuse batches that leave a rank without items."""
        if self._smallest() < self.world_size:
            raise ValueError(
                f"a batch holds {self._smallest()} utterances, expected one at least "
                f"for each of {self.world_size} ranks"
            )


class Walk(Iterator[list[int]]):
    """One iteration, through one epoch.

    Loaders such as torchdata's, which keep their own state, save and restore that of the iteration too. It counts what
    was handed out: those loaders take it at the right moment by themselves.

    Attributes:
        epoch: Which it is, once it has begun.
        start: Batches of the epoch that were done before.
        done: Batches handed out, ``start`` among them.
        received: Batches that a loop has received, where it counts them.
    """

    epoch: int
    start: int
    done: int

    def __init__(self, sampler: ResumableBatchSampler) -> None:
        self.sampler = sampler
        self.begun = False
        self.received: int | None = None

    @property
    def counted(self) -> int:
        """Number of batches that are done."""
        return self.done if self.received is None else self.received

    def __next__(self) -> list[int]:
        if not self.begun:
            self._begin(self.sampler._begin(self))
        batch = self.sampler._batch(self.epoch, self.done)
        if batch is None:
            raise StopIteration
        self.done += 1
        items: list[int] = batch[self._share].tolist()
        return items

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration stands; empty before it has begun."""
        return {"epoch": self.epoch, "batches_done": self.done} if self.begun else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Begin where another iteration stood.

        Raises:
            ValueError: It is no state of an iteration.
        """
        if state:
            _check_state(state, ("epoch", "batches_done"))
            place = self.sampler._place_in(state)
            self.sampler._begin(self)
            self._begin(place)

    def _begin(self, place: Place) -> None:
        self.begun = True
        self.epoch, self.start = place
        self.done = self.start
        self._share = slice(self.sampler.rank, None, self.sampler.world_size)


def _from_zero(value: int, name: str) -> int:
    number = operator.index(value)
    if number < 0:
        raise ValueError(f"{name} is {number}, expected a whole number from 0 on")
    return number


def _check_state(state: Mapping[str, Any], names: tuple[str, ...]) -> None:
    if missing := [name for name in names if name not in state]:
        raise ValueError(
            f"state has {list(state)} and lacks {missing}, expected what state_dict of a sampler returned"
        )


def label_arrays(labels: Labels, names: tuple[str, ...]) -> dict[str, Items]:
    """The named labels as int64 arrays of one length.

    Raises:
        ValueError: One is missing or not of integers, they or further labels differ in length, or there are no items.
    """
    found = {
        name: (v.cpu().numpy() if isinstance(v, Tensor) else v).astype(np.int64)
        for name, v in integers(names, labels, "labels").items()
    }
    # Labels that nobody reads may still tell that those that are read are of other utterances.
    lengths = {name: len(labels[name]) for name in labels}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"labels differ in length: {lengths}")
    if not len(found[names[0]]):
        raise ValueError("labels are of 0 items, expected one at least")
    return found


def _given_place(rank: int | None, world_size: int | None) -> tuple[int, int] | None:
    if (rank is None) is not (world_size is None):
        raise ValueError(
            f"rank is {rank} and world_size {world_size}, expected both or neither of them"
        )
    if rank is None or world_size is None:
        return None
    if not 0 <= rank < world_size:
        raise ValueError(f"rank is {rank}, expected 0 ≤ rank < world_size = {world_size}")
    return rank, world_size


def _fingerprint(labels: Mapping[str, Items], settings: str) -> str:
    digest = hashlib.sha256(settings.encode())
    for name, values in labels.items():
        digest.update(f"{name}[{len(values)}]".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()[:16]
