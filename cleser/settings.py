"""Settings as plain data and back: what ``config.yaml`` holds."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import yaml

T = TypeVar("T")


_NAMED: Final = "names and values, as name: value"


class _Notation:
    """YAML 1.1 takes ``1e-4`` and ``1.0e4`` for text; here they are numbers, as in YAML 1.2."""


class _Loader(_Notation, yaml.SafeLoader):
    """Reads numbers in the usual notation."""


class _Dumper(_Notation, yaml.SafeDumper):
    """Puts text that looks like such a number in quotes, so that it is read as text again."""


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
        list("-+.0123456789"),
    )


def read_yaml(path: str | Path, expected: str = _NAMED) -> dict[str, Any]:
    """The settings that a YAML file holds.

    Args:
        path: The file.
        expected: What such a file should hold, for messages.

    Raises:
        ValueError: It cannot be read, is no YAML, or holds something else than names and values.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8") from error
    return parse_yaml(text, str(path), expected)


def parse_yaml(text: str, where: str, expected: str = _NAMED) -> dict[str, Any]:
    """Settings in YAML; messages call them ``where`` and say that they are to be ``expected``.

    Raises:
        ValueError: It is no YAML, or holds something else than names and values.

    >>> parse_yaml("learning_rate: 1e-4", "settings.yaml")
    {'learning_rate': 0.0001}
    """
    try:
        plain = yaml.load(text, _Loader)  # a safe one
    except yaml.YAMLError as error:
        raise ValueError(f"{where} is no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(plain, dict):
        found = "nothing" if plain is None else repr(plain)
        raise ValueError(f"{where} holds {found}, expected {expected}")
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
    text: str = yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def to_plain(settings: Any) -> dict[str, Any]:
    """A dataclass as dictionaries, lists and scalars."""
    plain: dict[str, Any] = _listed(asdict(settings))
    return plain


def from_plain(kind: type[T], plain: dict[str, Any], where: str = "") -> T:
    """Build a dataclass, and those nested in it, from plain data.

    Args:
        kind: The dataclass.
        plain: Its fields as plain data.
        where: Names the place in messages; by default the dataclass.

    Raises:
        ValueError: A name is not a field, a field without a default is missing, or a value is of another kind or one
            that the dataclass refuses.
    """
    where = where or kind.__name__
    check_kinds(kind, plain, where)
    return _built(kind, plain, where)


def _built(kind: type[T], plain: Mapping[str, Any], where: str) -> T:
    """Build a dataclass from fields of the right kinds."""
    hints = get_type_hints(kind)
    values = {
        name: _built(hints[name], value, f"{where}: {name}") if is_dataclass(hints[name]) else value
        for name, value in plain.items()
    }
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def changed(config: T, changes: Mapping[str, Any]) -> T:
    """A dataclass with other values; of a dataclass in it, names and values change those fields alone.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Inner:
    ...     a: int = 1
    ...     b: int = 2
    >>> @dataclass
    ... class Outer:
    ...     inner: Inner
    >>> changed(Outer(Inner()), {"inner": {"b": 3}})
    Outer(inner=Inner(a=1, b=3))
    """
    values = {
        name: changed(getattr(config, name), value)
        if is_dataclass(getattr(config, name)) and isinstance(value, Mapping)
        else value
        for name, value in changes.items()
    }
    return cast("T", replace(cast("Any", config), **values))


def check_kinds(kind: type[Any], plain: Any, where: str) -> None:
    """Refuse what a dataclass cannot be built from, as a user may have written it in a file.

    Args:
        kind: The dataclass.
        plain: Its fields as plain data, in which lists stand for tuples.
        where: Names the place in messages.

    Raises:
        ValueError: A name is not a field, a field without a default is missing, or a value is of another kind.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Shape:
    ...     dim: int
    ...     names: tuple[str, ...] = ()
    >>> check_kinds(Shape, {"dim": 8, "names": "a"}, "shape.yaml")
    Traceback (most recent call last):
    ValueError: shape.yaml: names is 'a', expected a list of text
    """
    if not isinstance(plain, Mapping):
        raise ValueError(f"{where} is {plain!r}, expected names and values")
    _check_names(kind, plain, where)
    needed = [f.name for f in fields(kind) if f.default is f.default_factory is MISSING]
    if missing := [name for name in needed if name not in plain]:
        raise ValueError(f"{where} lacks {missing}, expected {needed}")
    hints = get_type_hints(kind)
    for name, value in plain.items():
        check_kind(value, hints[name], f"{where}: {name}")


def _check_names(kind: type[Any], plain: Mapping[str, Any], where: str) -> None:
    known = {f.name for f in fields(kind)}
    if unknown := sorted(set(plain) - known, key=str):
        raise ValueError(f"unknown settings {unknown} in {where}, known: {sorted(known)}")


_KINDS: Final[dict[Any, tuple[Any, str]]] = {
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: (int | float, "a number"),
    str: (str, "text"),
    tuple: (list | tuple, "a list"),
    dict: (Mapping, "names and values"),
    type(None): (type(None), "nothing"),
}


def check_kind(value: Any, hint: Any, where: str) -> None:
    """Refuse a value of another kind than a field's; kinds that plain data do not know pass.

    Raises:
        ValueError: It is of another kind, or something in it is.

    >>> check_kind({"neutral": True}, dict[str, float], "shares.yaml")
    Traceback (most recent call last):
    ValueError: shares.yaml: neutral is True, expected a number
    """
    if is_dataclass(hint):
        check_kinds(cast("type[Any]", hint), value, where)
    elif not _is_of(value, hint):
        raise ValueError(f"{where} is {value!r}, expected {_in_words(hint)}")
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            for kind in map(get_args, _dictionaries(hint)):
                check_kind(name, kind[0], f"{where}: the name {name!r}")
                check_kind(inner, kind[1], f"{where}: {name}")


def _dictionaries(hint: Any) -> list[Any]:
    """The kinds of dictionaries that a field may hold, which is one at most."""
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return [kind for kind in kinds if get_origin(kind) is dict]


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value is of a kind, of names and values the outermost alone."""
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin is Literal:
        return value in inner
    if origin in (Union, UnionType):
        return any(_is_of(value, one) for one in inner)
    known, _ = _KINDS.get(origin, (object, ""))
    truth = isinstance(value, bool) and origin in (int, float)  # which Python counts as a number
    if truth or not isinstance(value, known):
        return False
    return not (origin is tuple and inner) or all(_is_of(one, inner[0]) for one in value)


def _in_words(hint: Any) -> str:
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin in (Union, UnionType):
        return " or ".join(map(_in_words, inner))
    said = _KINDS[origin][1]
    return f"{said} of {_in_words(inner[0])}" if origin is tuple and inner else said


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


def restored(kind: type[T], plain: dict[str, Any], where: str = "") -> T:
    """Build a dataclass from settings that an older version may have written, see :func:`completed`.

    Raises:
        ValueError: As of :func:`from_plain`.
    """
    where = where or kind.__name__
    check_kind(plain, dict, where)
    return from_plain(kind, completed(kind, plain), where)


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
