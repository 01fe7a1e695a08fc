"""How far long work is: a bar on a terminal, lines in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cleser.console import PlainConsole

console = PlainConsole(stderr=True)
_PAUSE: Final = 10.0  # seconds between lines, at least
_SHARE: Final = 0.05  # of the work between lines, at least


class Advance(Protocol):
    """Moves a bar on."""

    def __call__(self, steps: int, note: str = "") -> None:
        """Advance by some steps; the note stands beside the bar."""
        ...


@contextmanager
def track(title: str, total: int) -> Iterator[Advance]:
    """Show how far the block is; what it yields advances that by a number of steps.

    On a terminal that is a bar, which goes when the block ends. Elsewhere, in a log or a file, it is a line now and
    then, and none for what is done in seconds.
    """
    with _bar(title, total) if console.is_terminal else _lines(title, total) as advance:
        yield advance


@contextmanager
def _bar(title: str, total: int) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=total, note="")

        def advance(steps: int, note: str = "") -> None:
            progress.update(task, advance=steps, note=note)

        yield advance


@contextmanager
def _lines(title: str, total: int) -> Iterator[Advance]:
    """A line every few per cent, but not more often than one can read."""
    began = last = time.monotonic()
    done = said = 0

    def advance(steps: int, note: str = "") -> None:
        nonlocal done, said, last
        done += steps
        now = time.monotonic()
        if now - last < _PAUSE or done - said < _SHARE * total:
            return
        said, last = done, now
        left = (now - began) / done * (total - done)
        share = f"{100 * done / total:.0f} % ({done}/{total})"
        rest = f", {note}" if note else ""
        console.print(f"{title}: {share}, about {_duration(left)} left{rest}", style="dim")

    yield advance


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds, as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
