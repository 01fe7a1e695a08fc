"""Numbers of ``results.json`` as text: means, intervals, changes and p-values, and what intervals cover."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

SHARES: Final = {
    "uar": "UAR",
    "macro_f1": "macro-F1",
    "accuracy": "accuracy",
    "multi_label_f1": "multi-label macro-F1",
    "average_precision": "macro average precision",
    "exact_match": "all emotions right",
}
"""Metrics that are told in per cent, with their names for a reader. All others are told as they are."""
OF_VOTES: Final = {"kl": "KL from the votes", "soft_accuracy": "soft accuracy"}
UNCOVERED: Final = "seeds are not covered"


def number_text(value: float, *, share: bool = True, sign: str = "") -> str:
    """A figure as text: a share in per cent with one decimal, a correlation or an error with three.

    Args:
        value: The figure.
        share: Whether it is a share, or a difference of shares.
        sign: ``"+"`` for a difference, whose sign is always written.

    >>> number_text(0.624), number_text(0.624, share=False), number_text(0.02, sign="+")
    ('62.4', '0.624', '+2.0')
    """
    return f"{100 * value:{sign}.1f}" if share else f"{value:{sign}.3f}"


def interval_text(
    ends: Sequence[float | None], *, share: bool = True, sign: str = "", form: str = "{} to {}"
) -> str:
    """An interval as text, whose ends are written as :func:`number_text` does; empty where it has none.

    Args:
        ends: Lower and upper end; None where there are too few speakers.
        share: Whether they are shares, or differences of shares.
        sign: ``"+"`` for a difference.
        form: What stands around and between the ends.

    >>> interval_text([0.571, 0.673]), interval_text([-0.02, 0.01], share=False, sign="+")
    ('57.1 to 67.3', '-0.020 to +0.010')
    >>> interval_text([None, None])
    ''
    """
    low, high = ends
    if low is None or high is None:
        return ""
    return form.format(*(number_text(end, share=share, sign=sign) for end in (low, high)))


def p_text(p: float) -> str:
    """A p-value with three digits.

    >>> p_text(0.0004), p_text(0.0312), p_text(float("nan"))
    ('< 0.001', '0.031', '–')
    """
    if math.isnan(p):
        return "–"
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _mean_text(metric: dict[str, Any], *, share: bool = True) -> str:
    """A metric's mean, with the standard deviation over seeds where there are several."""
    text, sd = number_text(metric["mean"], share=share), metric.get("sd")
    return text if sd is None else f"{text} ± {number_text(sd, share=share)}"


def percent(metric: dict[str, Any], *, interval: bool = True) -> str:
    """A metric of ``results.json`` as ``62.4 ± 0.8 [57.1, 67.3]``: mean, standard deviation over seeds, interval.

    The interval covers speakers and seeds; where it does not cover seeds, this is said.

    >>> metric = {"mean": 0.624, "sd": 0.008, "ci95": [0.571, 0.673], "covers": "speakers and seeds"}
    >>> percent(metric)
    '62.4 ± 0.8 [57.1, 67.3]'
    >>> percent({**metric, "sd": None, "covers": "speakers"})
    '62.4 [57.1, 67.3] (seeds are not covered)'
    """
    text = _mean_text(metric)
    within = interval_text(metric["ci95"], form="[{}, {}]") if interval else ""
    if not within:
        return text
    return f"{text} {within}" if covers_seeds(metric) else f"{text} {within} ({UNCOVERED})"


def decimal(metric: dict[str, Any]) -> tuple[str, str]:
    """A correlation or an error of ``results.json`` as text, and its interval.

    >>> decimal({"mean": 0.624, "sd": 0.008, "ci95": [-0.071, 0.673]})
    ('0.624 ± 0.008', '-0.071 to 0.673')
    """
    return _mean_text(metric, share=False), interval_text(metric["ci95"], share=False) or "–"


def share_text(metric: dict[str, Any]) -> tuple[str, str]:
    """A share of ``results.json`` as text, in per cent, and its interval."""
    return f"{_mean_text(metric)} %", interval_text(metric["ci95"]) or "–"


def metric_text(name: str, metric: dict[str, Any]) -> tuple[str, str]:
    """A metric of this name as text, and its interval."""
    return share_text(metric) if name in SHARES else decimal(metric)


def change_text(metric: dict[str, Any], *, share: bool = True) -> tuple[str, str]:
    """A difference and its interval as text, of shares in points or of correlations."""
    mean = number_text(metric["mean"], share=share, sign="+")
    within = interval_text(metric["ci95"], share=share, sign="+")
    return f"{mean} %" if share else mean, within or "–"


def headline(results: dict[str, Any]) -> str:
    """The metric that a run is told by: ``"uar"``, or ``"ccc"`` where it predicts attributes alone.

    Raises:
        ValueError: There are no scores, since the target has no labels.
    """
    if "recognised" in results:
        raise ValueError("the run has no scores, since no utterance of its target has a label")
    return "uar" if "uar" in results else "ccc"


def covers_seeds(metric: dict[str, Any]) -> bool:
    """Whether a metric's interval covers seeds; results of old versions, which do not say, covered speakers alone."""
    return str(metric.get("covers", "")).endswith("seeds")


def counted(number: int, things: str) -> str:
    """How many things, which are named in the plural.

    >>> counted(1, "speakers"), counted(2, "speakers")
    ('1 speaker', '2 speakers')
    """
    return f"{number} {things.removesuffix('s') if number == 1 else things}"


def coverage(results: dict[str, Any]) -> str:
    """What the intervals of ``results.json`` cover and what not, in a line.

    >>> metric = {"covers": "speakers", "resampled": "speakers", "clusters": 24}
    >>> coverage({"uar": metric, "seeds": [0], "unknown_speakers": 0})
    'intervals cover 24 speakers; seeds are not covered'
    """
    first, count = results[headline(results)], len(results["seeds"])
    seeds = f" and {count} seeds" if covers_seeds(first) else f"; {UNCOVERED}"
    if first["clusters"] < 2:
        return f"no intervals: all tested utterances are of one speaker{f'; {UNCOVERED}' if count == 1 else ''}"
    unknown = results["unknown_speakers"] if first["resampled"] == "speakers" else 0
    note = f"intervals cover {counted(first['clusters'] - unknown, first['resampled'])}{seeds}"
    if first["resampled"] == "utterances":
        note += " (no speakers are known: they are too narrow if speakers recur)"
    elif results["unknown_speakers"]:
        count = results["unknown_speakers"]
        note += (
            f" ({count} utterances without a speaker count as one each: intervals are too narrow if speakers recur "
            "among these)"
        )
    return note
