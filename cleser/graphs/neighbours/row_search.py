"""Exact search on the processor by whole rows, for so many neighbours that few items can be ruled out early."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from cleser.graphs.neighbours.packing import NONE
from cleser.graphs.neighbours.search import Scratch, in_threads, sort_neighbours
from cleser.graphs.neighbours.tiles import PairBlock, Tiles

_HEIGHT: Final = 64  # rows multiplied at a time
_MANY: Final = 64  # neighbours; fewer are never many
_PART: Final = 64  # of as many items, one is wanted


def wants_rows(tiles: Tiles, k: int) -> bool:
    """Whether k is so large a part of the items that whole rows are the faster search."""
    return k >= max(_MANY, _widest(tiles) / _PART)


def search_rows(units: Tensor, tiles: Tiles, k: int, *, share: tuple[int, int] = (0, 1)) -> Tensor:
    """The k best admissible items of each, with arguments and result as of `cleser.graphs.neighbours.search.search`.

    A strip of rows is multiplied with all items in float64, to whose error, at most D · 2⁻⁵³, hardly a similarity is
    so near the middle of two numbers of float32 that whole numbers have to tell which it is rounded to.
    """
    from cleser.graphs.neighbours import kernels  # noqa: PLC0415

    result = torch.full((len(units), k), NONE)
    if not len(tiles.order):
        return result
    order, exact_rows = tiles.order, units.numpy()
    wide = units[torch.from_numpy(order)].double().mul_(2.0**-30)
    scratch = Scratch(_HEIGHT * _widest(tiles), wide.dtype)
    # Error of rows a little longer than 1 by rounding, and of adding it.
    error = 1.01 * (units.shape[1] + 4) * 2.0**-53

    def select(block: PairBlock) -> None:
        rows, columns = block.rows, block.columns
        size = (rows.stop - rows.start) * (columns.stop - columns.start)
        product = scratch.memory[:size].view(rows.stop - rows.start, -1)
        torch.mm(wide[rows], wide[columns].T, out=product)
        values = product.numpy()
        kernels.forbid(values, -np.inf, block.allowed, block.row_runs, block.column_runs, False)
        kernels.select(
            values, rows.start, columns.start, k, exact_rows, order, error, result.numpy()
        )
        sort_neighbours(result, order[rows])

    rank, ranks = share
    strips = enumerate(tiles.strips(_HEIGHT))
    in_threads(select, (block for number, block in strips if number % ranks == rank))
    return result


def _widest(tiles: Tiles) -> int:
    """Items of the largest group outside of which an item has no admissible pair."""
    return max((group.stop - group.start for group in tiles.groups()), default=0)
