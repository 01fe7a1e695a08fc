"""``cleser data``: look at corpora."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from cleser.cli.console import console


def data_describe(spec: Positional[str], *, probe: bool = True) -> None:
    """Show a corpus: classes, speakers, hours and problems.

    Args:
        spec: The corpus, as NAME:FOLDER.
        probe: Open every recording for its length and sampling rate.
    """
    from cleser.corpora import describe, load  # noqa: PLC0415

    console.print(describe(load(spec), probe=probe))


def data_list() -> None:
    """Show the corpora that come with the package: language, licence, whom to ask, what is checked."""
    from rich.table import Table  # noqa: PLC0415

    from cleser.corpora.catalogue import CATALOGUE, Entry  # noqa: PLC0415

    table = Table.grid(padding=(0, 2))
    table.add_row(*(name.capitalize() for name in Entry._fields))
    for entry in CATALOGUE:
        table.add_row(*entry)
    console.print(table)


def data_convert(
    spec: Positional[str],
    out: Positional[Path],
    *,
    to: Literal["cleser", "audformat", "emobox"] = "cleser",
) -> None:
    """Write a corpus as a manifest: ours, audformat's or EmoBox's.

    Args:
        spec: The corpus, as NAME:FOLDER, or a manifest of any layout, as manifest:FILE.
        out: The file: .csv, .tsv or .parquet; .jsonl for EmoBox.
        to: The layout.
    """
    from cleser.corpora import load, problems  # noqa: PLC0415
    from cleser.corpora.convert import write_manifest  # noqa: PLC0415

    manifest = load(spec)
    write_manifest(manifest, out, to)
    left = problems(manifest)
    console.print(f"{out}: {len(manifest)} utterances, {len(left)} left out")
    for problem in left[:5]:
        console.print(f"left out: {problem.path}: {problem.reason}")


def data_folds(spec: Positional[str], *, split: str) -> None:
    """Count what the folds of a corpus share: speakers who train and are tested.

    Args:
        spec: The corpus, as NAME:FOLDER.
        split: FILE.csv, emobox:FOLDER, kfold:NUMBER or leave-one-speaker-out.
    """
    from cleser.corpora import load  # noqa: PLC0415
    from cleser.corpora.folds import audit_folds, make_folds  # noqa: PLC0415

    manifest = load(spec)
    table = audit_folds(manifest, make_folds(manifest, split))
    console.print(table.to_string(index=False, float_format="{:.2f}".format))
    leaking = int((table["shared"] > 0).sum())
    console.print(f"{leaking} of {len(table)} folds test speakers who trained")
