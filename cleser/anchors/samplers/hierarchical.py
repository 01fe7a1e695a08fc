"""Batches of so many languages, times so many emotions, times so many utterances.

J. Mi, D. Ma, T. Toda, *Learning Emotion-discriminative Representations for Zero-Shot Cross-Lingual Speech Emotion
Recognition*, Interspeech 2026, arXiv 2606.06200: 3 languages × 4 emotions × 3 utterances.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from cleser.anchors.samplers.resumable import Items, ResumableBatchSampler, label_arrays
from cleser.relations import Labels

Incomplete = Literal["raise", "take"]


class HierarchicalBatchSampler(ResumableBatchSampler):
    r"""Every batch holds the same number of utterances of each of some languages and some emotions.

    For each batch, ``groups["language"]`` languages and ``groups["emotion"]`` emotions are drawn, each value with the
    same probability, however many utterances have it. Each pair of a language and an emotion is a *cell* that gives
    ``samples`` utterances. All languages of a batch have the same emotions, so that every utterance meets its emotion
    in the other languages. ``groups`` may have any names, and any number of them.

    A cell takes its utterances from a shuffled list and shuffles again when fewer than ``samples`` are left: no
    utterance occurs twice in a batch, and none is taken twice from one shuffled list. A cell of
    n < ``samples`` utterances gives each
    :math:`\lfloor samples / n \rfloor` or :math:`\lceil samples / n \rceil` times.

    Args:
        labels: Name → integers [N]; −1 is unknown.
        groups: Name → number of its values in a batch.
        samples: Utterances from each cell.
        seed: Seed of all random choices.
        batches: Batches in an epoch; by default as many as N utterances fill.
        incomplete: What to do if there are fewer values than requested, or if a cell is empty: ``"raise"`` an error, or
            ``"take"`` what there is, in smaller batches.
        rank: This process' rank; by default that of `torch.distributed` when an epoch begins, 0 without. Ranks share
            each batch.
        world_size: Number of ranks, likewise.

    Attributes:
        unserved: Reason → items that no batch will hold.

    Raises:
        ValueError: Values are missing or cells empty (see ``incomplete``), an argument is out of range, or the labels
            do not fit (as of `cleser.relations.Relation.mask`).

    Every iteration is an epoch (`ResumableBatchSampler`); :doc:`loops` shows how to use it.

    >>> labels = {"language": [0, 0, 0, 1, 1, 1], "emotion": [0, 1, 1, 0, 0, 1]}
    >>> sampler = HierarchicalBatchSampler(labels, {"language": 2, "emotion": 2}, samples=1)
    >>> len(sampler), [len(batch) for batch in sampler]
    (2, [4, 4])
    """

    def __init__(
        self,
        labels: Labels,
        groups: Mapping[str, int] = {"language": 3, "emotion": 4},
        samples: int = 3,
        *,
        seed: int = 0,
        batches: int | None = None,
        incomplete: Incomplete = "raise",
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        groups = {name: operator.index(n) for name, n in groups.items()}
        samples = operator.index(samples)
        batches = None if batches is None else operator.index(batches)
        _check(groups, samples, batches, incomplete)
        arrays = label_arrays(labels, tuple(groups))
        settings = (groups, samples, batches, incomplete)
        super().__init__(arrays, settings, seed=seed, rank=rank, world_size=world_size)
        self.groups, self.samples = groups, samples
        self._cells = _Cells(arrays, samples)
        self._draws = self._cells.draws(groups, incomplete)
        size = samples * math.prod(self._draws)
        usable = len(self._cells.items)
        self._least = size if incomplete == "raise" else samples
        self._check_ranks()
        self._batches = math.ceil(usable / size) if batches is None else batches
        self._planned: tuple[int, Items] | None = None
        self.unserved = _unserved(arrays)

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return self._batches

    def _batch(self, epoch: int, number: int) -> Items | None:
        if self._ends_at(epoch, number):
            return None
        if self._planned is None or self._planned[0] != epoch:
            self._planned = epoch, self._plan(epoch)
        batch: Items = self._planned[1][number]
        filled: Items = batch[batch >= 0]
        return filled

    def _ends_at(self, epoch: int, number: int) -> bool:
        return number >= self._batches

    def _smallest(self) -> int:
        return self._least

    def _plan(self, epoch: int) -> Items:
        """The epoch's batches [batches, items of a full batch], −1 where a cell is empty."""
        rng = np.random.default_rng([self.seed, epoch])
        cells = self._cells.draw(rng, self._batches, self._draws)
        return self._cells.deal(rng, cells).reshape(self._batches, -1)


class _Cells:
    """Utterances by their combination of labels.

    Attributes:
        shape: Number of values of each name; cells are numbered like the entries of an array of this shape.
        items: The usable utterances, cell after cell.
        starts: Where each cell begins in ``items``, and the end.
    """

    def __init__(self, labels: Mapping[str, Items], samples: int) -> None:
        self.samples = samples
        known = np.flatnonzero(np.all([v >= 0 for v in labels.values()], axis=0))
        found = [np.unique(v[known], return_inverse=True) for v in labels.values()]
        self.values = {name: v for name, (v, _) in zip(labels, found, strict=True)}
        self.shape = tuple(len(v) for v, _ in found)
        cells = np.ravel_multi_index([at for _, at in found], self.shape) if len(known) else known
        self.items = known[np.argsort(cells, kind="stable")]
        self.counts = np.bincount(cells, minlength=math.prod(self.shape))
        self.starts = np.concatenate([[0], np.cumsum(self.counts)])

    def draws(self, groups: Mapping[str, int], incomplete: Incomplete) -> list[int]:
        """How many values of each name a batch can have."""
        if not len(self.items):
            raise ValueError(f"no utterance has known labels of all of {list(groups)}")
        if incomplete == "raise":
            for (name, asked), found in zip(groups.items(), self.shape, strict=True):
                if found < asked:
                    raise ValueError(
                        f"groups asks for {asked} values of {name!r}, found {found} "
                        f"({self.values[name].tolist()}); incomplete='take' takes those"
                    )
            self._refuse_empty()
        return [min(n, found) for n, found in zip(groups.values(), self.shape, strict=True)]

    def _refuse_empty(self) -> None:
        empty = np.flatnonzero(self.counts == 0)
        if len(empty):
            at = np.unravel_index(empty[0], self.shape)
            pairs = zip(self.values.items(), at, strict=True)
            cell = ", ".join(f"{name} {values[i]}" for (name, values), i in pairs)
            raise ValueError(
                f"{len(empty)} of {len(self.counts)} cells hold no utterance, the first is {cell}; "
                "incomplete='take' leaves such cells out of a batch"
            )

    def draw(self, rng: np.random.Generator, batches: int, draws: Sequence[int]) -> Items:
        """Cells of each batch [batches, cells], none of the batches without utterances."""
        cells = self._draw(rng, batches, draws)
        while (empty := ~self.counts[cells].any(1)).any():
            cells[empty] = self._draw(rng, int(empty.sum()), draws)
        return cells

    def _draw(self, rng: np.random.Generator, batches: int, draws: Sequence[int]) -> Items:
        cells = np.zeros((batches, 1), dtype=np.int64)
        for count, size in zip(draws, self.shape, strict=True):
            values = rng.permuted(np.tile(np.arange(size), (batches, 1)), axis=1)[:, :count]
            cells = (cells[:, :, None] * size + values[:, None]).reshape(batches, -1)
        return cells

    def deal(self, rng: np.random.Generator, cells: Items) -> Items:
        """Utterances for each entry of ``cells``, [..., samples], −1 where a cell is empty."""
        dealt = np.full((cells.size, self.samples), -1)
        order = np.argsort(cells.ravel(), kind="stable")
        asked = np.bincount(cells.ravel(), minlength=len(self.counts))
        places = np.split(order, np.cumsum(asked)[:-1])
        for cell in np.flatnonzero((asked > 0) & (self.counts > 0)):
            dealt[places[cell]] = self._hands(rng, int(cell), int(asked[cell]))
        return dealt

    def _hands(self, rng: np.random.Generator, cell: int, hands: int) -> Items:
        """So many hands of ``samples`` utterances of a cell."""
        items = self.items[self.starts[cell] : self.starts[cell + 1]]
        each = max(1, len(items) // self.samples)  # hands from one shuffle
        shuffles = rng.permuted(np.tile(items, (math.ceil(hands / each), 1)), axis=1)
        dealt: npt.NDArray[np.int64] = shuffles[:, np.arange(each * self.samples) % len(items)]
        return dealt.reshape(-1, self.samples)[:hands]


def _unserved(labels: Mapping[str, Items]) -> dict[str, Items]:
    unknown = {f"{name} is unknown": np.flatnonzero(v < 0) for name, v in labels.items()}
    return {reason: items for reason, items in unknown.items() if len(items)}


def _check(
    groups: Mapping[str, int], samples: int, batches: int | None, incomplete: Incomplete
) -> None:
    if not groups or any(n < 1 for n in groups.values()):
        raise ValueError(f"groups are {dict(groups)}, expected names with a number of at least 1")
    if samples < 1:
        raise ValueError(f"samples is {samples}, expected a number of at least 1")
    if batches is not None and batches < 0:
        raise ValueError(f"batches is {batches}, expected a number of at least 0")
    if incomplete not in get_args(Incomplete):
        raise ValueError(f"incomplete is {incomplete!r}, expected one of {get_args(Incomplete)}")
