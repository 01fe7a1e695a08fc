"""What the batch samplers share: epochs, ranks, and a place to stop and go on from.

Batch b of epoch e is a function of the labels, the settings and (seed, e, b) alone. Where a sampler stands is therefore
two numbers, and a run that was killed goes on to exactly the batches that it would have seen.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, distributed
from torch.utils.data import Sampler

from cleser.relations import Labels, integers

Items = npt.NDArray[np.int64]
"""Positions of utterances among the labels, int64."""


class ResumableBatchSampler(Sampler[list[int]], ABC):
    """Batches of an endless row of epochs, from wherever it stands.

    Iterating yields what is left of the epoch and leaves the sampler at the start of the next one, so that an iteration
    broken off goes on where it stopped. All ranks walk the same batches, and of each batch rank r of W takes
    the items r, r + W, r + 2W, …: together they hold the batch of one rank.

    Args:
        labels: What the batches are made of, for the fingerprint of the state.
        settings: The sampler's settings, likewise.
        seed: Decides all draws.
        rank: This process' rank; by default that of `torch.distributed`, 0 without.
        world_size: Number of ranks, likewise.
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
        self.seed = seed
        self.rank, self.world_size = _place(rank, world_size)
        self._fingerprint = _fingerprint(labels, f"{type(self).__name__} {settings} {seed}")
        self._epoch = self._done = 0

    @abstractmethod
    def _batch(self, epoch: int, number: int) -> Items | None:
        """Batch ``number`` of an epoch for all ranks; None behind the last."""

    @property
    def epoch(self) -> int:
        """The epoch that the next batch belongs to."""
        return self._epoch

    @property
    def batches_done(self) -> int:
        """Batches handed out in this epoch."""
        return self._done

    def __iter__(self) -> Iterator[list[int]]:
        while (batch := self._batch(self._epoch, self._done)) is not None:
            self._done += 1
            yield batch[self.rank :: self.world_size].tolist()
        self._epoch, self._done = self._epoch + 1, 0

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch; in the midst of this very epoch, after `load_state_dict`, stay."""
        if epoch != self._epoch:
            self._epoch, self._done = epoch, 0

    def state_dict(self, batches_done: int | None = None) -> dict[str, Any]:
        """Where the sampler stands, as plain numbers and strings.

        Args:
            batches_done: Batches of this epoch that were trained on, where that is less than were handed out: a
                DataLoader with worker processes asks ahead.
        """
        done = self._done if batches_done is None else batches_done
        return {"epoch": self._epoch, "batches_done": done, "fingerprint": self._fingerprint}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where another sampler of the same labels, settings and seed stood; the number of ranks may differ.

        Raises:
            ValueError: It was a sampler of other labels, settings or seed.
        """
        if state["fingerprint"] != self._fingerprint:
            raise ValueError(
                f"state has fingerprint {state['fingerprint']}, expected {self._fingerprint}: "
                "it is of other labels, settings or another seed"
            )
        self._epoch, self._done = int(state["epoch"]), int(state["batches_done"])

    def _shared_by_ranks(self, size: int) -> None:
        """Refuse batches that leave a rank without items."""
        if size < self.world_size:
            raise ValueError(
                f"a batch holds {size} utterances, expected one at least "
                f"for each of {self.world_size} ranks"
            )


def label_arrays(labels: Labels, names: tuple[str, ...]) -> dict[str, Items]:
    """The named labels as int64 arrays of one length.

    Raises:
        ValueError: One is missing or not of integers, they differ in length, or there are no items.
    """
    found = {
        name: (v.cpu().numpy() if isinstance(v, Tensor) else v).astype(np.int64)
        for name, v in integers(names, labels, "labels").items()
    }
    if not len(found[names[0]]):
        raise ValueError("labels are of 0 items, expected one at least")
    return found


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    if (rank is None) is not (world_size is None):
        raise ValueError(
            f"rank is {rank} and world_size {world_size}, expected both or neither of them"
        )
    if rank is None or world_size is None:
        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        return 0, 1
    if not 0 <= rank < world_size:
        raise ValueError(f"rank is {rank}, expected 0 ≤ rank < world_size = {world_size}")
    return rank, world_size


def _fingerprint(labels: Mapping[str, Items], settings: str) -> str:
    digest = hashlib.sha256(settings.encode())
    for name, values in labels.items():
        digest.update(f"{name}[{len(values)}]".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()[:16]
