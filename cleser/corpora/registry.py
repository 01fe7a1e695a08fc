"""Corpora by name: a reader function registers as an entry point of the group ``cleser.corpora``.

A package of yours adds a corpus without touching this one::

    [project.entry-points."cleser.corpora"]
    mine = "my_package.mine:read"

where ``read(argument: str) -> Listing`` gets what stands behind the colon of ``"mine:ARGUMENT"``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint
from itertools import combinations
from pathlib import Path
from typing import cast

import pandas as pd

from cleser import plugins
from cleser.corpora.manifest import (
    NAMED_AFTER,
    Listing,
    assemble,
    check_usable,
    problems,
    with_problems,
)
from cleser.corpora.tables import ENDINGS
from cleser.corpora.terms import composed
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


def load(
    spec: str, rename: Mapping[str, str] | None = None, *, labels: bool = True
) -> pd.DataFrame:
    """Read a corpus.

    Args:
        spec: ``"corpus:argument"``, mostly a folder, as ``"emodb:PATH"`` or ``"manifest:FILE.parquet"``.
        rename: Emotions to call otherwise, before anything is checked: as the corpus or as we name them.
        labels: Whether emotions are wanted; without, it does not matter what the corpus calls them.

    Returns:
        The validated manifest, one utterance a row. What was left out, and why, is given by
        :func:`cleser.corpora.problems`.

    Raises:
        ValueError: The corpus is unknown, the folder is not one of this corpus, or nothing in it is usable.

    >>> load("emobd:data")
    Traceback (most recent call last):
    ValueError: emobd:data: unknown corpus 'emobd', expected one of ...; did you mean emodb?
    """
    check_spec(spec)
    name, _, argument = spec.partition(":")
    listing = Listing(*_reader(name, spec)(argument))
    check_usable(spec, listing)
    if not labels:
        listing = listing._replace(rows=listing.rows.assign(emotion=None))
    try:
        return assemble(name, listing, rename)
    except ValueError as error:
        raise ValueError(f"{spec}: {error}") from error


def check_spec(spec: str) -> None:
    """Refuse what names no corpus that can be read; nothing is opened.

    Raises:
        ValueError: There is no colon, or nobody knows the name before it.

    >>> check_spec("emodb:data")
    >>> check_spec("mine:list.csv")
    Traceback (most recent call last):
    ValueError: mine:list.csv: unknown corpus 'mine', expected one of ...; a table is read as manifest:list.csv
    """
    name, colon, argument = spec.partition(":")
    if not colon or not argument:
        hint = f"; a table is read as manifest:{spec}" * _names_table(spec)
        raise ValueError(
            f"{spec!r} is no corpus, expected NAME:ARGUMENT as emodb:PATH with one of {', '.join(corpora())}{hint}"
        )
    _reader(name, spec)


def load_all(
    specs: Iterable[str], rename: Mapping[str, str] | None = None, *, labels: bool = True
) -> pd.DataFrame:
    """Read several corpora as one manifest, in which each id names one recording.

    Args:
        specs: Specs, as :func:`load` takes one; recordings of a corpus that is given twice are there once.
        rename: Labels to call otherwise, see :func:`load`.
        labels: Whether emotions are wanted, see :func:`load`.

    Raises:
        ValueError: No corpus is given, one cannot be read, or two call different recordings by the same name.

    >>> load_all([])
    Traceback (most recent call last):
    ValueError: found no corpus, expected one or more as emodb:PATH
    """
    read = {spec: load(spec, rename, labels=labels) for spec in specs}
    if not read:
        raise ValueError("found no corpus, expected one or more as emodb:PATH")
    check_distinct(read)
    listed = [problem for rows in read.values() for problem in problems(rows)]
    # A folder can be written in many ways: what has one id by now is one recording.
    rows = pd.concat(read.values(), ignore_index=True).drop_duplicates(
        "utterance", ignore_index=True
    )
    return with_problems(rows, listed)


def check_distinct(read: Mapping[str, pd.DataFrame]) -> None:
    """Refuse corpora that call different recordings, or themselves, by the same name, which would be taken for one.

    Args:
        read: Manifests by their specs.

    Raises:
        ValueError: Two of them use one id for different recordings, as two tables of the same file name may; or they
            are such tables, and neither says which corpus it is: the speaker 1 of one is not that of the other.

    >>> a = pd.DataFrame({"utterance": ["list/1"], "path": ["a/1.wav"], "start": [0.0]})
    >>> check_distinct({"manifest:a/list.csv": a, "manifest:b/list.csv": a.assign(path="b/1.wav")})
    Traceback (most recent call last):
    ValueError: manifest:a/list.csv and manifest:b/list.csv call different recordings 'list/1' ...
    """
    for (spec, rows), (other, more) in combinations(read.items(), 2):
        both = rows.merge(more, on="utterance", suffixes=("", "_other"))
        differ = both[(both["path"] != both["path_other"]) | (both["start"] != both["start_other"])]
        if len(differ):
            raise ValueError(
                f"{spec} and {other} call different recordings {differ['utterance'].iloc[0]!r} ({len(differ)} such "
                "ids, expected ids that name one recording): give one of the corpora another name, as "
                "manifest:FILE.csv?corpus=NAME, and leave out its column corpus if it has one"
            )
        files = [Path(str(table.attrs.get(NAMED_AFTER, ""))) for table in (rows, more)]
        if files[0] != files[1] and composed(files[0].stem) == composed(files[1].stem):
            raise ValueError(
                f"{spec} and {other} name no corpus, and each would be called {files[0].stem!r} after its file, so "
                "that their speakers would be taken for one another: expected a name for each, as "
                "manifest:FILE.csv?corpus=NAME, or one name for both if they are one corpus"
            )


def _registered() -> dict[str, EntryPoint]:
    return registered(GROUP, "corpus")


def _names_table(argument: str) -> bool:
    return Path(argument.partition("?")[0]).suffix.lower() in ENDINGS


def _reader(name: str, spec: str) -> Reader:
    known = _registered()
    if name not in known:
        argument = spec.partition(":")[2]
        table = f"; a table is read as manifest:{argument}" * _names_table(argument)
        raise ValueError(
            f"{spec}: unknown corpus {name!r}, expected one of {', '.join(sorted(known))}"
            f"{table or did_you_mean(name, known)}"
        )
    try:
        return cast(Reader, plugins.load(known[name], "reader"))
    except ValueError as error:
        raise ValueError(f"{spec}: {error}") from error
