"""Which recordings are heard when some are recognised, where a run was tested on the official parts of corpora."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from cleser.corpora.protocol import Protocol


class Hearing(NamedTuple):
    """Recordings that are recognised together, and what they are standardised by.

    Attributes:
        recognised: Their positions.
        heard: Positions of all that count in the statistics, themselves included.
    """

    recognised: list[int]
    heard: list[int]


def official_hearings(
    rows: pd.DataFrame, protocol: Protocol, split: str | None = None
) -> list[Hearing]:
    """Each official part of some corpora, heard as it would be if a run under this protocol had tested it.

    The parts that the protocol tests are one, heard with the training part if statistics of the target may be used.
    The training part is heard with them, and any other (and what is in none) with the training part.

    Args:
        rows: A manifest; of no row the emotion is looked at.
        protocol: The terms of the run, with ``split="official"``.
        split: The one part to recognise, by its name in the manifest.

    >>> rows = pd.DataFrame({"split": ["train", "dev", "test1", "test2"]})
    >>> terms = Protocol(("emodb:DIR",), ("mine:DIR",), split="official", test=("test1",))
    >>> [hearing.heard for hearing in official_hearings(rows, terms)]
    [[0, 2], [0, 2], [0, 1], [0, 3]]
    """
    names = rows["split"].fillna("").astype(str)
    tested = names.str.startswith(protocol.test)
    train = names.str.startswith("train") & ~tested
    nothing = pd.Series(False, rows.index)
    beside = train if protocol.transductive else nothing
    parts = [
        (tested, beside),
        (train, tested if protocol.transductive else nothing),
        *((names == name, beside) for name in names[~(tested | train)].unique()),
    ]
    return [
        Hearing(np.flatnonzero(part).tolist(), np.flatnonzero(part | others).tolist())
        for part, others in parts
        if part.any() and (split is None or (names[part] == split).any())
    ]
