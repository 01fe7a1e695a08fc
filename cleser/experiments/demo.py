"""The demo: recognition from English to Mandarin on synthetic speech, offline, in minutes."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Final

import pandas as pd
from rich.console import Console

from cleser.console import PlainConsole
from cleser.corpora.protocol import Protocol
from cleser.corpora.registry import load
from cleser.evaluation import compare_runs, report, show_comparison, table
from cleser.experiments.experiment import Experiment
from cleser.experiments.methods import METHODS
from cleser.experiments.prediction.recogniser import load_model
from cleser.experiments.variants import VARIANTS, controls_of
from cleser.settings import to_plain
from cleser.speech import load_backbone

SOURCE, TARGET = "synthetic:en", "synthetic:zh"
ROWS: Final = ("erm", "self-training", "sapa")
EPOCHS: Final = 10  # a third of what self-training and sapa have by default: a demo has minutes


def run_demo(out: Path, seeds: int) -> Path:
    """Train without the target, with its unlabelled speech, and with SAPA; compare, listen, and write the report.

    Args:
        out: Folder for the runs and the report.
        seeds: Trainings of each.

    Returns:
        The report.
    """
    console = PlainConsole()
    console.print(
        f"learning emotion from {SOURCE}, recognising it in {TARGET}; {seeds} training{'s' if seeds > 1 else ''} of "
        f"{EPOCHS} epochs each:\n"
        "  erm            learns from English alone\n"
        "  self-training  labels the Mandarin speech itself and learns from that too\n"
        "  sapa           does the same, and anchors speaker styles and phonemes across the languages"
    )
    folders = [_run(name, seeds, out / name) for name in ROWS]
    console.print(table(folders))
    console.print(
        "\nsapa against its fair control, which is the same but for what the method adds:",
        style="bold",
    )
    console.print(show_comparison(compare_runs(out / "self-training", out / "sapa")))
    _listen(out / "sapa", console)
    page = report(folders, out / "report.html", controls=controls_of(folders), listen=4)
    console.print(f"\nreport: {page}")
    console.print(
        "\nnext:\n"
        "  cleser data describe manifest:MY.csv    what is in a corpus of your own\n"
        "  cleser run erm --source emodb:DIR --target manifest:MY.csv --out runs/mine\n"
        f"  cleser predict {shlex.quote(str(out / 'sapa'))} FILE.wav",
        highlight=False,
    )
    return page


def _run(name: str, seeds: int, out: Path) -> Path:
    """Run a row of a comparison, if it is not there yet."""
    variant = VARIANTS[name]
    config = variant.config()
    config = replace(config, training=replace(config.training, epochs=EPOCHS))
    protocol = variant.protocol(Protocol((SOURCE,), (TARGET,)))
    experiment = Experiment(variant.method, to_plain(config), protocol, seeds, out)
    METHODS[variant.method].run(experiment, config, load_backbone(experiment.backbone))
    return out


def _listen(run: Path, console: Console) -> None:
    """Recognise one recording by itself, as ``cleser predict`` does."""
    model = load_model(run)
    rows = load(TARGET)
    row = rows[rows["emotion"] == "anger"].iloc[0]
    table = model.predict([row["path"]])
    found = table.iloc[0]
    shares = pd.Series({name: float(found[f"p_{name}"]) for name in model.labels})
    said = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    console.print(
        f"\n{Path(row['path']).name}, spoken with {row['emotion']}, is recognised as {found['emotion']}: {said}",
        highlight=False,
    )
    console.print(table.attrs["terms"], style="dim", highlight=False)
