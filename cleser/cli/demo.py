"""``cleser demo``: cross-lingual recognition from start to report, on synthetic speech."""

from __future__ import annotations

from pathlib import Path


def demo(*, out: Path = Path("runs/demo"), seeds: int = 3) -> None:
    """Synthesise speech in two languages, train on one, recognise the other; offline, in minutes.

    Args:
        out: Folder for the runs.
        seeds: Number of trainings.
    """
    from cleser.experiments.demo import run_demo

    run_demo(out, seeds)
