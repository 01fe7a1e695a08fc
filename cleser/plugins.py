"""What packages register under an entry point group, as corpora and recipes, found by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any


class PluginError(ValueError):
    """What an entry point names cannot be used; the message says which, and who registers it."""


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
        PluginError: It cannot be imported.
    """
    try:
        return point.load()
    except Exception as error:  # whatever a package of somebody else does when it is imported
        said = " ".join(f"{type(error).__name__}: {error}".split())
        package = package_of(point)
        by = f"; the package {package!r} registers it as {point.name!r}" if package else ""
        raise PluginError(f"the {kind} {point.value} cannot be imported ({said}){by}") from error


def package_of(point: EntryPoint) -> str | None:
    """The package that registers an entry point; None for cleser's own, and where nobody knows."""
    if point.dist is None or point.dist.name == "cleser":
        return None
    return point.dist.name
