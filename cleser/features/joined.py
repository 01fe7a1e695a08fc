"""Features of the same utterances by several backbones, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import pad

from cleser.features.pooled import Features
from cleser.features.stored import BLOCK, StoredFeatures


@dataclass(repr=False)
class JoinedFeatures:
    """Summaries of utterances from several stores: all layers of the first, then those of the others.

    Attributes:
        views: What each store gives of the utterances, in the same order.
        rows: Where each stands in the manifest that was asked for.
        left_out: Recordings that one of the stores could not use.
    """

    views: list[StoredFeatures]
    rows: list[int]
    left_out: list[dict[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, views: Sequence[StoredFeatures]) -> JoinedFeatures:
        """Views of one manifest, as far as every store has its utterances."""
        common = set(views[0].rows).intersection(*(v.rows for v in views[1:]))
        kept = [v.pick([i for i, row in enumerate(v.rows) if row in common]) for v in views]
        problems = {p["path"]: p for v in views for p in v.left_out}
        return cls(kept, kept[0].rows, list(problems.values()))

    @property
    def utterances(self) -> list[str]:
        """Ids of the utterances."""
        return self.views[0].utterances

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Layers L of all views and channels C of the widest."""
        layers, channels = zip(*(view.shape for view in self.views), strict=True)
        return sum(layers), max(channels)

    def take(self, at: Sequence[int] | Tensor, *, tokens: bool = True) -> Features:
        """Some utterances' summaries [n, L, C] as they were extracted; there are no tokens.

        Args:
            at: Positions.
            tokens: Has no effect.
        """
        found = [view.take(at, tokens=False) for view in self.views]
        width = self.shape[1]
        wide = [pad(f.summaries, (0, width - f.summaries.shape[-1])) for f in found]
        first = found[0]
        return Features(
            utterances=first.utterances,
            tokens=torch.empty(0, *self.shape),
            offsets=first.offsets,
            summaries=torch.cat(wide, 1),
            phones=[],
            sizes=first.sizes,
            frames=first.frames,
        )

    @classmethod
    def join(cls, parts: Sequence[JoinedFeatures]) -> JoinedFeatures:
        """Utterances of the same stores, one after another."""
        by_view = zip(*(part.views for part in parts), strict=True)
        views = [StoredFeatures.join(of_one) for of_one in by_view]
        return cls(views, views[0].rows, [p for part in parts for p in part.left_out])

    def blocks(self, *, tokens: bool = True) -> Iterator[tuple[Features, Tensor]]:
        """All of them, a bounded number at a time, with their positions."""
        for at in torch.arange(len(self)).split(BLOCK):
            yield self.take(at, tokens=tokens), at
