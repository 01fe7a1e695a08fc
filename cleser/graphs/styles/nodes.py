"""Nodes of the style graph: one for each speaker in each emotion, pooled from utterances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
# Utterances: posteriors spread thinner than this over an emotion make no node of it.
_LEAST_MASS = 0.5
_LEAST_BETWEEN = 0.05  # share of the noise of one utterance that nodes differ by, at least


@dataclass(frozen=True)
class Coded:
    """Names as integers.

    Attributes:
        codes: int64 [N], −1 where unknown.
        names: Name of each code.
    """

    codes: Ints
    names: list[Any]

    def of(self, values: npt.ArrayLike) -> Ints:
        """Codes of other values; −1 for those that never occurred."""
        found = pd.Index(self.names, dtype=object).get_indexer(_objects(values))
        return np.asarray(found, dtype=np.int64)


@dataclass(frozen=True)
class Nodes:
    """Pooled utterances.

    Attributes:
        speakers: Code of each node's speaker [M].
        emotions: Code of each node's emotion [M].
        mass: Utterances in each node [M]; a sum of posteriors need not be whole.
        means: Mean embedding in units of the utterances' noise, [M, D].
        reliability: Share of a node's variance that is not noise, in (0, 1], [M].
    """

    speakers: Ints
    emotions: Ints
    mass: Floats
    means: Floats
    reliability: Floats


def encode(values: npt.ArrayLike, argument: str, n: int) -> Coded:
    """Names as integers; None, NaN and −1 are unknown.

    Raises:
        ValueError: They are not N in one dimension.
    """
    objects = _objects(values)
    if objects.shape != (n,):
        raise ValueError(
            f"{argument} have shape {objects.shape}, expected ({n},): one an utterance"
        )
    codes, names = pd.factorize(objects, use_na_sentinel=True)
    order = sorted(range(len(names)), key=lambda i: (str(type(names[i])), names[i]))
    rank = np.empty(len(names) + 1, dtype=np.int64)
    rank[order], rank[-1] = np.arange(len(names)), -1
    return Coded(rank[codes], [names[i] for i in order])


def _objects(values: npt.ArrayLike) -> npt.NDArray[Any]:
    given = values.detach().cpu().numpy() if hasattr(values, "detach") else values
    objects = pd.Series(given).to_numpy(dtype=object, copy=True)
    unknown = np.array([pd.isna(v) or (not isinstance(v, str) and v == -1) for v in objects], bool)
    objects[unknown] = None
    return objects


def pool(embeddings: Floats, speakers: Ints, weights: sparse.csr_array) -> Nodes:
    """Mean of each speaker's utterances of each emotion.

    Embeddings are divided, dimension by dimension, by the standard deviation that utterances have within their
    nodes: a dimension counts by how far speakers differ in it, against how much each of them varies.

    Args:
        embeddings: [N, D].
        speakers: Codes [N], −1 unknown.
        weights: How far each utterance is of each emotion, [N, K].
    """
    n_emotions = weights.shape[1]
    entries = weights.tocoo()
    rows, emotions = entries.coords
    known = speakers[rows] >= 0
    rows, emotions, share = rows[known], emotions[known], entries.data[known]
    key, node = np.unique(speakers[rows] * n_emotions + emotions, return_inverse=True)
    shape = (len(key), len(embeddings))
    member = sparse.csr_array((share, (node, rows)), shape=shape)
    mass = np.asarray(member.sum(axis=1)).ravel()
    kept = mass >= _LEAST_MASS
    member, mass, key = member[kept], mass[kept], key[kept]
    means = (member @ embeddings) / mass[:, None]
    noise = _noise(embeddings, member, mass, means)
    means = np.divide(means, noise, out=np.zeros_like(means), where=noise > 0)
    return Nodes(key // n_emotions, key % n_emotions, mass, means, _reliability(means, mass, key))


def _noise(embeddings: Floats, member: sparse.csr_array, mass: Floats, means: Floats) -> Floats:
    """Standard deviation of utterances within their nodes, [D]; of the nodes where each has one utterance."""
    freedom = np.maximum(mass - 1, 0).sum()
    if freedom < 1:
        return np.asarray(means.std(axis=0)) if len(means) else np.ones(embeddings.shape[1])
    centre = embeddings.mean(axis=0)  # differences of large squares would lose their digits
    square = member @ np.square(embeddings - centre)
    within = np.maximum(square - mass[:, None] * np.square(means - centre), 0)
    noise = np.sqrt(within.sum(axis=0) / freedom)
    level = np.sqrt(np.square(means - centre).mean(axis=0))
    # A dimension that never varies within nodes has no unit of its own.
    return np.asarray(np.where(noise > 1e-6 * level, noise, level))


def _reliability(means: Floats, mass: Floats, key: Ints) -> Floats:
    r"""N / (n + κ), κ the variance of an utterance over that of nodes, by moments: how far to trust a mean of n."""
    if len(key) < 3 or mass.max() <= 1:
        return np.ones(len(key))
    spread = np.square(means - means.mean(axis=0)).mean()
    between = max(spread - (1 / mass).mean(), _LEAST_BETWEEN)
    return np.asarray(mass / (mass + 1 / between))
