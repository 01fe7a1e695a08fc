"""The command line: ``cleser COMMAND …``; each command is a function, its flags are its arguments."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import tyro
import yaml
from rich.console import Console
from rich.table import Table
from tyro.conf import OmitArgPrefixes, Positional

from cleser.corpora.protocol import Normalisation, Protocol, Split, TargetAccess

C = TypeVar("C")
console = Console()


@dataclass(frozen=True)
class RunArguments(Generic[C]):
    """One recipe under one protocol.

    Attributes:
        source: Corpora to learn from, as NAME:FOLDER.
        target: Corpora to recognise.
        out: The run folder. An unfinished run in it is continued.
        method: Settings of the recipe.
        auxiliary: Further labelled corpora, for recipes that use them.
        labels: The classes.
        map: Emotions to rename, as calm=neutral.
        normalisation: Whose unlabelled statistics standardise the features.
        target_access: What training may see of the target.
        split: Hold out source speakers, or keep to official splits.
        dev: Share of the source speakers held out to choose the epoch.
        split_seed: Draws them.
        seeds: How many trainings, with seeds 0, 1, ….
        backbone: What turns recordings into frames.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    out: Path
    method: OmitArgPrefixes[C]
    auxiliary: tuple[str, ...] = ()
    labels: tuple[str, ...] = Protocol.labels
    map: tuple[str, ...] = ()
    normalisation: Normalisation = "speaker"
    target_access: TargetAccess = "audio"
    split: Split = "speakers"
    dev: float = 0.2
    split_seed: int = 0
    seeds: int = 3
    backbone: str = "acoustic"

    def protocol(self) -> Protocol:
        """The protocol that the flags describe."""
        return Protocol(
            self.source,
            self.target,
            self.auxiliary,
            self.labels,
            self.split,
            self.split_seed,
            map=parse_map(self.map),
            dev=self.dev,
            normalisation=self.normalisation,
            target_access=self.target_access,
        )


def parse_map(pairs: Sequence[str]) -> dict[str, str]:
    """Turn ``("calm=neutral",)`` into ``{"calm": "neutral"}``.

    >>> parse_map(["calm=neutral"])
    {'calm': 'neutral'}
    """
    for pair in pairs:
        if pair.count("=") != 1 or not all(pair.split("=")):
            raise ValueError(f"map holds {pair!r}, expected FROM=TO, as calm=neutral")
    return dict(pair.split("=") for pair in pairs)


def run(args: list[str]) -> None:
    """Train and test a recipe: ``cleser run RECIPE --source … --target … --out DIR``."""
    from cleser.recipes import METHODS  # noqa: PLC0415  (starting up must not cost an import of torch)

    if not args or args[0] not in METHODS:
        raise ValueError(f"run what? expected one of {', '.join(METHODS)}")
    name, *rest = args
    method = METHODS[name]
    default, rest = _saved(rest, name, method.config)
    arguments = tyro.cli(
        RunArguments[method.config],  # type: ignore[name-defined]
        args=rest,
        prog=f"cleser run {name}",
        description=(method.run.__doc__ or "") + "\n--config FILE runs a saved config.yaml again.",
        **({"default": default} if default else {}),
    )
    run_method(name, arguments.method, arguments.protocol(), arguments)


def run_method(name: str, config: Any, protocol: Protocol, arguments: Any) -> dict[str, Any]:
    """Run a recipe and print its result and report."""
    from cleser.evaluation import report, show_results  # noqa: PLC0415
    from cleser.recipes import METHODS  # noqa: PLC0415
    from cleser.recipes.experiment import Experiment  # noqa: PLC0415
    from cleser.recipes.settings import to_plain  # noqa: PLC0415
    from cleser.speech import load_backbone  # noqa: PLC0415

    experiment = Experiment(
        name, to_plain(config), protocol, arguments.seeds, arguments.out, arguments.backbone
    )
    results = METHODS[name].run(experiment, config, load_backbone(arguments.backbone))
    page = report([arguments.out], arguments.out / "report.html")
    console.print(show_results(results))
    console.print(f"report: {page}")
    return results


def _saved(args: list[str], name: str, kind: type[Any]) -> tuple[Any, list[str]]:
    """Take ``--config FILE`` out of the flags and make its settings their defaults."""
    from cleser.recipes.settings import from_plain  # noqa: PLC0415

    if "--config" not in args:
        return None, args
    at = args.index("--config")
    if at + 1 == len(args):
        raise ValueError("--config expects a file, as runs/de-en/config.yaml")
    path = Path(args[at + 1])
    try:
        saved = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ValueError(f"--config {path} cannot be read ({error.strerror})") from error
    if saved["recipe"] != name:
        raise ValueError(f"{path} holds a {saved['recipe']!r} run, expected {name!r}")
    terms = saved["protocol"]
    terms["split_seed"] = terms.pop("seed")
    terms["map"] = tuple(f"{old}={new}" for old, new in terms["map"].items())
    terms = {k: tuple(v) if isinstance(v, list) else v for k, v in terms.items()}
    default = RunArguments(
        out=tyro.MISSING,
        method=from_plain(kind, saved["config"]),
        seeds=saved["seeds"],
        backbone=saved["backbone"],
        **terms,
    )
    return default, args[:at] + args[at + 2 :]


def data_describe(spec: Positional[str], *, probe: bool = True) -> None:
    """Show a corpus: classes, speakers, hours and problems.

    Args:
        spec: The corpus, as NAME:FOLDER.
        probe: Open every recording for its length and sampling rate.
    """
    from cleser.corpora import describe, load  # noqa: PLC0415

    console.print(describe(load(spec), probe=probe))


def evaluate(
    run: Positional[Path],
    *,
    on: tuple[str, ...],
    map: tuple[str, ...] = (),
    out: Path | None = None,
) -> None:
    """Recognise another corpus with the networks of a finished run.

    Args:
        run: The run folder.
        on: Corpora to recognise, as NAME:FOLDER.
        map: Emotions to rename, as calm=neutral.
        out: Folder for the results; by default one within the run.
    """
    from cleser.evaluation import show_results  # noqa: PLC0415
    from cleser.recipes.transfer import evaluate as transfer  # noqa: PLC0415

    console.print(show_results(transfer(run, on, renamed=parse_map(map), out=out)))


def compare(a: Positional[Path], b: Positional[Path], *, force: bool = False) -> None:
    """Test whether two runs on the same utterances differ.

    Args:
        a: A run folder.
        b: Another.
        force: Compare even if the protocols differ.
    """
    from cleser.evaluation import compare_runs, show_comparison  # noqa: PLC0415

    console.print(show_comparison(compare_runs(a, b, force=force)))


def report(runs: Positional[tuple[Path, ...]], *, out: Path) -> None:
    """Write a page, and print a table, of one or more runs.

    Args:
        runs: Run folders.
        out: The HTML file.
    """
    from cleser.evaluation import report as write  # noqa: PLC0415
    from cleser.evaluation import table  # noqa: PLC0415

    console.print(table(list(runs)))
    console.print(f"report: {write(list(runs), out)}")


def demo(*, out: Path = Path("runs/demo"), seeds: int = 3) -> None:
    """Synthesise speech in two languages, train on one, recognise the other; offline, in minutes.

    Args:
        out: Folder for the runs.
        seeds: How many trainings.
    """
    from cleser.demo import run_demo  # noqa: PLC0415

    run_demo(out, seeds)


COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "data describe": data_describe,
    "evaluate": evaluate,
    "compare": compare,
    "report": report,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; a mistake of the user is one line, not a traceback."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(args)
    except (ValueError, ImportError) as error:
        if os.environ.get("CLESER_DEBUG"):
            raise
        Console(stderr=True).print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; the same command goes on from here")
        return 130


def _dispatch(args: list[str]) -> int:
    if args[:1] == ["run"]:
        run(args[1:])
        return 0
    for name, command in COMMANDS.items():
        words = name.split()
        if args[: len(words)] == words:
            tyro.cli(command, args=args[len(words) :], prog=f"cleser {name}")
            return 0
    _usage(args)
    return 0 if args in ([], ["--help"], ["-h"]) else 2


def _usage(args: list[str]) -> None:
    if args not in ([], ["--help"], ["-h"]):
        console.print(f"there is no command {' '.join(args[:2])!r}\n")
    console.print("[bold]cleser[/]: cross-lingual speech emotion recognition\n")
    rows = Table.grid(padding=(0, 2))
    for name, function in {"run": run, **COMMANDS}.items():
        rows.add_row(f"  cleser {name}", (function.__doc__ or "").splitlines()[0].replace("``", ""))
    console.print(rows, highlight=False)
    console.print("\ncleser COMMAND --help says more.")
