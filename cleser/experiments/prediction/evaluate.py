"""Test a finished run on further corpora, under the terms of its training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from cleser.corpora.protocol import Cast, Protocol, Uses
from cleser.corpora.registry import load_all
from cleser.evaluation import Run
from cleser.evaluation.run_files import CHECKPOINTS, CONFIG, MODEL, RESULTS
from cleser.experiments.access import alignments_used, sealed, uses_of
from cleser.experiments.declared import declared
from cleser.experiments.experiment import Experiment, admit
from cleser.experiments.notes import style_of, tell
from cleser.experiments.one_sided import choose_normalisation
from cleser.experiments.prediction_table import predictions_of
from cleser.experiments.run_folder import FOLDS, begin, finish, holds_finished, placed_corpus
from cleser.experiments.saved import SavedRun, open_run, read_settings
from cleser.experiments.selection import names_of, own_name
from cleser.experiments.sentence_check import sentences_taken_off
from cleser.training.from_manifest import phones_of


def evaluate(
    run: Path,
    on: tuple[str, ...],
    *,
    renamed: dict[str, str] | None = None,
    alignments: str | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Recognise other corpora with every seed's network of a finished run.

    Args:
        run: The run folder.
        on: Specs of the corpora.
        renamed: Further emotions to rename, as ``{"calm": "neutral"}``.
        alignments: Folder of alignments, for a run that was trained with alignments.
        out: Folder for the results; by default ``on-<corpora>`` within the run. Results of an earlier test on the same
            corpora are replaced.

    Returns:
        What ``results.json`` holds.

    Raises:
        ValueError: The folder holds no finished run, that of the results holds a trained run or another test, or the
            corpora have no labels.
        LeakageError: The corpora overlap with what the run has learned from.
    """
    saved = open_run(run)
    protocol = protocol_on(saved.protocol, on, renamed)
    experiment = as_experiment(saved, protocol, out or place_of(run, on), alignments)
    _check_folder(experiment)
    cast, notes = admit(experiment)
    cast.needs_labels()
    phones = phones_of(cast.heard, alignments)
    settled, note = choose_normalisation(
        protocol,
        saved.one_sided,
        cast.heard,
        saved.backbone,
        phones,
        saved.record(protocol, phones),
    )
    dataset = saved.dataset(cast.heard, settled, phones, title=called(on))
    aligned = alignments_used(phones, cast.heard, saved.record(protocol, phones))
    taken_off = sentences_taken_off(dataset, cast.heard)
    again = adapted_to(saved, cast)
    uses = _uses(saved, cast, aligned, taken_off, settled.normalisation, again=bool(again))
    # Of an earlier test on other terms: whoever finds results must not find them under these.
    (experiment.out / RESULTS).unlink(missing_ok=True)
    found = [*filter(None, [note]), *again]
    for said in found:
        tell(said, style_of(said))
    notes = [*notes, *found]
    begin(experiment.out, experiment.settings(), cast, notes, uses, settled.normalisation)
    rows = []
    for seed, network in enumerate(saved.networks):
        test = dataset.subset(cast.parts(seed).test)
        rows.append(predictions_of(network, test, protocol, seed)[0])
    left_out = [*cast.left_out, *dataset.left_out]
    tested = pd.concat(rows, ignore_index=True)
    return finish(experiment.out, tested, left_out, temperatures=temperatures_of(run))


def place_of(run: Path, on: Sequence[str]) -> Path:
    """Where the results of a test of a run lie by default."""
    return run / f"on-{called(on)}"


def called(on: Sequence[str]) -> str:
    """The corpora of a test in a name: each by its reader, and a table also by its own name.

    >>> called(["emodb:DIR", "manifest:lists/mine.csv"])
    'emodb+manifest-mine'
    """
    return "+".join(
        own_name(spec) if spec.startswith("manifest:") else names_of([spec])[0] for spec in on
    )


def as_experiment(
    saved: SavedRun, protocol: Protocol, out: Path, alignments: str | None
) -> Experiment:
    """A test of a finished run as an experiment of its own, in which nothing is trained.

    Args:
        saved: The run.
        protocol: The terms, see :func:`protocol_on`.
        out: Folder for the results.
        alignments: Folder of alignments.
    """
    settings = saved.settings
    return Experiment(
        settings["recipe"], settings["config"], protocol, len(saved.networks), out,
        settings["backbone"], saved.tuning, alignments,
    )  # fmt: skip


def _check_folder(test: Experiment) -> None:
    """Refuse a folder that holds anything but an earlier test of the same run on the same corpora."""
    out, on = test.out, test.protocol.target
    kept = [name for name in (MODEL, CHECKPOINTS, FOLDS) if (out / name).exists()]
    if kept:
        raise ValueError(
            f"{out} holds a run that was trained there ({', '.join(kept)}), expected an empty folder or an earlier "
            "test: give another folder (--out)"
        )
    if (out / CONFIG).exists():
        tested = tuple(read_settings(out)["protocol"]["target"])
        if [*map(placed_corpus, tested)] != [*map(placed_corpus, on)]:
            raise ValueError(
                f"{out} holds a test on {list(tested)}, found {list(on)}: give another folder (--out), or remove "
                "this one"
            )
    # Which may be given anew, and corpora may have changed: all is computed again.
    holds_finished(out, test.settings(), chosen=("protocol.map", "alignments"))


def adapted_to(saved: SavedRun, cast: Cast) -> list[str]:
    """A note if the run has adapted to recordings that are tested, under whatever name: their labels may be new.

    A table with the labels of what was a target without any is another corpus by its spec, of the same recordings.

    Args:
        saved: The run.
        cast: What is tested.
    """
    method, trained = declared(saved.config), saved.protocol
    # Of the run's own target, the terms say it.
    if _own_target(saved, cast) or sealed(trained) or not (method.adapts or method.match_prior):
        return []
    try:
        heard = {*_recordings(load_all(trained.target, labels=False))}
    except ValueError as error:
        return [
            "adapted: whether the run has adapted to these recordings is not known, since those of its own target "
            f"cannot be read ({error})"
        ]
    again = sum(name in heard for name in _recordings(cast.target))
    if not again:
        return []
    return [
        f"adapted: {again:,} of {len(cast.target):,} tested utterances are recordings of the run's own target, to "
        "which it has adapted without their labels: recordings that it has not heard may be recognised less well"
    ]


def _own_target(saved: SavedRun, cast: Cast) -> bool:
    """Whether the run was trained for a corpus that is tested, however its path is spelt."""
    ours = {placed_corpus(spec) for spec in saved.protocol.target}
    return any(placed_corpus(spec) in ours for spec in cast.protocol.target)


def _recordings(rows: pd.DataFrame) -> list[str]:
    """The file of each row, without links to its folder."""
    folders: dict[str, str] = {}
    found = []
    for path in rows["path"]:
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        found.append(os.path.join(folders[folder], name))  # noqa: PTH118  (names only)
    return found


def _uses(
    saved: SavedRun,
    cast: Cast,
    alignments: bool | str,
    sentences: str,
    settled: str,
    *,
    again: bool,
) -> Uses:
    """What the run makes of these corpora: it adapted to those that it was trained for, and others it only tests.

    Args:
        saved: The run.
        cast: What is tested.
        alignments: See :func:`uses_of`.
        sentences: See :func:`uses_of`.
        settled: See :func:`uses_of`.
        again: Whether the run has adapted to some of them under another name, see :func:`adapted_to`.
    """
    found = uses_of(saved.config, cast, alignments=alignments, sentences=sentences, settled=settled)
    if again or _own_target(saved, cast):
        return found
    return replace(found, training=declared(saved.config).adapts_to_test, prior="none")


def protocol_on(
    trained: Protocol, on: tuple[str, ...], renamed: dict[str, str] | None = None
) -> Protocol:
    """The terms of a run for other corpora than it was tested on.

    Args:
        trained: The run's.
        on: Specs of the corpora.
        renamed: Further emotions to rename.
    """
    # What was an oracle for its own target sees no label of another.
    access = "audio" if trained.target_access == "labels" else trained.target_access
    protocol = replace(
        trained, target=on, map={**trained.map, **(renamed or {})}, target_access=access
    )
    if trained.by_folds:  # they divide the corpus that was recognised then
        protocol = replace(protocol, split="speakers", fold="", shared_speakers=False)
    return protocol


def temperatures_of(run: Path) -> list[dict[str, Any]]:
    """The temperatures of a run's networks, fitted to its source; none for runs of versions that fitted none."""
    found: list[dict[str, Any]] = Run(run).results.get("calibration", {}).get("temperatures", [])
    return found
