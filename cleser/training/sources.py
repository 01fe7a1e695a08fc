"""Where a dataset's features come from: a store on disk, memory, or recordings (:mod:`cleser.training.heard`).

A :class:`~cleser.training.dataset.Dataset` has one of them and uses all in the same way; only the training step knows
that recordings still have to become features, because gradients go through that step.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self
from typing import Protocol as Interface

import numpy as np
import torch
from torch import Tensor

from cleser.features.pooled import Features
from cleser.features.projection import described_by, projected
from cleser.features.recolouring import Recolouring
from cleser.features.sentences import take_off
from cleser.features.standards import Standards
from cleser.features.stored import BLOCK
from cleser.features.view import FeatureView

if TYPE_CHECKING:
    from cleser.training.audio import AudioEncoder, WaveformBatch
    from cleser.training.reading import Excerpt, Excerpts

AT_ONCE: Final = 128  # utterances whose stored features are recognised together
# The same with their tokens: a larger batch leaves the processor's cache, and takes longer.
WITH_TOKENS: Final = 32


class Source(Interface):
    """Where a dataset's features come from: by position, ready for a network."""

    @property
    def shape(self) -> tuple[int, int]:
        """Layers L and channels C."""
        ...

    @property
    def at_once(self) -> int:
        """How many utterances to recognise together."""
        ...

    @property
    def excerpts(self) -> Excerpts | None:
        """What reads its recordings, which other processes may do; None where there is nothing to decode."""
        ...

    @property
    def shared_out(self) -> bool:
        """Whether each process makes features of a share of the utterances, where all want those of all."""
        ...

    def __len__(self) -> int: ...

    def load(
        self, at: Tensor, *, tokens: bool = True, read: Sequence[Excerpt] = ()
    ) -> Features | WaveformBatch:
        """What the utterances at some positions are made of: features as a network gets them, or recordings.

        Args:
            at: Positions.
            tokens: Whether features need tokens beside their summaries.
            read: What has been read of their recordings, where there is something to decode.
        """
        ...

    def before_training(self) -> FeatureSource:
        """Stored features by the backbone as it was before it was trained; itself where it is not trained."""
        ...

    def encoded_by(self, encoder: AudioEncoder) -> Source:
        """The same source with its recordings encoded by this encoder; itself where there are none."""
        ...

    def join(self, others: Sequence[Self]) -> Self:
        """This and others, one after another."""
        ...


class FeatureSource(Source):
    """What is alike for all features that are there already: nothing is decoded, and no backbone trained."""

    features: FeatureView | Features | FeatureSource
    at_once = AT_ONCE
    excerpts = None
    shared_out = False  # every process reads them as fast as it would hear of them
    _descriptions: Tensor | None = None  # [N, F], of an utterance NaN until it is asked for

    @property
    def shape(self) -> tuple[int, int]:
        """Layers L and channels C."""
        return self.features.shape

    def __len__(self) -> int:
        return len(self.features)

    def before_training(self) -> Self:
        """The source itself, since no backbone is trained."""
        return self

    def encoded_by(self, encoder: AudioEncoder) -> Self:
        """The source itself, since there is nothing to encode."""
        return self

    @abstractmethod
    def load(self, at: Tensor, *, tokens: bool = True, read: Sequence[Excerpt] = ()) -> Features:
        """The features of the utterances at some positions, standardised."""

    def describe(self, at: Tensor) -> Tensor:
        """Summaries of the utterances at some positions, flat and projected, [M, F].

        They do not change, and to find them takes a pass over the features. They are therefore kept, 2 kB each.
        """
        if self._descriptions is None:
            width = described_by(math.prod(self.shape))
            self._descriptions = torch.full((len(self), width), torch.nan)
        unknown = at[self._descriptions[at].isnan().any(1)]
        for block in unknown.split(BLOCK):
            summaries = self.load(block, tokens=False).summaries.float()
            self._descriptions[block] = projected(summaries.flatten(1)).cpu()
        return self._descriptions[at]


@dataclass(repr=False)
class StoredSource(FeatureSource):
    """Features gathered from a store, batch by batch.

    Attributes:
        features: Features as they were extracted.
        standards: What they are standardised by.
    """

    features: FeatureView
    standards: Standards

    def load(self, at: Tensor, *, tokens: bool = True, read: Sequence[Excerpt] = ()) -> Features:
        """The features of the utterances at some positions, standardised."""
        # What is said of an utterance is known from its tokens, and is taken out of its summary too.
        raw = self.features.take(at, tokens=tokens or len(self.standards.content.table) > 0)
        return self.standards.apply(raw, at, tokens=tokens)

    def join(self, others: Sequence[StoredSource]) -> StoredSource:
        """This and others, one after another."""
        parts = [self, *others]
        features = type(self.features).join([p.features for p in parts])
        return StoredSource(features, Standards.join([p.standards for p in parts]))


@dataclass(repr=False)
class ContentRemovedSource(FeatureSource):
    """Features of which what is said has been taken off, see :mod:`cleser.features.sentences`.

    Attributes:
        features: The others.
        sentence: Which sentence each utterance says, int64 [N]; −1 where none is taken off.
        offsets: What is taken off the summaries of each sentence, [S, L, C].
    """

    features: FeatureSource
    sentence: Tensor
    offsets: Tensor

    def load(self, at: Tensor, *, tokens: bool = True, read: Sequence[Excerpt] = ()) -> Features:
        """The features of the utterances at some positions, standardised, less their sentences'."""
        found = self.features.load(at, tokens=tokens)
        less = take_off(found.summaries, self.sentence[at], self.offsets)
        return replace(found, summaries=less)

    def join(self, others: Sequence[ContentRemovedSource]) -> ContentRemovedSource:
        """This and others, one after another."""
        parts = [self, *others]
        shifts = np.cumsum([0, *(len(p.offsets) for p in parts[:-1])]).tolist()
        moved = [
            torch.where(p.sentence >= 0, p.sentence + shift, -1)
            for p, shift in zip(parts, shifts, strict=True)
        ]
        features = self.features.join([p.features for p in others])
        return ContentRemovedSource(
            features, torch.cat(moved), torch.cat([p.offsets for p in parts])
        )


@dataclass(repr=False)
class RecolouredSource(FeatureSource):
    """Features of which some layers' summaries are moved, see :mod:`cleser.features.recolouring`.

    Attributes:
        features: The others.
        group: Which group each utterance is of, int64 [N]; −1 leaves it as it is.
        recolouring: The groups' maps.
    """

    features: FeatureSource
    group: Tensor
    recolouring: Recolouring

    def load(self, at: Tensor, *, tokens: bool = True, read: Sequence[Excerpt] = ()) -> Features:
        """The features of the utterances at some positions, standardised and moved."""
        found = self.features.load(at, tokens=tokens)
        return replace(found, summaries=self.recolouring.apply(found.summaries, self.group[at]))

    def join(self, others: Sequence[RecolouredSource]) -> RecolouredSource:
        """Refused: what is moved is what is learned from, when all of it is there."""
        raise NotImplementedError("join datasets before they are recoloured")


@dataclass
class MemorySource(FeatureSource):
    """Features that are small enough to be held, ready as they are.

    Attributes:
        features: Standardised.
    """

    features: Features

    def load(self, at: Tensor, *, tokens: bool = True, read: Sequence[Excerpt] = ()) -> Features:
        """The features of the utterances at some positions."""
        picked = self.features.pick(at)
        return picked if tokens else picked.without_tokens()

    def join(self, others: Sequence[MemorySource]) -> MemorySource:
        """This and others, one after another."""
        return MemorySource(Features.join([self.features, *(o.features for o in others)]))
