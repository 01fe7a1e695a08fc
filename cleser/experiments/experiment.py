"""An experiment from protocol to results: load, audit, extract, fit every seed, test, write down."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd
from torch import Tensor

from cleser.alignment.folder import existing_folder
from cleser.corpora.audit import SHARED, LeakageError, audit
from cleser.corpora.left_out import reasons
from cleser.corpora.protocol import Cast, Parts, Protocol, Uses
from cleser.evaluation import Run
from cleser.experiments.data import Data
from cleser.experiments.fitted import Fitted
from cleser.experiments.methods import package_of
from cleser.experiments.model_file import write_model
from cleser.experiments.predictions import predictions_of
from cleser.experiments.run_folder import (
    FOLDS,
    begin,
    finish,
    holds_finished,
    withdraw,
    write_embeddings,
    write_history,
)
from cleser.experiments.trackers import TrackerName, Trackers
from cleser.progress import console, track
from cleser.settings import to_plain
from cleser.speech.backbones import Backbone
from cleser.speech.backbones.fine_tuning import FineTuning, check_crop
from cleser.speech.backbones.open import located
from cleser.training.dataset import Dataset
from cleser.training.processes import processes


@dataclass(frozen=True)
class Experiment:
    """What is run: a recipe under a protocol, for some seeds, into a folder.

    Attributes:
        recipe: Its name, for tables.
        config: Its settings, as plain data.
        protocol: The terms.
        seeds: Training seeds 0 … seeds − 1.
        out: The run folder.
        backbone: Name of what turns recordings into frames.
        tuning: Whether and how it is trained too.
        alignments: Folder of alignments, see :func:`cleser.alignment.load_alignments`.
        notes: What a reader of the results has to know in addition to what the audit finds.
        development: Whether the source's development speakers are recognised too; a trial that is compared only by its
            target does not need them.
        workers: Processes that decode recordings in advance if a network is trained from audio; they do not change any
            number.
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
        """What ``config.yaml`` holds: enough to run the same again."""
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

    def finished(self, *, chosen: Collection[str] = ()) -> bool:
        """Whether the run folder already holds this run, finished; nothing is written.

        Args:
            chosen: Settings that may differ, as ``"config.penalty"``: the run chose them, or they are given anew.

        Raises:
            RunFolderError: The folder holds another run, or something that is no run.
        """
        return holds_finished(self.out, self.settings(), chosen=chosen)


class Repeat(NamedTuple):
    """One training of an experiment, with its seed: what it may use, and where it keeps its state.

    Attributes:
        seed: The training seed.
        data: All datasets.
        parts: The division of the utterances that this seed drew.
        checkpoint: File for its state.
        report: Called with the history of epochs so far.
    """

    seed: int
    data: Data
    parts: Parts
    checkpoint: Path
    report: Callable[[list[dict[str, float]]], None]


def check_access(config: Any, protocol: Protocol) -> None:
    """Refuse a method that needs more of the target than a protocol lets it have.

    Raises:
        ValueError: It learns from the target's recordings, or from those that it is tested on, and may not.
    """
    test_time = getattr(config, "test_time", "none")
    terms = (protocol.target_access, protocol.adapt, protocol.split)
    if test_time != "none" and terms != ("audio", "test", "speakers"):
        raise ValueError(
            f"test_time {test_time!r} learns from the utterances that are tested, but the protocol has target_access "
            f"{terms[0]!r}, adapt {terms[1]!r} and split {terms[2]!r}, expected 'audio', 'test' and 'speakers'"
        )
    if getattr(config, "adapts", False) and protocol.target_access == "nothing":
        raise ValueError(
            "a recipe with these settings learns from unlabelled recordings of the target, but the protocol has "
            "target_access 'nothing': give --target-access audio, or take a recipe that needs none of them, as erm, "
            "zero-shot or the plain probe"
        )


def uses_of(config: Any, cast: Cast, backbone: Backbone, *, alignments: bool) -> Uses:
    """What a method with these settings makes of the target's unlabelled recordings under a protocol.

    Raises:
        ValueError: It learns from recordings that the protocol does not let it hear.
    """
    protocol = cast.protocol
    check_access(config, protocol)
    if protocol.target_access == "nothing":
        return Uses(alignments=alignments)
    said: Literal["none", "texts", "sound"] = "none"
    if protocol.removes_content and protocol.classes and backbone.content_layer is not None:
        said = "texts" if cast.heard["text"].notna().any() else "sound"
    matched = getattr(config, "match_prior", False)
    adapts = getattr(config, "adapts", False) or getattr(config, "test_time", "none") != "none"
    return Uses(adapts or matched, protocol.prior if matched else "none", alignments, said)


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
        config: The method's settings, of which ``adapts`` and ``match_prior`` say what it makes of target audio.
        fit: Fits the method for one seed.
        backbone: Turns recordings into frames.
        auxiliary: Whether the method learns from auxiliary corpora.

    Where the protocol has several folds, each is a run of its own in a folder below ``folds``, and the results are of
    all their predictions together.

    Raises:
        RunFolderError: The folder holds another run.
        LeakageError: The protocol would test on what was seen.
        ValueError: The method learns from recordings that the protocol does not let it hear, or from parts of
            recordings that are too short for the backbone.
    """
    if experiment.finished():
        console.print(f"{experiment.out} is finished; nothing to do")
        return Run(experiment.out).results
    check_access(config, experiment.protocol)
    check_crop(backbone, experiment.tuning)
    together = processes()
    together.wait_for_everyone()  # nobody looks into the folder once one has begun to write
    cast, notes = admit(experiment)
    if not cast.several:
        return _run_cast(experiment, cast, notes, config, fit, backbone, auxiliary=auxiliary)
    alignments = experiment.alignments is not None or "phones" in cast.source
    uses = uses_of(config, cast, backbone, alignments=alignments)
    begin(experiment.out, experiment.settings(), cast, notes, uses)
    folders = []
    for fold in cast.folds:
        folder = experiment.out / FOLDS / re.sub(r"[^\w.-]+", "-", fold.protocol.fold)
        one = replace(experiment, protocol=fold.protocol, out=folder)
        folders.append(folder)
        try:
            if not one.finished():
                _run_cast(one, fold, notes, config, fit, backbone, auxiliary=auxiliary)
        except ValueError:
            withdraw(experiment.out)
            raise
    return _gather(experiment, folders)


def _gather(experiment: Experiment, folders: list[Path]) -> dict[str, Any]:
    """The results of all folds as one: every utterance was tested in one of them."""
    runs = [Run(folder) for folder in folders]
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
    uses = uses_of(config, cast, backbone, alignments=data.knows_phones)
    notes, settled = [*notes, *data.notes], data.protocol.normalisation
    begin(experiment.out, experiment.settings(), cast, notes, uses, settled)
    trackers = _trackers(experiment)
    networks = _fit_all(experiment, data, fit, trackers)
    if _sealed(experiment.protocol):
        _audit_unsealed(experiment, cast)
    tested, development = _test_all(experiment, data, networks)
    if _sealed(experiment.protocol):
        _tell_left_out(data.target.left_out)
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
            tokens=getattr(config, "uses_tokens", False),
            workers=experiment.workers,
        )
        sealed = _sealed(experiment.protocol)
        _ = data.target_phones if sealed else data.target
        data.notes += [*_sample_note(config, data), *_prior_note(config, experiment.protocol)]
        _tell_left_out([*data.seen.left_out, *([] if sealed else data.target.left_out)])
        data.notes += [*_shares_note(data), *_unheard(cast, data)]
        for note in data.notes:
            _tell(note, _style(note))
    return data


def _unheard(cast: Cast, data: Data) -> list[str]:
    """Source corpora of which a class is gone because no recording of it can be used.

    Raises:
        ValueError: It is gone from all of them.
    """
    used = cast.source["utterance"].isin(data.seen.manifest["utterance"])
    left, gone = cast.source[used], cast.source[~used]
    if missing := [name for name in cast.protocol.classes if name not in set(left["emotion"])]:
        raise ValueError(
            f"the source {list(cast.protocol.source)} holds no usable recording of {missing}, expected all of "
            f"{list(cast.protocol.classes)}; {'; '.join(reasons(data.seen.left_out))}"
        )
    notes = []
    for corpus, rows in gone.groupby("corpus"):
        kept = set(left["emotion"][left["corpus"] == corpus])
        if lost := sorted(set(rows["emotion"]) - kept) if cast.protocol.classes else []:
            notes.append(
                f"warning: of {corpus} no {' and no '.join(lost)} is learned, since none of these recordings can be "
                "used"
            )
    return notes


def _shares_note(data: Data) -> list[str]:
    """That statistics of a whole target make its classes' shares look like the source's."""
    by_group = data.protocol.transductive and data.cast.protocol.classes
    if not by_group or data.cast.heard["speaker"].notna().any():
        return []
    return [
        "normalisation: no speakers of the target are known, so that all of its utterances are standardised together: "
        "that takes its class shares to be like the source's, and costs accuracy where they are not"
    ]


def _prior_note(config: Any, protocol: Protocol) -> list[str]:
    """That classes are taken to be alike, which costs much where they are not; or that no prior can be matched."""
    if not getattr(config, "match_prior", False):
        return []
    if _sealed(protocol):
        return [
            "prior: not matched, since target_access 'nothing' shows no recording to match it on"
        ]
    if protocol.prior != "uniform":
        return []
    return [
        "prior: every class is taken to be as frequent in the target as any other; if they are not, give their shares "
        "(--prior), or leave the prior out where there are several sources (--no-match-prior)"
    ]


def _fit_all(
    experiment: Experiment, data: Data, fit: Callable[[Repeat], Fitted], trackers: Trackers
) -> list[Fitted]:
    """What every seed fits; the history of all epochs is written while they last."""
    history: list[dict[str, float]] = []
    networks: list[Fitted] = []
    for seed in range(experiment.seeds):
        before = list(history)

        def report(epochs: list[dict[str, float]], before: list[dict[str, float]] = before) -> None:
            history[:] = [*before, *epochs]
            write_history(experiment.out, history)
            trackers.epochs(history)

        checkpoint = experiment.out / "checkpoints" / f"seed{seed}.safetensors"
        try:
            networks.append(fit(Repeat(seed, data, data.cast.parts(seed), checkpoint, report)))
        except ValueError:
            withdraw(experiment.out)
            raise
    return networks


def _learned_by(fitted: Fitted, dataset: Dataset) -> Dataset:
    """Source utterances as a method learns from them, which may move them onto the target."""
    moved: Callable[[Dataset], Dataset] | None = getattr(fitted, "of_source", None)
    return dataset if moved is None else moved(dataset)


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
            unseeing = getattr(fitted, "held_out", None) or fitted
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
    """Those that are asked for, on the process that writes."""
    names = experiment.trackers if processes().is_main_process else ()
    return Trackers(names, experiment.out, experiment.settings())


def _sample_note(config: Any, data: Data) -> list[str]:
    """What is said where a method learns from a sample of the source."""
    if not hasattr(config, "limit"):
        return []
    limit, found = config.limit(data.shape), len(data.seen)
    if found <= limit:
        return []
    return [
        f"the source has {found:,} utterances, of which this method learns from a random sample of {limit:,} at most "
        "(its setting 'most', and half a gigabyte of statistics); all tested utterances are recognised"
    ]


@cache
def _tell(note: str, style: str = "dim") -> None:
    """Say it once: the cells of a bench would all say the same."""
    console.print(note, style=style, highlight=False)


def _style(note: str) -> str:
    return "bold yellow" if note.startswith((SHARED, "warning")) else "dim"


def _tell_left_out(left_out: Sequence[dict[str, str]]) -> None:
    """Say why recordings cannot be used, before anything is learned without them."""
    for said in reasons(left_out):
        _tell(said)


def admit(experiment: Experiment) -> tuple[Cast, list[str]]:
    """Load the protocol's corpora, and refuse leakage and a wrong folder; nothing is written.

    Returns:
        The cast, and the audit's notes.
    """
    if experiment.alignments is not None:
        existing_folder(experiment.alignments)
    cast = experiment.protocol.load()
    _tell_left_out(cast.left_out)
    asked = [*cast.notes]
    if experiment.alignments is None and cast.phones_on_one_side:
        cast = cast.without_phones()
        asked.append(
            "phones are known of the source or of the target alone, and are not used: cleser align finds those of the "
            "other (--alignments)"
        )
    total = len(cast.source) + len(cast.auxiliary) + len(cast.heard)
    with track("audit", total) as advance:
        sealed = _sealed(experiment.protocol)
        findings = audit(
            cast,
            repeats=experiment.seeds,
            alignments=experiment.alignments is not None or "phones" in cast.source,
            sealed=sealed,
            advance=lambda: advance(1),
        )
    for note in findings.notes:
        _tell(f"audit: {note}", _style(note))
    for note in (*asked, *experiment.notes):
        _tell(note, _style(note))
    return cast, [*findings.notes, *asked, *experiment.notes]


def _sealed(protocol: Protocol) -> bool:
    """Whether no recording of the target may be opened before the test."""
    return protocol.target_access == "nothing"
