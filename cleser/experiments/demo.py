"""The main job on speech that the machine makes itself: English to Mandarin, offline, in minutes."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from cleser.console import PlainConsole
from cleser.corpora.protocol import Protocol
from cleser.evaluation import compare_runs, report, show_comparison, table
from cleser.experiments.experiment import Experiment
from cleser.experiments.methods import METHODS
from cleser.settings import to_plain
from cleser.speech import load_backbone

SOURCE, TARGET = "synthetic:en", "synthetic:zh"


def run_demo(out: Path, seeds: int, console: Console | None = None) -> Path:
    """Run source-only training and the classical row, compare them and write the report.

    Args:
        out: Folder for the two runs and the report.
        seeds: Trainings of each.
        console: Where to print.

    Returns:
        The report.
    """
    console = console or PlainConsole()
    console.print(f"learning emotion from {SOURCE}, recognising it in {TARGET}")
    protocol = Protocol((SOURCE,), (TARGET,))
    folders = []
    for name in ("erm", "classical"):
        config = METHODS[name].config()
        experiment = Experiment(name, to_plain(config), protocol, seeds, out / name)
        METHODS[name].run(experiment, config, load_backbone(experiment.backbone))
        folders.append(experiment.out)
    console.print(table(folders))
    console.print(show_comparison(compare_runs(*folders)))
    page = report(folders, out / "report.html")
    console.print(f"report: {page}")
    return page
