"""An experiment from protocol to results: load, audit, extract, fit every seed, test, write down."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from torch import Tensor

from cleser.alignment.folder import existing_folder
from cleser.corpora.audit import LeakageError, audit
from cleser.corpora.protocol import Cast, Parts, Protocol
from cleser.corpora.protocol.uses import uses_of_folds
from cleser.evaluation import Run
from cleser.evaluation.run_files import CHECKPOINTS, PROTOCOL
from cleser.experiments.access import check_access, sealed, uses_of
from cleser.experiments.data import Data
from cleser.experiments.declared import declared
from cleser.experiments.fitted import Fitted, offered
from cleser.experiments.methods import package_of
from cleser.experiments.model_file import write_model
from cleser.experiments.notes import (
    lost_classes,
    prior_note,
    sample_note,
    shares_note,
    style_of,
    tell,
    tell_left_out,
)
from cleser.experiments.prediction_table import predictions_of
from cleser.experiments.run_folder import (
    FOLDS,
    begin,
    check_corpora,
    finish,
    holds_finished,
    withdraw,
    write_embeddings,
    write_history,
)
from cleser.experiments.trackers import TrackerName, Trackers
from cleser.progress import stderr, track
from cleser.settings import to_plain
from cleser.speech.backbones import Backbone
from cleser.speech.backbones.fine_tuning import FineTuning, check_crop
from cleser.speech.backbones.open import located
from cleser.training.dataset import Dataset
from cleser.training.from_manifest import check_one_view, knows_phones
from cleser.training.processes import processes


@dataclass(frozen=True)
class Experiment:
    """A recipe that is run under a protocol, for some seeds, into a folder.

    Attributes:
        recipe: Name of the recipe, for tables.
        config: Settings of the recipe, as plain data.
        protocol: The terms under which it runs.
        seeds: Training seeds 0 … seeds − 1.
        out: The run folder.
        backbone: Name of what turns recordings into frames.
        tuning: Whether and how the backbone is trained too.
        alignments: Folder of alignments, see :func:`cleser.alignment.load_alignments`.
        notes: What a reader of the results has to know in addition to what the audit finds.
        development: Whether the source's development speakers are recognised too; a trial that is compared only by its
            target does not need them.
        workers: Number of processes that decode recordings in advance if a network is trained from audio; results do
            not depend on it.
        trackers: Programs that show the training while it runs, see :mod:`cleser.experiments.trackers`.
    """

    recipe: str
    config: dict[str, Any]
    protocol: Protocol
    seeds: int
    out: Path
    backbone: str = "acoustic"
    tuning: FineTuning = field(default_factory=FineTuning)
    alignments: str | None = None
    notes: tuple[str, ...] = ()
    development: bool = True
    workers: int = 0
    trackers: tuple[TrackerName, ...] = ()

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"seeds is {self.seeds}, expected 1 or more")
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}, expected 0 or more")

    def settings(self) -> dict[str, Any]:
        """The settings that ``config.yaml`` holds: enough to run the same again."""
        package = package_of(self.recipe)
        return {
            "recipe": self.recipe,
            **({"package": package} if package else {}),
            "backbone": located(self.backbone),
            "seeds": self.seeds,
            "protocol": to_plain(self.protocol),
            "config": self.config,
            **({"tuning": to_plain(self.tuning)} if self.tuning.from_audio else {}),
            **({"alignments": self.alignments} if self.alignments else {}),
        }

    def finished(self, *, chosen: Collection[str] = (), cast: Cast | None = None) -> bool:
        """Whether the run folder already holds this run, finished; nothing is written.

        Args:
            chosen: Settings that may differ, as ``"config.penalty"``: the run chose them.
            cast: The utterances that take part; by default they are looked up where the folder is not new.

        Raises:
            RunFolderError: The folder holds another run, one of corpora that have changed since, or something that is
                no run.
        """
        found = holds_finished(self.out, self.settings(), chosen=chosen)
        if (self.out / PROTOCOL).exists():
            check_corpora(self.out, cast or self.protocol.load())
        return found


class Repeat(NamedTuple):
    """One training of an experiment, with its seed: what it may use, and where it keeps its state.

    Attributes:
        seed: The training seed.
        data: All datasets.
        parts: The division of the utterances that this seed drew.
        checkpoint: File for the state of the training.
        report: Called with the history of epochs so far.
    """

    seed: int
    data: Data
    parts: Parts
    checkpoint: Path
    report: Callable[[list[dict[str, float]]], None]


def run_experiment(
    experiment: Experiment,
    config: Any,
    fit: Callable[[Repeat], Fitted],
    backbone: Backbone,
    *,
    auxiliary: bool = False,
) -> dict[str, Any]:
    """Fit and test a method for every seed; returns what ``results.json`` holds.

    Args:
        experiment: What is run and where.
        config: The method's settings; what they may say of it is in :class:`cleser.experiments.declared.Declared`.
        fit: Fits the method for one seed.
        backbone: Turns recordings into frames.
        auxiliary: Whether the method learns from auxiliary corpora.

    Where the protocol has several folds, each is a run of its own in a folder below ``folds``, and the results are of
    all their predictions together.

    Raises:
        RunFolderError: The folder holds another run.
        LeakageError: The protocol would test on what was seen.
        ValueError: The method learns from recordings that the protocol does not let it hear, or from parts of
            recordings that are too short for the backbone; or it wants phones of several joined backbones.
    """
    if experiment.finished():
        stderr.print(f"{experiment.out} is finished; nothing to do")
        return Run(experiment.out).results
    check_access(config, experiment.protocol)
    check_crop(backbone, experiment.tuning)
    if declared(config).uses_tokens or experiment.tuning.from_audio:
        check_one_view(backbone)
    together = processes()
    together.wait_for_everyone()  # nobody looks into the folder once one has begun to write
    cast, notes = admit(experiment)
    if not cast.several:
        return _run_cast(experiment, cast, notes, config, fit, backbone, auxiliary=auxiliary)
    begin(experiment.out, experiment.settings(), cast, notes, uses_of(config, cast))
    folders = []
    for fold in cast.folds:
        folder = experiment.out / FOLDS / re.sub(r"[^\w.-]+", "-", fold.protocol.fold)
        one = replace(experiment, protocol=fold.protocol, out=folder)
        folders.append(folder)
        try:
            if not one.finished(cast=fold):
                _run_cast(one, fold, notes, config, fit, backbone, auxiliary=auxiliary)
        except ValueError:
            withdraw(experiment.out)
            raise
    return _gather(experiment, cast, notes, folders)


def _gather(
    experiment: Experiment, cast: Cast, notes: list[str], folders: list[Path]
) -> dict[str, Any]:
    """The results of all folds as one: every utterance was tested in one of them."""
    runs = [Run(folder) for folder in folders]
    uses = uses_of_folds(
        [run.protocol.get("uses", {}) for run in runs]
    )  # known now of each of them
    begin(experiment.out, experiment.settings(), cast, notes, uses)
    predictions = [run.predictions.assign(fold=run.protocol["fold"]) for run in runs]
    left_out = {p["path"]: p for run in runs for p in run.results["left_out"]}
    kept = [
        run.development.assign(fold=run.protocol["fold"])
        for run in runs
        if run.development is not None
    ]
    results = finish(
        experiment.out,
        pd.concat(predictions, ignore_index=True),
        [*left_out.values()],
        development=pd.concat(kept, ignore_index=True) if len(kept) == len(runs) else None,
    )
    _trackers(experiment).finish(results)
    return results


def _run_cast(
    experiment: Experiment,
    cast: Cast,
    notes: list[str],
    config: Any,
    fit: Callable[[Repeat], Fitted],
    backbone: Backbone,
    *,
    auxiliary: bool,
) -> dict[str, Any]:
    """Fit and test a method for every seed on one cast, into one folder."""
    data = _prepare(experiment, cast, config, backbone, auxiliary=auxiliary)
    notes, settled = [*notes, *data.notes], data.protocol.normalisation
    uses = uses_of(
        config, cast, alignments=data.alignments_used, sentences=data.taken_off, settled=settled
    )
    begin(experiment.out, experiment.settings(), cast, notes, uses, settled)
    trackers = _trackers(experiment)
    networks = _fit_all(experiment, data, fit, trackers)
    if sealed(experiment.protocol):
        _audit_unsealed(experiment, cast)
    tested, development = _test_all(experiment, data, networks)
    if sealed(experiment.protocol):
        tell_left_out(data.target.left_out)
    left_out = [*cast.left_out, *data.seen.left_out, *data.target.left_out]
    results = finish(experiment.out, tested, left_out, development=development)
    trackers.finish(results)
    return results


def _audit_unsealed(experiment: Experiment, cast: Cast) -> None:
    """Open the target's recordings, now that nothing can be learned from them; a leak undoes what was learned."""
    try:
        audit(cast, repeats=experiment.seeds)
    except LeakageError:
        withdraw(experiment.out, trained=True)
        raise


def _prepare(
    experiment: Experiment, cast: Cast, config: Any, backbone: Backbone, *, auxiliary: bool
) -> Data:
    """The datasets of a cast, their features on disk; of a sealed target its alignments alone."""
    with processes().main_process_first():  # the others then find its features on disk
        data = Data(
            cast,
            backbone,
            auxiliary=auxiliary,
            tuning=experiment.tuning,
            alignments=experiment.alignments,
            tokens=declared(config).uses_tokens,
            workers=experiment.workers,
        )
        closed = sealed(experiment.protocol)
        _ = data.target_phones if closed else data.target
        data.notes += [*sample_note(config, data), *prior_note(config, experiment.protocol)]
        tell_left_out([*data.seen.left_out, *([] if closed else data.target.left_out)])
        data.notes += [*shares_note(data), *lost_classes(cast, data)]
        for note in data.notes:
            tell(note, style_of(note))
    return data


def _fit_all(
    experiment: Experiment, data: Data, fit: Callable[[Repeat], Fitted], trackers: Trackers
) -> list[Fitted]:
    """The fitted methods of all seeds; the history of their epochs is written as it grows."""
    history: list[dict[str, float]] = []
    networks: list[Fitted] = []
    for seed in range(experiment.seeds):
        before = list(history)

        def report(epochs: list[dict[str, float]], before: list[dict[str, float]] = before) -> None:
            history[:] = [*before, *epochs]
            write_history(experiment.out, history)
            trackers.epochs(history)

        checkpoint = experiment.out / CHECKPOINTS / f"seed{seed}.safetensors"
        try:
            networks.append(fit(Repeat(seed, data, data.cast.parts(seed), checkpoint, report)))
        except ValueError:
            withdraw(experiment.out)
            raise
    return networks


def _learned_by(fitted: Fitted, dataset: Dataset) -> Dataset:
    """Source utterances as a fitted method learned from them: moved onto the target, if it moved them."""
    move = offered(fitted).of_source
    return dataset if move is None else move(dataset)


def _test_all(
    experiment: Experiment, data: Data, networks: Sequence[Fitted]
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Write what all seeds have fitted, and give their predictions of what is tested.

    Returns:
        Predictions of the tested utterances, and of the source's development speakers where every seed has some.
    """
    cast, together = data.cast, processes()
    predictions: list[pd.DataFrame] = []
    development: list[pd.DataFrame] = []
    kept: list[dict[str, Tensor]] = []
    for seed, fitted in enumerate(networks):
        parts = cast.parts(seed)
        kept.append(fitted.tensors())
        test = data.target.subset(parts.test)
        table, embeddings = predictions_of(fitted, test, cast.protocol, seed)
        predictions.append(table)
        if experiment.development and len(parts.dev) and cast.protocol.classes:
            unseeing = offered(fitted).held_out or fitted
            dev = _learned_by(unseeing, data.seen.subset(parts.dev))
            development.append(predictions_of(unseeing, dev, cast.protocol, seed)[0])
        if seed == 0:
            source = _learned_by(fitted, data.seen.subset(parts.train))
            of_source = fitted.predict(source)[1]  # by all processes: weights may be spread
            if together.is_main_process:
                fitted.write(experiment.out)
                write_embeddings(experiment.out, embeddings, source, of_source)
    if any(kept) and together.is_main_process:
        write_model(experiment.out, kept, data)
    whole = len(development) == len(networks)
    return (
        pd.concat(predictions, ignore_index=True),
        pd.concat(development, ignore_index=True) if whole else None,
    )


def _trackers(experiment: Experiment) -> Trackers:
    """The trackers that are asked for; none on a process that does not write."""
    names = experiment.trackers if processes().is_main_process else ()
    return Trackers(names, experiment.out, experiment.settings())


def admit(experiment: Experiment) -> tuple[Cast, list[str]]:
    """Load the protocol's corpora, and refuse leakage and a wrong folder; nothing is written.

    Returns:
        The cast, and the audit's notes.
    """
    if experiment.alignments is not None:
        existing_folder(experiment.alignments)
    cast = experiment.protocol.load()
    tell_left_out(cast.left_out)
    asked = [*cast.notes]
    if experiment.alignments is None and cast.phones_on_one_side:
        cast = cast.without_phones()
        asked.append(
            "phones are known of the source or of the target alone, and are not used: cleser align finds those of the "
            "other (--alignments)"
        )
    total = len(cast.source) + len(cast.auxiliary) + len(cast.heard)
    with track("audit", total) as advance:
        findings = audit(
            cast,
            repeats=experiment.seeds,
            alignments=knows_phones(cast.source, experiment.alignments),
            sealed=sealed(experiment.protocol),
            advance=lambda: advance(1),
        )
    for note in findings.notes:
        tell(f"audit: {note}", style_of(note))
    for note in (*asked, *experiment.notes):
        tell(note, style_of(note))
    return cast, [*findings.notes, *asked, *experiment.notes]
