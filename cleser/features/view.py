"""What features of utterances in one store and in several have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, Self

from torch import Tensor

from cleser.features.pooled import Features


class FeatureView(Protocol):
    """Features on disk, as they were extracted: gathered when they are asked for.

    Attributes:
        rows: Row of each utterance in the manifest that was asked for.
        left_out: Recordings that could not be used: ``{"path": …, "reason": …}``.
    """

    rows: list[int]
    left_out: list[dict[str, str]]

    @property
    def shape(self) -> tuple[int, int]:
        """Layers L and channels C."""
        ...

    def __len__(self) -> int: ...

    def take(self, at: Sequence[int] | Tensor, *, tokens: bool = True) -> Features:
        """Some utterances' features, by position."""
        ...

    def blocks(self, *, tokens: bool = True) -> Iterator[tuple[Features, Tensor]]:
        """All utterances, a bounded number at a time, with their positions."""
        ...

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Views of the same stores, one after another."""
        ...
