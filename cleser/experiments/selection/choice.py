"""Settings to try: which fields of a recipe's config they change, and on which backbone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, get_type_hints

from cleser.settings import changed, check_kind, from_plain
from cleser.suggestions import did_you_mean

BACKBONE: Final = "backbone"


@dataclass(frozen=True)
class Choice:
    """Settings to try: fields of a recipe's config by name; nested fields as ``training.epochs``.

    Attributes:
        changes: Values by name; ``backbone`` is that of the experiment.
    """

    changes: dict[str, Any]

    @property
    def name(self) -> str:
        """For a reader."""
        said = ", ".join(f"{k}={_short(v)}" for k, v in self.changes.items())
        return said or "as given"

    @property
    def folder(self) -> str:
        """Name of a folder on disk, the same for the same changes."""
        plain = json.dumps(self.changes, sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()[:12]

    def config(self, config: Any) -> Any:
        """A config with the changes."""
        for name, value in self.changes.items():
            if name != BACKBONE:
                config = changed(config, _nested(config, name.split("."), value, name))
        return config

    def backbone(self, given: str) -> str:
        """The backbone that is used where another is given."""
        return str(self.changes.get(BACKBONE, given))


def _nested(config: Any, path: list[str], value: Any, whole: str) -> dict[str, Any]:
    """A change as `cleser.settings.changed` takes it, once the setting is known and the value is of its kind."""
    known = [f.name for f in fields(config)]
    name, *rest = path
    if name not in known:
        near = did_you_mean(name, known)
        raise ValueError(
            f"{whole} is no setting of {type(config).__name__}{near}; known: {', '.join(known)}"
        )
    inner = getattr(config, name)
    if rest:
        return {name: _nested(inner, rest, value, whole)}
    if is_dataclass(inner) and isinstance(value, Mapping):
        value = from_plain(type(inner), dict(value), whole)
    else:
        check_kind(value, get_type_hints(type(config))[name], whole)
    return {name: value}


def _short(value: Any) -> str:
    text = str(value)
    return text.rsplit("/", 1)[-1] if "/" in text and "+" not in text else text
