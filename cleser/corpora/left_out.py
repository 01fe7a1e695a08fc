"""Recordings that cannot be used, said by their reasons: a number alone does not show that a whole class is gone.

What loses no recording has a ``kind``: it is said in words of its own, and not counted among the lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import pandas as pd

_MOST: Final = 8  # reasons that are said; a corpus may have a message of its own for every file


def reasons(left_out: Iterable[dict[str, str]]) -> list[str]:
    """How many recordings were left out for each reason, the most frequent first, with an example.

    Reasons that differ only in their numbers are one. What loses no recording is told last: what is not known of
    recordings that are used, then copies and second rows.

    Args:
        left_out: What was left out, as ``{"path": …, "reason": …}``, with a ``kind`` where no recording is lost.

    >>> reasons([{"path": "a.wav", "reason": "ends at 3 of 9"}, {"path": "b.wav", "reason": "ends at 4 of 9"}])
    ['2 recordings left out: ends at 3 of 9, as a.wav']
    """
    left_out = list(left_out)
    counted = _alike({problem["path"]: problem for problem in lost(left_out)}.values())
    lines = [
        f"{_recordings(len(found))} left out: {found[0]['reason']}, as {found[0]['path']}"
        for found in counted[:_MOST]
    ]
    if rest := counted[_MOST:]:
        lines.append(f"{_recordings(sum(map(len, rest)))} left out for {len(rest)} further reasons")
    gaps, spare = (
        [problem for problem in left_out if problem.get("kind") == kind]
        for kind in ("gap", "spare")
    )
    return [*lines, *_gaps(gaps), *_spare(spare)]


def lost(left_out: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """The recordings that cannot be used: what was left out, except what loses no recording."""
    return [problem for problem in left_out if "kind" not in problem]


def _alike(problems: Iterable[Mapping[str, str]]) -> list[list[Mapping[str, str]]]:
    """Problems whose reasons differ only in their numbers together, the most frequent first."""
    found: dict[str, list[Mapping[str, str]]] = {}
    for problem in problems:
        found.setdefault(without_numbers(problem["reason"]), []).append(problem)
    return sorted(found.values(), key=lambda alike: -len(alike))


def without_numbers(reason: str) -> str:
    """A reason with a 0 for each number: what differs only in them is one reason.

    >>> without_numbers("ends at 3.24 of 9 s")
    'ends at 0 of 0 s'
    """
    return re.sub(r"\d+([.,]\d+)*", "0", reason)


def _gaps(problems: Iterable[Mapping[str, str]]) -> list[str]:
    """What is said of what is not known of recordings that are used."""
    counted = _alike({(one["path"], one["reason"]): one for one in problems}.values())
    lines = [
        f"{gaps(len(found))}: {found[0]['reason']}, as {found[0]['path']}"
        for found in counted[:_MOST]
    ]
    if rest := counted[_MOST:]:
        lines.append(f"{gaps(sum(map(len, rest)))}, for {len(rest)} further reasons")
    return lines


def gaps(count: int) -> str:
    """How the number of gaps is said, so that nobody takes them for lost recordings.

    >>> gaps(2)
    '2 gaps (the recordings are used)'
    """
    return f"{'1 gap' if count == 1 else f'{count:,} gaps'} (the recordings are used)"


def _spare(problems: Iterable[Mapping[str, str]]) -> list[str]:
    """What is said of copies and second rows: a line for each reason, since one folder may hold copies of two."""
    alike: dict[str, dict[str, None]] = {}
    for problem in problems:
        alike.setdefault(problem["reason"], {})[problem["path"]] = None
    lines = []
    for reason, paths in alike.items():
        first, *others = paths
        lines.append(f"{first} {reason}" + f" (and {len(others):,} more alike)" * bool(others))
    if (rest := len(lines) - _MOST) > 0:
        lines[_MOST:] = [f"{rest:,} further kinds of copies and second rows"]
    return lines


def lost_classes(classes: Sequence[str], rows: pd.DataFrame) -> list[str]:
    """What is said of a corpus that lacks a class, and of which recordings could not be used, perhaps those.

    Args:
        classes: The classes that are learned.
        rows: The corpus' manifest, which knows what its reader could not use.
    """
    missing = [name for name in classes if name not in set(rows["emotion"])]
    count = len({problem["path"] for problem in lost(rows.attrs.get("problems", []))})
    if not missing or not count:
        return []
    return [
        f"warning: of {rows['corpus'].iloc[0]} no {' and no '.join(missing)} is learned, and {_recordings(count)} of "
        "it could not be used, which may be why"
    ]


def _recordings(count: int) -> str:
    return "1 recording" if count == 1 else f"{count:,} recordings"
