"""The runs of a matrix: which there are, in which folder each lies, and what each of them runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from cleser.corpora import load
from cleser.corpora.protocol import Protocol
from cleser.corpora.registry import check_spec
from cleser.evaluation.run_files import SELECTION
from cleser.experiments.bench.matrix import Direction, Matrix
from cleser.experiments.experiment import Experiment
from cleser.experiments.methods import check_task
from cleser.experiments.selection import names_of
from cleser.experiments.variants import variant
from cleser.settings import from_plain, to_plain
from cleser.speech.backbones.fine_tuning import FineTuning


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


def trials_of(cell: Cell) -> Path:
    """The folder of a cell's transfer validation, one for each pool and map, and for single sources."""
    alone = ["singly"] if len(cell.sources) == 1 else []
    renamed = (f"{old}={new}" for old, new in (cell.renamed or {}).items())
    name = ",".join(["+".join(names_of(cell.pool)), *renamed, *alone])
    return cell.folder.parents[1] / SELECTION / name / cell.recipe
