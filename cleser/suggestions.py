"""What somebody may have meant by a name that is unknown."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message: the known name that is most like this one; empty where none is like it.

    >>> did_you_mean("emobd", ["emodb", "emovo", "ravdess"])
    '; did you mean emodb?'
    >>> did_you_mean("x", ["emodb"])
    ''
    """
    near = get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
