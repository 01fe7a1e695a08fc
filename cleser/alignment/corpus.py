"""Alignments of a whole corpus: many processes, one TextGrid an utterance, resumed where it was left.

The folder holds ``UTTERANCE.TextGrid`` for every utterance, ``settings.json``, and ``quality.csv`` with a row for each.
A file appears at once or not at all, so that whatever is there is complete; what failed is tried again, and so is what
was made from another sound or text, which ``made_from.csv`` tells.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import pandas as pd
import torch

from cleser.alignment.aligners.base import Aligner, default_voice
from cleser.alignment.aligners.ctc import CTCAligner
from cleser.alignment.aligners.ctc_phone_model import CTCPhoneModel
from cleser.alignment.aligners.synthesis import SynthesisAligner
from cleser.alignment.aligners.uniform import uniform_alignment
from cleser.alignment.files.read import read_alignment
from cleser.alignment.files.textgrid_writer import write_textgrid
from cleser.alignment.made_from import origins_of, read_origins, write_origins
from cleser.alignment.phones import Alignment
from cleser.files import write_text
from cleser.speech.audio import load_audio
from cleser.synthesis.espeak import engine

SETTINGS: Final = "settings.json"
QUALITY: Final = "quality.csv"
VERSION: Final = 1  # of what the aligners make of a recording: other times need another number
_CHUNK: Final = 4  # utterances that a process takes at a time


@dataclass(frozen=True)
class AlignmentSettings:
    """How a corpus is aligned.

    Attributes:
        aligner: ``"synthesis"``, or the name or folder of a phone model for :class:`CTCAligner`.
        voices: Voice of espeak-ng for each language of which it is not to be the usual one.
        segment: Length of segments of utterances without a text, in seconds.
    """

    aligner: str = "synthesis"
    voices: dict[str, str] = field(default_factory=dict)
    segment: float = 0.1

    def voice(self, language: str) -> str:
        """Voice of espeak-ng for a language."""
        return self.voices.get(language, default_voice(language))


class Outcome(NamedTuple):
    """What became of an utterance when it was aligned.

    Attributes:
        utterance: Its id.
        kind: ``"phones"``, ``"uniform"`` or ``"failed"``.
        phones: How many phones or segments it has.
        quality: 0 to 1, where the aligner says it.
        reason: Why it failed, else empty.
    """

    utterance: str
    kind: str
    phones: int
    quality: float | None
    reason: str = ""


class _Task(NamedTuple):
    utterance: str
    path: str
    start: float
    end: float
    language: str
    text: str | None


def align_corpus(
    manifest: pd.DataFrame,
    folder: str | Path,
    settings: AlignmentSettings | None = None,
    *,
    workers: int = 1,
    advance: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Align every utterance of a manifest and write its TextGrid; those that are there are kept.

    Args:
        manifest: Utterances with ``utterance, path, start, end, language, text``. Times of an alignment count
            from the start of the utterance, not of the recording that it is a part of.
        folder: Where TextGrids go, ``emodb/03a01Fa.TextGrid`` for the utterance ``emodb/03a01Fa``.
        settings: How to align; by default with :class:`SynthesisAligner`.
        workers: Number of processes.
        advance: Called with the number of utterances finished, for progress.

    Returns:
        An :class:`Outcome` a row, in the manifest's order, as ``quality.csv`` holds them. ``attrs["kept"]`` lists the
        utterances whose files were there and were not made by this function, or by a version that did not note what
        it made them from: they are as they were, whatever has become of the text.

    Raises:
        ValueError: The folder holds alignments made with other settings, or none of the utterances could be aligned.
    """
    folder, settings = Path(folder), settings or AlignmentSettings()
    if settings.aligner != "synthesis":
        _model(settings.aligner)  # that it cannot be loaded is known before any work
    _settle(folder, settings)
    kept = _discard_outdated(folder, manifest)
    tasks = list(_tasks(manifest))
    found: dict[str, Outcome] = {}
    try:
        outcomes = _outcomes(tasks, partial(_attempt, folder=folder, settings=settings), workers)
        with closing(outcomes):
            for outcome in outcomes:
                found[outcome.utterance] = outcome
                if advance:
                    advance(1)
    finally:
        table = _write_quality(folder, tasks, found)
    if tasks and (table["kind"] == "failed").all():
        raise ValueError(f"none of {len(tasks)} utterances can be aligned: {table['reason'][0]}")
    table.attrs["kept"] = kept
    return table


def textgrid_path(folder: str | Path, utterance: str) -> Path:
    """Where the alignment of an utterance stands.

    Raises:
        ValueError: The id would lead out of the folder.

    >>> textgrid_path("alignments", "emodb/03a01Fa").as_posix()
    'alignments/emodb/03a01Fa.TextGrid'
    """
    parts = PurePosixPath(utterance).parts
    if not parts or ".." in parts or utterance.startswith("/"):
        raise ValueError(f"utterance {utterance!r} names no file within a folder")
    return Path(folder) / f"{utterance}.TextGrid"


def _tasks(manifest: pd.DataFrame) -> Iterator[_Task]:
    columns = manifest[["utterance", "path", "start", "end", "language", "text"]]
    for row in columns.itertuples(index=False):
        text = row.text if isinstance(row.text, str) and row.text.strip() else None
        yield _Task(row.utterance, row.path, row.start, row.end, row.language, text)  # type: ignore[arg-type]


def _settle(folder: Path, settings: AlignmentSettings) -> None:
    """Alignments of different settings must not get mixed."""
    wanted = {**asdict(settings), "engine": engine(), "version": VERSION}
    path = folder / SETTINGS
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(wanted, indent=2) + "\n")
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    names = [n for n in {**found, **wanted} if found.get(n) != wanted.get(n)]
    if names:
        differences = ", ".join(f"{n} = {found.get(n)!r}" for n in names)
        expected = ", ".join(repr(wanted.get(n)) for n in names)
        raise ValueError(f"{path}: alignments were made with {differences}, expected {expected}")


def _discard_outdated(folder: Path, manifest: pd.DataFrame) -> list[str]:
    """Remove alignments that were made from something else, and note what the others and new ones are made from.

    The note is written before any alignment is made, and after others were removed: at whatever moment a run is killed,
    a file that it names was made from what it says.

    Returns:
        Utterances whose files are kept though nothing is known of what they were made from.
    """
    noted, kept = read_origins(folder), []
    for utterance, origin in origins_of(manifest).items():
        try:
            path = textgrid_path(folder, utterance)
        except ValueError:  # which is said where it is aligned
            continue
        if path.exists() and utterance not in noted:
            kept.append(utterance)
            continue
        if noted.get(utterance, origin).digest != origin.digest:
            path.unlink(missing_ok=True)
        noted[utterance] = origin
    write_origins(folder, noted)
    return kept


def _outcomes(
    tasks: list[_Task], attempt: Callable[[_Task], Outcome], workers: int
) -> Generator[Outcome]:
    if workers <= 1:
        yield from map(attempt, tasks)
        return
    # A fork of a process with threads may hang, and torch has threads.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        try:
            yield from pool.map(attempt, tasks, chunksize=_CHUNK)
        finally:
            pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _attempt(task: _Task, *, folder: Path, settings: AlignmentSettings) -> Outcome:
    try:
        path = textgrid_path(folder, task.utterance)
        alignment = read_alignment(path) if path.exists() else _align(task, path, settings)
    except ValueError as error:  # a bad recording among thousands must not stop the others
        return Outcome(task.utterance, "failed", 0, None, str(error))
    kind = "uniform" if alignment.uniform else "phones"
    return Outcome(task.utterance, kind, len(alignment), alignment.quality)


def _align(task: _Task, path: Path, settings: AlignmentSettings) -> Alignment:
    voice = settings.voice(task.language)
    aligner = _aligner(settings.aligner, voice)
    waveform = load_audio(task.path, aligner.rate, start=task.start, end=task.end)
    if task.text is None:
        alignment = uniform_alignment(waveform, settings.segment)
    else:
        alignment = aligner.align(waveform, task.text)
    write_textgrid(path, alignment, len(waveform) / aligner.rate)
    return alignment


@cache
def _aligner(name: str, voice: str) -> Aligner:
    return SynthesisAligner(voice) if name == "synthesis" else CTCAligner(_model(name), voice)


@cache
def _model(name: str) -> CTCPhoneModel:
    return CTCPhoneModel(name)


def _write_quality(folder: Path, tasks: Iterable[_Task], found: dict[str, Outcome]) -> pd.DataFrame:
    """Write the table of all utterances of the folder; those of other corpora stay in it."""
    rows = [found[task.utterance] for task in tasks if task.utterance in found]
    table = pd.DataFrame(rows, columns=list(Outcome._fields))
    path = folder / QUALITY
    if path.exists():
        before = pd.read_csv(
            path, dtype={"utterance": str}, keep_default_na=False, na_values={"quality": [""]}
        )
        before = before[~before["utterance"].isin(list(found))]
        write_text(path, pd.concat([before, table]).to_csv(index=False))
    else:
        write_text(path, table.to_csv(index=False))
    return table
