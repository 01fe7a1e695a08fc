"""Results as tables: one run, a comparison, and many runs with a column for each protocol."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cleser.evaluation.comparison import Comparison
from cleser.evaluation.intervals import Difference
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
    percent,
    share_text,
)
from cleser.evaluation.results import Run
from cleser.evaluation.terms import details_of, uses_of
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
        note += f"; {len(results['left_out'])} recordings left out"
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
    return [
        (
            condition_name(row),
            metric_text(headline(row), row[headline(row)])[0],
            *(
                ("", "")
                if row["kind"] == "clean"
                else change_text(row["change"], share="uar" in row)
            ),
        )
        for row in conditions
    ]


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


def frame(folders: Sequence[Path]) -> pd.DataFrame:
    """UAR of many runs: a row a recipe, a column for all that was seen of a target.

    Where a recipe has several runs under the same terms, as SAPA and self-training are, its rows are named after their
    folders, and where these are alike, after as much of the path as tells them apart.

    Of runs that predict attributes alone it is 100 times their mean CCC, marked so.

    Runs under different protocols never share a column, nor those that use the target in different ways: where source
    and target are the same, columns are told apart by what the methods use of the target, and where that is not enough
    by their hashes.
    """
    runs = [Run(Path(folder)) for folder in folders]
    for run in runs:
        run.needs_scores()
    columns = _columns(runs)
    places_of = list(zip(runs, columns, strict=True))
    cells: dict[str, dict[str, str]] = {}
    places = Counter((run.settings["recipe"], column) for run, column in places_of)
    several = {recipe for (recipe, _), count in places.items() if count > 1}
    for run, column in places_of:
        recipe = run.settings["recipe"]
        row = run.folder.name if recipe in several else recipe
        if column in cells.get(row, {}):
            row = _told_apart(run.folder, [of.folder for of, its in places_of if its == column])
        metric = headline(run.results)
        mark = "" if metric == "uar" else "CCC "
        cells.setdefault(row, {})[column] = mark + percent(run.results[metric])
    return pd.DataFrame.from_dict(cells, orient="index").fillna("–").rename_axis("UAR %")


def _told_apart(folder: Path, others: Sequence[Path]) -> str:
    """A run's folder, and as much of the path to it as no other folder has."""
    parts, theirs = folder.absolute().parts, [other.absolute().parts for other in others]
    lengths = range(2, len(parts))
    alone = (n for n in lengths if sum(of[-n:] == parts[-n:] for of in theirs) == 1)
    return f"{folder.name} ({Path(*parts[-next(alone, len(parts)) : -1])})"


def _columns(runs: Sequence[Run]) -> list[str]:
    """A name for what each run rests on: as short as tells different terms apart."""
    said: list[list[str]] = [[] for _ in runs]
    for places in _mixed(runs, said):
        uses = [uses_of(runs[i].protocol) for i in places]
        if any(phrases != uses[0] for phrases in uses):
            for i, phrases in zip(places, uses, strict=True):
                said[i] += phrases
    for places in _mixed(runs, said):
        for i, phrases in zip(places, _details([runs[i] for i in places]), strict=True):
            said[i] += phrases
    hashed = {i for places in _mixed(runs, said) for i in places}
    return [
        _column(run, phrases) + f" ({run.protocol['hash'][:6]})" * (i in hashed)
        for i, (run, phrases) in enumerate(zip(runs, said, strict=True))
    ]


def _details(runs: Sequence[Run]) -> list[list[str]]:
    """What each run used of the target in detail, as far as not all runs did."""
    found = [details_of(run.protocol) for run in runs]
    common = set(found[0]).intersection(*found)
    return [[phrase for phrase in phrases if phrase not in common] for phrases in found]


def _mixed(runs: Sequence[Run], said: Sequence[Sequence[str]]) -> list[list[int]]:
    """The places of runs that have one column with these phrases and rest on different terms, column by column."""
    places: dict[str, list[int]] = {}
    for i, (run, phrases) in enumerate(zip(runs, said, strict=True)):
        places.setdefault(_column(run, phrases), []).append(i)
    return [at for at in places.values() if len({runs[i].protocol["hash"] for i in at}) > 1]


def _column(run: Run, phrases: Sequence[str]) -> str:
    return ": ".join([direction(run), *filter(None, [", ".join(phrases)])])


def direction(run: Run) -> str:
    """Source and target of a run, as ``emodb → ravdess``."""
    return f"{', '.join(run.protocol['source'])} → {', '.join(run.protocol['target'])}"


def terms_notes(a: Run, b: Run) -> list[str]:
    """What two runs use differently of the target, in a phrase, if they do."""
    said = [
        ", ".join([*uses_of(run.protocol), *details]) or "nothing"
        for run, details in zip((a, b), _details((a, b)), strict=True)
    ]
    if said[0] == said[1]:
        return []
    return [f"of the target's unlabelled recordings A used: {said[0]}; B: {said[1]}"]


CELLS = "mean ± sd over seeds [95 % interval over speakers and seeds]"


def table(folders: Sequence[Path]) -> Table:
    """The table of :func:`frame` for a terminal."""
    cells = frame(folders)
    shown = Table(title=f"UAR %, {CELLS}", title_justify="left")
    shown.add_column("")
    for column in cells:
        shown.add_column(str(column))
    for name, row in cells.iterrows():
        shown.add_row(str(name), *row)
    return shown


def as_text(folders: Sequence[Path], style: str) -> str:
    """The table of :func:`frame` as ``"markdown"``, ``"csv"``, ``"latex"`` or ``"html"``.

    Args:
        folders: Run folders.
        style: One of the four.

    Raises:
        ValueError: The style is none of these.
    """
    cells = frame(folders)
    if style == "markdown":
        heads = [str(cells.index.name), *map(str, cells)]
        rows = [[str(name), *row] for name, row in cells.iterrows()]
        return "\n".join(
            "| " + " | ".join(line) + " |" for line in [heads, ["---"] * len(heads), *rows]
        )
    if style == "csv":
        return cells.to_csv()
    if style == "html":
        return cells.rename_axis(None).to_html(classes="runs", border=0)
    if style == "latex":
        text = cells.to_latex(escape=True)
        signs = {"±": r"$\pm$", "→": r"$\rightarrow$", "–": "--"}
        return "".join(signs.get(letter, letter) for letter in text)
    raise ValueError(f"style is {style!r}, expected markdown, csv, latex or html")
