"""What a method's settings say of the method, so that the right things are prepared for it and its terms are true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Declared(NamedTuple):
    """What a class of settings may say by a field, property, method or class attribute of the same name.

    All of it is optional: what the settings leave out has the default below.

    Attributes:
        adapts: Whether the method is trained on the target's unlabelled utterances.
        match_prior: Whether it matches its predictions' prior on them.
        test_time: How it adapts to the utterances that it is tested on; ``"none"`` where it does not.
        uses_tokens: Whether its batches need tokens beside the summaries.
        limit: How many utterances with features of a shape (L, C) it learns from at most; None where it learns from
            all of them.
    """

    adapts: bool = False
    match_prior: bool = False
    test_time: str = "none"
    uses_tokens: bool = False
    limit: Callable[[tuple[int, int]], int] | None = None

    @property
    def adapts_to_test(self) -> bool:
        """Whether it adapts to the utterances that it is tested on."""
        return self.test_time != "none"


def declared(config: Any) -> Declared:
    """What a method's settings say of it.

    >>> from cleser.recipes import ERMConfig
    >>> declared(ERMConfig(match_prior=True)).match_prior, declared(ERMConfig()).adapts_to_test
    (True, False)
    """
    return Declared(**{n: getattr(config, n) for n in Declared._fields if hasattr(config, n)})
