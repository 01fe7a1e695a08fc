"""Where commands print."""

from cleser.console import PlainConsole

console = PlainConsole()
