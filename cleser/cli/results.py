"""``cleser evaluate``, ``compare`` and ``report``: results of finished runs."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from cleser.cli.console import console
from cleser.cli.idle import refuse_idle
from cleser.cli.pairs import parse_map


def evaluate(
    run: Positional[Path],
    *,
    on: tuple[str, ...] = (),
    map: tuple[str, ...] = (),
    robustness: bool = False,
    files: int = 200,
    quick: bool = False,
    seed: int = 0,
    alignments: Path | None = None,
    out: Path | None = None,
) -> None:
    """Show the results of a finished run; or recognise another corpus, or degraded recordings of its test.

    Args:
        run: The run folder.
        on: Corpora to recognise, as NAME:FOLDER; without --on and --robustness, the run's own results are shown.
        map: Emotions to rename, as calm=neutral.
        robustness: Recognise the recordings of the run's test, or of --on, with noise, in rooms, through codecs and at
            other speeds. An interrupted command continues when it is given again.
        files: Largest number of recordings for --robustness, drawn evenly from speakers and emotions; 0 for all.
        quick: Use seven conditions for --robustness in place of 28.
        seed: Seed of the noise and of the choice of recordings for --robustness.
        alignments: Folder of alignments, for a run that was trained with alignments.
        out: Folder for the results; by default a folder within the run, named after the corpora of --on.
    """
    from cleser.evaluation import Run, show_results, show_robustness
    from cleser.experiments.prediction.evaluate import evaluate as transfer
    from cleser.experiments.prediction.evaluate import place_of

    if not robustness:
        of_robustness = {"--files": files != 200, "--quick": quick, "--seed": seed != 0}
        refuse_idle(of_robustness, "--robustness")
    if not robustness and not on:
        of_both = {"--map": map, "--alignments": alignments, "--out": out}
        refuse_idle(of_both, "--on CORPUS")
    folder = str(alignments) if alignments else None
    if robustness:
        from cleser.experiments.prediction.robustness import measure_robustness

        if map:
            raise ValueError("--robustness takes no --map; the run's own names of emotions hold")
        conditions = measure_robustness(
            run, on, files=files, quick=quick, seed=seed, alignments=folder, out=out
        )
        console.print(show_robustness(conditions))
        return
    if not on:
        _expect(run)
        console.print(show_results(Run(run).results))
        return
    place = out or place_of(run, on)
    results = transfer(run, on, renamed=parse_map(map), alignments=folder, out=place)
    console.print(show_results(results))
    console.print(f"results: {place}", soft_wrap=True)


def compare(a: Positional[Path], b: Positional[Path], *, force: bool = False) -> None:
    """Test whether two runs on the same utterances differ.

    Args:
        a: A run folder.
        b: Another run folder.
        force: Compare even if the protocols differ.
    """
    from cleser.evaluation import compare_runs, show_comparison

    _expect(a, b)
    console.print(show_comparison(compare_runs(a, b, force=force)))


def report(runs: Positional[tuple[Path, ...]], *, out: Path | None = None, listen: int = 0) -> None:
    """Write a page and print a table of one or more runs; for the folder of a matrix, write a page for each direction.

    Args:
        runs: Run folders, or the folder of a matrix.
        out: The HTML file, or for a matrix the folder of its pages; by default report.html within a single run, and
            report within the matrix' folder.
        listen: Number of most confident errors of each run that the page plays; their corpora must be where they were
            during the run.
    """
    from cleser.evaluation import report as write
    from cleser.evaluation import runs_below, site, table
    from cleser.experiments.variants import controls_of

    _expect(*runs)
    folders = [run for folder in runs for run in _scored(folder, runs_below(folder))]
    if not folders:
        raise ValueError("there are no runs to report, expected at least one folder")
    matrix = len(runs) == 1 and folders != list(runs)
    if out is None and len(folders) > 1 and not matrix:
        raise ValueError("expected --out PAGE.html, where the page of these runs is to stand")
    console.print(table(folders))
    controls = controls_of(folders)
    if matrix:
        page = site(folders, out or runs[0] / "report", controls=controls, listen=listen)
    else:
        page = write(folders, out or folders[0] / "report.html", controls=controls, listen=listen)
    console.print(f"report: {page}")


def _expect(*runs: Path) -> None:
    """Refuse folders that are not there, with the runs that are."""
    gone = next((run for run in runs if not run.exists()), None)
    if gone is not None:
        from cleser.experiments.saved import no_folder

        raise ValueError(no_folder(gone))


def _scored(folder: Path, runs: list[Path]) -> list[Path]:
    """The runs in a folder that have scores; one that is named itself is left to be refused."""
    from cleser.evaluation import Run

    bare = [run for run in runs if run != folder and not Run(run).scored]
    if bare:
        named = ", ".join(str(run) for run in bare[:3])
        console.print(
            f"left out, since their targets have no labels: {named}{' …' * (len(bare) > 3)}"
        )
    return [run for run in runs if run not in bare]
