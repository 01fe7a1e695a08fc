"""Flags that would do nothing: whoever gives one expects that it does something."""

from __future__ import annotations

from collections.abc import Mapping


def refuse_idle(given: Mapping[str, object], needed: str) -> None:
    """Refuse flags that have no effect as a command was called.

    Args:
        given: The flags, each with something true if it was given.
        needed: Words for what would give them an effect.

    Raises:
        ValueError: One of them was given.

    >>> refuse_idle({"--quick": True, "--seed": 0}, "--robustness")
    Traceback (most recent call last):
    ValueError: --quick has no effect here, expected --robustness beside it
    """
    if idle := [flag for flag, value in given.items() if value]:
        have, them = ("has", "it") if len(idle) == 1 else ("have", "them")
        raise ValueError(
            f"{', '.join(idle)} {have} no effect here, expected {needed} beside {them}"
        )
