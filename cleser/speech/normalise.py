"""Features standardised by unlabelled statistics of a speaker, a corpus or the utterance alone.

Corpora differ in microphone, room and level, and speakers in their voices, by more than emotions do. Removing
the mean and scale of each speaker is the strongest single step of cross-corpus recognition, and it uses the
other recordings of that speaker: a result must say so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cleser.speech.features import Features

_CLAMP = 6.0  # standard deviations; beyond lie clicks, clipping and tracking errors


class Moments(NamedTuple):
    """Mean and standard deviation of each channel over many utterances, each [L, C]."""

    token_mean: Tensor
    token_std: Tensor
    summary_mean: Tensor
    summary_std: Tensor


def moments(features: Features, groups: pd.Series[str] | None = None) -> Moments:
    r"""The statistics of some features, for standardising others by them.

    Args:
        features: Of N utterances.
        groups: N group names, say speakers: the mean is then that of the groups' means, and the variance that
            within groups, averaged over them. This is what to expect of a group that nobody has met.
    """
    if groups is None:
        return Moments(
            *(m for x in (features.tokens, features.summaries) for m in _mean_and_std(x))
        )
    codes = torch.from_numpy(pd.factorize(groups.fillna(""))[0].astype(np.int64))
    of_tokens = codes.repeat_interleave(features.offsets.diff())
    return Moments(
        *(
            m
            for x, c in ((features.tokens, of_tokens), (features.summaries, codes))
            for m in _typical(x, c)
        )
    )


def standardise(
    features: Features, groups: pd.Series[str], *, reference: Moments | None = None
) -> Features:
    r"""Standardise tokens and summaries within groups.

    .. math:: z = (x - \mu_{g}) / \sigma_{g}

    over all tokens (utterances) of the group g that an utterance belongs to, each channel by itself,
    clamped to ±6.

    Args:
        features: Of N utterances.
        groups: N group names, say speakers; NA puts an utterance into a group of the unknown.
        reference: Statistics to use for everyone instead.

    Raises:
        ValueError: The groups are not as many as the utterances.
    """
    if len(groups) != len(features):
        raise ValueError(f"found {len(groups)} groups, expected one for each of {len(features)}")
    if reference is not None:
        tokens = _standard(features.tokens, reference.token_mean, reference.token_std)
        summaries = _standard(features.summaries, reference.summary_mean, reference.summary_std)
        return replace(features, tokens=tokens, summaries=summaries)
    codes = torch.from_numpy(pd.factorize(groups.fillna(""))[0].astype(np.int64))
    return replace(
        features,
        tokens=_by_group(features.tokens, codes.repeat_interleave(features.offsets.diff())),
        summaries=_by_group(features.summaries, codes),
    )


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
        """Of each group, [G, L, C]."""
        return Moments(*(m.float() for x in (self._tokens, self._summaries) for m in x.each()))

    def typical(self) -> Moments:
        """What to expect of a group that nobody has met, [L, C]: see :func:`moments`."""
        return Moments(*(m for x in (self._tokens, self._summaries) for m in x.typical()))


class _Running:
    """Mean and sum of squared deviations of each group, so far."""

    def __init__(self, groups: int) -> None:
        self.count = torch.zeros(groups, dtype=torch.float64)
        self.mean: Tensor | None = None
        self.squares: Tensor | None = None

    def add(self, values: Tensor, codes: Tensor) -> None:
        size = len(self.count)
        count = torch.bincount(codes, minlength=size).double()
        mean, variance = _of_groups(values, codes, size)
        if self.mean is None or self.squares is None:
            self.mean, self.squares = torch.zeros_like(mean), torch.zeros_like(mean)
        total = (self.count + count).clamp_min(1)
        share = (count / total)[:, None, None]
        apart = mean - self.mean
        self.squares += variance * count[:, None, None]
        self.squares += apart.square() * share * self.count[:, None, None]
        self.mean += apart * share
        self.count += count

    def each(self) -> tuple[Tensor, Tensor]:
        if self.mean is None or self.squares is None:
            raise ValueError("no features were added, expected some")
        return self.mean, (self.squares / self.count.clamp_min(1)[:, None, None]).sqrt()

    def typical(self) -> tuple[Tensor, Tensor]:
        mean, std = (m[self.count > 0] for m in self.each())
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


def _typical(values: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    mean, variance = _of_groups(values, codes, int(codes.max()) + 1)
    return mean.mean(0), variance.mean(0).sqrt()


def _mean_and_std(values: Tensor) -> tuple[Tensor, Tensor]:
    wide = values.double()
    return wide.mean(0), wide.std(0, correction=0)


def _standard(values: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return scale(values.double() - mean, std).to(values.dtype)


def scale(centred: Tensor, std: Tensor) -> Tensor:
    """Divide by the spread. A channel without any says nothing: it becomes zero rather than noise blown up."""
    constant = std < 1e-8
    return (centred / std.masked_fill(constant, 1)).masked_fill(constant, 0).clamp(-_CLAMP, _CLAMP)
