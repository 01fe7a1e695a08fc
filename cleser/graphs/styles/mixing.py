r"""How a label, such as language, mixes within communities and along edges, compared with chance.

With :math:`n_{cl}` items of language :math:`l` in community :math:`c`, the relative entropy

.. math:: H = \frac{\sum_c n_c H(n_{c\cdot} / n_c)}{n\, H(n_{\cdot l} / n)}

is 0 if every community has only one language, and 1 if each has the languages in the proportions of the whole. The
assortativity of a graph (Newman, *Physical Review E* 67, 026126, 2003),

.. math:: r = \frac{\sum_l e_{ll} - \sum_l a_l^2}{1 - \sum_l a_l^2}

with :math:`e_{lm}` the share of edge weight between languages and :math:`a_l` its margins, is 1 if all edges stay
within a language, and about 0 if they do not depend on it. In small groups, chance values of both differ from these
limits: compare with `permutation_test`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cleser.graphs.communities.modularity import undirected

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Chance(NamedTuple):
    """A statistic against what it is when labels are dealt at random.

    Attributes:
        observed: Its value.
        expected: Its mean over permutations.
        sd: Its standard deviation over permutations.
        p_low: Share of permutations, itself among them, with a value as low.
        p_high: The same, as high.
    """

    observed: float
    expected: float
    sd: float
    p_low: float
    p_high: float


def language_entropy(communities: npt.ArrayLike, languages: npt.ArrayLike) -> float:
    """H, from 0 (each community has one language) to 1 (all mix); NaN where there is but one language.

    Args:
        communities: Integers [N].
        languages: Integers or names [N].

    >>> language_entropy([0, 0, 1, 1], ["de", "en", "de", "en"])
    1.0
    >>> language_entropy([0, 0, 1, 1], ["de", "de", "en", "en"])
    0.0
    """
    counts = _counts(np.asarray(communities), np.asarray(languages))
    whole = _entropies(counts.sum(axis=0, keepdims=True))[0]
    if not whole > 0:
        return float("nan")
    sizes = counts.sum(axis=1)
    return float((sizes * _entropies(counts)).sum() / (sizes.sum() * whole))


def assortativity(graph: Any, languages: npt.ArrayLike) -> float:
    """r, from −1 over about 0 (edges ignore the label) to 1; NaN without edges or where all are alike.

    Args:
        graph: Sparse weights [N, N] ≥ 0.
        languages: Integers or names [N].

    Raises:
        ValueError: The graph is none, or the languages are not N.

    >>> from scipy.sparse import csr_array
    >>> pairs = csr_array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    >>> assortativity(pairs, ["de", "de", "en", "en"]), assortativity(pairs, ["de", "en", "de", "en"])
    (1.0, -1.0)
    """
    edges = undirected(graph).tocoo()
    if np.shape(languages) != edges.shape[:1]:
        raise ValueError(
            f"languages have shape {np.shape(languages)}, expected {edges.shape[:1]}: one a node"
        )
    codes = np.unique(np.asarray(languages), return_inverse=True)[1]
    return _assortativity(codes[edges.coords[0]], codes[edges.coords[1]], edges.data)


def _assortativity(rows: Ints, columns: Ints, weight: Floats) -> float:
    if not len(weight):
        return float("nan")
    share = np.square(np.bincount(rows, weights=weight) / weight.sum()).sum()
    if share >= 1 - 1e-12:
        return float("nan")
    inside = weight[rows == columns].sum() / weight.sum()
    return float((inside - share) / (1 - share))


def permutation_test(
    statistic: Callable[[Ints], float],
    labels: npt.ArrayLike,
    *,
    permutations: int = 999,
    seed: int = 0,
) -> Chance:
    """Compare a statistic of labels with its values when the labels are permuted.

    Args:
        statistic: Function of labels as integers [N]: each stands for the label of this place among all labels, sorted.
        labels: The labels as observed, integers or names [N].
        permutations: Number of permutations.
        seed: Seed of the permutations.

    Returns:
        p-values count the labels as they are among the permutations (Phipson & Smyth, 2010), hence are never 0, and are
        NaN where the statistic is.

    Raises:
        ValueError: There is to be no permutation.

    >>> labels = [0, 0, 0, 0, 1, 1, 1, 1]
    >>> chance = permutation_test(lambda y: float(np.mean(y[:4] == 0)), labels, permutations=99)
    >>> chance.observed, round(chance.expected, 1), chance.p_high < 0.1
    (1.0, 0.5, True)
    """
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}, expected at least 1")
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    drawn = [statistic(rng.permutation(codes)) for _ in range(permutations)]
    return against(statistic(codes), np.array(drawn))


def against(observed: float, drawn: Floats) -> Chance:
    """A statistic against its values under permuted labels, of which NaN ones do not count."""
    if np.isnan(observed) or np.isnan(drawn).all():
        return Chance(observed, *[float("nan")] * 4)
    drawn = drawn[~np.isnan(drawn)]
    slack = 1e-12  # equal sums, added in another order, differ in their last bits
    low, high = (drawn <= observed + slack).sum(), (drawn >= observed - slack).sum()
    p_low, p_high = ((n + 1) / (len(drawn) + 1) for n in (low, high))
    return Chance(observed, float(drawn.mean()), float(drawn.std()), float(p_low), float(p_high))


def _counts(communities: npt.NDArray[Any], languages: npt.NDArray[Any]) -> Ints:
    if communities.shape != languages.shape or communities.ndim != 1:
        raise ValueError(
            f"communities have shape {communities.shape}, languages {languages.shape}, expected [N] each"
        )
    rows = np.unique(communities, return_inverse=True)[1]
    columns = np.unique(languages, return_inverse=True)[1]
    shape = (rows.max(initial=-1) + 1, columns.max(initial=-1) + 1)
    counts = np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1])
    return counts.reshape(shape)


def _entropies(counts: Ints) -> Floats:
    """Entropy of each row's shares, in nats."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    logs = np.log(share, where=share > 0, out=np.zeros_like(share))
    return np.asarray(-(share * logs).sum(axis=1))
