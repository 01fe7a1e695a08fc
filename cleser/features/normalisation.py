"""Features standardised by unlabelled statistics of a speaker, a corpus or the utterance alone.

Corpora differ in microphone, room and level, and speakers in their voices, by more than emotions do. Removing
the mean and scale of each speaker is the strongest single step of cross-corpus recognition, and it uses the
other recordings of that speaker: a result must say so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cleser.features.moments import GroupMoments, Moments, RunningMoments
from cleser.features.pooled import Features

_CONSTANT = 1e-8  # a channel with less spread has none
CLAMP = 6.0  # standard deviations; beyond lie clicks, clipping and tracking errors


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
        running = RunningMoments(int(self._codes.max()) + 1)
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


def standardise_utterances(features: Features, reference: Moments) -> Features:
    """Standardise each utterance's tokens by their own statistics, and summaries by a reference's.

    An utterance's summary cannot be standardised by itself, since it is its statistics.
    """
    codes = torch.arange(len(features)).repeat_interleave(features.offsets.diff())
    summaries = _standard(features.summaries, reference.summary_mean, reference.summary_std)
    return replace(features, tokens=_by_group(features.tokens, codes), summaries=summaries)


def _by_group(values: Tensor, codes: Tensor) -> Tensor:
    running = RunningMoments(int(codes.max()) + 1)
    running.add(values, codes)
    mean, std = running.each()
    return scale(values.double() - mean[codes], std[codes]).to(values.dtype)


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
