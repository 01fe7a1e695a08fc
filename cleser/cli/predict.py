"""``cleser predict`` and ``export``: use a finished run on recordings, and hand it on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from tyro.conf import Positional

from cleser.cli.console import console

if TYPE_CHECKING:
    import pandas as pd


def predict(
    run: Positional[Path],
    files: Positional[tuple[Path, ...]],
    *,
    json: bool = False,
    csv: Path | None = None,
    together: bool = False,
) -> None:
    """Recognise the emotion of recordings with a finished run.

    Args:
        run: A run folder, or an exported one.
        files: Recordings.
        json: Print JSON.
        csv: Write a CSV file instead of printing.
        together: Standardise the recordings by their own statistics, as of one speaker.
    """
    import cleser  # noqa: PLC0415

    table = cleser.load_model(run).predict(files, together=together)
    for problem in table.attrs["problems"]:
        print(f"left out: {problem['path']}: {problem['reason']}", file=sys.stderr)
    if csv:
        _write(csv, table.to_csv(index=False))
        console.print(f"{len(table)} recordings: {csv}", highlight=False)
    elif json:
        print(_as_json(table))
    else:
        console.print(_as_table(table), highlight=False)


def export(run: Positional[Path], *, out: Path) -> None:
    """Make a folder to share of a run: weights, settings, model card.

    Args:
        run: The folder of a finished run.
        out: The folder to make.
    """
    from cleser.recipes.export import export as write  # noqa: PLC0415

    folder = write(run, out)
    console.print(f"{folder}: {', '.join(sorted(p.name for p in folder.iterdir()))}")


def _probabilities(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if name.startswith("p_")]


def _as_json(table: pd.DataFrame) -> str:
    rows = [
        {
            "path": row["path"],
            "emotion": row["emotion"],
            "probabilities": {n.removeprefix("p_"): row[n] for n in _probabilities(table)},
        }
        for row in table.to_dict("records")
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False)


def _as_table(table: pd.DataFrame) -> Table:
    shown = Table()
    names = _probabilities(table)
    for heading in ("recording", "emotion", *(n.removeprefix("p_") for n in names)):
        shown.add_column(heading)
    for row in table.to_dict("records"):
        shown.add_row(row["path"], row["emotion"], *(f"{row[n]:.2f}" for n in names))
    return shown


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text)
    temporary.replace(path)
