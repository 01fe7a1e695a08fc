"""Corpora by name: a reader function registers as an entry point of the group ``cleser.corpora``.

A package of yours adds a corpus without touching this one::

    [project.entry-points."cleser.corpora"]
    mine = "my_package.mine:read"

where ``read(argument: str) -> Listing`` gets what stands behind the colon of ``"mine:ARGUMENT"``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from typing import cast

import pandas as pd

from cleser import plugins
from cleser.corpora.manifest import Listing, assemble
from cleser.plugins import registered
from cleser.suggestions import did_you_mean

GROUP = "cleser.corpora"

Reader = Callable[[str], Listing]


def corpora() -> list[str]:
    """Names of the corpora that can be loaded.

    >>> "emodb" in corpora()
    True
    """
    return sorted(_registered())


def load(spec: str, rename: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read a corpus.

    Args:
        spec: ``"corpus:argument"``, mostly a folder, as ``"emodb:PATH"`` or ``"manifest:FILE.parquet"``.
        rename: Emotions to call otherwise, before anything is checked: as the corpus or as we name them.

    Returns:
        The validated manifest, one utterance a row. What was left out, and why, is given by
        :func:`cleser.corpora.problems`.

    Raises:
        ValueError: The corpus is unknown, the folder is not one of this corpus, or nothing in it is usable.

    >>> load("emobd:data")
    Traceback (most recent call last):
    ValueError: emobd:data: unknown corpus 'emobd', expected one of ...; did you mean emodb?
    """
    name, colon, argument = spec.partition(":")
    if not colon or not argument:
        raise ValueError(
            f"{spec!r} is no corpus, expected NAME:ARGUMENT as emodb:PATH with one of {', '.join(corpora())}"
        )
    listing = Listing(*_reader(name, spec)(argument))
    if listing.rows.empty:
        listed = "; ".join(f"{path} {reason}" for path, reason in listing.problems[:3])
        raise ValueError(
            f"{spec}: nothing usable among {len(listing.problems)} recordings, expected at least one: {listed}"
            if listed
            else f"{spec}: names no recording, expected at least one"
        )
    try:
        return assemble(name, listing, rename)
    except ValueError as error:
        raise ValueError(f"{spec}: {error}") from error


def _registered() -> dict[str, EntryPoint]:
    return registered(GROUP, "corpus")


def _reader(name: str, spec: str) -> Reader:
    known = _registered()
    if name not in known:
        raise ValueError(
            f"{spec}: unknown corpus {name!r}, expected one of {', '.join(sorted(known))}"
            f"{did_you_mean(name, known)}"
        )
    try:
        return cast(Reader, plugins.load(known[name], "reader"))
    except ValueError as error:
        raise ValueError(f"{spec}: {error}") from error
