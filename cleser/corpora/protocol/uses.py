"""What a method uses of the target, within what the protocol allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from cleser.corpora.protocol.hashes import hash_of_terms


@dataclass(frozen=True)
class Uses:
    """What a method uses of the target, within what a protocol lets it see.

    Attributes:
        training: Whether it trains on unlabelled target utterances, or matches its predictions' prior on them.
        prior: The class shares that its predictions are matched to, ``"none"`` where they are not.
        alignments: Whether it knows when phones sound, which takes what is said (a transcript) or a phone recogniser;
            and if so, of how many utterances, with a digest: ``"phones of 5 of 6 utterances, 0123abcd"``. Runs of
            earlier versions say that it does and not of whom.
        sentences: How utterances that say the same are known, whose mean is taken off: by the manifest's texts, as
            ``"texts of 5 of 6 utterances, 0123abcd"``, by their ``"sound"``; or ``"none"`` where nothing is taken off.
        normalisation: What the protocol's normalisation ``"auto"`` came to, which depends on the backbone's features;
            empty where nothing was left to it.

    >>> Uses(training=True)
    Uses(training=True, prior='none', alignments=False, sentences='none', normalisation='')
    """

    training: bool = False
    prior: str | dict[str, float] = "none"
    alignments: bool | str = False
    sentences: str = "none"
    normalisation: str = ""


def uses_of_folds(folds: Sequence[Mapping[str, Any]]) -> Uses:
    """What the runs of all folds use together, from what each says in its ``protocol.json``.

    Where they do not all use the same, a digest stands for what each of them does.

    >>> each = [{"training": True, "normalisation": name} for name in ("shrunk", "corpus")]
    >>> found = uses_of_folds(each)
    >>> found.training, found.normalisation.rpartition(" ")[0]
    (True, 'what differs by fold,')
    """
    found: dict[str, Any] = {}
    for field in fields(Uses):
        values = [uses.get(field.name, field.default) for uses in folds]
        alike = all(value == values[0] for value in values)
        found[field.name] = (
            values[0] if alike else f"what differs by fold, {hash_of_terms({'': values})[:8]}"
        )
    return Uses(**found)
