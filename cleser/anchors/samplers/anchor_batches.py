"""Batches in which every anchor has somebody to be pulled to and somebody to be pushed from.

A triplet loss over a batch drawn at random has few triplets where its relations are strict: in two languages, eight
emotions and fifty communities, all alike, an utterance meets one of its positives in one batch of 32 out of 26.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cleser.anchors.samplers.resumable import Items, ResumableBatchSampler, label_arrays
from cleser.relations import Labels, Relation, checked_relation

_REMEMBERED = 1 << 24
"""Entries of rows between label combinations kept in memory."""


class AnchorBatchSampler(ResumableBatchSampler):
    """Every anchor has a positive and a negative in its batch, and each is an anchor once an epoch.

    The anchors of an epoch are shuffled. A batch takes as many of them, in order, as fit into
    ``batch_size`` together with a positive and a negative for each. Anchors serve as positives and negatives of each
    other if their labels allow it; otherwise a positive or negative is drawn from all of an anchor, with equal
    probability. Remaining places go to the next anchors, ahead of their turn. No utterance occurs twice in a batch.
    The epoch's last batch is filled up with its first anchors, which are then anchors twice.

    Relations are looked up between combinations of labels, never between utterances.

    Args:
        labels: Name → integers [N]; −1 is unknown.
        positive: Which items attract an anchor.
        negative: Which items repel it.
        batch_size: Utterances in a batch, 3 at least.
        anchors: Which utterances may be anchors, bool [N], such as those of the target; by default all. The others are
            only positives and negatives.
        seed: Seed of all random choices.
        rank: This process' rank; by default that of `torch.distributed` when an epoch begins, 0 without. Ranks share
            each batch.
        world_size: Number of ranks, likewise.

    Attributes:
        served: Items that are anchors, int64.
        unserved: Reason → items that would be anchors but have no positive or no negative in the whole data.

    Raises:
        ValueError: No utterance can be served, an argument is out of range, or the labels do not fit (as of
            `cleser.relations.Relation.mask`).

    Every iteration is an epoch (`ResumableBatchSampler`); :doc:`loops` shows how to use it.

    >>> from cleser.relations import differ, same
    >>> labels = {"language": [0, 0, 1, 1, 1], "emotion": [0, 1, 0, 1, 2]}
    >>> sampler = AnchorBatchSampler(
    ...     labels, same("emotion") & differ("language"), differ("emotion"), batch_size=4
    ... )
    >>> sampler.unserved
    {"no positive: same('emotion') & differ('language')": array([4])}
    >>> [sorted(batch) for batch in sampler]
    [[0, 1, 2, 3]]
    """

    def __init__(
        self,
        labels: Labels,
        positive: Relation,
        negative: Relation,
        *,
        batch_size: int = 32,
        anchors: Any = None,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        checked_relation(positive, "positive")
        checked_relation(negative, "negative")
        batch_size = operator.index(batch_size)
        if batch_size < 3:
            raise ValueError(f"batch_size is {batch_size}, expected 3 at least")
        arrays = label_arrays(labels, tuple(dict.fromkeys(positive.names + negative.names)))
        may = _anchor_mask(anchors, len(arrays[positive.names[0]]))
        super().__init__(
            arrays | {"anchors": may.astype(np.int64)}, (positive, negative, batch_size),
            seed=seed, rank=rank, world_size=world_size,
        )  # fmt: skip
        self.positive, self.negative, self._batch_size = positive, negative, batch_size
        self._labels = arrays
        self._partners = [Partners(arrays, positive), Partners(arrays, negative)]
        has = [partners.number() > 0 for partners in self._partners]
        self.served: Items = np.flatnonzero(may & has[0] & has[1])
        self.unserved = dict(_unserved(arrays, may, has, positive, negative))
        if not len(self.served):
            found = {reason: len(items) for reason, items in self.unserved.items()}
            raise ValueError(f"no utterance has a positive and a negative: {found}")
        self._check_ranks()
        self._order: tuple[int, Items] | None = None
        self._starts = [0]

    def __len__(self) -> int:
        """Batches in the epoch of the next batch; epochs differ a little."""
        order = self._ordered(self.epoch)
        while self._starts[-1] < len(order):
            self._find_starts(order, len(self._starts))
        return len(self._starts) - 1

    def _batch(self, epoch: int, number: int) -> Items | None:
        if self._ends_at(epoch, number):
            return None
        order = self._ordered(epoch)
        window = self._window(order, self._starts[number])
        taken, lacking = self._take(window)
        rng = np.random.default_rng([self.seed, epoch, number])
        batch = dict.fromkeys(window[:taken].tolist())
        for partners, lacks in zip(self._partners, lacking, strict=True):
            for anchor in window[:taken][lacks].tolist():
                batch[partners.draw(anchor, rng)] = None
        for anchor in window[taken:].tolist():
            if len(batch) == self._batch_size:
                break
            batch[anchor] = None
        return np.fromiter(batch, np.int64, len(batch))

    def _ends_at(self, epoch: int, number: int) -> bool:
        order = self._ordered(epoch)
        self._find_starts(order, number)
        return number >= len(self._starts) or self._starts[number] >= len(order)

    def _smallest(self) -> int:
        return min(self._batch_size, len(self.served))

    def _ordered(self, epoch: int) -> Items:
        """The epoch's anchors in turn."""
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._order = epoch, rng.permutation(self.served)
            self._starts = [0]
        return self._order[1]

    def _find_starts(self, order: Items, number: int) -> None:
        """Find where batches begin, up to this one."""
        while len(self._starts) <= number and self._starts[-1] < len(order):
            start = self._starts[-1]
            self._starts.append(start + self._take(self._window(order, start))[0])

    def _window(self, order: Items, start: int) -> Items:
        """The next anchors in turn, from the first ones behind the last."""
        turns = np.arange(start, start + min(self._batch_size, len(order)))
        return order[turns % len(order)]

    def _take(self, window: Items) -> tuple[int, list[npt.NDArray[np.bool_]]]:
        """How many anchors of a window fit in a batch with what they lack, and which lack a positive, a negative."""
        labels = {name: values[window] for name, values in self._labels.items()}
        number = np.arange(1, len(window) + 1)
        size, firsts = number.copy(), []
        for relation in (self.positive, self.negative):
            mask = relation.mask(labels)
            # A batch of the first m anchors holds a partner of anchor i if its first partner is among them.
            first = np.where(mask.any(1), mask.argmax(1), len(window))
            lacks = (first >= number[:, None]) & (np.arange(len(window)) < number[:, None])
            size += lacks.sum(1)
            firsts.append(first)
        taken = int(np.flatnonzero(size <= self._batch_size)[-1]) + 1
        return taken, [first[:taken] >= taken for first in firsts]


class Partners:
    """For each item those to which it stands in a relation, by combination of labels.

    Args:
        labels: Name → int64 [N].
        relation: What partners are.

    >>> from cleser.relations import differ
    >>> partners = Partners({"speaker": np.array([0, 0, 1, -1])}, differ("speaker"))
    >>> partners.number()
    array([1, 1, 2, 0])
    >>> partners.draw(0, np.random.default_rng(0))
    2
    """

    def __init__(self, labels: Mapping[str, Items], relation: Relation) -> None:
        self.relation = relation
        columns = np.stack([labels[name] for name in relation.names])
        self._columns, self._cell, self._counts = _combinations(columns)
        self._by_cell = np.argsort(self._cell, kind="stable")
        self._starts = np.cumsum(self._counts) - self._counts
        self._place = np.empty_like(self._by_cell)  # of each item within its cell
        starts = np.repeat(self._starts, self._counts)
        self._place[self._by_cell] = np.arange(len(self._by_cell)) - starts
        # Partners share some labels in all cases: rows are looked up among the cells that do.
        cases, holds = _cases(relation, np.ones(len(relation.names), dtype=bool))
        shared = (cases[:, holds] == 0).all(1)
        self._group = _codes(self._columns[shared])
        order = np.argsort(self._group, kind="stable")
        self._groups = np.split(order, np.cumsum(np.bincount(self._group))[:-1])
        self._remember_rows()

    def _remember_rows(self) -> None:
        """Rows are remembered, as many as fit in memory that does not grow with the data."""
        longest = max(len(cells) for cells in self._groups)
        self._row = lru_cache(max(1, _REMEMBERED // longest))(self._find_row)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_row"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._remember_rows()

    def number(self) -> Items:
        """How many partners each item has, [N], itself not among them."""
        found = np.zeros(len(self._counts), dtype=np.int64)
        for known in np.unique(self._columns >= 0, axis=1).T:
            alike = np.flatnonzero(((self._columns >= 0) == known[:, None]).all(0))
            found[alike] = _number(self._columns, self._counts, self.relation, known, alike)
        return found[self._cell]

    def draw(self, item: int, rng: np.random.Generator) -> int:
        """One of the partners of an item that has some, each as likely."""
        own = self._cell[item]
        cells, ends, before = self._row(own)
        among = before >= 0  # an item's own cell may be among its partners'
        at = int(rng.integers(ends[-1] - among))
        if among and at >= before + self._place[item]:
            at += 1  # skip the item itself
        slot = int(np.searchsorted(ends, at, side="right"))
        cell = cells[slot]
        place = at - (ends[slot - 1] if slot else 0)
        return int(self._by_cell[self._starts[cell] + place])

    def _find_row(self, cell: int) -> tuple[Items, Items, int]:
        """Cells of a cell's partners, the cumulated counts of their items, and the count before its own cell or −1."""
        group = self._groups[self._group[cell]]
        one, others = (
            dict(zip(self.relation.names, self._columns[:, at], strict=True))
            for at in ([cell], group)
        )
        cells = group[self.relation.mask(one, others)[0]]
        ends = np.cumsum(self._counts[cells])
        slot = int(np.searchsorted(cells, cell))
        own = slot < len(cells) and cells[slot] == cell
        return cells, ends, int(ends[slot] - self._counts[cell]) if own else -1


def _combinations(columns: Items) -> tuple[Items, Items, Items]:
    """Distinct columns [names, K], which of them each of N is, and the count of each."""
    cell = _codes(columns)
    counts = np.bincount(cell)
    example = np.zeros(len(counts), dtype=np.int64)
    example[cell] = np.arange(len(cell))
    return columns[:, example], cell, counts


def _codes(columns: Items) -> Items:
    """Columns of [names, N] numbered 0, 1, … without gaps, equal ones alike."""
    code = np.zeros(columns.shape[1], dtype=np.int64)
    for values in columns:
        # Without gaps after each name, so that codes stay below N².
        number = _without_gaps(values - values.min())
        code = _without_gaps(code * (number.max() + 1) + number)
    return code


def _without_gaps(values: Items) -> Items:
    """Numbers ≥ 0 replaced by their ranks among the distinct ones."""
    if values.max() > 8 * len(values):
        return np.unique(values, return_inverse=True)[1]
    present = np.zeros(values.max() + 1, dtype=np.int64)  # a table is 20 times faster than a sort
    present[values] = 1
    ranks: Items = (np.cumsum(present) - 1)[values]
    return ranks


def _number(
    columns: Items, counts: Items, relation: Relation, known: npt.NDArray[np.bool_], rows: Items
) -> Items:
    """Partners of the combinations ``rows``, whose labels are known where ``known`` [names] says.

    By inclusion and exclusion, in time linear in the combinations: items that differ are those that are known, less
    those that are the same.
    """
    total = np.zeros(len(rows), dtype=np.int64)
    cases, holds = _cases(relation, known)
    for case in cases[:, holds].T:
        different = np.flatnonzero(known & (case == 1))
        for excluded in itertools.product([False, True], repeat=len(different)):
            equal, need_known = known & (case == 0), known & (case == 1)
            equal[different], need_known[different] = excluded, np.logical_not(excluded)
            need_unknown = known & (case == -1)
            fits = (columns[need_known] >= 0).all(0) & (columns[need_unknown] < 0).all(0)
            key = _codes(columns[equal])
            alike = np.bincount(key, weights=counts * fits).astype(np.int64)
            total += (-1) ** sum(excluded) * alike[key[rows]]
    itself = np.where(known, 0, -1)
    total -= int(holds[(cases == itself[:, None]).all(0)].item())
    return total


def _cases(relation: Relation, known: npt.NDArray[np.bool_]) -> tuple[Items, npt.NDArray[np.bool_]]:
    """What a partner's labels may be [names, cases] (0 the same, 1 another, −1 unknown), and where the relation holds.

    A label that the item itself does not know is −1 in all cases.
    """
    cases = np.array(list(itertools.product(*([0, 1, -1] if k else [-1] for k in known)))).T
    item = {name: np.array([0 if k else -1]) for name, k in zip(relation.names, known, strict=True)}
    return cases, relation.mask(item, dict(zip(relation.names, cases, strict=True)))[0]


def _anchor_mask(anchors: Any, size: int) -> npt.NDArray[np.bool_]:
    if anchors is None:
        return np.ones(size, dtype=bool)
    mask = np.asarray(anchors.cpu() if isinstance(anchors, Tensor) else anchors)
    if mask.shape != (size,) or mask.dtype != bool:
        raise ValueError(
            f"anchors are {mask.dtype} of shape {mask.shape}, expected bool of shape {(size,)}"
        )
    if not mask.any():
        raise ValueError(f"anchors marks none of {size} utterances, expected one at least")
    return mask


def _unserved(
    labels: Mapping[str, Items],
    may: npt.NDArray[np.bool_],
    has: list[npt.NDArray[np.bool_]],
    positive: Relation,
    negative: Relation,
) -> Iterator[tuple[str, Items]]:
    """Reasons why items that may be anchors are none."""
    for kind, relation, found in (("positive", positive, has[0]), ("negative", negative, has[1])):
        missing = np.flatnonzero(may & ~found)
        unknown = np.stack([labels[name][missing] < 0 for name in relation.names], -1)
        for which in np.unique(unknown, axis=0):
            names = [name for name, w in zip(relation.names, which, strict=True) if w]
            because = f" (unknown: {', '.join(names)})" if names else ""
            yield f"no {kind}: {relation}{because}", missing[(unknown == which).all(1)]
