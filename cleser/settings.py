"""Settings as plain data and back: what ``config.yaml`` holds."""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


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


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, (tuple, list)) else value
