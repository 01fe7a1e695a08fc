r"""What is said, taken out of the summaries of corpora in which speakers say the same sentences.

Acted corpora let every speaker say the same few sentences in every emotion. What an encoder says of an utterance then
depends on its sentence more than on its emotion, and the sentences of one corpus are not those of another. The mean of
a sentence over its speakers and emotions, which takes no label, is taken off its utterances (in the manner of
S. Mariooryad, C. Busso, *Compensating for Speaker or Lexical Variabilities in Speech for Emotion Recognition*, Speech
Communication 57, 2014, who do so for phonemes).

Which utterances say the same the manifest's texts tell. Where it has none, the last state of a pretrained encoder does:
its mean over time, with the speaker's own taken off, lies closer to that of the same sentence by anyone than to any
other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from cleser.features.stored import BLOCK

ContentAt = Callable[[np.ndarray], np.ndarray]
"""Gives what the utterances at some positions [n] say, [n, D]."""

# Most utterances whose pairs are compared; the others join the nearest sentence.
_CLUSTERED = 4000
_FEWEST = 8  # utterances, of which one can say that some are alike
_CHOICES = 40  # numbers of sentences that are tried
STRENGTH = 5.0  # κ of Eq. 2, in utterances
_APART = 0.15  # least silhouette; corpora of unrelated utterances have .1 or less, see benchmarks/sentences.py


def find_sentences(content: np.ndarray, *, apart: float = _APART) -> np.ndarray:
    r"""Which utterances of a corpus say the same, by their sound.

    Average linkage over cosine distances (R. R. Sokal, C. D. Michener, 1958), cut into the number of groups, from 2 to
    a quarter of the utterances, with the greatest mean silhouette

    .. math:: s_i = \frac{b_i - a_i}{\max(a_i, b_i)} \qquad (1)

    where :math:`a_i` is the mean distance of an utterance from its own group and :math:`b_i` that from the nearest
    other group (P. J. Rousseeuw, 1987).

    Args:
        content: What N utterances say, [N, D]: the mean over time of a state that knows words, standardised by speaker.
            Of more than 4,000 utterances a sample is grouped, and the others join the nearest group.
        apart: The least mean silhouette; below it nothing is taken to be repeated.

    Returns:
        The number of each utterance's sentence, int64 [N]; −1 for all where no sentences are found.

    >>> rng = np.random.default_rng(0)
    >>> said = np.repeat(np.eye(5, 8), 6, 0) + 0.1 * rng.standard_normal((30, 8))
    >>> find_sentences(said).reshape(5, 6)[:, 0].tolist()
    [0, 1, 2, 3, 4]
    >>> find_sentences(rng.standard_normal((30, 256))).max().item()
    -1
    """
    return _grouped(np.arange(len(content)), lambda at: content[at], apart)


def _grouped(places: np.ndarray, content: ContentAt, apart: float) -> np.ndarray:
    """What :func:`find_sentences` finds of the utterances at some positions, read a block at a time."""
    rng = np.random.default_rng(0)
    few = len(places) <= _CLUSTERED
    sample = np.arange(len(places)) if few else np.sort(rng.permutation(len(places))[:_CLUSTERED])
    heard = _directions(content(places[sample]))
    silhouette, found = _best_groups(heard)
    if silhouette <= apart:
        return np.full(len(places), -1, dtype=np.int64)
    centres = _directions(np.stack([heard[found == g].mean(0) for g in range(found.max() + 1)]))
    others = np.setdiff1d(np.arange(len(places)), sample)
    nearest = np.empty(len(places), dtype=np.int64)
    nearest[sample] = found
    for first in range(0, len(others), BLOCK):
        at = others[first : first + BLOCK]
        nearest[at] = (_directions(content(places[at])) @ centres.T).argmax(1)
    return pd.factorize(nearest)[0].astype(np.int64)  # in order of appearance


def best_silhouette(content: np.ndarray) -> float:
    """The greatest mean silhouette, Eq. 1, that :func:`find_sentences` compares with ``apart``."""
    return _best_groups(_directions(content))[0]


def _directions(content: np.ndarray) -> np.ndarray:
    unit = np.asarray(content, dtype=np.float32)
    scaled: np.ndarray = unit / np.linalg.norm(unit, axis=1, keepdims=True).clip(1e-12)
    return scaled


def _best_groups(unit: np.ndarray) -> tuple[float, np.ndarray]:
    """The grouping with the greatest silhouette, over all numbers of groups."""
    best, found = -1.0, np.zeros(len(unit), dtype=np.int64)
    if len(unit) < _FEWEST:
        return best, found
    distance = (1 - unit @ unit.T).clip(0, 2)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    for count in np.unique(np.geomspace(2, max(len(unit) // 4, 2), _CHOICES).round().astype(int)):
        groups = np.unique(fcluster(tree, count, "maxclust"), return_inverse=True)[1]
        silhouette = _silhouette(distance, groups)
        if silhouette > best:
            best, found = silhouette, groups
    return best, found


def _silhouette(distance: np.ndarray, groups: np.ndarray) -> float:
    """The mean of Eq. 1; an utterance alone in its group has 0."""
    size = np.bincount(groups)
    if len(size) < 2:
        return -1.0
    member = np.zeros((len(groups), len(size)), dtype=distance.dtype)
    member[np.arange(len(groups)), groups] = 1
    total = distance @ member
    at = np.arange(len(groups)), groups
    within = total[at] / (size[groups] - 1).clip(1)
    others = total / size
    others[at] = np.inf
    nearest = others.min(1)
    values = (nearest - within) / np.maximum(nearest, within).clip(1e-12)
    return float(np.where(size[groups] > 1, values, 0).mean())


def knows_texts(rows: pd.DataFrame) -> pd.Series[bool]:
    """Whether at least half of the utterances have a text, for each corpus of a manifest."""
    known: pd.Series[bool] = rows["text"].notna().groupby(rows["corpus"].fillna("")).mean() >= 0.5
    return known


def sentences_of(
    rows: pd.DataFrame, content: np.ndarray | ContentAt | None = None
) -> pd.Series[str]:
    """The sentence that each utterance says; NA where it is not known.

    Args:
        rows: A manifest. A corpus in which at least half of the utterances have a text is taken by its texts, apart
            from case and blanks.
        content: What the utterances say, as :func:`find_sentences` takes it, [N, D], for the other corpora; without it
            theirs are unknown. Or a function that gives it for the utterances at some positions, so that not all of a
            large corpus need be held.

    >>> rows = pd.DataFrame({"corpus": "mine", "text": ["Good morning", "good  morning", "Good night"]})
    >>> sentences_of(rows).tolist()
    ['mine: good morning', 'mine: good morning', 'mine: good night']
    """
    found = pd.Series([None] * len(rows), index=rows.index, dtype="str")
    content_at = (lambda at: content[at]) if isinstance(content, np.ndarray) else content
    known_texts = knows_texts(rows)
    for corpus, at in rows.groupby(rows["corpus"].fillna("")).indices.items():
        if known_texts[str(corpus)]:
            text = rows["text"].iloc[at].str.casefold().str.split().str.join(" ")
            found.iloc[at] = text.map(
                lambda said, corpus=corpus: f"{corpus}: {said}", na_action="ignore"
            )
        elif content_at is not None:
            numbers = _grouped(np.asarray(at), content_at, _APART)
            known = numbers >= 0
            names = [f"{corpus}: sentence {n}" for n in numbers[known]]
            found.iloc[np.asarray(at)[known]] = names
    return found


def remove_sentences(
    summaries: Tensor, sentences: pd.Series[str], *, strength: float = STRENGTH
) -> Tensor:
    """Take the mean of its sentence off each utterance, Eq. 2 of :func:`offsets_of`.

    Args:
        summaries: Standardised summaries of N utterances, [N, …].
        sentences: The N sentences; utterances with NA, and what only one utterance says, stay as they are.
        strength: κ, in utterances.

    Raises:
        ValueError: The sentences are not as many as the summaries.

    >>> x = torch.tensor([[1.0], [3.0], [8.0]])
    >>> remove_sentences(x, pd.Series(["a", "a", None]), strength=1.0).tolist()
    [[0.0], [2.0], [8.0]]
    """
    if len(sentences) != len(summaries):
        raise ValueError(
            f"found {len(sentences)} sentences, expected one for each of {len(summaries)} utterances"
        )
    codes, offsets = measure_sentences(
        sentences, lambda at: summaries[at], summaries.shape[1:], strength=strength
    )
    less = take_off(summaries, codes, offsets)
    # Whoever changes the result does not change what was given.
    return less.clone() if less is summaries else less


def measure_sentences(
    sentences: pd.Series[str],
    summaries: Callable[[Tensor], Tensor],
    shape: Sequence[int],
    *,
    strength: float = STRENGTH,
) -> tuple[Tensor, Tensor]:
    """What is taken off the utterances of each repeated sentence, found a block of utterances at a time.

    Args:
        sentences: The sentences of N utterances; NA where none is known.
        summaries: Gives the standardised summaries of the utterances at some positions, [n, …].
        shape: What follows the utterances in the shape of the summaries.
        strength: κ, in utterances, see :func:`offsets_of`.

    Returns:
        The sentence of each utterance, int64 [N], −1 where nobody else says it; and what is taken off, float64 [S, …].
    """
    codes, size = repeated(sentences)
    total = torch.zeros(len(size), *shape, dtype=torch.float64)
    for at in (codes >= 0).nonzero()[:, 0].split(BLOCK):
        total.index_add_(0, codes[at], summaries(at).double())
    return codes, offsets_of(total, size, strength)


def take_off(summaries: Tensor, sentence: Tensor, offsets: Tensor) -> Tensor:
    """Summaries [N, …] less the offsets [S, …] of their sentences, int64 [N]; nothing is taken off where that is −1."""
    known = (sentence >= 0).nonzero()[:, 0]
    if not len(known):
        return summaries
    less = summaries.clone()
    less[known] -= offsets[sentence[known]].to(summaries)
    return less


def repeated(sentences: pd.Series[str]) -> tuple[Tensor, Tensor]:
    """Sentences that several utterances say, as integers.

    Returns:
        The sentence of each utterance, int64 [N], −1 where nobody else says it; and how many say each, int64 [S].
    """
    size = sentences.value_counts()
    names = size.index[size > 1].sort_values()
    codes = torch.from_numpy(names.get_indexer(pd.Index(sentences)).astype(np.int64))
    return codes, torch.bincount(codes[codes >= 0], minlength=len(names))


def offsets_of(total: Tensor, size: Tensor, strength: float) -> Tensor:
    r"""What is taken off the utterances of each sentence.

    .. math:: \delta_s = \frac{n_s - 1}{n_s - 1 + \kappa} \, \mu_s \qquad (2)

    for a sentence s that :math:`n_s` utterances say, of mean :math:`\mu_s`; of a sentence that one utterance says
    nothing.

    Args:
        total: The sum of each sentence's utterances, [S, …].
        size: n [S].
        strength: κ, in utterances: the mean of few is their emotions' and speakers' as much as the sentence's.
    """
    share = (size - 1) / (size - 1 + strength) / size
    return total * share.view(-1, *[1] * (total.ndim - 1))
