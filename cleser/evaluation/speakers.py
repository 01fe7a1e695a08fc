"""Confusion matrices for each speaker and seed, from which intervals and tests are computed.

Utterances of one speaker are similar, and so are the predictions of one trained network. The units are therefore
speakers and seeds (Cameron, Gelbach & Miller, 2008); utterances are the unit only if the speakers are unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from cleser.evaluation.metrics import Counts, Floats


@dataclass(frozen=True)
class Clusters:
    """Confusion matrices of every cluster (speaker) and seed.

    Attributes:
        counts: [S, G, C, C] for S seeds and G clusters.
        names: The clusters.
        unit: What a cluster is.
        unknown: Utterances without a speaker; each is a cluster of its own.
        seeds: The training seeds; 0 … S − 1 if none are given.
        nameless: Names of those clusters that are an utterance without a speaker.

    >>> rows = pd.DataFrame({"seed": 0, "utterance": [*"abcd"], "speaker": [*"1122"],
    ...                      "emotion": ["joy", "fear"] * 2, "predicted": ["joy", "joy", "joy", "fear"]})
    >>> found = cluster(rows, ["joy", "fear"])
    >>> found.counts.shape, found.names, found.unit
    ((1, 2, 2, 2), ['1', '2'], 'speakers')
    """

    counts: Counts
    names: list[str]
    unit: Literal["speakers", "utterances"]
    unknown: int
    seeds: list[int] = field(default_factory=list)
    nameless: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.seeds:
            object.__setattr__(self, "seeds", list(range(len(self.counts))))

    @classmethod
    def of(cls, counts: Counts, groups: Grouping) -> Self:
        """Counts of the clusters and seeds that predictions are grouped by."""
        return cls(counts, groups.names, groups.unit, groups.unknown, groups.seeds, groups.nameless)

    @property
    def tested(self) -> Counts:
        """How many utterances of a class and cluster each seed has tested, summed over the last axis, [S, G, C, C]."""
        return self.counts

    def only(self, seeds: list[int]) -> Clusters:
        """The counts of some seeds, and of the clusters that these have tested."""
        counts = self.counts[[self.seeds.index(seed) for seed in seeds]]
        tested = np.flatnonzero(counts.any((0, 2, 3)))
        names = [self.names[g] for g in tested]
        nameless = self.nameless & set(names)
        return replace(
            self, counts=counts[:, tested], names=names, seeds=list(seeds), nameless=nameless,
            unknown=len(nameless) if self.nameless else self.unknown,
        )  # fmt: skip


def cluster(predictions: pd.DataFrame, classes: list[str]) -> Clusters:
    """Count confusions per speaker and seed.

    Args:
        predictions: Rows with ``seed, utterance, speaker, emotion, predicted``.
        classes: Names of the C classes, in order.

    Raises:
        ValueError: There are no rows, or a class is not among ``classes``.

    >>> rows = pd.DataFrame({"seed": 0, "utterance": [*"abcd"], "speaker": [*"1122"],
    ...                      "emotion": ["joy", "fear"] * 2, "predicted": ["joy", "joy", "joy", "fear"]})
    >>> cluster(rows, ["joy", "fear"]).counts[0, 0]
    array([[1, 0],
           [1, 0]])
    """
    if predictions.empty:
        raise ValueError("there are no predictions, expected at least one")
    truth, answer = (class_codes(predictions[c], classes) for c in ("emotion", "predicted"))
    groups = grouping(predictions)
    size = (*groups.shape, len(classes), len(classes))
    flat = np.ravel_multi_index((groups.seed, groups.group, truth, answer), size)
    return Clusters.of(np.bincount(flat, minlength=int(np.prod(size))).reshape(size), groups)


def class_codes(values: pd.Series[str], classes: list[str]) -> npt.NDArray[np.intp]:
    """The place of each value of a column among the classes.

    Raises:
        ValueError: A value is none of them.
    """
    codes = pd.Index(classes).get_indexer(pd.Index(values))
    if (codes < 0).any():
        found = values.iloc[int((codes < 0).argmax())]
        raise ValueError(f"{values.name} holds {found!r}, expected one of {classes}")
    return codes


class Grouping(NamedTuple):
    """The seed and the cluster of each of N predictions.

    Attributes:
        seed: Place of its seed among ``seeds``, [N].
        group: Place of its cluster among ``names``, [N].
        seeds: The S training seeds.
        names: The G clusters.
        unit: What a cluster is.
        unknown: Utterances without a speaker; each is a cluster of its own.
        nameless: Names of these clusters.
    """

    seed: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]
    seeds: list[int]
    names: list[str]
    unit: Literal["speakers", "utterances"]
    unknown: int
    nameless: frozenset[str]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of seeds and of clusters."""
        return len(self.seeds), len(self.names)

    def add_up(self, values: Floats) -> Floats:
        """The sum of values [N] over the predictions of each seed and cluster, [S, G]."""
        place = np.ravel_multi_index((self.seed, self.group), self.shape)
        sums: npt.NDArray[Any] = np.bincount(
            place, weights=values, minlength=self.shape[0] * self.shape[1]
        )
        return sums.reshape(self.shape)


def grouping(predictions: pd.DataFrame) -> Grouping:
    """Seeds and clusters of rows with ``seed, utterance, speaker``."""
    speaker = predictions["speaker"]
    unit: Literal["speakers", "utterances"] = "speakers" if speaker.notna().any() else "utterances"
    names, group = np.unique(
        speaker.fillna(predictions["utterance"]).astype(str), return_inverse=True
    )
    seeds, seed = np.unique(predictions["seed"], return_inverse=True)
    nameless = frozenset(predictions.loc[speaker.isna(), "utterance"].astype(str))
    return Grouping(seed, group, seeds.tolist(), names.tolist(), unit, len(nameless), nameless)
