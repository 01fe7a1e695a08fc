"""A run folder's predictions, and the results that follow from them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from safetensors import SafetensorError

from cleser.evaluation.calibration import (
    fit_temperatures,
    has_probabilities,
    summarise_calibration,
)
from cleser.evaluation.gender import gender_gap
from cleser.evaluation.intervals import interval
from cleser.evaluation.measures import Measure, measures
from cleser.evaluation.metrics import METRICS, f1, precision, recall
from cleser.evaluation.older_runs import completed_protocol
from cleser.evaluation.run_files import (
    CONFIG,
    DEVELOPMENT,
    HISTORY,
    PREDICTIONS,
    PROTOCOL,
    RESULTS,
    SELECTION,
    TRIALS,
)
from cleser.evaluation.speakers import Clusters, cluster
from cleser.evaluation.unlabelled import summarise_unlabelled
from cleser.files import write_text
from cleser.recipe_names import with_current_name
from cleser.settings import read_yaml

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """A run folder; each of its files is read when it is first needed."""

    folder: Path

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings of the run, from ``config.yaml``."""
        return with_current_name(read_yaml(self._path(CONFIG)))

    @cached_property
    def protocol(self) -> dict[str, Any]:
        """Protocol of the run, from ``protocol.json``."""
        protocol: dict[str, Any] = self.read(PROTOCOL, _json)
        return completed_protocol(protocol)

    @cached_property
    def results(self) -> dict[str, Any]:
        """Figures of the run, from ``results.json``."""
        return with_current_name(self.read(RESULTS, _json))

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Predictions of the tested utterances, from ``predictions.parquet``."""
        return self.read(PREDICTIONS, pd.read_parquet)

    @cached_property
    def development(self) -> pd.DataFrame | None:
        """``development.parquet``: predictions of the source's development speakers; None where none were kept."""
        there = (self.folder / DEVELOPMENT).exists()
        return self.read(DEVELOPMENT, pd.read_parquet) if there else None

    @cached_property
    def robustness(self) -> list[dict[str, Any]]:
        """What ``cleser evaluate --robustness`` found of the run's own test, by condition; empty if nothing was."""
        path = self.folder / "robustness" / "robustness.json"
        if not path.exists():
            return []
        found = json.loads(path.read_text())
        # Older versions put what they found on other corpora into the same folder.
        own = found["on"] == list(self.settings["protocol"]["target"])
        return list(found["conditions"]) if own else []

    @cached_property
    def selection(self) -> pd.DataFrame:
        """What transfer validation tried, the best first; empty where nothing was chosen so.

        The column ``taken`` says which row was; older versions did not write it.
        """
        path = self.folder / SELECTION / TRIALS
        return pd.read_csv(path) if path.exists() else pd.DataFrame()

    @cached_property
    def clusters(self) -> Clusters:
        """Confusions per speaker and seed."""
        return cluster(self.predictions, self.protocol["classes"])

    @property
    def scored(self) -> bool:
        """Whether the target has labels; without, the run has recognised it, and has no scores."""
        return "recognised" not in self.results

    def needs_scores(self) -> None:
        """Raise a ValueError if the run has no scores."""
        if not self.scored:
            raise ValueError(
                f"{self.folder} has no scores, since no utterance of its target has a label: cleser evaluate "
                f"{self.folder} shows what was recognised, and cleser predict {self.folder} --corpus SPEC lists it"
            )

    @property
    def attributes(self) -> list[str]:
        """The attributes that were predicted; none in runs of emotions alone."""
        return list(self.protocol.get("attributes", []))

    @property
    def history(self) -> pd.DataFrame:
        """``metrics.jsonl``; empty where nothing was trained by epochs."""
        path = self.folder / HISTORY
        return pd.read_json(path, lines=True) if path.exists() else pd.DataFrame()

    def read(self, name: str, read: Callable[[Path], T]) -> T:
        """What a function reads from a file of the folder; a ValueError that names the file where it cannot."""
        path = self._path(name)
        try:
            return read(path)
        except (ValueError, SafetensorError) as error:
            raise ValueError(
                f"{path} is cut off or damaged ({error}): copy the run's folder anew, or run it again into another"
            ) from error

    def _path(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            raise ValueError(
                f"{self.folder}: found no {name}, expected the folder of a finished run"
            )
        return path


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def runs_below(folder: Path) -> list[Path]:
    """The finished runs in a folder: itself, or those of a matrix below it, but not the folds within a run.

    Args:
        folder: A run folder, or one that holds run folders.

    Raises:
        ValueError: There is no finished run.
    """
    if (folder / CONFIG).exists():
        return [folder]
    found: list[Path] = []
    for below in sorted(path for path in folder.iterdir() if path.is_dir()):
        rows = sorted(path.parent for path in below.glob(f"*/{RESULTS}"))  # of a matrix
        found += [below] if (below / RESULTS).exists() else rows
    if not found:
        raise ValueError(
            f"{folder}: found no results.json, neither in it nor in folders below, expected the folder of a finished "
            "run or of a matrix"
        )
    return found


def write_results(
    folder: Path,
    *,
    left_out: list[dict[str, str]] | None = None,
    temperatures: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Compute ``results.json`` from a folder's predictions and write it.

    Args:
        folder: The run folder.
        left_out: Recordings that could not be used, for the record.
        temperatures: The networks' temperatures, see :func:`cleser.evaluation.calibration.fit_temperatures`; by default
            they are fitted to the folder's ``development.parquet``, where there is one.

    Returns:
        What was written; fractions from 0 to 1.
    """
    run = Run(folder)
    predictions = run.predictions
    scored = bool(run.attributes) or bool(predictions["emotion"].notna().any())
    found = summarise_run(run, predictions) if scored else _summarise_unlabelled(run)
    results = {
        **found,
        "n_utterances": int(predictions["utterance"].nunique()),
        "n_speakers": int(predictions["speaker"].nunique()),
        "seeds": sorted(int(s) for s in predictions["seed"].unique()),
        "recipe": run.settings["recipe"],
        "protocol": run.protocol["hash"],
        "left_out": left_out or [],
    }
    if (classes := run.protocol["classes"]) and scored:
        results["gender"] = gender_gap(predictions, classes)
        if has_probabilities(predictions, classes):
            fitted = _fitted_temperatures(run) if temperatures is None else temperatures
            results["calibration"] = summarise_calibration(predictions, classes, fitted)
    if sets := _test_sets(run):
        results["test_sets"] = sets
    write_text(folder / RESULTS, json.dumps(results, indent=2) + "\n")
    return results


def _summarise_unlabelled(run: Run) -> dict[str, Any]:
    """What is recognised where nobody knows what is right, and the temperatures for further recordings."""
    classes = run.protocol["classes"]
    temperatures = _fitted_temperatures(run) if has_probabilities(run.predictions, classes) else []
    return {
        **summarise_unlabelled(run.predictions, classes),
        "calibration": {"temperatures": temperatures},
    }


def _fitted_temperatures(run: Run) -> list[dict[str, Any]]:
    own = run.development
    return [] if own is None or own.empty else fit_temperatures(own, run.protocol["classes"])


def _test_sets(run: Run) -> dict[str, Any]:
    """Metrics of each official test set by itself, where there are several."""
    sets = run.predictions.get("split")  # which old versions did not write
    if run.protocol.get("split") != "official" or sets is None or sets.nunique() < 2:
        return {}
    return {str(name): summarise_run(run, rows) for name, rows in run.predictions.groupby("split")}


def summarise_run(run: Run, predictions: pd.DataFrame) -> dict[str, Any]:
    """All that is measured of some predictions of a run."""
    classes = run.protocol["classes"]
    found = measures(predictions, classes, run.attributes)
    summary = summarise(found["uar"].clusters, classes) if classes else {}
    summary |= {name: _metric(found[name]) for name in found if name not in summary}
    unknown = next(iter(found.values())).clusters.unknown
    return {"unknown_speakers": unknown, **summary}


def summarise(clusters: Clusters, classes: list[str]) -> dict[str, Any]:
    """Metrics with their intervals, the classes' own, and the confusions summed over seeds.

    Args:
        clusters: Confusions by seed and speaker.
        classes: Names of the C classes, in order.

    Returns:
        As ``results.json`` holds it; fractions from 0 to 1.
    """
    seeds = clusters.counts.sum(1)  # [S, C, C]
    total = seeds.sum(0)
    summary: dict[str, Any] = {
        name: _metric(Measure(clusters, metric)) for name, metric in METRICS.items()
    }
    summary["per_class"] = {
        name: {
            "recall": _or_none(recall(total)[k]),
            "precision": _or_none(precision(total)[k]),
            "f1": _or_none(f1(total)[k]),
            "support": int(total[k].sum() // len(seeds)),
        }
        for k, name in enumerate(classes)
    }
    summary["confusion"] = {"classes": classes, "counts": total.tolist()}
    summary["unknown_speakers"] = clusters.unknown
    return summary


def _metric(measure: Measure) -> dict[str, Any]:
    """A metric's mean over the seeds that have a value, its seeds, its interval, and what that rests on."""
    clusters, metric, bounds = measure
    each = metric(clusters.counts.sum(1))
    # A seed that tested nobody whose arousal is known, say, has no value and says nothing of the others.
    known = [
        seed for seed, value in zip(clusters.seeds, each, strict=True) if not math.isnan(value)
    ]
    if 0 < len(known) < len(each):
        clusters = clusters.only(known)
    values = metric(clusters.counts.sum(1))
    found = interval(clusters, metric, bounds=bounds)
    return {
        **found.summary(),
        "mean": _or_none(found.estimate),
        "sd": _or_none(float(values.std(ddof=1))) if len(values) > 1 else None,
        "seeds": [_or_none(v) for v in each],
        "error": _or_none(found.error),
        "dof": _or_none(found.dof),
        "resampled": clusters.unit,
        "clusters": len(clusters.names),
    }


def _or_none(value: float) -> float | None:
    """The number, or None in place of NaN, which JSON lacks."""
    return None if math.isnan(value) else float(value)
