r"""What is said, taken out of features, so that how it is said remains.

An utterance's mean spectrum depends on its vowels more than on its emotion, most of all where utterances are single
words. Where alignments say which phone sounds when, the mean of each phoneme, as far as it differs from the speaker's
own, is taken off its frames (S. Mariooryad, C. Busso, *Compensating for Speaker or Lexical Variabilities in Speech
for Emotion Recognition*, Speech Communication 57, 2014, who whiten the features of each phoneme). It needs no label.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import pandas as pd
import torch
from numba import njit
from torch import Tensor

from cleser.features.pooled import Features


class _Sums:
    """Tokens, frames and sums of frames of whatever has a name: each has a row, in order of appearance."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], int] = {}
        self.tokens = self.frames = np.zeros(0, dtype=np.int64)
        self.total = np.zeros((0, 0, 0))

    def rows_of(self, names: Iterable[tuple[str, str]]) -> np.ndarray:
        """The row of each name [S]."""
        return np.array([self.rows.setdefault(name, len(self.rows)) for name in names], np.int64)

    def add(self, rows: np.ndarray, means: np.ndarray, sizes: np.ndarray) -> None:
        """Take in tokens of so many frames [S], with their means [S, L, D]."""
        if len(self.tokens) < len(self.rows):
            self._grow(means.shape[1:])
        _add_frames(means, sizes, rows, self.tokens, self.frames, self.total)

    def _grow(self, shape: tuple[int, ...]) -> None:
        more = 2 * len(self.rows) - len(self.tokens)
        self.tokens, self.frames = np.pad([self.tokens, self.frames], ((0, 0), (0, more)))
        before = self.total.reshape(len(self.total), *shape)
        self.total = np.concatenate([before, np.zeros((more, *shape))])


class LexicalContent:
    r"""How far each phoneme lies from its speakers' means, for each corpus by itself.

    .. math:: \delta_p = \frac{n_p}{n_p + \kappa} \cdot \frac{1}{|F_p|} \sum_{f \in F_p} (x_f - \mu_{s(f)})
       \qquad (1)

    over all frames :math:`F_p` of the phoneme's :math:`n_p` tokens in the corpus; :math:`\mu_s` is the mean of all
    frames of a speaker's phones.

    Args:
        strength: κ, in tokens: a rare phoneme's mean is its speakers' and emotions' as much as its own, and is
            taken off in part only.

    >>> said = torch.tensor([[[4.0, 0.0]], [[2.0, 0.0]]])  # mean and deviation of one channel
    >>> features = Features(
    ...     ["u", "v"], said, torch.tensor([0, 1, 2]), said, ["a", "i"],
    ...     sizes=torch.tensor([9, 9]), frames=torch.tensor([9, 9]),
    ... )
    >>> rows = pd.DataFrame({"corpus": "c", "speaker": "s"}, index=[0, 1])
    >>> content = LexicalContent(strength=0)
    >>> content.add(features, rows)
    >>> content.remove(features, rows).summaries[:, 0, 0].tolist()
    [3.0, 3.0]
    """

    def __init__(self, strength: float = 20.0) -> None:
        self.strength = strength
        self._speakers, self._phones = _Sums(), _Sums()
        self._spoken: dict[tuple[int, int], int] = defaultdict(int)
        self._offsets: dict[str, dict[str, Tensor]] | None = None

    def add(self, features: Features, rows: pd.DataFrame) -> None:
        """Take in some utterances.

        Args:
            features: Features that are not standardised yet.
            rows: Their rows of the manifest, in order; a corpus' utterances without a speaker count as one's.

        Raises:
            ValueError: The features do not say how many frames they were made of, or the rows are not as many.
        """
        self._offsets = None
        _check_rows(features, rows)
        counts, _ = _counts(features)
        at = np.flatnonzero(np.array(features.phones, dtype=object) != "")
        of = np.repeat(np.arange(len(rows)), features.offsets.diff().numpy())[at]
        corpora, speakers = (rows[name].fillna("").tolist() for name in ("corpus", "speaker"))
        said = zip(of.tolist(), at.tolist(), strict=True)
        phone = self._phones.rows_of((corpora[i], features.phones[t]) for i, t in said)
        speaker = self._speakers.rows_of(zip(corpora, speakers, strict=True))[of]
        sizes = counts.numpy()[at]
        tokens = features.tokens.to(torch.promote_types(features.tokens.dtype, torch.float32))
        means = tokens.numpy()[at, :, : tokens.shape[-1] // 2]
        self._phones.add(phone, means, sizes)
        self._speakers.add(speaker, means, sizes)
        pairs, which = np.unique(phone * len(self._speakers.rows) + speaker, return_inverse=True)
        frames = np.bincount(which, sizes).astype(np.int64)
        for pair, more in zip(pairs.tolist(), frames.tolist(), strict=True):
            self._spoken[divmod(pair, len(self._speakers.rows))] += more

    def offsets(self, corpus: str) -> dict[str, Tensor]:
        """δ of each phoneme in a corpus, [L, D]; empty where no phone is known."""
        if self._offsets is None:
            self._offsets = self._found()
        return self._offsets.get(corpus, {})

    def _found(self) -> dict[str, dict[str, Tensor]]:
        # Of Eq. 1 the sum of x and that of the speakers' means: no sum for each phoneme of each speaker is kept.
        phones, speakers = self._phones, self._speakers
        expected = np.zeros_like(phones.total)
        for (phone, speaker), frames in self._spoken.items():
            expected[phone] += frames * (speakers.total[speaker] / speakers.frames[speaker])
        found: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for (corpus, name), row in phones.rows.items():
            apart = (phones.total[row] - expected[row]) / phones.frames[row]
            tokens = phones.tokens[row]
            found[corpus][name] = torch.from_numpy(apart * tokens / (tokens + self.strength))
        return dict(found)

    def remove(self, features: Features, rows: pd.DataFrame) -> Features:
        r"""Take δ off every frame of a phone, in tokens and in summaries.

        What is known of an utterance's frames is their mean M and variance S², and the means :math:`m_t` of its
        tokens of :math:`n_t` frames. Of N frames, with :math:`e = \frac{1}{N} \sum_t n_t \delta_t`, that is enough:

        .. math:: M' = M - e, \qquad S'^2 = S^2 + \frac{1}{N} \sum_t n_t \delta_t (\delta_t - 2 (m_t - M)) - e^2
           \qquad (2)

        Args:
            features: Features that are not standardised yet.
            rows: Their rows of the manifest, in order.

        Raises:
            ValueError: The features do not say how many frames they were made of, or the rows are not as many.
        """
        if not self._phones.rows:
            return features
        _check_rows(features, rows)
        offsets = self.taken_off(rows["corpus"].fillna("").tolist())
        wide = replace(
            features,
            tokens=features.tokens.to(torch.float64, copy=True),
            summaries=features.summaries.to(torch.float64, copy=True),
        )
        found = replace(offsets, table=offsets.table.double()).remove(
            wide, torch.arange(len(features))
        )
        return replace(
            found,
            tokens=found.tokens.to(features.tokens.dtype),
            summaries=found.summaries.to(features.summaries.dtype),
        )

    def taken_off(self, corpora: Sequence[str]) -> LexicalOffsets:
        """The offsets δ as batches need them.

        Args:
            corpora: The corpus of each utterance that batches are made of.
        """
        names = list(dict.fromkeys(corpora))
        found = [self.offsets(name) for name in names]
        rows: list[dict[str, int]] = []
        values: list[Tensor] = []
        for of in found:
            rows.append({phone: len(values) + i for i, phone in enumerate(of)})
            values += of.values()
        table = torch.stack(values).float() if values else torch.empty(0)
        number = {name: i for i, name in enumerate(names)}
        return LexicalOffsets(table, rows, torch.tensor([number[name] for name in corpora]))


@dataclass
class LexicalOffsets:
    """δ of some corpora's phonemes, for utterances whose features are taken some at a time.

    Attributes:
        table: [P, L, D].
        rows: Where each corpus' phonemes stand in the table.
        corpus: Each utterance's corpus, int64 [N].
        with_zero: The table and a last row of zeros: δ of phonemes that are not known, whose row is −1.
    """

    table: Tensor
    rows: list[dict[str, int]]
    corpus: Tensor

    def __post_init__(self) -> None:
        self.with_zero = torch.cat([self.table, torch.zeros_like(self.table[:1])])

    def remove(self, features: Features, at: Tensor) -> Features:
        """Take δ off the utterances at some positions, Eq. 2; in the table's precision and the features' own memory."""
        if not len(self.table):
            return features
        sizes, frames = _counts(features)
        _take_off(
            *(t.numpy() for t in (features.tokens, features.summaries, features.offsets)),
            *(t.numpy() for t in (sizes, frames, self._rows_of(features, at), self.table)),
        )
        return features

    def _rows_of(self, features: Features, at: Tensor) -> Tensor:
        """Where each token's phoneme stands in the table, int64 [S]; −1 where it is not known."""
        names = iter(features.phones)
        found: list[int] = []
        for corpus, count in zip(
            self.corpus[at].tolist(), features.offsets.diff().tolist(), strict=True
        ):
            known = self.rows[corpus]
            found += [known.get(name, -1) for name in islice(names, count)]
        return torch.tensor(found, dtype=torch.long)

    @classmethod
    def join(cls, parts: Sequence[LexicalOffsets]) -> LexicalOffsets:
        """The offsets of several datasets, one after another."""
        tables = [p.table for p in parts if len(p.table)]
        rows, corpora, first, before = [], [], 0, 0
        for part in parts:
            rows += [{phone: i + first for phone, i in of.items()} for of in part.rows]
            corpora.append(part.corpus + before)
            first, before = first + len(part.table), before + len(part.rows)
        table = torch.cat(tables) if tables else torch.empty(0)
        return cls(table, rows, torch.cat(corpora))


@njit(cache=True, nogil=True)
def _add_frames(
    means: np.ndarray, sizes: np.ndarray, rows: np.ndarray,
    tokens: np.ndarray, frames: np.ndarray, total: np.ndarray,
) -> None:  # fmt: skip
    """Add tokens [S, L, D] of so many frames [S] to the counts and sums of their rows [R, L, D]."""
    for i in range(len(means)):
        row = rows[i]
        tokens[row] += 1
        frames[row] += sizes[i]
        for layer in range(means.shape[1]):
            mean, into = means[i, layer], total[row, layer]
            for d in range(len(mean)):
                into[d] += sizes[i] * np.float64(mean[d])


@njit(cache=True, nogil=True)
def _take_off(
    tokens: np.ndarray, summaries: np.ndarray, offsets: np.ndarray,
    sizes: np.ndarray, frames: np.ndarray, rows: np.ndarray, table: np.ndarray,
) -> None:  # fmt: skip
    """Eq. 2 for each utterance, in place; in one pass, since a batch's tokens are more than a processor's cache holds.

    Args:
        tokens: [S, L, 2D].
        summaries: [N, L, 2D].
        offsets: Utterance i has the tokens ``offsets[i]:offsets[i + 1]``, [N + 1].
        sizes: Frames of each token, [S].
        frames: Frames of each utterance, [N].
        rows: Where each token's δ stands in the table, [S]; −1 where there is none.
        table: [P, L, D].
    """
    dim = table.shape[2]
    moved, change = np.empty(dim), np.empty(dim)
    for i in range(len(summaries)):
        for layer in range(table.shape[1]):
            moved[:] = 0
            change[:] = 0
            for t in range(offsets[i], offsets[i + 1]):
                if rows[t] >= 0:
                    share = sizes[t] / frames[i]
                    mean, delta = tokens[t, layer, :dim], table[rows[t], layer]
                    for d in range(dim):
                        part = share * delta[d]
                        moved[d] += part
                        change[d] += part * (delta[d] - 2 * mean[d])
                        mean[d] -= delta[d]
            mean, spread = summaries[i, layer, :dim], summaries[i, layer, dim:]
            for d in range(dim):
                if moved[d] != 0 or change[d] != 0:
                    variance = spread[d] ** 2 + change[d] + moved[d] * (2 * mean[d] - moved[d])
                    spread[d] = np.sqrt(max(variance, 0))
                    mean[d] -= moved[d]


def _check_rows(features: Features, rows: pd.DataFrame) -> None:
    if len(rows) != len(features):
        raise ValueError(
            f"found {len(rows)} rows, expected one for each of {len(features)} utterances"
        )


def _counts(features: Features) -> tuple[Tensor, Tensor]:
    if features.sizes is None or features.frames is None:
        raise ValueError(
            "the features do not say of how many frames, expected them as extract_features gives them"
        )
    return features.sizes, features.frames
