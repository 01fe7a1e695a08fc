"""A bench: recipes in several directions between corpora, run by parallel workers and resumable, as one table."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

from cleser.corpora import load
from cleser.corpora.protocol import Protocol
from cleser.corpora.registry import check_spec
from cleser.evaluation import Run, compare_runs, holm
from cleser.evaluation.run_files import SELECTION
from cleser.evaluation.tables import headline
from cleser.experiments.experiment import Experiment
from cleser.experiments.methods import METHODS, check_task, unknown_recipe
from cleser.experiments.selection import (
    Choices,
    Selection,
    chosen_already,
    names_of,
    read_grid,
    select_by_transfer,
)
from cleser.experiments.variants import reference_of, variant
from cleser.files import write_text
from cleser.memory import peak, reset_peak
from cleser.models.emotion import ModelConfig
from cleser.progress import console, say_always, track
from cleser.settings import check_kinds, from_plain, read_yaml, to_plain
from cleser.speech import load_backbone
from cleser.speech.backbones.fine_tuning import FineTuning
from cleser.training.loop import TrainingConfig

CONFIGS = Path(__file__).parents[1] / "recipes" / "configs"


@dataclass(frozen=True)
class Direction:
    """Source and target corpora, by name.

    Attributes:
        source: Learned from.
        target: Recognised.
        auxiliary: Further labelled corpora, for recipes that use them.
        map: Emotions to rename, as ``{"calm": "neutral"}``.
        training: How networks are trained on this source, fields of :class:`cleser.training.loop.TrainingConfig`.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    auxiliary: tuple[str, ...] = ()
    map: dict[str, str] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the folder for its runs."""
        return f"{'+'.join(self.source)}-to-{'+'.join(self.target)}"


@dataclass(frozen=True)
class Matrix:
    """What a bench runs.

    Attributes:
        directions: The columns.
        recipes: The rows, names of :data:`cleser.experiments.variants.VARIANTS`, or of recipes of other packages.
        seeds: Trainings of each cell.
        backbone: What turns recordings into frames.
        terms: Further fields of the protocol, as ``{"split": "official"}``.
        model: How networks are shaped, fields of :class:`cleser.models.ModelConfig`.
        settings: Fields of recipes' configs by recipe, as ``{"sapa": {"conditioned": False}}``; what a row changes
            itself stays.
        tuning: Whether and how the backbone is trained, fields of
            :class:`cleser.speech.backbones.fine_tuning.FineTuning`.
        corpora: Specs by name, of those that need not be given, as the synthetic ones.
        backbones: Backbones by the language of a direction's source, as ``{"en": "facebook/wav2vec2-base-960h"}``, in
            place of ``backbone``, which serves the other languages.
    """

    directions: tuple[Direction, ...]
    recipes: tuple[str, ...]
    seeds: int = 5
    backbone: str = "acoustic"
    terms: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    tuning: dict[str, Any] = field(default_factory=dict)
    corpora: dict[str, str] = field(default_factory=dict)
    backbones: dict[str, str] = field(default_factory=dict)


class Cell(NamedTuple):
    """One run of a matrix.

    Attributes:
        direction: Its column.
        recipe: Its row.
        protocol: The terms.
        folder: The run folder.
        pool: Labelled corpora that its settings may be chosen by: the sources or, if there is a single source, all
            corpora of the matrix except the target.
        renamed: Emotions to rename in the pool.
        sources: Specs of the direction's source corpora.
    """

    direction: Direction
    recipe: str
    protocol: Protocol
    folder: Path
    pool: tuple[str, ...] = ()
    renamed: dict[str, str] | None = None
    sources: tuple[str, ...] = ()


def load_matrix(name: str | Path) -> Matrix:
    """A matrix from a YAML file, or by the name of one that comes with the package.

    Raises:
        ValueError: There is none, or a field or recipe is unknown, missing or of another kind.
    """
    path = Path(name) if Path(name).suffix else CONFIGS / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.yaml")))
        raise ValueError(f"found no matrix {name}, expected a YAML file or one of {known}")
    plain = read_yaml(path)
    columns = plain.pop("directions", None)
    if not isinstance(columns, list) or not columns:
        raise ValueError(
            f"{path} has no list of directions, expected one, as [{{source: [a], target: [b]}}]"
        )
    for number, column in enumerate(columns, 1):
        check_kinds(Direction, column, f"{path}: direction {number}")
    directions = tuple(from_plain(Direction, _tupled(column)) for column in columns)
    for direction in directions:
        check_kinds(TrainingConfig, direction.training, f"{path}: {direction.name}")
    check_kinds(Matrix, {**plain, "directions": directions}, str(path))
    if not plain["recipes"]:
        raise ValueError(f"{path}: recipes is empty, expected at least one, as [erm]")
    _check_parts(plain, path)
    return from_plain(Matrix, {**_tupled(plain), "directions": directions}, str(path))


def _check_parts(plain: dict[str, Any], path: Path) -> None:
    """Fields of a matrix that are settings of other things."""
    check_kinds(ModelConfig, plain.get("model", {}), f"{path}: model")
    check_kinds(FineTuning, plain.get("tuning", {}), f"{path}: tuning")
    terms = plain.get("terms", {})
    if own := sorted(set(terms) & {f.name for f in fields(Direction)}):
        raise ValueError(f"{path}: terms holds {own}, which each direction says for itself")
    check_kinds(Protocol, {**terms, "source": [], "target": []}, f"{path}: terms")
    for recipe, settings in plain.get("settings", {}).items():
        if recipe not in METHODS:
            raise ValueError(f"{path}: settings: {unknown_recipe(recipe)}")
        check_kinds(METHODS[recipe].config, settings, f"{path}: settings: {recipe}")


def all_pairs(names: Sequence[str], recipes: Sequence[str], **settings: Any) -> Matrix:
    """Every corpus to every other, the remaining ones auxiliary."""
    directions = tuple(
        Direction((source,), (target,), tuple(n for n in names if n not in (source, target)))
        for target in names
        for source in names
        if source != target
    )
    return Matrix(directions, tuple(recipes), **settings)


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


def tabulate(cells: Sequence[Cell]) -> pd.DataFrame:
    """A row a run: UAR and macro-F1 in per cent, the interval, two paired differences, the terms, time and peak memory.

    *The difference* is to plain ERM under the same access to the target (see
    :func:`cleser.experiments.variants.reference_of`). *The control* is the row that is the same but for what the method
    adds, trained as long and with the same prior: only what a method has over it is its own. Either is missing where
    there is none, or where the two tested other utterances. Beside each p stands Holm's, corrected for all of that kind
    in the direction. Runs of attributes alone have 100 times their mean CCC, ``ccc``, in place of UAR and macro-F1.
    """
    folders = {(c.direction.name, c.recipe): c.folder for c in cells}
    rows = []
    for cell in cells:
        run = Run(cell.folder)
        score = headline(run.results)
        first, f1 = run.results[score], run.results.get("macro_f1")
        direction, control = cell.direction.name, variant(cell.recipe).control
        low, high = (None if v is None else 100 * v for v in first["ci95"])
        rows.append(
            {
                "direction": direction,
                "recipe": cell.recipe,
                score: 100 * first["mean"],
                "sd": None if first["sd"] is None else 100 * first["sd"],
                "low": low,
                "high": high,
                **({} if f1 is None else {"macro_f1": 100 * f1["mean"]}),
                **_difference(cell, folders.get((direction, reference_of(cell.recipe)))),
                "control": control or None,
                **_difference(cell, folders.get((direction, control)), "control_"),
                "terms": run.protocol["hash"],
                **_cost(cell.folder),
            }
        )
    table = pd.DataFrame(rows)
    for name in ("p", "control_p") if rows else ():
        corrected = table.groupby("direction")[name].transform(lambda p: holm(p.tolist()))
        table.insert(list(table.columns).index(name) + 1, f"{name}_holm", corrected)
    return table


def paper_layout(table: pd.DataFrame, names: dict[str, str] | None = None) -> pd.DataFrame:
    """UAR / macro-F1 with a row a task and a column a recipe, and their average, as in the zero-shot paper's Table 2.

    The average is over the directions in which every recipe has a result, and says how many where these are not all.

    Args:
        table: Table that :func:`tabulate` returns.
        names: Headings of the recipes; others are left out. All by default.
    """
    names = names or {name: name for name in table["recipe"].unique()}
    shown = table[table["recipe"].isin(names)]
    cells = {}
    for metric in ("uar", "macro_f1"):
        wide = shown.pivot_table(index="direction", columns="recipe", values=metric, sort=False)
        whole = wide.dropna()  # averages of other directions would not be comparable
        of = "" if len(whole) == len(wide) else f" of the {len(whole)} that all have"
        wide.loc[f"average{of}"] = whole.mean()
        cells[metric] = wide.reindex(columns=list(names)).rename(columns=names)
    text = {m: w.map(lambda v: "–" if pd.isna(v) else f"{v:.2f}") for m, w in cells.items()}
    return (text["uar"] + " / " + text["macro_f1"]).rename_axis(None, axis=1)


def write_tables(table: pd.DataFrame, out: Path) -> None:
    """The table as ``table.csv``, ``table.html`` and ``table.tex``."""
    shares = [name for name in table.columns if name.removeprefix("control_").startswith("p")]
    rounded = table.round({name: 4 if name in shares else 1 for name in table.columns})
    for name, text in (
        ("table.csv", table.to_csv(index=False)),
        ("table.html", rounded.to_html(index=False, border=0, na_rep="–")),
        ("table.tex", rounded.to_latex(index=False, na_rep="--", float_format="%.4g", escape=True)),
    ):
        write_text(out / name, text)


def cells_of(matrix: Matrix, corpora: dict[str, str], out: Path) -> Iterator[Cell]:
    """The runs of a matrix, each in a folder below ``out``.

    Raises:
        ValueError: A corpus or a recipe is unknown, or the recipe cannot learn the task.
    """
    rows = {name: variant(name) for name in matrix.recipes}
    corpora = {**matrix.corpora, **corpora}
    maps = {old: new for d in matrix.directions for old, new in d.map.items()}
    named = {n: corpora.get(n, "") for d in matrix.directions for n in (*d.source, *d.target)}
    for spec in filter(None, named.values()):
        check_spec(spec)  # before the first cell spends an hour
    for direction in matrix.directions:
        roles = [direction.source, direction.target, direction.auxiliary]
        if missing := [n for role in roles for n in role if n not in corpora]:
            raise ValueError(
                f"{direction.name} needs the corpora {missing}, found {sorted(corpora)}: give them as "
                f"--corpora NAME:FOLDER, or with the name in front, as {missing[0]}=manifest:FILE.csv"
            )
        source, target, auxiliary = (tuple(corpora[n] for n in role) for role in roles)
        plain = Protocol(source, target, auxiliary, map=dict(direction.map), **matrix.terms)
        alone = len(source) == 1
        # In one order for all directions, so that they share trials.
        pool = tuple(
            spec
            for name, spec in named.items()
            if (name not in direction.target if alone else name in direction.source)
        )
        renamed = {**(maps if alone else {}), **direction.map}
        for name, row in rows.items():
            if row.settings.get("all_languages") and not auxiliary:
                continue  # no other language to learn from: it would be the recipe without
            protocol = row.protocol(plain)
            check_task(row.method, protocol.task)
            if protocol.target_access == "labels" and set(source) & set(target):
                continue  # an oracle learns nothing of the target that everybody does not learn here
            folder = out / direction.name / name
            yield Cell(direction, name, protocol, folder, pool, renamed, source)


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

    Of what is not foreseen, as memory or a disk that is full, the whole traceback is kept beside the cell's folder.
    """
    cell = job[0]
    kept = cell.folder.with_name(f"{cell.folder.name}.failed.txt")
    try:
        _run(*job)
    except (ValueError, ImportError) as error:
        return str(error)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
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
    write_text(cell.folder / "time.json", json.dumps(took))


def experiment_of(cell: Cell, matrix: Matrix, alignments: str | None) -> tuple[Experiment, Any]:
    """What a cell runs, and its recipe's config."""
    row = variant(cell.recipe)
    config = row.config(matrix.settings.get(row.method))
    if hasattr(config, "training"):  # the classical row and the probe are no networks
        config = replace(
            config,
            training=replace(config.training, **cell.direction.training),
            model=replace(config.model, **matrix.model),
        )
    tuning = from_plain(FineTuning, matrix.tuning)
    experiment = Experiment(
        row.method, to_plain(config), cell.protocol, matrix.seeds, cell.folder,
        backbone_of(cell, matrix),
        tuning, alignments,
    )  # fmt: skip
    return experiment, config


def backbone_of(cell: Cell, matrix: Matrix) -> str:
    """The backbone of the language of a cell's source, where the matrix has one of it; that of the matrix otherwise.

    Corpora that are learned from in addition have no say, as in the zero-shot paper. A row that learns from the target
    alone has the backbone of its direction's source.

    Raises:
        ValueError: The source speaks languages of several backbones.
    """
    if not matrix.backbones:
        return matrix.backbone
    spoken = sorted({name for spec in cell.sources for name in load(spec)["language"].unique()})
    found = {language: matrix.backbones.get(language, matrix.backbone) for language in spoken}
    if len(set(found.values())) > 1:
        raise ValueError(
            f"{cell.direction.name}: the source speaks {', '.join(spoken)}, whose backbones differ "
            f"({', '.join(found.values())}), expected languages of one backbone"
        )
    return found[spoken[0]]


def choose(experiment: Experiment, config: Any, choices: Choices, cell: Cell) -> Selection:
    """Settings for a cell by transfer validation; directions of the same pool share its trials.

    Those of a single source are chosen by trials from single sources.
    """
    general = replace(experiment, protocol=replace(experiment.protocol, map=cell.renamed or {}))
    alone = len(cell.sources) == 1
    return select_by_transfer(general, config, choices, cell.pool, trials_of(cell), singly=alone)


def trials_of(cell: Cell) -> Path:
    """The folder of a cell's transfer validation, one for each pool and map, and for single sources."""
    alone = ["singly"] if len(cell.sources) == 1 else []
    renamed = (f"{old}={new}" for old, new in (cell.renamed or {}).items())
    name = ",".join(["+".join(names_of(cell.pool)), *renamed, *alone])
    return cell.folder.parents[1] / SELECTION / name / cell.recipe


def _difference(cell: Cell, other: Path | None, prefix: str = "") -> dict[str, float | None]:
    """UAR of a cell minus that of another, in points, with interval and p; all missing where it has none."""
    found = None
    if other is not None and other != cell.folder:
        with suppress(ValueError):  # other utterances were tested
            found = compare_runs(other, cell.folder, force=True).differences[
                headline(Run(cell.folder).results)
            ]
    values = (None,) * 4 if found is None else (
        100 * found.difference, 100 * found.low, 100 * found.high, found.p
    )  # fmt: skip
    names = ("difference", "difference_low", "difference_high", "p")
    return {f"{prefix}{name}": value for name, value in zip(names, values, strict=True)}


def _cost(folder: Path) -> dict[str, float | None]:
    """What a run took: seconds, and gigabytes of memory at its peak; missing where that is not known."""
    path = folder / "time.json"
    took = json.loads(path.read_text()) if path.exists() else {}
    held = took.get("peak_bytes")
    return {"seconds": took.get("seconds"), "peak_gb": None if held is None else held / 1e9}


def _tupled(plain: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
