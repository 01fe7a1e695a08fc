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


def standardise_utterances(features: Features, reference: Moments) -> Features:
    """Standardise each utterance's tokens by their own statistics, and summaries by a reference's.

    An utterance's summary cannot be standardised by itself, since it is its statistics.
    """
    codes = torch.arange(len(features)).repeat_interleave(features.offsets.diff())
    summaries = _standard(features.summaries, reference.summary_mean, reference.summary_std)
    return replace(features, tokens=_by_group(features.tokens, codes), summaries=summaries)


def _by_group(values: Tensor, codes: Tensor) -> Tensor:
    mean, variance = _of_groups(values, codes)
    return _scale(values.double() - mean[codes], variance.sqrt()[codes]).to(values.dtype)


def _of_groups(values: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each group."""
    size = int(codes.max()) + 1
    shape = (size, *values.shape[1:])
    count = torch.bincount(codes, minlength=size).double().clamp_min(1)[:, None, None]
    wide = values.double()
    mean = wide.new_zeros(shape).index_add(0, codes, wide) / count
    centred = wide - mean[codes]
    return mean, wide.new_zeros(shape).index_add(0, codes, centred.square()) / count


def _typical(values: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    mean, variance = _of_groups(values, codes)
    return mean.mean(0), variance.mean(0).sqrt()


def _mean_and_std(values: Tensor) -> tuple[Tensor, Tensor]:
    wide = values.double()
    return wide.mean(0), wide.std(0, correction=0)


def _standard(values: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return _scale(values.double() - mean, std).to(values.dtype)


def _scale(centred: Tensor, std: Tensor) -> Tensor:
    """A channel that does not vary says nothing: it becomes zero rather than noise blown up."""
    constant = std < 1e-8
    return (centred / std.masked_fill(constant, 1)).masked_fill(constant, 0).clamp(-_CLAMP, _CLAMP)
