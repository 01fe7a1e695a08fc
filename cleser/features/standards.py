"""What is done to features before a network gets them: phonemes' means are taken off, and groups standardised.

Everything that has to be known for it is found while going over the features once, or twice where the phonemes' means
have to be known first; what is kept grows with speakers and phonemes, never with hours of speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cleser.features.joined import JoinedFeatures
from cleser.features.lexical import LexicalContent, LexicalOffsets
from cleser.features.normalisation import CLAMP, GroupMoments, Moments, Shrinkage, inverse
from cleser.features.pooled import Features
from cleser.features.stored import StoredFeatures


@dataclass
class Standards:
    """The statistics by which N utterances' features are standardised.

    Attributes:
        moments: Statistics of G groups, [G, L, C].
        group: Each utterance's group, int64 [N].
        content: What is taken off the frames of each phoneme.
        alone: Standardise an utterance's tokens by themselves.
    """

    moments: Moments
    group: Tensor
    content: LexicalOffsets
    alone: bool = False

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
        of = self._inverse
        summaries, groups = features.summaries, self.group[at].tolist()
        for i, group in enumerate(groups):
            # One by one: the statistics of all, side by side, would be copies as large as the features.
            summaries[i].sub_(of.summary_mean[group]).mul_(of.summary_std[group])
        for i, group in enumerate(groups if tokens else ()):
            own = features.tokens[features.offsets[i] : features.offsets[i + 1]]
            if self.alone:
                wide = own.double()
                mean, std = wide.mean(0), wide.std(0, correction=0)
                own.copy_(wide.sub_(mean).mul_(inverse(std)))
            else:
                own.sub_(of.token_mean[group]).mul_(of.token_std[group])
            own.clamp_(-CLAMP, CLAMP)  # here, while it is in the processor's cache
        summaries.clamp_(-CLAMP, CLAMP)
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
            parts[0].alone,
        )


def measure(
    stored: StoredFeatures | JoinedFeatures,
    rows: pd.DataFrame,
    groups: pd.Series[str] | None,
    *,
    lexical: bool,
    alone: bool = False,
    reference: Moments | None = None,
    shrinkage: Shrinkage | None = None,
) -> tuple[Standards, Moments]:
    """Find what features are to be standardised by.

    Args:
        stored: The features of N utterances.
        rows: Their manifest, in order.
        groups: N group names, whose members share statistics; None measures all by the reference.
        lexical: Whether phonemes' means are taken off first.
        alone: Standardise an utterance's tokens by themselves, and summaries by the reference.
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
    codes = np.zeros(len(rows), int) if groups is None else pd.factorize(groups.fillna(""))[0]
    group = torch.from_numpy(codes.astype(np.int64))
    gathered = GroupMoments(int(group.max()) + 1)
    for raw, at in stored.blocks():
        gathered.add(offsets.remove(raw, at), group[at])
    typical = gathered.typical()
    if groups is None:
        shared = reference or typical
        each, group = Moments(*(m[None].float() for m in shared)), torch.zeros_like(group)
    else:
        each = gathered.each() if shrinkage is None else shrinkage.shrink(gathered)
    return Standards(each, group, offsets, alone), typical
