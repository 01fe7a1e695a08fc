"""Features standardised by unlabelled statistics of a speaker, a corpus or the utterance alone.

Corpora differ in microphone, room and level, and speakers in their voices, by more than emotions do. Removing
the mean and scale of each speaker is the strongest single step of cross-corpus recognition, and it uses the
other recordings of that speaker: a result must say so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cleser.features.moments import GroupMoments, Moments, RunningMoments

_CONSTANT = 1e-8  # a channel with less spread has none
CLAMP = 6.0  # standard deviations; beyond lie clicks, clipping and tracking errors


class StandardisedSummaries:
    """Summaries [N, L, C] standardised within groups, a block at a time.

    As :func:`~cleser.features.standards.standardise` does with all at once.

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
        groups: N group names, as :func:`~cleser.features.standards.standardise` gets them.
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


def scale(centred: Tensor, std: Tensor) -> Tensor:
    """Divide by the spread. A channel without any says nothing: it becomes zero rather than noise blown up."""
    constant = std < _CONSTANT
    return (centred / std.masked_fill(constant, 1)).masked_fill(constant, 0).clamp(-CLAMP, CLAMP)


def inverse(std: Tensor) -> Tensor:
    """What :func:`scale` multiplies by: one over the spread, and zero where there is none."""
    constant = std < _CONSTANT
    return (1 / std.masked_fill(constant, 1)).masked_fill(constant, 0)
