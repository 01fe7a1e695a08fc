"""What packages register under an entry point group, as corpora and recipes, found by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any


def registered(group: str, kind: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name; none of them is imported.

    Args:
        group: Group of the entry points.
        kind: What they are, for messages.

    Raises:
        ValueError: Two packages register different things under one name.

    >>> registered("cleser.nothing", "nothing")
    {}
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise ValueError(
                f"two packages register the {kind} {point.name!r}: {other.value} and {point.value}"
            )
    return found


def load(point: EntryPoint, kind: str) -> Any:
    """Import what an entry point names.

    Raises:
        ValueError: It cannot be imported.
    """
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"the {kind} {point.value} cannot be imported ({error})") from error
