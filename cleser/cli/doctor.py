"""``cleser doctor``: check the installation."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from cleser.cli.console import console

_MARKS = {"ok": ("✓", "green"), "absent": ("–", "yellow"), "broken": ("✗", "red")}


def doctor() -> None:
    """Show versions, optional parts and devices, and check that they work together."""
    from cleser.cli.installation import examine

    findings = examine()
    table = Table.grid(padding=(0, 2))
    for i, (group, name, state, detail) in enumerate(findings):
        first = not i or findings[i - 1].group != group
        heading = Text(group if first else "", style="bold")
        table.add_row(heading, Text(*_MARKS[state]), Text(name), Text(detail))
    console.print(table, highlight=False)
    broken = [f.name for f in findings if f.state == "broken"]
    if broken:
        raise ValueError(f"{', '.join(broken)} will not work; see ✗ above")
