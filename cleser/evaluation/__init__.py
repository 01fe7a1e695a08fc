"""Metrics, statistics over speakers and seeds, plots and the report."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cleser.evaluation.calibration import (
        Reliability,
        expected_calibration_error,
        fit_temperature,
        fit_temperatures,
        overconfidence,
        reliability,
        temper,
        tempered,
    )
    from cleser.evaluation.comparison import Comparison, compare_runs
    from cleser.evaluation.gender import gender_gap
    from cleser.evaluation.intervals import (
        Difference,
        Interval,
        group_difference,
        interval,
        interval_of_sums,
        paired_difference,
    )
    from cleser.evaluation.many_runs import as_text, table
    from cleser.evaluation.metrics import (
        accuracy,
        confusion_matrix,
        f1,
        macro_f1,
        precision,
        recall,
        uar,
    )
    from cleser.evaluation.pages import report, site
    from cleser.evaluation.results import Run, runs_below, summarise, write_results
    from cleser.evaluation.speakers import Clusters, cluster
    from cleser.evaluation.tables import show_comparison, show_results, show_robustness
    from cleser.multiple_tests import holm

# Imported when one of their names is asked for: who counts recalls needs neither pages nor recordings.
_WHERE = {
    "cleser.evaluation.calibration": (
        "Reliability", "expected_calibration_error", "fit_temperature", "fit_temperatures", "overconfidence",
        "reliability", "temper", "tempered",
    ),
    "cleser.evaluation.comparison": ("Comparison", "compare_runs"),
    "cleser.evaluation.gender": ("gender_gap",),
    "cleser.evaluation.intervals": (
        "Difference", "Interval", "group_difference", "interval", "interval_of_sums", "paired_difference",
    ),
    "cleser.evaluation.many_runs": ("as_text", "table"),
    "cleser.evaluation.metrics": ("accuracy", "confusion_matrix", "f1", "macro_f1", "precision", "recall", "uar"),
    "cleser.evaluation.pages": ("report", "site"),
    "cleser.evaluation.results": ("Run", "runs_below", "summarise", "write_results"),
    "cleser.evaluation.speakers": ("Clusters", "cluster"),
    "cleser.evaluation.tables": ("show_comparison", "show_results", "show_robustness"),
    "cleser.multiple_tests": ("holm",),
}  # fmt: skip

__all__ = [
    "Clusters",
    "Comparison",
    "Difference",
    "Interval",
    "Reliability",
    "Run",
    "accuracy",
    "as_text",
    "cluster",
    "compare_runs",
    "confusion_matrix",
    "expected_calibration_error",
    "f1",
    "fit_temperature",
    "fit_temperatures",
    "gender_gap",
    "group_difference",
    "holm",
    "interval",
    "interval_of_sums",
    "macro_f1",
    "overconfidence",
    "paired_difference",
    "precision",
    "recall",
    "reliability",
    "report",
    "runs_below",
    "show_comparison",
    "show_results",
    "show_robustness",
    "site",
    "summarise",
    "table",
    "temper",
    "tempered",
    "uar",
    "write_results",
]


def __getattr__(name: str) -> Any:
    if f"{__name__}.{name}" in _WHERE:  # a file of the room, as cleser.evaluation.metrics.uar
        return import_module(f"{__name__}.{name}")
    for module, names in _WHERE.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
