"""The sentences of a report: what was asked, what was found, and by which method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cleser.evaluation.intervals import Difference
from cleser.evaluation.numbers_as_text import (
    coverage,
    covers_seeds,
    headline,
    interval_text,
    p_text,
)
from cleser.evaluation.results import Run
from cleser.evaluation.terms import ACCESS, in_words
from cleser.multiple_tests import holm

_MEASURES = {
    "uar": "the unweighted average recall (UAR), the mean over classes of the share of their utterances that were "
    "recognised",
    "ccc": "the concordance correlation coefficient (CCC), averaged over attributes",
}


def name_of(run: Run) -> str:
    """A run's recipe, and its folder where that has another name."""
    recipe, folder = str(run.settings["recipe"]), run.folder.name
    return recipe if folder == recipe else f"{recipe} ({folder})"


def question(run: Run) -> str:
    """What a run was asked, in a sentence."""
    terms = run.protocol
    counts, speakers = terms["utterances"], terms["speakers"]

    def side(role: str) -> str:
        of = f" of {speakers[role]} speakers" if speakers[role] else ""
        return f"{' + '.join(terms[role])} ({counts[role]} utterances{of})"

    wanted = _listed([*terms["classes"], *terms.get("attributes", [])])
    return (
        f"How well are {wanted} recognised in {side('target')} by what has learned from {side('source')}? "
        f"Training may see of the target: {ACCESS[terms['target_access']]}."
    )


def answer(runs: Sequence[Run], controlled: Sequence[tuple[Run, Run, Difference]] = ()) -> str:
    """The outcome in a sentence: the best of the runs and, where it has one, its difference to its fair control.

    Runs on other terms than the first are not compared with it. An oracle is the first only where all are.

    Args:
        runs: Runs in one direction.
        controlled: Runs with their controls and the differences in UAR.
    """
    first = next((run for run in runs if run.protocol["target_access"] != "labels"), runs[0])
    metric, cast = headline(first.results), first.protocol["cast"]
    alike = [
        run for run in runs if headline(run.results) == metric and run.protocol["cast"] == cast
    ]
    best = max(alike, key=lambda run: float(run.results[metric]["mean"]))
    found, classes = best.results[metric], best.protocol["classes"]
    within = interval_text(found["ci95"], form=" (95 % interval {} to {})")
    reaches = f"has the highest mean of {len(alike)} runs," if len(alike) > 1 else "reaches"
    said = (
        f"{name_of(best)} {reaches} {100 * found['mean']:.1f} % UAR{within}, where chance is "
        f"{100 / len(classes):.1f} %"
        if metric == "uar"
        else f"{name_of(best)} {reaches} a mean CCC of {found['mean']:.3f}"
    )
    corrected = holm([by.p for *_, by in controlled])
    for (run, control, by), p in zip(controlled, corrected, strict=True):
        if run is best:
            said += f"; beside its fair control {name_of(control)} that is {100 * by.difference:+.1f} points"
            said += _sure(by, p)
    if others := len(runs) - len(alike):
        said += (
            f"; {others} run{'s' if others > 1 else ''} on other terms cannot be compared with it"
        )
    if len(alike) > 1:
        said += "; the table of differences says what is more than chance"
    return said + "."


def method_text(run: Run, *, compared: bool) -> str:
    """How a run's figures were found, as a paper would say it.

    Args:
        run: The run.
        compared: Whether differences between runs are shown, of which the text then says how they were found.
    """
    settings, results, terms = run.settings, run.results, in_words(run.protocol)
    seeds = len(results["seeds"])
    config: dict[str, Any] = settings.get("config", {})
    epochs = config.get("training", {}).get("epochs")
    trained = f"{seeds} training{'s' if seeds > 1 else ''}"
    trained += f" of {epochs} epochs" if epochs else ""
    covered = "speakers and seeds" if covers_seeds(results[headline(results)]) else "speakers"
    of_differences = (
        f"; differences are paired over {covered}, and p-values are corrected by Holm for the rows of their table"
        if compared
        else ""
    )
    return (
        f"The recipe {settings['recipe']} learned from {terms['Source']} on the backbone "
        f"{settings.get('backbone', 'unknown')}, in {trained}, and was tested on {terms['Target']}. Features were "
        f"standardised {terms['Normalisation']}. Training could see of the target: "
        f"{terms['Training may see of the target']}; the method used of it: {terms['The method uses of it']}. The "
        f"measure is {_MEASURES[headline(results)]}; it is averaged over seeds. 95 % {coverage(results)}, as two "
        f"components of variance{of_differences}."
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _sure(by: Difference, p: float) -> str:
    """Interval and p of a difference, and what follows."""
    if math.isnan(p):
        return ", of which nothing more can be said with so few speakers"
    found = "a difference was found" if p < 0.05 else "no difference was found"
    shown = p_text(p) if p_text(p).startswith("<") else f"= {p_text(p)}"
    return f" ({interval_text((by.low, by.high), sign='+')}, p {shown}): {found}"
