"""How fast TextGrids are read, beside praatio (and textgrid, where it is installed).

    python benchmarks/alignment.py [--quick]

Files as Montreal Forced Aligner writes them, a tier of words and one of phones. Ours reads bytes to a checked alignment
in IPA; the others read to their own objects, symbols as they stand, times unchecked. They take turns at all files; a
file's processor time is the shortest of its rounds, the table's the mean over files.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from praatio import textgrid as praatio
from praatio.utilities.constants import Interval

from cleser.speech import read_alignment

# fmt: off
ARPABET = (
    "AA1", "AE1", "AH0", "B", "CH", "D", "DH", "EH1", "ER0", "F", "G", "HH", "IH0", "IY1", "K", "L", "M", "N", "NG",
    "OW1", "P", "R", "S", "SH", "T", "TH", "UW1", "V", "W", "Y", "Z",
)
IPA = (
    "ɑ", "æ", "ə", "b", "tʃ", "d", "ð", "ɛ", "ɚ", "f", "ɡ", "h", "ɪ", "iː", "k", "l", "m", "n", "ŋ", "oʊ", "p", "ɹ",
    "s", "ʃ", "t", "θ", "uː", "v", "w", "j", "z",
)
# fmt: on


def make(folder: Path, files: int, phones: int) -> dict[str, list[Path]]:
    random = np.random.default_rng(0)
    made: dict[str, list[Path]] = {"long": [], "short": []}
    for number in range(files):
        edges = [round(float(t), 4) for t in np.cumsum(random.uniform(0.03, 0.15, phones + 1))]
        symbols = random.choice((ARPABET, IPA)[number % 2], phones)
        times = list(pairwise(edges))
        marked = [Interval(a, b, str(s)) for (a, b), s in zip(times, symbols, strict=True)]
        words = [
            Interval(edges[i], edges[min(i + 4, phones)], f"word{i}") for i in range(0, phones, 4)
        ]
        grid = praatio.Textgrid(0, edges[-1] + 0.2)
        for name, entries in (("words", words), ("phones", marked)):
            grid.addTier(praatio.IntervalTier(name, entries, 0, edges[-1] + 0.2))
        for layout, paths in made.items():
            path = folder / f"{layout}-{phones}-{number}.TextGrid"
            grid.save(str(path), f"{layout}_textgrid", includeBlankSpaces=True)
            paths.append(path)
    return made


def readers() -> dict[str, Callable[[Path], object]]:
    found: dict[str, Callable[[Path], object]] = {
        "cleser": read_alignment,
        "praatio": lambda path: praatio.openTextgrid(str(path), includeEmptyIntervals=True),
    }
    try:
        peer = importlib.import_module("textgrid")
    except ImportError:
        print("textgrid is not installed: compared with praatio alone\n")
    else:
        found["textgrid"] = lambda path: peer.TextGrid.fromFile(str(path))
    return found


def milliseconds(
    contestants: dict[str, Callable[[Path], object]], paths: list[Path], rounds: int
) -> dict[str, float]:
    shortest = {name: [float("inf")] * len(paths) for name in contestants}
    for _ in range(rounds):
        for name, read in contestants.items():
            for i, path in enumerate(paths):
                began = time.process_time()
                read(path)
                shortest[name][i] = min(shortest[name][i], time.process_time() - began)
    return {name: statistics.mean(times) * 1000 for name, times in shortest.items()}


def compare(quick: bool) -> None:
    """Print the table."""
    files, rounds = (30, 10) if quick else (200, 20)
    contestants = readers()
    print("\n| format | phones | reader | ms a file | × cleser |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for phones in (40, 150):
            for layout, paths in make(Path(folder), files, phones).items():
                means = milliseconds(contestants, paths, rounds)
                for name, mean in means.items():
                    ratio = mean / means["cleser"]
                    print(
                        f"| {layout} | {phones} | {name} | {mean:.3f} | {ratio:.1f} |", flush=True
                    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer files and rounds")
    compare(parser.parse_args().quick)


if __name__ == "__main__":
    main()
