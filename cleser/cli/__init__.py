"""The command line, ``cleser COMMAND …``. Each command is a function, and its flags are the function's arguments.

The return value of a command is the exit status, where None means 0. Status 2 means that the command was called
wrongly.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import tyro
from rich.table import Table
from rich.text import Text

from cleser import __version__
from cleser.cli.console import console
from cleser.cli.lists import list_flags, merged
from cleser.console import PlainConsole
from cleser.files import cache_folder, check_writable
from cleser.progress import stderr
from cleser.suggestions import did_you_mean

# Where each command stands, as module:function; a module is imported when its command is called.
COMMANDS = {
    "demo": "demo:demo",
    "run": "run:run",
    "tune": "run:tune",
    "data describe": "data:data_describe",
    "data audit": "data:data_audit",
    "data list": "data:data_list",
    "data convert": "data:data_convert",
    "data folds": "data:data_folds",
    "align": "align:align",
    "phonemes": "phonemes:phonemes",
    "bench transfer": "bench:bench_transfer",
    "bench within": "bench:bench_within",
    "evaluate": "results:evaluate",
    "compare": "results:compare",
    "report": "results:report",
    "predict": "predict:predict",
    "export": "predict:export",
    "submit": "submit:submit",
    "doctor": "doctor:doctor",
    "extract": "extract:extract",
    "communities": "communities:communities",
    "layers": "layers:layers",
    "completion": "completion:completion",
}
BY_RECIPE: Final = ("run", "tune")  # their flags depend on the recipe, so they read them themselves
GLOBAL_FLAGS: Final = ("--quiet", "--verbose")  # of every command, before or after it


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; a mistake of the user is one line, not a traceback unless that is asked for."""
    # Read when torch is imported. By default, threads that wait for others do so busily: on cores that other programs
    # use too, a training then takes twice as long, and alone it is no faster.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    args = list(sys.argv[1:] if argv is None else argv)
    quiet, verbose = (flag in args for flag in GLOBAL_FLAGS)
    args = [word for word in args if word not in GLOBAL_FLAGS]
    verbose = verbose or bool(os.environ.get("CLESER_DEBUG"))
    before, stderr.quiet = stderr.quiet, quiet
    try:
        if verbose:
            stderr.print(
                f"cleser {__version__}, Python {platform.python_version()}, {platform.platform()}, "
                f"cache {cache_folder()}"
            )
        with _terminated_as_interrupted():
            try:
                return dispatch(args)
            finally:
                sys.stdout.flush()  # else its errors come when Python ends, where nobody can catch them
    except (ValueError, ImportError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return 128 + signal.SIGPIPE
        if verbose:
            traceback.print_exc()
        said = Text.assemble(("error:", "bold red"), f" {_sentence(error)}")
        PlainConsole(stderr=True).print(said)
        return 2
    except KeyboardInterrupt as signalled:
        PlainConsole(stderr=True).print("interrupted; the same command goes on from here")
        return 128 + (signal.SIGTERM if isinstance(signalled, _Terminated) else signal.SIGINT)
    finally:
        stderr.quiet = before


def _nobody_reads() -> bool:
    """Whether the reader of what is printed has ended, as ``head`` does; no other pipe (of a worker, say) is meant."""
    output = select.poll()
    output.register(sys.stdout, 0)
    if not output.poll(0):  # what it tells unasked: an error, or that the other end is closed
        return False
    # Or Python would try once more when it ends, and complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


class _Terminated(KeyboardInterrupt):
    """A batch system wants this process to end."""


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C, and the workers too, which a terminal would interrupt by itself."""

    def end(number: int, frame: object) -> None:
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _sentence(error: Exception) -> str:
    """The sentence that is printed for an error; the system's own begin with the path instead of a number."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def _load(name: str) -> Callable[..., int | None]:
    module, function = COMMANDS[name].split(":")
    command: Callable[..., int | None] = getattr(import_module(f"cleser.cli.{module}"), function)
    return command


def dispatch(args: list[str]) -> int:
    """Call the command that the words begin with, and let its errors through.

    Args:
        args: The words after ``cleser``, without :data:`GLOBAL_FLAGS`.
    """
    if args in (["--version"], ["-V"]):
        console.print(f"cleser {__version__}")
        return 0
    for name in COMMANDS:
        words = name.split()
        if args[: len(words)] == words:
            command, rest = _load(name), args[len(words) :]
            if name in BY_RECIPE:
                return command(rest) or 0
            rest = merged(rest, list_flags(command))
            return tyro.cli(_trying_files(command), args=rest, prog=f"cleser {name}") or 0
    group = [name for name in COMMANDS if args and name.split()[:-1] == args[:1]]
    if not (args[1:] if group else args) or args[-1] in ("--help", "-h"):
        show_usage(group or list(COMMANDS), lambda name: summary(_load(name)))
        return 0
    wanted = " ".join([word for word in args if not word.startswith("-")][:2]) or args[0]
    near = did_you_mean(wanted, COMMANDS)
    if not near and not group:
        near = did_you_mean(args[0], {name.split()[0] for name in COMMANDS})
    some = f"cleser {args[0]} --help" if group else "cleser --help"
    raise ValueError(f"there is no command {wanted!r}{near or f', {some} lists them'}")


def _trying_files(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """The command, which begins only where what it writes can be written."""

    @wraps(command)
    def checked(*args: Any, **flags: Any) -> int | None:
        for name in ("out", "csv", "json_file"):
            if isinstance(path := flags.get(name), Path):
                flag = f"--{name.replace('_', '-')}"
                if name != "out" and path.is_dir():
                    raise ValueError(
                        f"{flag} {path} is a folder (an empty name is the current one), expected the name of a file"
                    )
                check_writable(path, flag)
        return command(*args, **flags)

    return checked


def summary(command: Callable[..., Any]) -> str:
    """The first paragraph of a docstring; its examples are for readers of the code."""
    return (command.__doc__ or "").split("\n\n")[0].strip()


def show_usage(commands: Sequence[str], describe: Callable[[str], str]) -> None:
    """Print what commands there are, each with what it does.

    Args:
        commands: Names of the commands.
        describe: Says what the command of a name does.
    """
    console.print(Text.assemble(("cleser", "bold"), ": cross-lingual speech emotion recognition\n"))
    rows = Table.grid(padding=(0, 2))
    for name in commands:
        rows.add_row(f"  cleser {name}", Text(describe(name)))
    console.print(rows, highlight=False, soft_wrap=False)
    console.print(
        "\ncleser COMMAND --help explains a command, and cleser --version prints the version. With any command,\n"
        "--quiet prints only results and errors, and --verbose also prints versions and full tracebacks."
    )
