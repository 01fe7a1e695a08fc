"""What a method is once it has been fitted: what is asked of it to test it and to keep it.

Every recipe gives a :class:`Fitted` for each seed. What learns attributes is also a :class:`Regression`, and what
recognises several emotions at once a :class:`MultiLabel`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

from torch import Tensor

from cleser.training.dataset import Dataset


class Fitted(Protocol):
    """A method that has been fitted for one seed."""

    def predict(self, dataset: Dataset, *, together: bool = True) -> tuple[Tensor, Tensor]:
        """Probabilities [N, K] and embeddings [N, D].

        Args:
            dataset: The utterances.
            together: Whether one utterance may tell something about another, as for speaker-style communities.
        """
        ...

    def tensors(self) -> dict[str, Tensor]:
        """What has to be kept to predict again."""
        ...

    def write(self, folder: Path) -> None:
        """Put what a reader of the run should see beside its results."""
        ...


class Regression(Fitted, Protocol):
    """A fitted method that also predicts attributes."""

    def attributes(self, dataset: Dataset, *, together: bool = True) -> Tensor:
        """Attributes [N, A], from −1 to 1.

        Args:
            dataset: The utterances.
            together: As for :meth:`Fitted.predict`.
        """
        ...


class MultiLabel(Fitted, Protocol):
    """A fitted method that recognises several emotions of an utterance at once."""

    vote_threshold: float

    def sigmoids(self, dataset: Dataset, *, together: bool = True) -> Tensor:
        """Probabilities [N, K], each from 0 to 1.

        Args:
            dataset: The utterances.
            together: As for :meth:`Fitted.predict`.
        """
        ...


def multi_label(fitted: Fitted) -> MultiLabel | None:
    """The method, if it recognises several emotions at once."""
    several = getattr(fitted, "vote_threshold", None) is not None
    return cast(MultiLabel, fitted) if several else None
