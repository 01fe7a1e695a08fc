"""How far long work has come: a bar on a terminal, and a line every few per cent elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cleser.console import PlainConsole

stderr = PlainConsole(stderr=True)  # notes and progress, apart from what a command prints
T = TypeVar("T")


def say_always(said: str) -> None:
    """Print what must be seen, such as that something failed, even where the user wants quiet."""
    quiet, stderr.quiet = stderr.quiet, False
    try:
        stderr.print(said)
    finally:
        stderr.quiet = quiet


class Advance(Protocol):
    """Moves a bar on."""

    def __call__(self, steps: int, note: str = "") -> None:
        """Advance by some steps; the note stands beside the bar."""
        ...


_SHARE: Final = 0.05  # of the work, between two lines
_SECONDS = 10.0  # at least, between two lines


class _Lines:
    """Says in lines how far work has come."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total = title, total
        self.done = 0
        self.said = 0  # when the last line was printed
        self.began = self.printed = time.monotonic()

    def __call__(self, steps: int, note: str = "") -> None:
        self.done += steps
        now = time.monotonic()
        if self.done - self.said < _SHARE * self.total or now - self.printed < _SECONDS:
            return
        self.said, self.printed = self.done, now
        left = (now - self.began) / self.done * (self.total - self.done)
        parts = [f"{self.done:,} of {self.total:,} ({self.done / self.total:.0%})"]
        parts += [f"{_duration(left)} left"] * (self.done < self.total) + [note] * bool(note)
        stderr.print(f"{self.title}: {', '.join(parts)}")


def _duration(seconds: float) -> str:
    """A time in words, roughly: seconds, minutes or hours."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


@contextmanager
def track(title: str, total: int) -> Iterator[Advance]:
    """Show how far the block has come; what it yields advances by a number of steps.

    On a terminal that is a bar, which goes when the block ends. Elsewhere, in a file of log lines say, it is a line
    every few per cent, none sooner than some seconds after another, so that short work prints nothing.
    """
    if stderr.quiet or not stderr.is_terminal:
        yield _Lines(title, total)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=stderr, transient=True) as progress:
        task = progress.add_task(title, total=total, note="")

        def advance(steps: int, note: str = "") -> None:
            progress.update(task, advance=steps, note=note)

        yield advance


def each(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """The items one after another, while :func:`track` shows how many there have been."""
    with track(title, total) as advance:
        for item in items:
            yield item
            advance(1)
