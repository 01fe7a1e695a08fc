"""The console that commands print to."""

from cleser.console import PlainConsole

console = PlainConsole()
