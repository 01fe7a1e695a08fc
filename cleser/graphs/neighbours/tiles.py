"""Items in an order in which a relation admits whole blocks of pairs, or none."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cleser.relations import Relation

Integers = npt.NDArray[np.int64]

TILE: Final = 1024  # rows; a block of bfloat16 then fits in the cache of a core
_EVERYTHING: Final = np.ones((1, 1), bool)


class Tile(NamedTuple):
    """Positions that stand together.

    Attributes:
        positions: The first position and the one after the last.
        runs: The runs of equal labels that they belong to, by number.
        bounds: Where these begin and end, counted from the tile's first position, [P + 1].
    """

    positions: slice
    runs: slice
    bounds: Integers


class PairBlock(NamedTuple):
    """Pairs of positions, some of them admissible.

    Attributes:
        rows: Positions of the rows.
        columns: Positions of the columns: of tiles, the same as the rows, or behind them; of strips, the whole group.
        allowed: Which runs of equal labels are admissible to each other, bool [P, Q].
        row_runs: Where the rows' runs begin and end, counted from the block's first row, [P + 1].
        column_runs: Likewise of the columns, [Q + 1].
    """

    rows: slice
    columns: slice
    allowed: npt.NDArray[np.bool_]
    row_runs: Integers
    column_runs: Integers


class Tiles:
    """Items sorted by the labels that a relation reads, cut into tiles.

    Attributes:
        order: The item at each position; items that have no admissible pair for want of a label are left out, [P].
        tiles: The tiles in the order of their positions.
    """

    def __init__(
        self, order: Integers, where: Relation | None, labels: dict[str, Integers], runs: Integers, group: Integers,
        size: int,
    ) -> None:  # fmt: skip
        """Cut an order into tiles.

        Args:
            order: The item at each position, [P].
            where: The relation.
            labels: Name → labels of the runs, [R].
            runs: Where runs of equal labels begin and end, [R + 1].
            group: Number of the group of a run, outside of which it has no admissible pair, ascending, [R].
            size: Largest number of positions in a tile.
        """
        self.order, self._where, self._labels = order, where, labels
        self._runs, self._group = runs, group
        starts = _cut(runs, group, size)
        self.tiles = [self._tile(slice(a, b)) for a, b in pairwise(starts)]

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Numbers of tiles (I, J), I ≤ J, between which pairs may be admissible: near ones first, all tiles in turn."""
        first = self._group[[tile.runs.start for tile in self.tiles]]
        last = self._group[[tile.runs.stop - 1 for tile in self.tiles]]
        n = len(first)
        for offset in range(n):
            near = np.flatnonzero(first[offset:] <= last[: n - offset])
            if not len(near):
                return  # tiles are sorted by group: what lies further is another group's too
            for tile in near.tolist():
                yield tile, tile + offset

    def block(self, row: int, column: int) -> PairBlock | None:
        """The pairs of two tiles, None where none is admissible."""
        rows, columns = self.tiles[row], self.tiles[column]
        allowed = self._allowed(rows.runs, columns.runs)
        if not allowed.any():
            return None
        return PairBlock(rows.positions, columns.positions, allowed, rows.bounds, columns.bounds)

    def strips(self, height: int) -> Iterator[PairBlock]:
        """Up to ``height`` positions beside all of their group, where any pair is admissible: all positions in turn."""
        for group in self.groups():
            everyone = self._tile(group)
            for start in range(group.start, group.stop, height):
                rows = self._tile(slice(start, min(start + height, group.stop)))
                allowed = self._allowed(rows.runs, everyone.runs)
                if allowed.any():
                    yield PairBlock(rows.positions, group, allowed, rows.bounds, everyone.bounds)

    def groups(self) -> Iterator[slice]:
        """Positions outside of which a position has no admissible pair."""
        changes = np.flatnonzero(np.diff(self._group, prepend=-1))
        starts = self._runs[changes].tolist()
        yield from (slice(a, b) for a, b in pairwise([*starts, len(self.order)]))

    def queries(self, group: slice) -> Iterator[tuple[slice, npt.NDArray[np.bool_] | None]]:
        """Runs of equal labels in a group and the positions admissible to them, all where None.

        Both are counted from the group's start.
        """
        everyone = self._tile(group)
        lengths = np.diff(everyone.bounds)
        for number, (begin, end) in enumerate(
            pairwise(everyone.bounds.tolist()), everyone.runs.start
        ):
            allowed = self._allowed(slice(number, number + 1), everyone.runs)[0]
            if allowed.any():
                yield slice(begin, end), None if allowed.all() else np.repeat(allowed, lengths)

    def _tile(self, positions: slice) -> Tile:
        first = int(np.searchsorted(self._runs, positions.start, side="right")) - 1
        last = int(np.searchsorted(self._runs, positions.stop, side="left"))
        bounds = self._runs[first : last + 1].clip(positions.start, positions.stop)
        return Tile(positions, slice(first, last), bounds - positions.start)

    def _allowed(self, runs: slice, others: slice) -> npt.NDArray[np.bool_]:
        if self._where is None:
            return _EVERYTHING
        labels, other = (
            {name: values[part] for name, values in self._labels.items()} for part in (runs, others)
        )
        allowed: npt.NDArray[np.bool_] = self._where.mask(labels, other)
        return allowed


def tile(n: int, where: Relation | None, labels: dict[str, Any], size: int = TILE) -> Tiles:
    """Sort n items so that admissible pairs stand together, and cut them into tiles of at most ``size``.

    Args:
        n: Number of items.
        where: Which pairs are admissible; None for all.
        labels: Integers [n] by name, of all names in ``where``; −1 is unknown.
        size: Most items of a tile.
    """
    if where is None:
        runs = np.array([0, n]) if n else np.zeros(1, np.int64)
        return Tiles(np.arange(n), None, {}, runs, np.zeros(len(runs) - 1, np.int64), size)
    shared = where.shared
    names = [*shared, *(name for name in where.names if name not in shared)]
    table = np.stack([np.asarray(labels[name], np.int64) for name in names])
    order = np.lexsort(table[::-1])
    order = order[(table[: len(shared), order] >= 0).all(axis=0)]
    table = table[:, order]
    runs = _changes(table)
    table = table[:, runs[:-1]]
    group = np.zeros(table.shape[1], np.int64)
    group[1:] = np.cumsum((table[: len(shared), 1:] != table[: len(shared), :-1]).any(axis=0))
    return Tiles(order, where, dict(zip(names, table, strict=True)), runs, group, size)


def _changes(table: Integers) -> Integers:
    """Where columns differ from the one before, with both ends."""
    n = table.shape[1]
    inner = np.flatnonzero((table[:, 1:] != table[:, :-1]).any(axis=0)) + 1
    return np.concatenate([[0], inner, [n]]) if n else np.zeros(1, np.int64)


def _cut(runs: Integers, group: Integers, size: int) -> list[int]:
    """Starts of tiles: long runs and groups have tiles of their own, short ones share."""
    starts, begun, previous = [0], 0, -1
    for begin, end, number in zip(
        runs[:-1].tolist(), runs[1:].tolist(), group.tolist(), strict=True
    ):
        held = begin - begun
        if held and (end - begun > size or (number != previous and 4 * held > size)):
            starts.append(begin)
            begun = begin
        if end - begun > size:
            pieces = -(-(end - begun) // size)
            cuts = np.linspace(begun, end, pieces + 1).astype(np.int64)[1:-1]
            starts.extend(cuts.tolist())
            begun = starts[-1]
        previous = number
    return [*starts, int(runs[-1])] if len(runs) > 1 else [0]
