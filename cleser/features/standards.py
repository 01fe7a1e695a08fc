"""What is done to features before a network gets them: phonemes' means are taken off, and groups standardised.

Everything that has to be known for it is found while going over the features once, or twice where the phonemes' means
have to be known first; what is kept grows with speakers and phonemes, never with hours of speech.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from numba import njit
from torch import Tensor

from cleser.features.lexical import LexicalContent, LexicalOffsets
from cleser.features.moments import GroupMoments, Moments
from cleser.features.normalisation import CLAMP, Shrinkage, inverse
from cleser.features.pooled import Features
from cleser.features.view import FeatureView


@dataclass
class Standards:
    """The statistics by which N utterances' features are standardised.

    Attributes:
        moments: Statistics of G groups, [G, L, C].
        group: Each utterance's group, int64 [N].
        content: What is taken off the frames of each phoneme.
        per_utterance: Standardise an utterance's tokens by themselves.
    """

    moments: Moments
    group: Tensor
    content: LexicalOffsets
    per_utterance: bool = False

    def __post_init__(self) -> None:
        self._inverse = Moments(*(inverse(m) if i % 2 else m for i, m in enumerate(self.moments)))

    def apply(self, raw: Features, at: Tensor, *, tokens: bool = True) -> Features:
        """The features of utterances at some positions, as a network gets them.

        Args:
            raw: Features as they were extracted; their memory may be overwritten.
            at: Positions.
            tokens: Whether tokens are wanted beside the summaries.
        """
        features = self.content.remove(raw, at)
        features = features if tokens else features.without_tokens()
        by, groups = self._inverse, self.group[at]
        _standardise(features.summaries, groups, by.summary_mean, by.summary_std)
        if tokens and self.per_utterance:
            _standardise_each(features)
        elif tokens:
            of_tokens = groups.repeat_interleave(features.offsets.diff())
            _standardise(features.tokens, of_tokens, by.token_mean, by.token_std)
        return features

    @classmethod
    def join(cls, parts: Sequence[Standards]) -> Standards:
        """Those of several datasets, one after another."""
        sizes = [len(p.moments.summary_mean) for p in parts]
        shifts = np.cumsum([0, *sizes[:-1]]).tolist()
        return cls(
            Moments(*map(torch.cat, zip(*(p.moments for p in parts), strict=True))),
            torch.cat([p.group + shift for p, shift in zip(parts, shifts, strict=True)]),
            LexicalOffsets.join([p.content for p in parts]),
            parts[0].per_utterance,
        )


def _standardise(values: Tensor, groups: Tensor, mean: Tensor, factor: Tensor) -> None:
    """Subtract each value's group's mean [G, L, C] from it [n, L, C], multiply by the factor and clamp, in place."""
    flat = [t.view(len(t), mean[0].numel()).numpy() for t in (values, mean, factor)]
    _standardise_rows(flat[0], groups.numpy(), *flat[1:])


@njit(cache=True, nogil=True)
def _standardise_rows(
    values: np.ndarray, groups: np.ndarray, mean: np.ndarray, factor: np.ndarray
) -> None:
    """Row by row: the statistics of all rows, side by side, would be copies as large as the values."""
    for i in range(len(values)):
        value, centre, times = values[i], mean[groups[i]], factor[groups[i]]
        for k in range(len(value)):
            standard = (value[k] - centre[k]) * times[k]
            # A value that is no number stays none.
            value[k] = CLAMP if standard > CLAMP else -CLAMP if standard < -CLAMP else standard


def _standardise_each(features: Features) -> None:
    """Standardise each utterance's tokens by their own statistics, in place."""
    for begin, end in pairwise(features.offsets.tolist()):
        own = features.tokens[begin:end]
        wide = own.double()
        mean, std = wide.mean(0), wide.std(0, correction=0)
        own.copy_(wide.sub_(mean).mul_(inverse(std))).clamp_(-CLAMP, CLAMP)


def measure(
    stored: FeatureView,
    rows: pd.DataFrame,
    groups: pd.Series[str] | None,
    *,
    lexical: bool,
    per_utterance: bool = False,
    reference: Moments | None = None,
    shrinkage: Shrinkage | None = None,
) -> tuple[Standards, Moments]:
    """Find what features are to be standardised by.

    Args:
        stored: The features of N utterances.
        rows: Their manifest, in order.
        groups: N group names, whose members share statistics; None measures all by the reference.
        lexical: Whether phonemes' means are taken off first.
        per_utterance: Standardise an utterance's tokens by themselves, and summaries by the reference.
        reference: Statistics for all, without groups; their own by default.
        shrinkage: Draws the groups' statistics towards those of larger ones.

    Returns:
        The standards, and the utterances' own statistics [L, C]: what to expect of a group that nobody has met.
    """
    content = LexicalContent()
    if lexical:
        for raw, at in stored.blocks():
            content.add(raw, rows.iloc[at.numpy()].reset_index(drop=True))
    offsets = content.taken_off(rows["corpus"].tolist())
    parts = ((offsets.remove(raw, at), at) for raw, at in stored.blocks())
    standards, typical = _measured(parts, groups, offsets, reference, shrinkage)
    return replace(standards, per_utterance=per_utterance), typical


def _measured(
    parts: Iterable[tuple[Features, Tensor]],
    groups: pd.Series[str] | None,
    content: LexicalOffsets,
    reference: Moments | None,
    shrinkage: Shrinkage | None,
) -> tuple[Standards, Moments]:
    """What :func:`measure` gives, of features rid of their content, in parts with their positions."""
    codes = np.zeros(len(content.corpus), int)
    if groups is not None:
        codes = pd.factorize(groups.fillna(""))[0]
    group = torch.from_numpy(codes.astype(np.int64))
    gathered = GroupMoments(int(group.max()) + 1)
    for features, at in parts:
        gathered.add(features, group[at])
    typical = gathered.typical()
    if groups is None:
        each = Moments(*(m[None].float() for m in reference or typical))
    else:
        each = gathered.each() if shrinkage is None else shrinkage.shrink(gathered)
    return Standards(each, group, content), typical


def standardise(
    features: Features,
    groups: pd.Series[str],
    *,
    reference: Moments | None = None,
    shrinkage: Shrinkage | None = None,
) -> Features:
    r"""Standardise tokens and summaries that are all in memory, within groups.

    .. math:: z = (x - \mu_{g}) / \sigma_{g} \qquad (1)

    over all tokens (utterances) of the group g that an utterance belongs to, each channel by itself,
    clamped to ±6. Statistics are found on the CPU, and no gradient goes through them.

    Args:
        features: Features of N utterances.
        groups: N group names, say speakers; NA puts an utterance into a group of the unknown.
        reference: Statistics to use for everyone instead, as :meth:`GroupMoments.typical` gives them.
        shrinkage: Draws the groups' statistics towards those of larger ones.

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
    within = groups if reference is None else None
    return _standardised(features, within, reference, shrinkage)


def standardise_utterances(features: Features, reference: Moments) -> Features:
    """Standardise each utterance's tokens by their own statistics, and summaries by a reference's.

    An utterance's summary cannot be standardised by itself, since it is its statistics.
    """
    return _standardised(features, None, reference, per_utterance=True)


def _standardised(
    features: Features,
    groups: pd.Series[str] | None,
    reference: Moments | None,
    shrinkage: Shrinkage | None = None,
    *,
    per_utterance: bool = False,
) -> Features:
    """Standardise a copy of features, as those of a store are."""
    own = replace(features, tokens=_copy(features.tokens), summaries=_copy(features.summaries))
    everyone = torch.arange(len(features))
    nothing = LexicalContent().taken_off([""] * len(features))
    standards, _ = _measured([(own, everyone)], groups, nothing, reference, shrinkage)
    found = replace(standards, per_utterance=per_utterance).apply(own, everyone)
    return replace(
        found,
        tokens=found.tokens.to(features.tokens),
        summaries=found.summaries.to(features.summaries),
    )


def _copy(values: Tensor) -> Tensor:
    """A copy that compiled code can write to: on the CPU, in single precision at least, and in one piece."""
    wide = torch.promote_types(values.dtype, torch.float32)
    values = values.detach().cpu()
    return values.to(wide, copy=True, memory_format=torch.contiguous_format)
