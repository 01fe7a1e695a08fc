"""What a method uses of the target, within what the protocol allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Uses:
    """What a method uses of the target, within what a protocol lets it see, besides normalisation.

    Attributes:
        training: Whether it trains on unlabelled target utterances, or matches its predictions' prior on them.
        prior: The class shares that its predictions are matched to, ``"none"`` where they are not.
        alignments: Whether it knows when phones sound, which takes what is said (a transcript) or a phone recogniser.
        sentences: How utterances that say the same are known, whose mean is taken off: by the manifest's ``"texts"``,
            by their ``"sound"``, or not at all, ``"none"``.

    >>> Uses(training=True)
    Uses(training=True, prior='none', alignments=False, sentences='none')
    """

    training: bool = False
    prior: str | dict[str, float] = "none"
    alignments: bool = False
    sentences: Literal["none", "texts", "sound"] = "none"
