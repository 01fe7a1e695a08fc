"""Short names of corpora, for columns of a table and folders: no two of a pool have the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path


def names_of(pool: Sequence[str]) -> list[str]:
    """What stands before the colon of each spec, of a table its name; where these are alike both, or else all of it.

    >>> names_of(["emodb:A", "manifest:lists/mine.csv?language=de", "manifest:yours.csv"])
    ['emodb', 'mine', 'yours']
    >>> names_of(["emodb:A", "emodb:B"])
    ['emodb-A', 'emodb-B']
    >>> names_of(["manifest:a/list.csv", "manifest:b/list.csv"])
    ['manifest-a-list.csv', 'manifest-b-list.csv']
    """
    own = [own_name(spec) for spec in pool]
    short = [
        name.removeprefix("manifest-") if spec.startswith("manifest:") else spec.split(":", 1)[0]
        for name, spec in zip(own, pool, strict=True)
    ]
    whole = [re.sub(r"[^\w.-]+", "-", spec) for spec in pool]
    found = []
    for names in zip(short, own, whole, strict=True):
        among = zip(names, (short, own), strict=False)
        found.append(next((name for name, all_ in among if all_.count(name) == 1), names[-1]))
    return found


def own_name(spec: str) -> str:
    """A corpus' reader, and the name of its table or folder.

    >>> own_name("manifest:lists/mine.csv?language=de")
    'manifest-mine'
    """
    name, _, argument = spec.partition(":")
    return re.sub(r"[^\w.-]+", "-", f"{name}-{Path(argument.partition('?')[0]).stem}")
