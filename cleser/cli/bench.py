"""``cleser bench``: many recipes in many directions, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleser.cli.console import console
from cleser.cli.pairs import parse_map
from cleser.corpora.protocol import Task

if TYPE_CHECKING:
    import pandas as pd

    from cleser.experiments.bench import Matrix


def bench_transfer(
    *,
    out: Path,
    corpora: tuple[str, ...] = (),
    recipes: tuple[str, ...] = ("all",),
    matrix: str | None = None,
    map: tuple[str, ...] = (),
    seeds: int | None = None,
    backbone: str | None = None,
    alignments: Path | None = None,
    workers: int = 1,
    layout: str = "table",
    split: str | None = None,
    shared_speakers: bool = False,
    task: Task | None = None,
) -> int:
    """Run recipes in many directions between corpora, and write one table; finished runs are not repeated.

    The exit status is 1 if any run has failed; the table is of the others.

    Args:
        out: Folder of all runs and tables.
        corpora: Corpora, each as NAME:FOLDER; en=synthetic:en gives the corpus synthetic:en the name en.
        recipes: The rows of the table; by default those of --matrix, and without one all of them.
        matrix: Directions from a YAML file or by name (real, real-zero-shot, synthetic, whisper, whisper-pairs,
            whisper-phones, whisper-zero-shot, msp-podcast, msp-biic, zero-shot-five); by default from every corpus to
            every other, with the remaining ones as auxiliary.
        map: Emotions to rename, as calm=neutral, beside those that --matrix renames.
        seeds: Number of trainings of each cell; 5 by default.
        backbone: What turns recordings into frames of features, as in cleser run; takes the place of all backbones of
            the matrix, which may have one for each language.
        alignments: Folder of alignments, which say when each phone is spoken.
        workers: Number of processes at a time.
        layout: "table", or "paper" for UAR / macro-F1 with a row for each task, as in the zero-shot paper.
        split: The split, as in cleser run; by default "speakers", or what the matrix says.
        shared_speakers: Allow a split that trains on speakers it tests; every result says so.
        task: What is learned and tested, as in cleser run; avd and both only for rows that can, such as erm.
    """
    from dataclasses import replace

    from cleser.experiments.bench import all_pairs, load_matrix, paper_layout
    from cleser.experiments.variants import VARIANTS

    if layout not in ("table", "paper"):
        raise ValueError(f"layout is {layout!r}, expected 'table' or 'paper'")
    specs = _by_name(corpora)
    if not matrix and len(specs) < 2:
        raise ValueError(
            f"found {len(specs)} corpora and no --matrix, expected two or more as --corpora NAME:FOLDER NAME:FOLDER"
        )
    rows = tuple(VARIANTS) if recipes == ("all",) else recipes
    plan = load_matrix(matrix) if matrix else all_pairs(list(specs), rows)
    if recipes != ("all",):
        plan = replace(plan, recipes=rows)
    if seeds is not None:
        plan = replace(plan, seeds=seeds)
    if backbone is not None:
        plan = replace(plan, backbone=backbone, backbones={})
    renamed = parse_map(map)
    directions = tuple(replace(one, map={**one.map, **renamed}) for one in plan.directions)
    terms = {**plan.terms, **_terms(split, shared_speakers, task)}
    plan = replace(plan, directions=directions, terms=terms)
    if layout == "paper" and plan.terms.get("task") == "avd":
        raise ValueError(
            "--layout paper shows UAR and macro-F1, which runs of --task avd lack, expected --layout table"
        )
    table, failed = _run(plan, specs, out, workers, alignments)
    if layout == "paper":
        _show(paper_layout(table), out)
    else:
        _show_rows(table, out)
    return failed


def bench_within(
    *,
    out: Path,
    corpora: tuple[str, ...],
    split: str = "leave-one-speaker-out",
    shared_speakers: bool = False,
    map: tuple[str, ...] = (),
    recipes: tuple[str, ...] = ("erm", "classical"),
    seeds: int = 5,
    backbone: str = "acoustic",
    alignments: Path | None = None,
    workers: int = 1,
    task: Task | None = None,
) -> int:
    """Run recipes within each corpus, fold by fold, and write one table; finished runs are not repeated.

    The exit status is 1 if any run has failed; the table is of the others.

    Args:
        out: Folder of all runs and tables.
        corpora: Corpora, each as NAME:FOLDER; en=synthetic:en gives the corpus synthetic:en the name en.
        split: Folds, as in cleser run: FILE.csv, emobox:FOLDER, kfold:5, leave-one-speaker-out; or official.
        shared_speakers: Allow a split that trains on speakers it tests; every result says so.
        task: What is learned and tested, as in cleser run; avd and both only for rows that can, such as erm.
        map: Emotions to rename, as calm=neutral.
        recipes: The rows of the table.
        seeds: Number of trainings of each fold.
        backbone: What turns recordings into frames of features, as in cleser run.
        alignments: Folder of alignments, which say when each phone is spoken.
        workers: Number of processes at a time.
    """
    from cleser.experiments.bench import Direction, Matrix

    specs, renamed = _by_name(corpora), parse_map(map)
    directions = tuple(Direction((name,), (name,), map=renamed) for name in specs)
    terms = _terms(split, shared_speakers, task)
    plan = Matrix(directions, recipes, seeds, backbone, terms)
    table, failed = _run(plan, specs, out, workers, alignments)
    _show_rows(table, out)
    return failed


def _terms(split: str | None, shared_speakers: bool, task: Task | None) -> dict[str, Any]:
    """The terms that flags ask for, in place of those of the matrix."""
    asked = {"split": split, "shared_speakers": shared_speakers, "task": task}
    return {name: value for name, value in asked.items() if value}


def _run(
    plan: Matrix, specs: dict[str, str], out: Path, workers: int, alignments: Path | None
) -> tuple[pd.DataFrame, int]:
    """The table, and the exit status: 1 if a cell failed, so that a script notices."""
    from cleser.experiments.bench import run_matrix
    from cleser.progress import say_always
    from cleser.training.processes import processes

    together = processes().num_processes
    if workers > 1 and together > 1:
        raise ValueError(
            f"found --workers {workers} in each of {together} processes that work together, expected one of both"
        )
    failures = []

    def tell(said: str) -> None:
        failures.append(said)
        say_always(said)

    folder = str(alignments) if alignments else None
    table = run_matrix(plan, specs, out, workers=workers, alignments=folder, tell=tell)
    if table.empty:
        raise ValueError(f"no run of {out} has finished")
    return table, 1 if failures else 0


def _show_rows(table: pd.DataFrame, out: Path) -> None:
    """A row a run, and why it has no difference where the recipes lack what it would be to."""
    from cleser.experiments.bench.table import absent_references, readable
    from cleser.training.processes import leads

    _show(readable(table).set_index("direction"), out)
    absent = absent_references(table)
    if absent and leads():
        console.print(f"no differences: they are to {', '.join(absent)}, not among --recipes")


def _show(table: pd.DataFrame, out: Path) -> None:
    from cleser.training.processes import leads

    if not leads():
        return
    console.print(table.to_string(na_rep="–"), highlight=False, soft_wrap=True)
    console.print(f"tables: {out / 'table.csv'}, table.html, table.tex")


def _by_name(corpora: Sequence[str]) -> dict[str, str]:
    """Specs by the names that were given, or else by what tells them apart.

    Raises:
        ValueError: Two corpora have one name.
    """
    from cleser.experiments.selection import names_of

    pairs = [_named(spec) for spec in dict.fromkeys(corpora)]
    free = iter(names_of([spec for name, spec in pairs if not name]))
    names = [name or next(free) for name, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"--corpora gives several corpora the name {twice[0]!r}, expected another for each, as NAME=manifest:FILE"
        )
    return dict(zip(names, (spec for _, spec in pairs), strict=True))


def _named(spec: str) -> tuple[str, str]:
    """The name that was given, if any, and the spec."""
    name, equals, rest = spec.partition("=")
    return (name, rest) if equals and ":" not in name else ("", spec)
