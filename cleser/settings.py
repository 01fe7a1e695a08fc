"""Settings as plain data and back: what ``config.yaml`` holds."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml

T = TypeVar("T")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The settings that a YAML file holds.

    Raises:
        ValueError: It cannot be read, is no YAML, or holds something else than names and values.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """Settings in YAML; ``where`` names them in messages."""
    try:
        plain = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{where} is no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(plain, dict):
        raise ValueError(f"{where} holds {plain!r}, expected names and values, as neutral: 0.7")
    return plain


def check_ranges(
    settings: object,
    *,
    least: Mapping[str, float] | None = None,
    above: Mapping[str, float] | None = None,
    most: Mapping[str, float] | None = None,
    below: Mapping[str, float] | None = None,
) -> None:
    """Refuse numbers that no method can work with, before anything is read or written.

    Args:
        settings: A dataclass.
        least: The least that a field may be, by its name.
        above: What a field has to exceed.
        most: The most that a field may be.
        below: What a field must not reach.

    Raises:
        ValueError: A field is outside; fields that are None are no numbers and pass.

    >>> from types import SimpleNamespace
    >>> check_ranges(SimpleNamespace(epochs=0), least={"epochs": 1})
    Traceback (most recent call last):
    ValueError: epochs is 0, expected 1 or more
    """
    rules: list[tuple[Mapping[str, float] | None, Callable[[float, float], bool], str]] = [
        (least, operator.ge, "{} or more"),
        (above, operator.gt, "more than {}"),
        (most, operator.le, "{} or less"),
        (below, operator.lt, "less than {}"),
    ]
    for bounds, holds, said in rules:
        for name, bound in (bounds or {}).items():
            value = getattr(settings, name)
            if value is not None and not holds(value, bound):  # NaN holds nothing
                raise ValueError(f"{name} is {value}, expected {said.format(bound)}")


def as_yaml(plain: dict[str, Any]) -> str:
    """Plain data as YAML, in the order given."""
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    return text


def to_plain(settings: Any) -> dict[str, Any]:
    """A dataclass as dictionaries, lists and scalars."""
    plain: dict[str, Any] = _listed(asdict(settings))
    return plain


def from_plain(kind: type[T], plain: dict[str, Any], where: str = "") -> T:
    """Build a dataclass, and those nested in it, from plain data.

    Raises:
        ValueError: A name is not a setting.
    """
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(plain) - known):
        raise ValueError(
            f"unknown settings {unknown} in {where or kind.__name__}, known: {sorted(known)}"
        )
    hints = get_type_hints(kind)
    built = {
        name: from_plain(hints[name], value, name) if is_dataclass(hints[name]) else value
        for name, value in plain.items()
    }
    return kind(**built)


def completed(kind: type[Any], plain: dict[str, Any]) -> dict[str, Any]:
    """Settings that an older version wrote, with those that it did not know yet as it had them.

    That is a field's default. Where the default is not what was done before there was the field, the field's metadata
    say what was, as ``field(default=True, metadata={"before": False})``.

    Args:
        kind: The dataclass.
        plain: Its settings as plain data; names that it does not know are left as they are.

    >>> from dataclasses import dataclass, field
    >>> @dataclass
    ... class Shape:
    ...     dim: int
    ...     depth: int = 2
    ...     bias: bool = field(default=True, metadata={"before": False})
    >>> completed(Shape, {"dim": 8})
    {'dim': 8, 'depth': 2, 'bias': False}
    """
    hints = get_type_hints(kind)
    found = dict(plain)
    for f in fields(kind):
        if f.name not in found:
            made = f.default if f.default_factory is MISSING else f.default_factory()
            value = f.metadata.get("before", made)
            if value is not MISSING:
                found[f.name] = to_plain(value) if is_dataclass(value) else _listed(value)
        elif is_dataclass(hints[f.name]) and isinstance(found[f.name], dict):
            found[f.name] = completed(hints[f.name], found[f.name])
    return found


def restored(kind: type[T], plain: dict[str, Any]) -> T:
    """Build a dataclass from settings that an older version may have written, see :func:`completed`."""
    return from_plain(kind, completed(kind, plain))


def differences(found: dict[str, Any], wanted: dict[str, Any], within: str = "") -> list[str]:
    """Where two settings differ, field by field, in words.

    >>> differences({"seeds": 3, "config": {"dim": 8}}, {"seeds": 3, "config": {"dim": 9, "depth": 1}})
    ['config.dim is 8 there and 9 here', 'config.depth is not there and 1 here']
    """
    said = []
    for name in {**wanted, **found}:
        there, here = found.get(name, MISSING), wanted.get(name, MISSING)
        if isinstance(there, dict) and isinstance(here, dict):
            said += differences(there, here, f"{within}{name}.")
        elif there != here:
            sides = ("not" if value is MISSING else repr(value) for value in (there, here))
            said.append("{}{} is {} there and {} here".format(within, name, *sides))
    return said


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, (tuple, list)) else value
