r"""One batch over all ranks of `torch.distributed`.

With W ranks, DistributedDataParallel averages the ranks' gradients. A loss L of the whole batch is the same number on
every rank, and its gradient at a rank's own embeddings only that rank's part; the average would come out
W times too small. The functions below therefore sum gradients over ranks and leave the average to
DistributedDataParallel: parameters then get exactly the gradient of one big batch, and the embeddings
of a rank W times theirs.

Every rank must call a loss, and its backward, the same number of times. Ranks may hold different numbers of items.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

PATIENCE = timedelta(minutes=10)
"""How long a rank waits for the others to call the same loss. Where one rank works alone for longer, as to validate,
let the others wait for it first (``torch.distributed.barrier()``), or set more."""


def world() -> int:
    """Number of ranks, 1 outside `torch.distributed`."""
    return distributed.get_world_size() if _initialised() else 1


def own_share(count: int) -> slice:
    """Which of N items this rank takes, where every rank takes as many, or one more; `gather` then has all in order."""
    rank = distributed.get_rank() if world() > 1 else 0
    return slice(count * rank // world(), count * (rank + 1) // world())


def sizes_of_ranks(tensor: Tensor) -> list[int]:
    """Number of items, ``len(tensor)``, on each rank."""
    size = torch.tensor([len(tensor)], device=tensor.device)
    sizes = [torch.empty_like(size) for _ in range(world())]
    _wait(distributed.all_gather(sizes, size, async_op=True))
    return torch.cat(sizes).tolist()


def gather(tensor: Tensor) -> Tensor:
    """The items [N, ...] of all ranks in the order of the ranks, with gradient [ΣN, ...]; itself on one rank."""
    if world() == 1:
        return tensor
    gathered: Tensor = _Gather.apply(tensor, sizes_of_ranks(tensor))  # type: ignore[no-untyped-call]
    return gathered


def gather_items(tensor: Tensor) -> Tensor:
    """As `gather`, of items in the last dimension but one, [..., N, D] → [..., ΣN, D]."""
    return tensor if world() == 1 else gather(tensor.movedim(-2, 0)).movedim(0, -2)


def sum_over_ranks(value: Tensor) -> Tensor:
    """The sum over ranks, with gradient; the value itself on one rank."""
    if world() == 1:
        return value
    total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return total


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sizes: list[int]) -> Tensor:
        start = sum(sizes[: distributed.get_rank()])
        ctx.own = slice(start, start + len(tensor))
        # Collectives want equal shapes: pad to the longest, then cut.
        padded = tensor.new_zeros(max(sizes), *tensor.shape[1:])
        padded[: len(tensor)] = tensor
        parts = [torch.empty_like(padded) for _ in sizes]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.contiguous().clone()
        distributed.all_reduce(gradient)
        return gradient[ctx.own], None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        _wait(distributed.all_reduce(total, async_op=True))
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # All ranks' sums depend on this value: W of them, whose gradients are equal.
        return gradient * world()


def _wait(work: Any) -> None:
    """Wait for the other ranks, not for ever.

    Raises:
        RuntimeError: They do not come.
    """
    began = time.monotonic()
    try:
        work.wait(PATIENCE)
    except RuntimeError as error:
        raise RuntimeError(
            f"rank {distributed.get_rank()} of {world()} waited {time.monotonic() - began:.0f} s in a loss for the "
            "other ranks: every rank has to call it, equally often. On one rank alone, or where each rank has a batch "
            f"of its own, build it with all_ranks=False; to wait longer, set cleser.ranks.PATIENCE ({error})"
        ) from error


def _initialised() -> bool:
    return distributed.is_available() and distributed.is_initialized()
