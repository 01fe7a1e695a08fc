"""Exact search on the processor: low precision proposes neighbours, tile by tile, and integers decide."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

from cleser.graphs.neighbours.packing import NONE
from cleser.graphs.neighbours.tiles import Tiles

Array = npt.NDArray[Any]
T = TypeVar("T")

_NARROW: Final = 16  # rows or columns below which products stay in float32
_SLICE: Final = 1024  # rows prepared or finished at a time


class Candidates:
    """The buffers of all rows; see `cleser.graphs.neighbours.kernels`."""

    def __init__(self, n: int, k: int) -> None:
        capacity = max(64, 4 * k)
        self.threshold = np.full(n, -np.inf, np.float32)
        self.exact = np.zeros(n, bool)
        self.count = np.zeros(n, np.int64)
        self.buffer = np.empty((n, capacity), np.int64)


class Centred(NamedTuple):
    r"""Unit rows u without their mean μ, in the precision in which they are multiplied.

    With c = u − μ and :math:`h = c^\top \mu + \lVert\mu\rVert^2 / 2`, similarities are :math:`c_i^\top c_j + h_i +
    h_j`. Embeddings that all point one way, as those of speech models do, then lose no precision to what they share.

    Attributes:
        rows: c, float32 or bfloat16 [P, D].
        shift: h, float32 [P].
        slack: Bound of the error of a row's similarities, float32 [P].
    """

    rows: Tensor
    shift: Array
    slack: Array


def search(
    units: Tensor,
    tiles: Tiles,
    k: int,
    *,
    share: tuple[int, int] = (0, 1),
    low_precision: bool | None = None,
) -> Tensor:
    """The k best admissible items of each.

    Args:
        units: Unit rows in fixed point, int32 [N, D].
        tiles: The admissible pairs.
        k: Neighbours wanted.
        share: Number of this rank and of all ranks, which take blocks in turns: only these pairs are searched.
        low_precision: Multiply in bfloat16 first; by default where the processor is made for it. The result is the
            same.

    Returns:
        Neighbours int64 [N, k], nearest first, as `cleser.graphs.neighbours.packing` has them.
    """
    from cleser.graphs.neighbours import kernels  # noqa: PLC0415

    result = torch.full((len(units), k), NONE)
    if not len(tiles.order):
        return result
    if low_precision is None:
        low_precision = has_fast_bfloat16()
    centred = centre(units, tiles.order, low_precision)
    found, exact_rows, order = Candidates(len(tiles.order), k), units.numpy(), tiles.order
    locks = [threading.Lock() for _ in tiles.tiles]
    longest = max(tile.positions.stop - tile.positions.start for tile in tiles.tiles)
    scratch = Scratch(longest**2, centred.rows.dtype)

    def sift(pair: tuple[int, int]) -> None:
        block = tiles.block(*pair)
        if block is None:
            return
        rows, columns = block.rows, block.columns
        product, nothing = multiply(centred.rows[rows], centred.rows[columns], scratch.memory)
        kernels.forbid(
            product, nothing, block.allowed, block.row_runs, block.column_runs, rows == columns
        )
        with _both(locks, *pair):
            kernels.sift(
                product, rows.start, columns.start, k, exact_rows, order, centred.shift, centred.slack,
                found.threshold, found.exact, found.count, found.buffer,
            )  # fmt: skip

    def finish(start: int) -> None:
        kernels.finish(
            start, min(start + _SLICE, len(order)), k, exact_rows, order, centred.slack,
            found.exact, found.count, found.buffer, result.numpy(),
        )  # fmt: skip
        sort_neighbours(result, order[start : start + _SLICE])

    rank, ranks = share
    in_threads(sift, (pair for n, pair in enumerate(tiles.blocks()) if n % ranks == rank))
    in_threads(finish, range(0, len(order), _SLICE))
    return result


def sort_neighbours(found: Tensor, items: Array) -> None:
    """Put the neighbours of some items, in int64 [N, k], into their order, nearest first."""
    # Not in a kernel, as NumPy sorts many numbers an instruction. NONE is the least of all.
    rows = found.numpy()
    rows[items] = np.sort(rows[items], axis=1)[:, ::-1]


def multiply(rows: Tensor, columns: Tensor, memory: Tensor) -> tuple[Array, Any]:
    """Inner products [A, B], float32 or the bits of bfloat16, in the given memory, and −∞ in that type."""
    if rows.dtype == torch.bfloat16 and min(len(rows), len(columns)) < _NARROW:
        return (rows.float() @ columns.float().T).numpy(), np.float32(-np.inf)
    product = memory[: len(rows) * len(columns)].view(len(rows), len(columns))
    torch.mm(rows, columns.T, out=product)
    if product.dtype == torch.bfloat16:
        return product.view(torch.int16).numpy(), np.int16(-128)
    return product.numpy(), np.float32(-np.inf)


class Scratch(threading.local):
    """Memory of each thread, for fresh pages cost as much as a product."""

    def __init__(self, size: int, dtype: torch.dtype) -> None:
        self.memory = torch.empty(size, dtype=dtype)


def centre(units: Tensor, order: Array, low_precision: bool) -> Centred:
    """Take the mean away and bound what the products of the rest can be wrong by."""
    n, dim = len(order), units.shape[1]
    rows = torch.empty(n, dim, dtype=torch.bfloat16 if low_precision else torch.float32)
    shift, norm, lost = (torch.empty(n, dtype=torch.float64) for _ in range(3))
    mean = units.float().mean(0) * 2.0**-30
    positions = torch.from_numpy(order)
    for start in range(0, n, _SLICE):
        part = slice(start, start + _SLICE)
        c = units[positions[part]].float() * 2.0**-30 - mean
        rows[part] = c
        shift[part] = c.double() @ mean.double()
        norm[part] = torch.linalg.vector_norm(c, dim=1).double()
        lost[part] = torch.linalg.vector_norm(c - rows[part], dim=1).double()
    shift += mean.double().square().sum() / 2
    norm += lost
    # What rounding the rows changes: c_i c_j − b_i b_j = c_i (c_j − b_j) + (c_i − b_i) b_j
    slack = norm * lost.max() + lost * norm.max()
    # The sum of D products in float32, in any order, and its rounding to bfloat16
    slack += (2 * dim * 2.0**-24 + (2.0**-9 if low_precision else 0)) * norm * norm.max()
    # What is left: float32 sums of a few numbers around one
    slack = 1.001 * slack + 64 * 2.0**-24
    return Centred(rows, shift.float().numpy(), slack.float().numpy())


def has_fast_bfloat16() -> bool:
    """Whether the processor has instructions for products of bfloat16."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


@contextmanager
def _both(locks: list[threading.Lock], first: int, second: int) -> Iterator[None]:
    """Hold the locks of two tiles, first ≤ second: always in this order, lest threads wait for each other."""
    with locks[first]:
        if first == second:
            yield
        else:
            with locks[second]:
                yield


def in_threads(task: Callable[[T], None], turns: Iterable[T]) -> None:
    """Do a task for each turn, in as many threads as PyTorch would use, each with one thread for its products.

    That number is OpenMP's, which every thread has for itself, and these threads end here. `torch.set_num_threads`
    would do for their speed, but it also forbids MKL to choose its threads, in the whole process and for good.
    """
    threads, lock, remaining = torch.get_num_threads(), threading.Lock(), iter(turns)
    done = object()

    def work() -> None:
        torch.get_num_threads()  # PyTorch sets a new thread's number once, when first asked: not after us, then
        for library in _openmp():
            library.set_num_threads(1)
        while True:
            with lock:
                turn = next(remaining, done)
            if turn is done:
                return
            task(turn)  # type: ignore[arg-type]

    with ThreadPoolExecutor(threads) as pool:
        for worker in [pool.submit(work) for _ in range(threads)]:
            worker.result()


@cache
def _openmp() -> list[Any]:
    """The OpenMP libraries of this process: PyTorch's is among them."""
    found: list[Any] = ThreadpoolController().select(user_api="openmp").lib_controllers
    return found
