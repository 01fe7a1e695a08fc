"""``cleser bench``: many recipes in many directions, as one table."""

from __future__ import annotations

from pathlib import Path

from cleser.cli.console import console


def bench_transfer(
    *,
    out: Path,
    corpora: tuple[str, ...] = (),
    recipes: tuple[str, ...] = ("all",),
    matrix: str | None = None,
    seeds: int | None = None,
    backbone: str | None = None,
    alignments: Path | None = None,
    workers: int = 1,
    layout: str = "table",
) -> None:
    """Run a matrix of directions and recipes, and write one table; what is finished is not run again.

    Args:
        out: Folder of all runs and tables.
        corpora: As NAME:FOLDER. NAME=SPEC names one in another way, as en=synthetic:en.
        recipes: Rows; all of them by default.
        matrix: Directions from a YAML file or by name (real, real-zero-shot, synthetic, msp-biic, zero-shot-five); by
            default every corpus to every other, the remaining ones auxiliary.
        seeds: Trainings of each; 5 by default.
        backbone: What turns recordings into frames.
        alignments: Folder of alignments that say when phones sound.
        workers: Processes at a time.
        layout: "table", or "paper" for UAR / macro-F1 with a row a task, as the zero-shot paper prints them.
    """
    from dataclasses import replace  # noqa: PLC0415

    from cleser.experiments.bench import all_pairs, load_matrix, paper_layout, run_matrix  # noqa: PLC0415
    from cleser.experiments.variants import VARIANTS  # noqa: PLC0415

    if layout not in ("table", "paper"):
        raise ValueError(f"layout is {layout!r}, expected 'table' or 'paper'")
    specs = dict(_named(spec) for spec in corpora)
    rows = tuple(VARIANTS) if recipes == ("all",) else recipes
    plan = load_matrix(matrix) if matrix else all_pairs(list(specs), rows)
    if recipes != ("all",):
        plan = replace(plan, recipes=rows)
    changes = {"seeds": seeds, "backbone": backbone}
    plan = replace(plan, **{k: v for k, v in changes.items() if v is not None})  # type: ignore[arg-type]
    folder = str(alignments) if alignments else None
    table = run_matrix(plan, specs, out, workers=workers, alignments=folder)
    if table.empty:
        raise ValueError(f"no run of {out} has finished")
    shown = paper_layout(table) if layout == "paper" else table.round(1).set_index("direction")
    console.print(shown.to_string(na_rep="–"), highlight=False, soft_wrap=True)
    console.print(f"tables: {out / 'table.csv'}, table.html, table.tex")


def _named(spec: str) -> tuple[str, str]:
    name, equals, rest = spec.partition("=")
    if equals and ":" not in name:
        return name, rest
    return spec.split(":", 1)[0], spec
