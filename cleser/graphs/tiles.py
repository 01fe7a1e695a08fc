"""Items in an order in which a relation admits whole blocks of pairs, or none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cleser.relations import Relation

Integers = npt.NDArray[np.int64]

TILE: Final = 1024  # rows; a block of bfloat16 then fits in the cache of a core


class Block(NamedTuple):
    """Pairs of positions, some of them admissible.

    Attributes:
        rows: Positions of the rows.
        columns: Positions of the columns; the same as the rows, or behind them.
        allowed: Which runs of equal labels are admissible to each other, bool [P, Q].
        row_runs: Where the rows' runs begin and end, counted from the block's first row, [P + 1].
        column_runs: Likewise of the columns, [Q + 1].
    """

    rows: slice
    columns: slice
    allowed: npt.NDArray[np.bool_]
    row_runs: Integers
    column_runs: Integers


@dataclass(frozen=True)
class Tiles:
    """Items sorted by the labels that a relation reads, cut into tiles.

    Attributes:
        order: The item at each position; items that have no admissible pair for want of a label are left out, [P].
        starts: Where tiles begin and end, [T + 1].
    """

    order: Integers
    starts: Integers
    _where: Relation | None
    _runs: Integers  # where runs of equal labels begin and end, [R + 1]
    _labels: dict[str, Integers]  # of the runs [R]
    _group: Integers  # number of the group that may hold pairs of a run, [R]

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Numbers of tiles (I, J), I ≤ J, between which pairs may be admissible: near ones first, all tiles in turn."""
        first, last = self._groups_of_tiles()
        n = len(first)
        for offset in range(n):
            near = np.flatnonzero(first[offset:] <= last[: n - offset])
            if not len(near):
                return  # tiles are sorted by group: what lies further is another group's too
            for tile in near.tolist():
                yield tile, tile + offset

    def block(self, row: int, column: int) -> Block | None:
        """The pairs of two tiles, None where none is admissible."""
        rows, columns = (slice(*self.starts[t : t + 2].tolist()) for t in (row, column))
        runs, other = self._runs_within(rows), self._runs_within(columns)
        if self._where is None:
            allowed = np.ones((1, 1), bool)
        else:
            allowed = self._where.mask(self._labels_of(runs), self._labels_of(other))
            if not allowed.any():
                return None
        return Block(rows, columns, allowed, self._bounds(runs, rows), self._bounds(other, columns))

    def groups(self) -> Iterator[slice]:
        """Positions outside of which a position has no admissible pair."""
        changes = np.flatnonzero(np.diff(self._group)) + 1
        starts = self._runs[:-1][np.concatenate([[0], changes])] if len(self._group) else []
        yield from (slice(int(a), int(b)) for a, b in pairwise([*starts, len(self.order)]))

    def queries(self, group: slice) -> Iterator[tuple[slice, npt.NDArray[np.bool_] | None]]:
        """Runs of equal labels in a group and the positions admissible to them, all where None.

        Both are counted from the group's start.
        """
        runs = self._runs_within(group)
        for run in range(runs.start, runs.stop):
            begin, end = (self._runs[run : run + 2] - group.start).tolist()
            if self._where is None:
                yield slice(begin, end), None
                continue
            allowed = self._where.mask(self._labels_of(slice(run, run + 1)), self._labels_of(runs))[
                0
            ]
            if allowed.any():
                lengths = np.diff(self._runs[runs.start : runs.stop + 1])
                yield slice(begin, end), None if allowed.all() else np.repeat(allowed, lengths)

    def _groups_of_tiles(self) -> tuple[Integers, Integers]:
        first = np.searchsorted(self._runs, self.starts[:-1], side="right") - 1
        last = np.searchsorted(self._runs, self.starts[1:], side="left") - 1
        return self._group[first], self._group[last]

    def _runs_within(self, positions: slice) -> slice:
        first = np.searchsorted(self._runs, positions.start, side="right") - 1
        return slice(int(first), int(np.searchsorted(self._runs, positions.stop, side="left")))

    def _labels_of(self, runs: slice) -> dict[str, Integers]:
        return {name: values[runs] for name, values in self._labels.items()}

    def _bounds(self, runs: slice, positions: slice) -> Integers:
        bounds = self._runs[runs.start : runs.stop + 1] - positions.start
        clipped: Integers = np.clip(bounds, 0, positions.stop - positions.start)
        return clipped


def tile(n: int, where: Relation | None, labels: dict[str, Any], size: int = TILE) -> Tiles:
    """Sort n items so that admissible pairs stand together, and cut them into tiles of at most ``size``."""
    if where is None:
        order = np.arange(n)
        runs = np.array([0, n]) if n else np.array([0])
        starts = _cut(runs, np.zeros(len(runs) - 1, np.int64), size)
        return Tiles(order, starts, None, runs, {}, np.zeros(max(len(runs) - 1, 0), np.int64))
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
    starts = _cut(runs, group, size)
    return Tiles(order, starts, where, runs, dict(zip(names, table, strict=True)), group)


def _changes(table: Integers) -> Integers:
    """Where columns differ from the one before, with both ends."""
    n = table.shape[1]
    inner = np.flatnonzero((table[:, 1:] != table[:, :-1]).any(axis=0)) + 1
    return np.concatenate([[0], inner, [n]]) if n else np.zeros(1, np.int64)


def _cut(runs: Integers, group: Integers, size: int) -> Integers:
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
    return np.array([*starts, int(runs[-1])]) if len(runs) > 1 else np.zeros(1, np.int64)
