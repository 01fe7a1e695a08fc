"""Metrics, statistics that respect speakers, plots and the report."""

from cleser.evaluation.intervals import Difference, Interval, interval, paired_difference
from cleser.evaluation.metrics import (
    accuracy,
    confusion_matrix,
    f1,
    macro_f1,
    precision,
    recall,
    uar,
)
from cleser.evaluation.multiple_tests import holm
from cleser.evaluation.report import report
from cleser.evaluation.results import Comparison, Run, compare_runs, summarise, write_results
from cleser.evaluation.speakers import Clusters, cluster
from cleser.evaluation.tables import as_text, show_comparison, show_results, table

__all__ = [
    "Clusters",
    "Comparison",
    "Difference",
    "Interval",
    "Run",
    "accuracy",
    "as_text",
    "cluster",
    "compare_runs",
    "confusion_matrix",
    "f1",
    "holm",
    "interval",
    "macro_f1",
    "paired_difference",
    "precision",
    "recall",
    "report",
    "show_comparison",
    "show_results",
    "summarise",
    "table",
    "uar",
    "write_results",
]
