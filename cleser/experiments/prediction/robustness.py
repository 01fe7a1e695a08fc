"""A finished run tested on degraded recordings of its test: noise, rooms, codecs and speed, with all seeds.

A condition is treated as a corpus of its own. It is standardised by the statistics of its own speakers, as in the run's
test, so that normalisation removes a part of a noise here too. The undegraded recordings are a condition as well,
and every other is compared with them on the same utterances by the same networks, seed by seed.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from cleser.alignment import Alignment
from cleser.corpora.protocol import Protocol
from cleser.corpora.protocol.hashes import hash_of_rows
from cleser.evaluation.intervals import Interval, interval, interval_of_sums
from cleser.evaluation.measures import Measure, measures
from cleser.experiments.experiment import admit
from cleser.experiments.one_sided import choose_normalisation
from cleser.experiments.prediction.conditions import CLEAN, CONDITIONS, QUICK, Condition, draw
from cleser.experiments.prediction.evaluate import as_experiment, called, protocol_on
from cleser.experiments.prediction_table import predictions_of
from cleser.experiments.saved import SavedRun, open_run
from cleser.files import replacing, write_text
from cleser.progress import track
from cleser.speech.audio import AudioError, read_mono
from cleser.training.from_manifest import phones_of


def measure_robustness(
    run: Path,
    on: tuple[str, ...] = (),
    *,
    files: int = 200,
    quick: bool = False,
    seed: int = 0,
    alignments: str | None = None,
    out: Path | None = None,
) -> list[dict[str, Any]]:
    """Recognise degraded recordings with every seed's network of a finished run.

    What is finished is not done again: the same call goes on with the conditions that are missing.

    Args:
        run: The run folder.
        on: Specs of corpora; those of the run's test by default.
        files: Most recordings, drawn so that speakers and emotions are as even as can be; 0 for all.
        quick: Whether to try the seven of :data:`cleser.experiments.prediction.conditions.QUICK` in place of all.
        seed: Seed of the draw and of all noise. A recording's depends on it, the condition and the recording alone.
        alignments: Folder that says when phones sound, for a run that was trained with one.
        out: Folder for the results; by default ``robustness`` within the run, and of other corpora
            ``robustness-on-<corpora>``.

    Returns:
        A row for each condition, also in ``robustness.json``: ``kind, value``, ``uar`` (without emotions ``ccc``, the
        attributes' mean) and ``change`` (the same less that of the undegraded recordings), each with ``mean, ci95,
        covers``, and ``utterances``.

    Raises:
        ValueError: The folder holds no finished run or results of other settings, the recordings have no labels, or
            ``files`` is negative.
        LeakageError: The corpora overlap with what the run has learned from.
    """
    if files < 0:
        raise ValueError(
            f"files is {files}, expected 0 for all recordings, or their largest number"
        )
    saved = open_run(run)
    protocol = protocol_on(saved.protocol, on) if on else saved.protocol
    out = out or run / (f"robustness-on-{called(on)}" if on else "robustness")
    cast, _ = admit(as_experiment(saved, protocol, out, alignments))
    cast.needs_labels()
    parts = [cast.parts(number).test for number in range(len(saved.networks))]
    tested = pd.concat(parts).drop_duplicates("utterance", ignore_index=True)
    rows = draw(tested, files, seed)
    settings = {
        "on": list(protocol.target),
        "files": len(rows),
        "seed": seed,
        "utterances": hash_of_rows(rows)[:12],
    }
    _claim(out, settings)
    phones = phones_of(rows, alignments)
    record = saved.record(protocol, phones)
    settled, _ = choose_normalisation(
        protocol, saved.one_sided, rows, saved.backbone, phones, record
    )
    shares = [set(part["utterance"]) for part in parts]
    conditions = QUICK if quick else CONDITIONS
    with track("robustness", len(conditions)) as advance:
        for condition in conditions:
            path = out / f"{condition.name}.parquet"
            if not path.exists():
                found = _recognise(saved, settled, rows, phones, condition, seed, shares)
                with replacing(path) as part:
                    found.to_parquet(part)
            advance(1, condition.name)
    done = [c for c in CONDITIONS if (out / f"{c.name}.parquet").exists()]
    summary = _summarise(out, done, protocol)
    write_text(
        out / "robustness.json", json.dumps({**settings, "conditions": summary}, indent=2) + "\n"
    )
    return summary


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Begin the folder, or go on in it if it holds the same."""
    path = out / "settings.json"
    if path.exists() and (found := json.loads(path.read_text())) != settings:
        changed = [name for name in settings if found.get(name) != settings[name]]
        raise ValueError(
            f"{out} holds results of other settings ({', '.join(changed)} differ); choose another folder or remove it"
        )
    write_text(path, json.dumps(settings, indent=2) + "\n")


def _recognise(
    saved: SavedRun,
    protocol: Protocol,
    rows: pd.DataFrame,
    phones: Sequence[Alignment | None],
    condition: Condition,
    seed: int,
    shares: Sequence[set[str]],
) -> pd.DataFrame:
    """Predictions of all networks for one condition."""
    with tempfile.TemporaryDirectory(prefix="cleser-robustness-") as folder:
        worse = _degraded(rows, condition, seed, Path(folder))
        kept = [i for i, path in enumerate(worse["path"]) if path]
        dataset = saved.dataset(
            worse.iloc[kept].reset_index(drop=True),
            protocol,
            [_at_speed(phones[i], condition) for i in kept],
            title=condition.name,
        )
        tables = []
        for number, network in enumerate(saved.networks):
            own = dataset.manifest[dataset.manifest["utterance"].isin(shares[number])]
            test = dataset.subset(own)
            tables.append(predictions_of(network, test, protocol, number)[0])
    return pd.concat(tables, ignore_index=True)


def _degraded(rows: pd.DataFrame, condition: Condition, seed: int, folder: Path) -> pd.DataFrame:
    """The utterances as files of their own in a folder; an empty path where a recording cannot be read."""
    paths = []
    places = zip(rows["utterance"], rows["path"], rows["start"], rows["end"], strict=True)
    for number, (name, path, start, end) in enumerate(places):
        try:
            samples, rate = read_mono(path, start=start, end=end)
        except AudioError:  # the run's own test has left it out too, and has said so
            paths.append("")
            continue
        target = folder / f"{number}.wav"
        key = hashlib.sha256(f"{seed} {condition.name} {name}".encode()).digest()
        rng = np.random.default_rng(list(key))
        soundfile.write(target, condition.degrade(samples, rate, rng), rate, subtype="FLOAT")
        paths.append(str(target))
    return rows.assign(path=paths, start=0.0, end=np.nan)


def _at_speed(phones: Alignment | None, condition: Condition) -> Alignment | None:
    if phones is None:
        return None
    return replace(
        phones, starts=phones.starts / condition.speed, ends=phones.ends / condition.speed
    )


def _summarise(
    out: Path, conditions: Sequence[Condition], protocol: Protocol
) -> list[dict[str, Any]]:
    name = "uar" if protocol.classes else "ccc"

    def measured(rows: pd.DataFrame) -> Measure:
        return measures(rows, protocol.classes, protocol.regressed)[name]

    clean = _read(out, CLEAN)
    summary = []
    for condition in conditions:
        rows = _read(out, condition)
        both = rows[rows["utterance"].isin(clean["utterance"])]
        own = clean[clean["utterance"].isin(rows["utterance"])]
        worse = measured(both)
        reached = interval(worse.clusters, worse.metric, bounds=worse.bounds)
        summary.append(
            {
                "kind": condition.kind,
                "value": condition.value,
                name: reached.summary(),
                "change": _change(measured(own), worse).summary(),
                "utterances": int(both["utterance"].nunique()),
            }
        )
    return summary


def _change(clean: Measure, worse: Measure) -> Interval:
    """The metric of degraded recordings less that of the same as recorded; seeds are paired too."""
    counts = clean.clusters.counts
    rows = counts.shape[-2]
    low, high = clean.bounds
    return interval_of_sums(
        np.concatenate([counts, worse.clusters.counts], 2),
        clean.clusters.tested.sum((2, 3)),
        lambda sums: clean.metric(sums[..., rows:, :]) - clean.metric(sums[..., :rows, :]),
        clean.clusters.unit,
        bounds=(low - high, high - low),
    )


def _read(out: Path, condition: Condition) -> pd.DataFrame:
    return pd.read_parquet(out / f"{condition.name}.parquet")
