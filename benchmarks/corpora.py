"""How long a corpus of MSP-Podcast's size takes to load: ``python benchmarks/corpora.py [--quick]``.

Makes a tree of the official layout, as large as release 2.0, whose recordings have a size but no content.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from cleser.corpora import load
from cleser.corpora.folders import recordings

TURNS, WITHHELD = 267_905, 3_200


def make(root: Path, turns: int, withheld: int) -> None:
    """A tree with this many turns, the last of them in Test3 and without labels."""
    rng = np.random.default_rng(0)
    names = [f"MSP-PODCAST_{n // 100:04d}_{n % 100:04d}.wav" for n in range(turns)]
    labelled = turns - withheld
    split = rng.choice(["Train", "Development", "Test1", "Test2"], labelled)
    table = pd.DataFrame(
        {
            "FileName": names[:labelled],
            "EmoClass": rng.choice(list("ASHUFDCNOX"), labelled),
            **{
                name: rng.integers(10, 71, labelled) / 10 for name in ("EmoAct", "EmoVal", "EmoDom")
            },
            "SpkrID": rng.choice([*map(str, range(2_000)), "Unknown"], labelled),
            "Gender": rng.choice(["Male", "Female", "Unknown"], labelled),
            "Split_Set": split,
        }
    )
    (root / "Labels").mkdir()
    (root / "Audios").mkdir()
    table.to_csv(root / "Labels" / "labels_consensus.csv", index=False, encoding="utf-8-sig")
    sets = [*split, *["Test3"] * withheld]
    lines = [f"{name}; {file}" for name, file in zip(sets, names, strict=True)]
    (root / "Partition.txt").write_text("\n".join(lines))
    for name in names:
        with (root / "Audios" / name).open("wb") as file:
            file.truncate(96_044)  # three seconds, of which the disk stores nothing


def timed(step: Callable[[], pd.DataFrame]) -> tuple[float, int]:
    began = time.perf_counter()
    rows = len(step())
    return time.perf_counter() - began, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the size")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    scale = 10 if options.quick else 1
    turns = TURNS // scale
    table = Table(title=f"MSP-Podcast layout, {turns:,} turns, best and worst of {options.repeats}")
    for name in ("step", "rows", "best (s)", "worst (s)"):
        table.add_column(name, justify="left" if name == "step" else "right")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root, turns, WITHHELD // scale)
        steps = {
            "list the folder": lambda: recordings(root / "Audios"),
            "load (listing included)": lambda: load(f"msp-podcast:{root}"),
        }
        for name, step in steps.items():
            times, rows = zip(*(timed(step) for _ in range(options.repeats)), strict=True)
            table.add_row(name, f"{rows[0]:,}", f"{min(times):.2f}", f"{max(times):.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
