"""Features standardised by unlabelled statistics of a speaker, a corpus or the utterance alone.

Corpora differ in microphone, room and level, and speakers in their voices, by more than emotions do. Removing
the mean and scale of each speaker is the strongest single step of cross-corpus recognition, and it uses the
other recordings of that speaker: a result must say so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cleser.features.pooled import Features

_CONSTANT = 1e-8  # a channel with less spread has none
CLAMP = 6.0  # standard deviations; beyond lie clicks, clipping and tracking errors


class Moments(NamedTuple):
    """Mean and standard deviation of each channel over many utterances, each [L, C]."""

    token_mean: Tensor
    token_std: Tensor
    summary_mean: Tensor
    summary_std: Tensor


def standardise(
    features: Features,
    groups: pd.Series[str],
    *,
    reference: Moments | None = None,
    shrinkage: Shrinkage | None = None,
) -> Features:
    r"""Standardise tokens and summaries within groups.

    .. math:: z = (x - \mu_{g}) / \sigma_{g} \qquad (1)

    over all tokens (utterances) of the group g that an utterance belongs to, each channel by itself,
    clamped to ±6.

    Args:
        features: Features of N utterances.
        groups: N group names, say speakers; NA puts an utterance into a group of the unknown.
        reference: Statistics to use for everyone instead, as :meth:`GroupMoments.typical` gives them.
        shrinkage: Draws the groups' statistics towards those of larger ones, Eq. 2.

    Raises:
        ValueError: The groups are not as many as the utterances.

    >>> from cleser.features import Features
    >>> features = Features(["a", "b"], torch.zeros(2, 1, 1), torch.tensor([0, 1, 2]),
    ...                     torch.tensor([[[2.0]], [[6.0]]]), ["a", "o"])
    >>> standardise(features, pd.Series(["anna", "anna"])).summaries.flatten().tolist()
    [-1.0, 1.0]
    """
    if len(groups) != len(features):
        raise ValueError(f"found {len(groups)} groups, expected one for each of {len(features)}")
    if reference is not None:
        tokens = _standard(features.tokens, reference.token_mean, reference.token_std)
        summaries = _standard(features.summaries, reference.summary_mean, reference.summary_std)
        return replace(features, tokens=tokens, summaries=summaries)
    codes = torch.from_numpy(pd.factorize(groups.fillna(""))[0].astype(np.int64))
    if shrinkage is not None:
        gathered = GroupMoments(int(codes.max()) + 1)
        gathered.add(features, codes)
        own = shrinkage.shrink(gathered)
        of_tokens = codes.repeat_interleave(features.offsets.diff())
        return replace(
            features,
            tokens=_standard(features.tokens, own.token_mean[of_tokens], own.token_std[of_tokens]),
            summaries=_standard(
                features.summaries, own.summary_mean[codes], own.summary_std[codes]
            ),
        )
    return replace(
        features,
        tokens=_by_group(features.tokens, codes.repeat_interleave(features.offsets.diff())),
        summaries=_by_group(features.summaries, codes),
    )


class StandardisedSummaries:
    """Summaries [N, L, C] standardised within groups, Eq. 1, a block at a time.

    Args:
        blocks: Some utterances' summaries after others', [n, L, C] each; can be gone over more than once.
        groups: N group names.
    """

    def __init__(self, blocks: Iterable[Tensor], groups: pd.Series[str]) -> None:
        self._blocks = blocks
        self._codes = torch.from_numpy(pd.factorize(groups.fillna(""))[0].astype(np.int64))
        running = _Running(int(self._codes.max()) + 1)
        for block, codes in self._with_codes():
            running.add(block, codes)
        self._mean, self._std = running.each()

    def __iter__(self) -> Iterator[Tensor]:
        for block, codes in self._with_codes():
            yield scale(block.double() - self._mean[codes], self._std[codes]).to(block.dtype)

    def _with_codes(self) -> Iterator[tuple[Tensor, Tensor]]:
        first = 0
        for block in self._blocks:
            yield block, self._codes[first : first + len(block)]
            first += len(block)


class Shrinkage:
    r"""Speakers' statistics drawn towards their corpus', the more the fewer utterances they rest on.

    .. math:: w_g = \frac{n_g}{n_g + \kappa}, \qquad \mu = w_g \mu_g + (1 - w_g) \mu_c, \qquad
        \sigma^2 = w_g \sigma_g^2 + (1 - w_g) \sigma_c^2 \qquad (2)

    for a group g (speaker) of :math:`n_g` utterances in a larger one c (corpus), as the posterior mean of a group whose
    deviation is a priori normal with 1/κ of the variance of an utterance. A speaker with a single utterance is not
    standardised to nothing then, and with many utterances w is nearly one.

    Args:
        groups: N group names, as :func:`standardise` gets them.
        corpora: N names of the larger groups; each group lies in one of them.
        distrusted: Groups with w = 0, say speakers who are known to show one emotion.
        strength: κ, in utterances.
    """

    def __init__(
        self,
        groups: pd.Series[str],
        corpora: pd.Series[str],
        *,
        distrusted: Collection[str] = (),
        strength: float = 2.0,
    ) -> None:
        named = groups.fillna("")
        codes, names = pd.factorize(named)
        count = torch.bincount(torch.from_numpy(codes.astype(np.int64))).double()
        self.weight = count / (count + strength)
        self.weight[torch.tensor(names.isin(list(distrusted)))] = 0.0
        first = np.unique(codes, return_index=True)[1]
        corpus = pd.factorize(corpora.fillna(""))[0][first]
        self.corpus = torch.from_numpy(corpus.astype(np.int64))

    def shrink(self, gathered: GroupMoments) -> Moments:
        """Eq. 2, for the statistics of the groups, in their order of appearance [G, L, C]."""
        own = gathered.each()
        wide = gathered.merged(self.corpus)
        weight = self.weight[:, None, None]
        mixed = []
        for mean, std, mean_c, std_c in (
            (own.token_mean, own.token_std, wide.token_mean, wide.token_std),
            (own.summary_mean, own.summary_std, wide.summary_mean, wide.summary_std),
        ):
            mixed.append(weight * mean + (1 - weight) * mean_c[self.corpus])
            variance = weight * std.square() + (1 - weight) * std_c[self.corpus].square()
            mixed.append(variance.sqrt())
        return Moments(*(m.float() for m in mixed))


class GroupMoments:
    """The statistics of groups, from features that come a part at a time (Chan, Golub and LeVeque, 1983).

    Args:
        groups: How many there are, G.
    """

    def __init__(self, groups: int) -> None:
        self._tokens = _Running(groups)
        self._summaries = _Running(groups)

    def add(self, features: Features, codes: Tensor) -> None:
        """Take in some utterances, whose groups are given as integers [N]."""
        self._tokens.add(features.tokens, codes.repeat_interleave(features.offsets.diff()))
        self._summaries.add(features.summaries, codes)

    def each(self) -> Moments:
        """Statistics of each group, [G, L, C]."""
        return Moments(*(m.float() for x in (self._tokens, self._summaries) for m in x.each()))

    def merged(self, into: Tensor) -> Moments:
        """Statistics of larger groups, [H, L, C], where group g lies in the larger group ``into[g]``."""
        return Moments(*(m for x in (self._tokens, self._summaries) for m in x.merged(into)))

    def typical(self) -> Moments:
        """What to expect of a group that nobody has met, [L, C]: the mean of the means and of the variances."""
        return Moments(*(m for x in (self._tokens, self._summaries) for m in x.typical()))


class _Running:
    """Mean and sum of squared deviations of each group, so far."""

    def __init__(self, groups: int) -> None:
        self.count = torch.zeros(groups, dtype=torch.float64)
        self.mean: Tensor | None = None
        self.squares: Tensor | None = None

    def add(self, values: Tensor, codes: Tensor) -> None:
        if self.mean is None or self.squares is None:
            shape = (len(self.count), *values.shape[1:])
            self.mean = torch.zeros(shape, dtype=torch.float64)
            self.squares = torch.zeros_like(self.mean)
        if not len(values):
            return
        met, own = codes.unique(return_inverse=True)  # of many groups, a part meets few
        count = torch.bincount(own).double()
        mean, variance = _of_groups(values, own, len(met))
        before = self.count[met]
        share = (count / (before + count))[:, None, None]
        apart = mean - self.mean[met]
        spread = variance * count[:, None, None] + apart.square() * share * before[:, None, None]
        self.squares.index_add_(0, met, spread)
        self.mean.index_add_(0, met, apart * share)
        self.count[met] += count

    def each(self) -> tuple[Tensor, Tensor]:
        if self.mean is None or self.squares is None:
            raise ValueError("no features were added, expected some")
        return self.mean, (self.squares / self.count.clamp_min(1)[:, None, None]).sqrt()

    def merged(self, into: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = self.each()
        size = int(into.max()) + 1
        count = torch.zeros(size, dtype=torch.float64).index_add(0, into, self.count)
        share = (self.count / count.clamp_min(1)[into])[:, None, None]
        empty = mean.new_zeros(size, *mean.shape[1:])
        centre = empty.index_add(0, into, share * mean)
        spread = share * (std.square() + (mean - centre[into]).square())
        return centre, empty.index_add(0, into, spread).sqrt()

    def typical(self) -> tuple[Tensor, Tensor]:
        mean, std = (m[self.count > 0] for m in self.each())
        if not len(mean):  # of tokens, where none are kept
            return mean.new_zeros(mean.shape[1:]), mean.new_ones(mean.shape[1:])
        return mean.mean(0), std.square().mean(0).sqrt()


def standardise_utterances(features: Features, reference: Moments) -> Features:
    """Standardise each utterance's tokens by their own statistics, and summaries by a reference's.

    An utterance's summary cannot be standardised by itself, since it is its statistics.
    """
    codes = torch.arange(len(features)).repeat_interleave(features.offsets.diff())
    summaries = _standard(features.summaries, reference.summary_mean, reference.summary_std)
    return replace(features, tokens=_by_group(features.tokens, codes), summaries=summaries)


def _by_group(values: Tensor, codes: Tensor) -> Tensor:
    mean, variance = _of_groups(values, codes, int(codes.max()) + 1)
    return scale(values.double() - mean[codes], variance.sqrt()[codes]).to(values.dtype)


def _of_groups(values: Tensor, codes: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of each of so many groups."""
    shape = (size, *values.shape[1:])
    count = torch.bincount(codes, minlength=size).double().clamp_min(1)[:, None, None]
    wide = values.double()
    mean = wide.new_zeros(shape).index_add(0, codes, wide) / count
    centred = wide - mean[codes]
    return mean, wide.new_zeros(shape).index_add(0, codes, centred.square()) / count


def _standard(values: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return scale(values.double() - mean, std).to(values.dtype)


def scale(centred: Tensor, std: Tensor) -> Tensor:
    """Divide by the spread. A channel without any says nothing: it becomes zero rather than noise blown up."""
    constant = std < _CONSTANT
    return (centred / std.masked_fill(constant, 1)).masked_fill(constant, 0).clamp(-CLAMP, CLAMP)


def inverse(std: Tensor) -> Tensor:
    """What :func:`scale` multiplies by: one over the spread, and zero where there is none."""
    constant = std < _CONSTANT
    return (1 / std.masked_fill(constant, 1)).masked_fill(constant, 0)
