"""The cells of a matrix run, by parallel workers; what is finished is not run again."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from cleser.evaluation import Run
from cleser.evaluation.run_files import COST, SELECTION
from cleser.experiments.bench.cells import Cell, cells_of, experiment_of, trials_of
from cleser.experiments.bench.matrix import Matrix
from cleser.experiments.bench.table import tabulate, write_tables
from cleser.experiments.experiment import Experiment
from cleser.experiments.methods import METHODS
from cleser.experiments.selection import (
    Choices,
    Selection,
    chosen_already,
    read_grid,
    select_by_transfer,
)
from cleser.experiments.variants import variant
from cleser.files import write_text
from cleser.memory import peak, reset_peak
from cleser.progress import console, say_always, track
from cleser.speech import load_backbone


def run_matrix(
    matrix: Matrix,
    corpora: dict[str, str],
    out: Path,
    *,
    workers: int = 1,
    alignments: str | None = None,
    tell: Callable[[str], None] = say_always,
) -> pd.DataFrame:
    """Run what is not finished yet, and tabulate all.

    Args:
        matrix: Directions and recipes.
        corpora: Spec by name, as ``{"emodb": "emodb:DIR"}``, beside those that the matrix brings.
        out: Folder of all runs.
        workers: Processes at a time.
        alignments: Folder of alignments, which say when each phone is spoken.
        tell: Gets a sentence for each cell that failed; by default they are printed.

    Returns:
        See :func:`tabulate`; also written to ``out`` as CSV, HTML and LaTeX. A cell that failed is told of and left
        out, whatever its folder holds, and so is one whose target has no labels.

    Raises:
        ValueError: A corpus or a recipe is unknown.
    """
    cells = list(cells_of(matrix, corpora, out))
    jobs = [(cell, matrix, alignments) for cell in cells]
    failed = set()
    with track("bench", len(jobs)) as advance:
        for cell, problem in _done(jobs, workers):
            advance(1, f"{cell.direction.name} {cell.recipe}")
            if problem:
                failed.add(cell.folder)
                tell(f"{cell.direction.name} {cell.recipe} failed: {problem}")
    # What failed may have results all the same, of another matrix.
    table = tabulate([cell for cell in cells if cell.folder not in failed])
    if not table.empty:
        write_tables(table, out)
    return table


Job = tuple[Cell, Matrix, str | None]


def _done(jobs: list[Job], workers: int) -> Iterator[tuple[Cell, str]]:
    """Each cell as it is finished, with what went wrong."""
    if workers <= 1:
        for job in jobs:
            yield job[0], _attempt(job)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, context, initializer=_begin, initargs=(workers, console.quiet)
    ) as pool:
        coming = {pool.submit(_attempt, job): job[0] for job in jobs}
        for future in as_completed(coming):
            try:
                problem = future.result()
            except BrokenProcessPool:
                problem = "a worker was killed, perhaps for lack of memory; try fewer --workers"
            yield coming[future], problem


def _begin(workers: int, quiet: bool) -> None:
    """Take a share of the cores, or threads of several processes fight for the same; a user's word stands."""
    console.quiet = quiet
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


def _attempt(job: Job) -> str:
    """Run a cell; what went wrong, empty if nothing did.

    The traceback is kept beside the cell's folder: whether a ValueError is a mistake of the user, said in a sentence,
    or one within a library, nobody could tell otherwise.
    """
    cell = job[0]
    kept = cell.folder.with_name(f"{cell.folder.name}.failed.txt")
    try:
        _run(*job)
    except Exception as error:
        meant_for_users = isinstance(error, ValueError | ImportError)
        said = str(error) if meant_for_users else f"{type(error).__name__}: {error}"
        with suppress(OSError):
            write_text(kept, traceback.format_exc())
            said += f" ({kept} has the traceback)"
        return said
    kept.unlink(missing_ok=True)
    return ""


def _run(cell: Cell, matrix: Matrix, alignments: str | None) -> None:
    experiment, config = experiment_of(cell, matrix, alignments)
    grid = variant(cell.recipe).grid
    began = time.perf_counter()
    reset_peak()
    found = None
    if grid:
        choices = read_grid(grid, config, experiment.backbone, protocol=experiment.protocol)
        if chosen_already(experiment, choices):
            Run(cell.folder).needs_scores()
            return  # with what was chosen, which the matrix does not know
        found = choose(experiment, config, choices, cell)
    if found:
        experiment, config = found.apply(experiment, config)
    if experiment.finished():
        Run(cell.folder).needs_scores()
        return
    METHODS[experiment.recipe].run(experiment, config, load_backbone(experiment.backbone))
    Run(cell.folder).needs_scores()
    if found:
        found.write(cell.folder / SELECTION)
    # What an interrupted attempt took before is not known: the time is that of the last.
    took = {"seconds": time.perf_counter() - began, "peak_bytes": peak()}
    write_text(cell.folder / COST, json.dumps(took))


def choose(experiment: Experiment, config: Any, choices: Choices, cell: Cell) -> Selection:
    """Settings for a cell by transfer validation; directions of the same pool share its trials.

    Those of a single source are chosen by trials from single sources.
    """
    general = replace(experiment, protocol=replace(experiment.protocol, map=cell.renamed or {}))
    alone = len(cell.sources) == 1
    return select_by_transfer(general, config, choices, cell.pool, trials_of(cell), singly=alone)
