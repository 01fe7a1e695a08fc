"""One run, and two beside each other, as tables; many runs are in `cleser.evaluation.many_runs`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cleser.evaluation.comparison import Comparison
from cleser.evaluation.intervals import Difference
from cleser.evaluation.many_runs import terms_notes
from cleser.evaluation.numbers_as_text import (
    OF_VOTES,
    SHARES,
    UNCOVERED,
    change_text,
    counted,
    coverage,
    decimal,
    headline,
    interval_text,
    metric_text,
    number_text,
    p_text,
    share_text,
)
from cleser.evaluation.unlabelled import show_unlabelled
from cleser.multiple_tests import holm


def show_results(results: dict[str, Any]) -> Group:
    """What a terminal shows of ``results.json``."""
    if "recognised" in results:
        return show_unlabelled(results)
    table = Table(
        title=f"{results['recipe']} · protocol {results['protocol']}", title_justify="left"
    )
    for heading in ("metric", "mean ± sd over seeds", "95 % interval"):
        table.add_column(heading)
    for name, label in (pair for pair in SHARES.items() if pair[0] in results):
        table.add_row(label, *share_text(results[name]))
        if name == "accuracy":
            table.add_row(*majority_row(results))
    for name in (name for name in results if name.startswith(("ccc", "rmse_"))):
        table.add_row(_label(name), *decimal(results[name]))
    for name, label in OF_VOTES.items():
        if name in results:
            table.add_row(label, *decimal(results[name]))
    for name, values in results.get("per_class", {}).items():
        share = values["recall"]
        table.add_row(f"  recall of {name}", "–" if share is None else f"{100 * share:.1f} %", "")
    for name, found in results.get("test_sets", {}).items():
        score = headline(found)
        table.add_row(f"{score.upper()} of {name}", *metric_text(score, found[score]))
    for row in (*gender_rows(results), *calibration_rows(results)):
        table.add_row(*row)
    note = f"{results['n_utterances']} utterances; {coverage(results)}"
    if results["left_out"]:
        note += f"; {counted(len(results['left_out']), 'recordings')} left out"
    notes = [note, *trust_notes(results), *majority_notes(results)]
    return Group(table, Text("\n".join(notes), style="dim"))


def majority_row(results: dict[str, Any]) -> tuple[str, str, str]:
    """Label and value of the accuracy of whoever always answers the most frequent class, as text.

    >>> majority_row({"per_class": {"anger": {"support": 1}, "neutral": {"support": 3}}})
    ('  of always answering neutral', '75.0 %', '')
    """
    name, share = _majority(results)
    return f"  of always answering {name}", f"{100 * share:.1f} %", ""


def _majority(results: dict[str, Any]) -> tuple[str, float]:
    """The most frequent class, and its share of the tested utterances."""
    counts = {name: values["support"] for name, values in results["per_class"].items()}
    name = max(counts, key=lambda one: counts[one])
    return name, counts[name] / sum(counts.values())


def majority_notes(results: dict[str, Any]) -> list[str]:
    """A sentence where fewer utterances are recognised than whoever always answers the most frequent class gets right.

    >>> classes = {"anger": {"support": 1}, "neutral": {"support": 3}}
    >>> majority_notes({"accuracy": {"mean": 0.6}, "uar": {"mean": 0.65}, "per_class": classes})
    ['accuracy: 60.0 % is less than the 75.0 % of always answering neutral; UAR, 65.0 %, is above chance (50.0 %)']
    """
    if "per_class" not in results:
        return []
    name, share = _majority(results)
    accuracy, uar = results["accuracy"]["mean"], results["uar"]["mean"]
    if accuracy > share - 1e-9:  # means over seeds are rounded
        return []
    chance = 1 / sum(values["support"] > 0 for values in results["per_class"].values())
    than = "is above chance" if uar > chance else "is no better than chance"
    return [
        f"accuracy: {100 * accuracy:.1f} % is less than the {100 * share:.1f} % of always answering {name}; UAR, "
        f"{100 * uar:.1f} %, {than} ({100 * chance:.1f} %)"
    ]


def gender_rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Label, value and interval of each gender's UAR and their difference, as text."""
    found = results.get("gender", {"groups": {}, "difference": None})
    rows = [
        (f"UAR of {_people(name, of)}", *share_text(of["uar"]))
        for name, of in found["groups"].items()
    ]
    if found["difference"]:
        rows.append(("female − male", *change_text(found["difference"])))
    return rows


def _people(gender: str, of: dict[str, Any]) -> str:
    """How many speakers a group has, or utterances where nobody knows their speakers."""
    unit = "speakers" if of["speakers"] else "utterances"
    return counted(of[unit], f"{gender} {unit}")


def calibration_rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Label, value and interval of the calibration error and of overconfidence, before and after, as text."""
    found = results.get("calibration", {})
    names = {"before": "", "after": " at the source's temperature"}
    return [
        row
        for when, said in names.items()
        if when in found
        for row in (
            (f"calibration error (ECE){said}", *share_text(found[when]["ece"])),
            (f"confidence − accuracy{said}", *change_text(found[when]["overconfidence"])),
        )
    ]


def trust_notes(results: dict[str, Any]) -> list[str]:
    """Sentences on what the rows by gender and of calibration rest on."""
    notes = [f"gender: {note}" for note in results.get("gender", {}).get("notes", [])]
    found = results.get("calibration")
    if not found:
        return notes
    notes.append(
        f"calibration: {100 * found['before']['floor']:.1f} % is the ECE to be expected of a perfectly calibrated "
        "recogniser on as many utterances"
    )
    if not found["temperatures"]:
        return [
            *notes,
            "calibration: no development speakers were kept, so that no temperature is fitted",
        ]
    said = ", ".join(f"{row['temperature']:.2f}" for row in found["temperatures"][:5])
    more = " …" if len(found["temperatures"]) > 5 else ""
    before, after = (found[when]["log_loss"]["mean"] for when in ("before", "after"))
    alike = f"{before:.2f}" == f"{after:.2f}"
    verdict = "changes nothing" if alike else "helps" if after < before else "does harm"
    notes.append(
        f"calibration: temperatures {said}{more}, fitted to the source's development speakers; on the target that "
        f"{verdict} (log loss {before:.2f} before, {after:.2f} after)"
    )
    return notes


def robustness_rows(conditions: Sequence[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Condition, UAR or mean CCC, its change from the undegraded recordings and that change's interval, as text."""
    rows = []
    for row in conditions:
        metric, clean = headline(row), row["kind"] == "clean"
        change = ("", "") if clean else change_text(row["change"], share=metric in SHARES)
        rows.append((condition_name(row), metric_text(metric, row[metric])[0], *change))
    return rows


def robustness_metric(conditions: Sequence[dict[str, Any]]) -> str:
    """What was measured of degraded recordings: UAR, or of a run without emotions the attributes' mean CCC."""
    return "mean CCC" if conditions and "ccc" in conditions[0] else "UAR"


def condition_name(row: dict[str, Any]) -> str:
    """A condition of :func:`cleser.experiments.prediction.robustness.measure_robustness` in words.

    >>> condition_name({"kind": "noise pink", "value": 10})
    'pink noise, SNR 10 dB'
    """
    kind, value = row["kind"], row["value"]
    forms = {
        "clean": "as recorded",
        "reverberation": f"reverberation, RT60 {value} s",
        "codec": f"codec {value}",
        "speed": f"speed × {value}",
    }
    return forms.get(kind) or f"{kind.removeprefix('noise ')} noise, SNR {value} dB"


def show_robustness(conditions: Sequence[dict[str, Any]]) -> Group:
    """What a terminal shows of a run on degraded recordings.

    >>> from rich.console import Console
    >>> uar, change = {"mean": 0.5, "ci95": [0.4, 0.6]}, {"mean": -0.1, "ci95": [-0.2, -0.05]}
    >>> condition = {"kind": "noise pink", "value": 10, "utterances": 24, "uar": uar, "change": change}
    >>> Console(width=80).print(show_robustness([condition]))
    degraded recordings
    ┏━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━━━━┓
    ┃ condition             ┃ UAR    ┃ change  ┃ 95 % interval ┃
    ┡━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━━━━┩
    │ pink noise, SNR 10 dB │ 50.0 % │ -10.0 % │ -20.0 to -5.0 │
    └───────────────────────┴────────┴─────────┴───────────────┘
    24 utterances; changes are paired over speakers and seeds; each condition is
    normalised by its own statistics, as the run's test is
    """
    table = Table(title="degraded recordings", title_justify="left")
    for heading in ("condition", robustness_metric(conditions), "change", "95 % interval"):
        table.add_column(heading)
    for row in robustness_rows(conditions):
        table.add_row(*row)
    note = (
        f"{conditions[0]['utterances']} utterances; changes are paired over speakers and seeds; each condition is "
        "normalised by its own statistics, as the run's test is"
    )
    return Group(table, Text(note, style="dim"))


def _label(name: str) -> str:
    """A metric of attributes for a reader: ``ccc_arousal`` is *CCC of arousal*."""
    metric, _, attribute = name.partition("_")
    return f"{metric.upper()} of {attribute}" if attribute else "mean CCC"


def show_comparison(comparison: Comparison) -> Group:
    """What a terminal shows of a comparison."""
    a, b = comparison.a, comparison.b
    names = [f"{r.settings['recipe']} ({r.folder})" for r in (a, b)]
    table = Table(title="B − A", title_justify="left")
    for heading in ("metric", "A", "B", "B − A", "95 % interval", "p", "p (Holm)"):
        table.add_column(heading)
    found = comparison.differences
    corrected = holm([difference.p for difference in found.values()])
    for (name, difference), p in zip(found.items(), corrected, strict=True):
        means = [metric_text(name, run.results[name])[0] for run in (a, b)]
        cells = difference_cells(difference, share=name in SHARES)
        table.add_row(name, *means, *cells, p_text(p))
    lines = [
        *difference_notes(next(iter(found.values()))),
        *(f"{name} is left out: {why}" for name, why in comparison.left_out.items()),
        *terms_notes(a, b),
        f"p holds for one metric chosen beforehand ({headline(a.results).upper()}, say); whoever picks one of the "
        f"{len(found)} takes the p corrected by Holm",
    ]
    runs = (Text(f"{run} = {name}") for run, name in zip("AB", names, strict=True))
    return Group(*runs, table, Text("\n".join(lines), style="dim"))


def difference_cells(found: Difference, *, share: bool = True) -> tuple[str, str, str]:
    """A difference, its interval and its p-value as text; dashes where nothing can be said.

    Args:
        found: The difference.
        share: Whether it is a difference of shares, told in points.
    """
    difference = number_text(found.difference, share=share, sign="+")
    if math.isnan(found.p):
        return difference, "–", "–"
    within = interval_text((found.low, found.high), share=share, sign="+")
    return difference, within, p_text(found.p)


def difference_notes(found: Difference) -> list[str]:
    """What a difference's interval and p-value cover, and what they rest on."""
    note = f"paired over {counted(found.groups - found.unknown, found.unit)}"
    if found.unknown:
        note += f" and {counted(found.unknown, 'utterances')} without a speaker, each by itself"
    if not found.covers.endswith("seeds"):
        note += f"; {UNCOVERED} (A has {found.seeds[0]}, B {found.seeds[1]})"
    elif found.by_seed:
        note += f" and {found.seeds[0]} seeds, one by one: each tests other {found.unit}"
    else:
        note += f"; covers seeds too ({found.seeds[0]} of A, {found.seeds[1]} of B)"
    lines = [note]
    if found.too_few:
        lines.append(
            f"{found.groups} {found.unit} are too few for p < .05: {found.least_p:.3g} is the least p there could be, "
            "and the interval holds zero whatever was found"
        )
    return lines
