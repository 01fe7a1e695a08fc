"""Names that recipes and rows had in older versions: saved runs with them still open; the command line says the new."""

from __future__ import annotations

from typing import Any, Final

RENAMED: Final = {
    "baseline": "erm",
    "layer_anchoring": "layer-anchoring",
    "zero_shot": "zero-shot",
    "erm-all-unseen-long": "erm-all-unseen-as-long",
    "sapa-no-pseudo-labels": "sapa-no-target-cross-entropy",
}


def with_current_name(settings: dict[str, Any]) -> dict[str, Any]:
    """What a run has written about itself, with its recipe called as it is now.

    >>> with_current_name({"recipe": "baseline", "seeds": 3})
    {'recipe': 'erm', 'seeds': 3}
    """
    if "recipe" not in settings:
        return settings
    return {**settings, "recipe": RENAMED.get(settings["recipe"], settings["recipe"])}


def new_name(name: str) -> str:
    """The end of a message about an unknown recipe: its new name if it was renamed, else nothing.

    >>> new_name("zero_shot")
    '; zero_shot is called zero-shot now'
    >>> new_name("spaa")
    ''
    """
    return f"; {name} is called {RENAMED[name]} now" if name in RENAMED else ""
