r"""What is said, taken out of features, so that how it is said remains.

An utterance's mean spectrum depends on its vowels more than on its emotion, most of all where utterances are single
words. Where alignments say which phone sounds when, the mean of each phoneme, as far as it differs from the speaker's
own, is taken off its frames (S. Mariooryad, C. Busso, *Compensating for Speaker or Lexical Variabilities in Speech
for Emotion Recognition*, Speech Communication 57, 2014, who whiten the features of each phoneme). It needs no label.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cleser.features.pooled import Features


class _Sums:
    """Tokens, frames and sums of frames [L, D] by some names."""

    def __init__(self) -> None:
        self.tokens: dict[tuple[str, ...], int] = defaultdict(int)
        self.frames: dict[tuple[str, ...], int] = defaultdict(int)
        self.total: dict[tuple[str, ...], Tensor] = {}

    def add(self, of: pd.DataFrame, by: list[str], totals: Tensor) -> None:
        """Take in some tokens, whose frames add up to ``totals`` [S, L, D]."""
        groups = of.groupby(by, sort=False)
        codes = torch.from_numpy(groups.ngroup().to_numpy(copy=True))
        sums = totals.new_zeros(groups.ngroups, *totals.shape[1:]).index_add_(0, codes, totals)
        counts = groups["frames"].agg(["size", "sum"])
        for (key, tokens, frames), total in zip(counts.itertuples(), sums, strict=True):
            self.tokens[key] += int(tokens)
            self.frames[key] += int(frames)
            self.total[key] = self.total[key] + total if key in self.total else total.clone()


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
        self._spoken: dict[tuple[str, str, str], int] = defaultdict(int)
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
        dim = features.tokens.shape[-1] // 2
        sizes, _ = _counts(features)
        of = _tokens_rows(features, rows).assign(frames=sizes.numpy())
        of = of[of["phone"] != ""]
        at = torch.from_numpy(of.index.to_numpy(copy=True))
        totals = features.tokens[at, :, :dim].double() * sizes[at, None, None]
        self._phones.add(of, ["corpus", "phone"], totals)
        self._speakers.add(of, ["corpus", "speaker"], totals)
        spoken = of.groupby(["corpus", "speaker", "phone"], sort=False)["frames"].sum()
        for (corpus, speaker, phone), frames in zip(spoken.index, spoken, strict=True):
            self._spoken[corpus, speaker, phone] += int(frames)

    def offsets(self, corpus: str) -> dict[str, Tensor]:
        """δ of each phoneme in a corpus, [L, D]; empty where no phone is known."""
        if self._offsets is None:
            self._offsets = self._found()
        return self._offsets.get(corpus, {})

    def _found(self) -> dict[str, dict[str, Tensor]]:
        # Of Eq. 1 the sum of x and that of the speakers' means: no sum for each phoneme of each speaker is kept.
        expected: dict[tuple[str, str], Tensor] = {}
        for (corpus, speaker, phone), frames in self._spoken.items():
            mean = self._speakers.total[corpus, speaker] / self._speakers.frames[corpus, speaker]
            expected[corpus, phone] = expected.get((corpus, phone), 0) + frames * mean
        found: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for (corpus, phone), total in self._phones.total.items():
            apart = (total - expected[corpus, phone]) / self._phones.frames[corpus, phone]
            tokens = self._phones.tokens[corpus, phone]
            found[corpus][phone] = apart * tokens / (tokens + self.strength)
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
        if not self._phones.total:
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
        rows = self._rows_of(features, at)
        of = frames.repeat_interleave(features.offsets.diff())
        shares = sizes.to(self.table.dtype) / of
        for i, (begin, end) in enumerate(pairwise(features.offsets.tolist())):
            own = slice(begin, end)
            if (rows[own] >= 0).any():
                delta = self.with_zero[rows[own]]
                _take_off(features.tokens[own], features.summaries[i], delta, shares[own])
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


def _take_off(tokens: Tensor, summary: Tensor, delta: Tensor, share: Tensor) -> None:
    """Eq. 2 for one utterance, in place.

    Args:
        tokens: [S, L, 2D].
        summary: [L, 2D].
        delta: Their δ, [S, L, D].
        share: Their share of the utterance's frames, [S].
    """
    dim = delta.shape[-1]
    means = tokens[:, :, :dim]

    def mean(values: Tensor) -> Tensor:
        found: Tensor = (share @ values.flatten(1)).unflatten(0, values.shape[1:])
        return found

    moved = mean(delta)
    change = mean(delta * torch.sub(delta, means, alpha=2)) + 2 * summary[:, :dim] * moved
    variance = summary[:, dim:].square() + change - moved.square()
    summary[:, dim:] = variance.clamp_min_(0).sqrt_()
    summary[:, :dim] -= moved
    means -= delta


def _tokens_rows(features: Features, rows: pd.DataFrame) -> pd.DataFrame:
    """Corpus, speaker and phone of every token."""
    _check_rows(features, rows)
    repeated = rows.loc[:, ["corpus", "speaker"]].fillna("")
    tokens = repeated.iloc[np.repeat(np.arange(len(rows)), features.offsets.diff().numpy())]
    return tokens.reset_index(drop=True).assign(phone=features.phones)


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
