"""What a method is once it has been fitted: what is asked of it to test it and to keep it.

Every recipe gives a :class:`Fitted` for each seed. What learns attributes is also a :class:`Regression`, and what
recognises several emotions at once a :class:`MultiLabel`. What else a fitted method may have is in :class:`Offered`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol, cast

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
    several = offered(fitted).vote_threshold is not None
    return cast(MultiLabel, fitted) if several else None


class Offered(NamedTuple):
    """What a fitted method may have besides :class:`Fitted`, as an attribute or a method of the same name.

    All of it is optional: what the method does not have is None.

    Attributes:
        vote_threshold: Share of votes from which an utterance has an emotion, if several are recognised at once
            (:class:`MultiLabel`).
        of_source: Turns source utterances into those that it learned from, if it moved them onto the target. The
            source's development speakers are recognised, and its embeddings computed, as this moves them.
        held_out: Another fitted method, which has not seen the source's development speakers and recognises them, if
            the method itself has learned from them.
        shares: Turns flat statistics of utterances [N, F] into probabilities [N, K]. A method that is no network needs
            it to be exported to ONNX or transformers.
        ridge: Turns flat statistics [N, F] into attributes [N, A], if it has learned some; an exported model gives
            them too.
    """

    vote_threshold: float | None = None
    of_source: Callable[[Dataset], Dataset] | None = None
    held_out: Fitted | None = None
    shares: Callable[[Tensor], Tensor] | None = None
    ridge: Callable[[Tensor], Tensor] | None = None


def offered(fitted: Fitted) -> Offered:
    """What a fitted method has besides :class:`Fitted`.

    >>> import torch
    >>> from cleser.recipes.probe import Probe
    >>> probe = Probe(torch.eye(2).double(), torch.zeros(2).double())
    >>> offered(probe).shares(torch.tensor([[0.0, 0.0]])), offered(probe).vote_threshold
    (tensor([[0.5000, 0.5000]]), None)
    """
    return Offered(**{n: getattr(fitted, n) for n in Offered._fields if hasattr(fitted, n)})
