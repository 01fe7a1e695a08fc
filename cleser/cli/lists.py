"""Flags that take several values, and may be given several times: ``--source a b`` is ``--source a --source b``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints


def merged(args: list[str], flags: Collection[str]) -> list[str]:
    """The words of a command line, with each repeated list given once, and all of its values.

    A parser of flags would keep the last list and drop the others without a word.

    Args:
        args: The words.
        flags: The flags that take several values, see :func:`list_flags`.

    >>> merged(["--source", "a", "--seeds", "1", "--source=b"], {"--source"})
    ['--seeds', '1', '--source', 'a', 'b']
    >>> merged(["--source", "a", "b", "--seeds", "1"], {"--source"})
    ['--source', 'a', 'b', '--seeds', '1']
    """
    named = [_name(word) for word in args]
    repeated = {flag for flag in flags if named.count(flag) > 1}
    rest: list[str] = []
    values: dict[str, list[str]] = {}
    taking: list[str] | None = None  # the list to which a value belongs
    for word, name in zip(args, named, strict=True):
        if name in repeated:
            own = values.setdefault(name, [])
            _, written, value = word.partition("=")
            own += [value] * bool(written)
            taking = None if written else own  # as --flag=VALUE, one value and no more
        elif word.startswith("-"):
            rest.append(word)
            taking = None
        else:
            (rest if taking is None else taking).append(word)
    # At the end, where they take no word that was no value of theirs.
    return rest + [word for flag, own in values.items() for word in (flag, *own)]


def _name(word: str) -> str:
    """The flag that a word is or begins with, in one spelling; nothing for values."""
    return word.partition("=")[0].replace("_", "-") if word.startswith("--") else ""


def list_flags(kind: type[Any] | Callable[..., Any], prefix: str = "") -> set[str]:
    """The flags that take any number of values, of a command or of a dataclass and those within it.

    Args:
        kind: A function, whose arguments are flags, or a dataclass.
        prefix: Beginning of the names of its flags, as ``tune.``

    >>> def command(source: tuple[str, ...], out: str) -> None: ...
    >>> list_flags(command)
    {'--source'}
    """
    found: set[str] = set()
    for name, given in get_type_hints(kind).items():
        flag = f"{prefix}{name.replace('_', '-')}"
        for one in get_args(given) if get_origin(given) in (Union, UnionType) else (given,):
            if is_dataclass(one) and isinstance(one, type):
                found |= list_flags(one, f"{flag}.")
            elif get_origin(one) is list or (get_origin(one) is tuple and ... in get_args(one)):
                found.add(f"--{flag}")
    return found
