r"""Votes of several annotators for an utterance's emotion, and how far they agree.

A manifest may hold a column ``votes.<emotion>`` for each emotion: how many annotators chose it, or the share that did.
Both are at least 0; an utterance whose votes are all 0 or missing has none.

**Agreement** is Krippendorff's alpha for names (K. Krippendorff, *Content Analysis*, 2004). With :math:`n_{ik}` votes
for class k of utterance i, :math:`n_i = \sum_k n_{ik} \ge 2` of them, :math:`n_k = \sum_i n_{ik}` and
:math:`n = \sum_i n_i` over such utterances,

.. math::

    \alpha = 1 - \frac{D_o}{D_e}, \qquad
    D_o = \frac1n \sum_i \sum_k \frac{n_{ik} (n_i - n_{ik})}{n_i - 1}, \qquad
    D_e = \sum_k \frac{n_k (n - n_k)}{n (n - 1)}.

It is 1 where all agree, 0 where they agree as by chance, and does not ask for as many annotators of each utterance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cleser.corpora.tables import row_named
from cleser.corpora.terms import to_emotions, to_numbers

VOTES: Final = "votes."


def vote_columns(manifest: pd.DataFrame) -> list[str]:
    """The columns of votes that there are."""
    return [str(name) for name in manifest if str(name).startswith(VOTES)]


def with_named_votes(
    rows: pd.DataFrame, rename: Mapping[str, str] | None, corpus: str
) -> pd.DataFrame:
    """Rows whose columns of votes have our names of emotions; those that come to one name are added.

    Args:
        rows: A manifest.
        rename: Emotions to call otherwise.
        corpus: Corpus whose names they are.

    Raises:
        ValueError: A vote is no number of at least 0; the message names the first row.
    """
    columns = vote_columns(rows)
    if not columns:
        return rows
    given = pd.Series([name.removeprefix(VOTES) for name in columns], dtype="str")
    named: dict[str, pd.Series[float]] = {}
    for column, emotion in zip(columns, to_emotions(given, rename, corpus), strict=True):
        if not isinstance(emotion, str):
            raise ValueError(f"{column} names no emotion, expected one, as {VOTES}anger")
        votes, wrong = to_numbers(rows[column])
        wrong |= votes < 0
        if wrong.any():
            at = int(wrong.to_numpy().argmax())
            raise ValueError(
                f"{row_named(rows, at)}: {column} is {rows[column].iloc[at]!r}, expected a number of "
                "votes, or a share of them, of at least 0"
            )
        name = f"{VOTES}{emotion}"
        named[name] = named[name].add(votes, fill_value=0) if name in named else votes
    return pd.concat([rows.drop(columns=columns), pd.DataFrame(named)], axis=1)


def votes_of(manifest: pd.DataFrame, emotions: Sequence[str]) -> npt.NDArray[np.float64]:
    """Votes [N, K] for some emotions; 0 where there are none."""
    nothing = pd.Series(0.0, manifest.index)
    columns = [manifest.get(f"{VOTES}{name}", nothing) for name in emotions]
    return np.nan_to_num(np.stack([np.asarray(c, dtype=np.float64) for c in columns], 1))


def majority(votes: npt.NDArray[np.float64], emotions: Sequence[str]) -> list[str | None]:
    """The emotion with most votes of each utterance; None where several have as many, or none has any.

    >>> majority(np.array([[3, 1], [2, 2], [0, 0]]), ["anger", "fear"])
    ['anger', None, None]
    """
    most = votes.max(1, keepdims=True)
    alone = ((votes == most).sum(1) == 1) & (most[:, 0] > 0)
    return [emotions[k] if one else None for k, one in zip(votes.argmax(1), alone, strict=True)]


def emotions_by_votes(manifest: pd.DataFrame) -> pd.Series[str]:
    """The emotion with most votes of each utterance of a manifest, as :func:`majority`; missing without votes."""
    emotions = [name.removeprefix(VOTES) for name in vote_columns(manifest)]
    if not emotions:
        return pd.Series(None, manifest.index, dtype="str")
    return pd.Series(majority(votes_of(manifest, emotions), emotions), manifest.index, dtype="str")


def krippendorff_alpha(counts: npt.ArrayLike) -> float:
    """Krippendorff's alpha of annotators' choices.

    Args:
        counts: How many annotators chose each of K classes for each of N utterances, [N, K].

    Returns:
        1 where all agree; NaN where no utterance has two votes, or all votes are for one class.

    Raises:
        ValueError: Counts are no whole numbers of at least 0: of shares nobody knows how many annotators there were.

    >>> krippendorff_alpha([[3, 0], [0, 3]])
    1.0
    """
    n = _counts(counts)
    n = n[n.sum(1) >= 2]
    each, total = n.sum(0), n.sum()
    if total == 0 or (each == total).any():
        return math.nan
    of = n.sum(1, keepdims=True)
    observed = (n * (of - n) / (of - 1)).sum() / total
    expected = (each * (total - each)).sum() / (total * (total - 1))
    return float(1 - observed / expected)


def fleiss_kappa(counts: npt.ArrayLike) -> float:
    r"""Fleiss' kappa (J. L. Fleiss, *Measuring nominal scale agreement among many raters*, 1971).

    .. math:: \kappa = \frac{\bar P - P_e}{1 - P_e}, \qquad
              \bar P = \frac1N \sum_i \sum_k \frac{n_{ik} (n_{ik} - 1)}{m (m - 1)}, \qquad
              P_e = \sum_k \Big(\frac{n_k}{N m}\Big)^2

    Args:
        counts: How many of m annotators chose each of K classes for each of N utterances, [N, K].

    Returns:
        1 where all agree; NaN where all votes are for one class.

    Raises:
        ValueError: Utterances differ in how many votes they have, or have fewer than two; or as for
            :func:`krippendorff_alpha`.

    >>> fleiss_kappa([[3, 0], [0, 3]])
    1.0
    """
    n = _counts(counts)
    raters = np.unique(n.sum(1))
    if len(raters) != 1 or raters[0] < 2:
        raise ValueError(
            f"utterances have {raters[:5].tolist()} votes, expected as many of each, and two or more; "
            "krippendorff_alpha takes any number"
        )
    m = raters[0]
    by_chance = ((n.sum(0) / n.sum()) ** 2).sum()
    if by_chance == 1:
        return math.nan
    agreed = (n * (n - 1)).sum(1).mean() / (m * (m - 1))
    return float((agreed - by_chance) / (1 - by_chance))


def _counts(counts: npt.ArrayLike) -> npt.NDArray[np.float64]:
    n = np.asarray(counts, dtype=np.float64)
    if n.ndim != 2 or (n < 0).any() or (n != n.round()).any():
        raise ValueError(
            "votes are no whole numbers [utterances, classes], expected counts of annotators: shares do not say how "
            "many there were"
        )
    return n


def describe_votes(manifest: pd.DataFrame) -> dict[str, str]:
    """Facts on the votes of a manifest, by name; none where there are no votes."""
    columns = vote_columns(manifest)
    if not columns:
        return {}
    votes = votes_of(manifest, [name.removeprefix(VOTES) for name in columns])
    voted = votes[votes.sum(1) > 0]
    if not len(voted):
        return {}
    share = voted / voted.sum(1, keepdims=True)
    whole = bool((voted == voted.round()).all() and (voted.sum(1) >= 2).any())
    facts = {
        "Votes": f"{len(voted):,} utterances, {voted.sum(1).mean():.1f} votes each"
        if whole
        else f"{len(voted):,} utterances, as shares",
        "Of one mind": f"{(share.max(1) == 1).mean():.1%}, and without a majority "
        f"{1 - np.mean([m is not None for m in majority(voted, columns)]):.1%}",
    }
    if whole:
        facts["Krippendorff's alpha"] = f"{krippendorff_alpha(voted):.3f}"
        if len(np.unique(voted.sum(1))) == 1:  # kappa is of as many annotators of each utterance
            facts["Fleiss' kappa"] = f"{fleiss_kappa(voted):.3f}"
    return facts
