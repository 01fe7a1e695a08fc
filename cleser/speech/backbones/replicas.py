"""Threads that encode, one for each core: cores that share a batch wait for each other in every layer.

Most of all they wait where other programs use the machine too and OpenMP's threads wait busily, as they do by default
(not under the command line): one whose core is taken away holds up all, and those burn theirs.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from typing import TypeVar

import torch

from cleser.speech.backbones.base import Backbone

S = TypeVar("S")
T = TypeVar("T")


class ReplicaPool:
    """Threads that encode, each with a backbone of its own: weights are shared, what a forward pass notes is not.

    Args:
        backbone: The backbone, in the mode and on the device in which it is to encode.
        workers: Number of threads, which divide torch's threads among them; by default one for each of these on a CPU,
            and one on a GPU.
    """

    def __init__(self, backbone: Backbone, workers: int | None = None) -> None:
        self.backbone = backbone
        self.device = device_of(backbone)
        self.threads = torch.get_num_threads()
        self.size = workers or (self.threads if self.device.type == "cpu" else 1)
        shared = {id(t): t for t in chain(backbone.parameters(), backbone.buffers())}
        others = (copy.deepcopy(backbone, dict(shared)) for _ in range(self.size - 1))
        self._idle = [backbone, *others]
        self._own = threading.local()

    def __enter__(self) -> ReplicaPool:
        self.pool = ThreadPoolExecutor(self.size, initializer=self._begin)
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)
        # What a thread sets for itself, later threads begin with.
        torch.set_num_threads(self.threads)

    def _begin(self) -> None:
        self._own.backbone = self._idle.pop()
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        else:
            torch.set_num_threads(max(1, self.threads // self.size))

    @property
    def mine(self) -> Backbone:
        """The calling thread's backbone."""
        backbone: Backbone = self._own.backbone
        return backbone

    def map(self, work: Callable[[S, Backbone], T], items: Sequence[S]) -> list[T]:
        """Do work on each item without gradients: results in their order. With one thread, the calling one does it."""
        if self.size == 1:
            with torch.no_grad():
                return [work(item, self.backbone) for item in items]

        @torch.no_grad()  # in the thread itself: others do not know what this one is in
        def one(item: S) -> T:
            return work(item, self.mine)

        return list(self.pool.map(one, items))


@contextmanager
def moved_to(backbone: Backbone, device: torch.device | None) -> Iterator[None]:
    """A backbone on another device for a while; None leaves it where it is."""
    home = device_of(backbone)
    if device is None or device == home:
        yield
        return
    backbone.to(device)
    try:
        yield
    finally:
        backbone.to(home)


def device_of(backbone: Backbone) -> torch.device:
    """Where its weights are; the CPU if it has neither weights nor constants."""
    held = next(chain(backbone.parameters(), backbone.buffers()), None)
    return torch.device("cpu") if held is None else held.device
