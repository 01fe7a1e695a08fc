"""What a backbone is called: on the command line, in the settings of a run and in those of an exported model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

ACOUSTIC: Final = "acoustic"
BESIDE: Final = f"{ACOUSTIC}+"  # stands before a model whose layers descriptors are joined to
# Parts of an encoder by the share of its layers that lie below them, for settings that suit encoders of any depth.
PARTS: Final = {"lower": (0.0, 0.5), "middle": (0.25, 0.75), "upper": (0.5, 1.0)}
_DTYPES: Final = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class BackboneSpec:
    """The parts of a backbone's name. They are kept as they were written: runs of before are compared by the text.

    Attributes:
        source: ``acoustic``, a model's folder, which may hold commas, or its name on the hub.
        settings: What follows behind commas, such as ``layers=0+6``.
        with_descriptors: Whether descriptors are joined to the model's layers.

    >>> spec = BackboneSpec.parse("acoustic+OWNER/NAME,layers=0+6,dtype=bfloat16")
    >>> spec
    BackboneSpec(source='OWNER/NAME', settings=('layers=0+6', 'dtype=bfloat16'), with_descriptors=True)
    >>> str(spec)
    'acoustic+OWNER/NAME,layers=0+6,dtype=bfloat16'
    """

    source: str
    settings: tuple[str, ...] = ()
    with_descriptors: bool = False

    @classmethod
    def parse(cls, text: str) -> BackboneSpec:
        """Take a name apart; any text has parts, and :meth:`options` says whether they mean something."""
        words = text.removeprefix(BESIDE).split(",")
        ends = range(len(words), 0, -1)
        end = next((n for n in ends if Path(",".join(words[:n])).expanduser().is_dir()), 1)
        return cls(",".join(words[:end]), tuple(words[end:]), text.startswith(BESIDE))

    def __str__(self) -> str:
        return BESIDE * self.with_descriptors + ",".join([self.source, *self.settings])

    @property
    def folder(self) -> Path | None:
        """The model's folder; None where the source is none."""
        path = Path(self.source).expanduser()
        return path if self.source != ACOUSTIC and path.is_dir() else None

    def count(self, key: str) -> int:
        """How often a setting is given."""
        return sum(setting.startswith(f"{key}=") for setting in self.settings)

    def at(self, source: str | Path) -> BackboneSpec:
        """The same settings of a model that lies elsewhere."""
        return replace(self, source=str(source))

    def having(self, key: str, value: str | None) -> BackboneSpec:
        """The same with a setting, in place of what it had; None takes it away.

        >>> str(BackboneSpec.parse("OWNER/NAME,revision=main,layers=0").having("revision", "c0ffee"))
        'OWNER/NAME,layers=0,revision=c0ffee'
        """
        others = [setting for setting in self.settings if not setting.startswith(f"{key}=")]
        own = [] if value is None else [f"{key}={value}"]
        return replace(self, settings=(*others, *own))

    def options(self) -> dict[str, Any]:
        """The settings as :class:`~cleser.speech.TransformersBackbone` takes them.

        Raises:
            ValueError: One is not known, is given twice or cannot be read.
        """
        options: dict[str, Any] = {}
        for setting in self.settings:
            key, _, value = setting.partition("=")
            if key in options:
                raise ValueError(
                    f"backbone {str(self)!r} has the setting {key} twice, expected it once"
                )
            if key == "layers":
                options["layers"] = value if value in ("all", *PARTS) else _numbers(value)
            elif key == "dtype":
                options["dtype"] = _dtype(value)
            elif key == "revision" and value:
                options["revision"] = value
            else:
                raise ValueError(
                    f"backbone {str(self)!r} has the setting {setting!r}, expected layers=0+6+12, "
                    "dtype=bfloat16 or revision=COMMIT"
                )
        return options


def _numbers(value: str) -> list[int]:
    try:
        return [int(number) for number in value.split("+")]
    except ValueError:
        raise ValueError(
            f"layers={value} cannot be read, expected numbers like 0+6+12, all, {', '.join(PARTS)}"
        ) from None


def _dtype(value: str) -> torch.dtype:
    if value not in _DTYPES:
        raise ValueError(f"dtype is {value!r}, expected one of {', '.join(_DTYPES)}")
    return _DTYPES[value]
