"""Printing what users' files are called: nothing of it is markup, and no path is cut."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console
from rich.text import Text

_WIDE: Final = 10_000


class PlainConsole(Console):
    """Prints text as it is: ``take[final].wav`` keeps its brackets, and lines are not wrapped.

    Style is given by :class:`rich.text.Text` alone. Where the output is no terminal, tables are as wide as what they
    hold, since whatever reads them wants whole paths.

    Args:
        options: Arguments of :class:`rich.console.Console`.
    """

    def __init__(self, **options: Any) -> None:
        plain = {"markup": False, "emoji": False, "highlight": False, "soft_wrap": True}
        super().__init__(**{**plain, **options})
        if not self.is_terminal and "width" not in options:
            self.width = _WIDE


def plain_row(*cells: str) -> tuple[Text, ...]:
    """Cells of a table that any console prints as they are.

    >>> plain_row("take[final].wav")[0].plain
    'take[final].wav'
    """
    return tuple(map(Text, cells))
