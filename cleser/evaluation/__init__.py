"""Metrics, statistics over speakers and seeds, plots and the report."""

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
from cleser.evaluation.gender import gender_gap
from cleser.evaluation.intervals import (
    Difference,
    Interval,
    group_difference,
    interval,
    interval_of_sums,
    paired_difference,
)
from cleser.evaluation.metrics import (
    accuracy,
    confusion_matrix,
    f1,
    macro_f1,
    precision,
    recall,
    uar,
)
from cleser.evaluation.report import report, site
from cleser.evaluation.results import (
    Comparison,
    Run,
    compare_runs,
    runs_below,
    summarise,
    write_results,
)
from cleser.evaluation.speakers import Clusters, cluster
from cleser.evaluation.tables import as_text, show_comparison, show_results, show_robustness, table
from cleser.multiple_tests import holm

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
