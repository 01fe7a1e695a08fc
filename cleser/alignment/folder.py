"""The alignments of a corpus, from a folder that somebody's aligner wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pandas as pd

from cleser.alignment.files.json_file import from_entries
from cleser.alignment.files.tiers import AlignmentError
from cleser.alignment.named_files import Found, NamedFiles, Row, problem_of, rows_of
from cleser.alignment.packed import PackedAlignments
from cleser.alignment.phones import Alignment
from cleser.corpora.recording import RecordingError, read_header

LATE: Final = 0.1
"""Seconds that a phone may end after its recording does: aligners count in frames."""
LEAST: Final = 0.03
"""Share of an utterance that phones cover at least."""


class Alignments(list[Alignment | None]):
    """One alignment for each row of a manifest, None where there is none.

    Attributes:
        problems: What is missing, broken or does not fit its recording, as ``{"path": …, "reason": …}``: the recording
            or the file.
        notes: What was mended in files that are used, likewise.
    """

    def __init__(
        self,
        alignments: list[Alignment | None],
        problems: list[dict[str, str]],
        notes: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(alignments)
        self.problems = problems
        self.notes = notes or []

    def summary(self) -> str:
        """A sentence: how many alignments were found, and why the others were not.

        >>> Alignments([None], [{"path": "a.wav", "reason": "has no alignment"}]).summary()
        '0 of 1 utterances have an alignment; 1 has no alignment (a.wav)'
        """
        found = sum(alignment is not None for alignment in self)
        return _summary(found, len(self), self.problems, self.notes)


def _summary(
    found: int, total: int, problems: list[dict[str, str]], notes: list[dict[str, str]]
) -> str:
    kinds: dict[str, list[str]] = {}
    for problem in problems:
        kind, _, detail = problem["reason"].partition(": ")
        example = f"{problem['path']}: {detail}" if detail else problem["path"]
        kinds.setdefault(kind, []).append(example)
    ranked = sorted(kinds.items(), key=lambda item: -len(item[1]))
    parts = [f"{found} of {total} utterances {'has' if found == 1 else 'have'} an alignment"]
    for kind, examples in ranked[:3]:
        said = kind if len(examples) == 1 else _OF_SEVERAL.get(kind, kind)
        parts.append(f"{len(examples)} {said} ({examples[0]})")
    if len(ranked) > 3:
        parts.append(f"{len(ranked) - 3} further reasons")
    if notes:
        parts.append(f"{len(notes)} mended ({notes[0]['path']}: {notes[0]['reason']})")
    return "; ".join(parts)


def existing_folder(folder: str | Path) -> Path:
    """The folder's path, once it is known to be there.

    Raises:
        ValueError: It is not.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"{folder}: there is no such folder of alignments")
    return Path(folder)


def load_alignments(
    manifest: pd.DataFrame,
    folder: str | Path | None = None,
    *,
    tier: str | int | None = None,
    alphabet: str | None = None,
) -> Alignments:
    """Read the alignment of every utterance that has one.

    A file is an utterance's if it is named like it, or like its recording: ``03a01Fa.TextGrid``, in the folder or
    anywhere below it, also for ``emodb/03a01Fa``; of several, the one whose folders are named most like that, or else
    like the recording's. A folder ``ForceAligned`` in ``folder``, as MSP-Podcast has it, counts as well. Files
    named like a recording of which the manifest takes a part have times of the whole recording, and are cut, unless
    ``cleser align`` wrote them for that part. CTM files may hold many recordings, and several channels of one,
    ``RECORDING-CHANNEL``.

    Times are held against the recordings, whose headers are read: phones that end more than :data:`LATE` seconds after
    their utterance, or cover less than :data:`LEAST` of it, are not used, nor are those that seem to count from another
    start than they should.

    Args:
        manifest: Utterances with ``utterance, path, start, end``.
        folder: Where the files lie; by default a column ``phones`` of the manifest says when phones sound, in JSON,
            ``[[symbol, start, end], …]`` in seconds, as the synthetic corpus has it.
        tier: See :func:`read_alignment`.
        alphabet: See :func:`read_alignment`.

    Returns:
        As many as the manifest's rows; a broken file is a problem, not an error.

    Raises:
        ValueError: The folder does not exist, holds no alignment of any of the utterances, or most of those that it
            holds do not fit their recordings.

    >>> row = {"utterance": "a/1", "path": "1.wav", "start": 0.0, "end": None}
    >>> manifest = pd.DataFrame([{**row, "phones": '[["h", 0.1, 0.2], ["a", 0.2, 0.35]]'}])
    >>> load_alignments(manifest)[0].phones
    ('h', 'a')
    """
    kept: list[Alignment | None] = []
    return Alignments(kept, *_load(manifest, folder, kept.append, tier, alphabet))


def pack_alignments(manifest: pd.DataFrame, folder: str | Path | None = None) -> PackedAlignments:
    """As :func:`load_alignments`, of phones and times alone: one file after another is read, and no other is held.

    Args:
        manifest: See :func:`load_alignments`.
        folder: See :func:`load_alignments`.

    Returns:
        As many as the manifest's rows.

    >>> row = {"utterance": "a/1", "path": "1.wav", "start": 0.0, "end": None}
    >>> manifest = pd.DataFrame([{**row, "phones": '[["h", 0.1, 0.2], ["a", 0.2, 0.35]]'}])
    >>> packed = pack_alignments(manifest)
    >>> packed[0].phones, packed.said
    (('h', 'a'), '')
    """
    packed = PackedAlignments()
    problems, notes = _load(manifest, folder, packed.append)
    if problems or notes:
        packed.said = _summary(packed.known, len(packed), problems, notes)
    return packed


def _load(
    manifest: pd.DataFrame,
    folder: str | Path | None,
    keep: Callable[[Alignment | None], object],
    tier: str | int | None = None,
    alphabet: str | None = None,
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Hand over the alignment of one row after another; gives what is wrong, and what was mended."""
    problems: list[dict[str, str]] = []
    if folder is None:
        found = _stated(manifest, alphabet, problems)
        return _fitting(manifest, found, problems, "the column 'phones'", keep)
    files = NamedFiles(existing_folder(folder))
    found = _filed(manifest, files, tier, alphabet, problems)
    return _fitting(manifest, found, problems, str(folder), keep, files)


def _filed(
    manifest: pd.DataFrame,
    files: NamedFiles,
    tier: str | int | None,
    alphabet: str | None,
    problems: list[dict[str, str]],
) -> Iterator[Found | None]:
    """What the files say of each row."""
    for row in rows_of(manifest):
        try:
            found = files.find(row, tier, alphabet)
        except (AlignmentError, OSError) as error:
            problems.append(problem_of(error))
            yield None
            continue
        if found is None:
            problems.append({"path": str(row.path), "reason": _ABSENT})
        yield found


_ABSENT: Final = "has no alignment"
_MISFIT: Final = "does not fit its recording"
_OF_SEVERAL: Final = {_ABSENT: "have none", _MISFIT: "do not fit their recordings"}


def _stated(
    manifest: pd.DataFrame, alphabet: str | None, problems: list[dict[str, str]]
) -> Iterator[Found | None]:
    """What the column ``phones`` says of each row."""
    if "phones" not in manifest:
        raise ValueError(
            "the manifest has no column 'phones', expected a folder of alignments, as cleser align writes it"
        )
    for path, text in zip(manifest["path"], manifest["phones"], strict=True):
        try:
            entries = json.loads(text) if isinstance(text, str) else None
            known = None if entries is None else from_entries(entries, path, alphabet)
        except (AlignmentError, ValueError, RecursionError) as error:
            problems.append({"path": str(path), "reason": f"cannot be read: {error}"})
            yield None
            continue
        if known is None:
            problems.append({"path": str(path), "reason": _ABSENT})
        yield None if known is None else Found(known, known, str(path))


def _fitting(
    manifest: pd.DataFrame,
    found: Iterator[Found | None],
    problems: list[dict[str, str]],
    source: str,
    keep: Callable[[Alignment | None], object],
    files: NamedFiles | None = None,
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Hand over the alignments whose times can be those of their recordings, None in place of others.

    Returns:
        What is wrong with others, and what was mended.

    Raises:
        ValueError: There is none, or most cannot.
    """
    length = cache(_seconds)
    misfits: list[dict[str, str]] = []
    notes: dict[tuple[str, str], None] = {}
    count = 0
    alone = ~manifest["path"].duplicated(keep=False)
    for row, one, only in zip(rows_of(manifest), found, alone, strict=True):
        said = one and _misfit(one, row, length(str(row.path)), alone=only)
        count += one is not None
        if one is None or said:
            keep(None)
            misfits += [{"path": one.file, "reason": f"{_MISFIT}: {said}"}] if one else []
            continue
        keep(one.alignment)
        notes.update(dict.fromkeys((one.file, note) for note in one.alignment.notes))
    if files is not None:
        problems += files.problems
        _check_some(manifest, count, problems, files)
    if 2 * len(misfits) > count:
        first = misfits[0]
        raise ValueError(
            f"{source}: {len(misfits)} of {count} alignments do not fit their recordings, as {first['path']}: "
            f"{first['reason'].partition(': ')[2]}"
        )
    mended = [{"path": file, "reason": note} for file, note in notes]
    return [*problems, *misfits], mended


def _check_some(
    manifest: pd.DataFrame, count: int, problems: list[dict[str, str]], files: NamedFiles
) -> None:
    """Refuse a folder that holds no alignment of any utterance, rather than do without alignments."""
    if len(manifest) and not count and all(p["reason"] == _ABSENT for p in problems):
        first = Path(manifest["path"].iloc[0])
        raise ValueError(
            f"{files.folder}: none of {len(manifest)} utterances has an alignment here, expected files like "
            f"{first.stem}.TextGrid; found {files.sample()}"
        )


def _seconds(path: str) -> float | None:
    """How long a recording is; None where it cannot be read, which is said where it is used."""
    try:
        header = read_header(path)
    except RecordingError:
        return None
    return header.frames / header.samplerate


def _misfit(found: Found, row: Row, seconds: float | None, *, alone: bool) -> str | None:
    """What tells that an alignment is another recording's or part's, or in another unit.

    A file that is named like a recording may be an utterance's where that is ``alone`` in it. Of several utterances, as
    of windows of a long recording, some may well be silent.
    """
    if found.part is not None and not row.is_from(found.part):
        return (
            f"it was aligned for {_stretch(*found.part)} of the recording, expected {_stretch(row.start, row.end)}; "
            "run cleser align again"
        )
    if seconds is None:
        return None
    own = min(seconds, row.end if row.end == row.end else seconds) - row.start
    # The file is the recording's, of which this is a part.
    whole = found.whole is not found.alignment
    last = float(found.whole.ends[-1]) if len(found.whole) else 0.0
    length = seconds if whole else own
    if last > length + LATE:
        advice = _advice(last, length, row, seconds)
        return f"its phones end at {last:g} s, the sound at {length:.2f} s{advice}"
    early = alone and whole and len(found.whole) > 0 and found.whole.ends[0] < row.start - LATE
    if early and last <= own + LATE:
        return (
            f"its phones lie from {found.whole.starts[0]:g} to {last:g} s, the utterance from "
            f"{_stretch(row.start, row.end)} of the recording, which the file is named like; do its times count from "
            f"the utterance's start? {_REMEDY}"
        )
    covered = float((found.alignment.ends - found.alignment.starts).sum())
    if covered < LEAST * own and not (whole and len(found.whole)):
        return f"its phones cover {covered:.2f} s of {own:.2f} s"
    return None


_REMEDY: Final = (
    "A file named like its recording counts from the recording's start, one named like the utterance from the "
    "utterance's: name it so, or cut the recordings and leave out start and end; if cleser align made it, run it again"
)


def _advice(last: float, length: float, row: Row, seconds: float) -> str:
    """What may have led to phones that end after the sound."""
    if 200 < last / max(length, 1e-3) < 5000:
        return "; are its times milliseconds?"
    if row.is_part and last <= seconds + LATE:
        return f"; do its times count from the recording's start, not the utterance's? {_REMEDY}"
    return ""


def _stretch(start: float, end: float) -> str:
    stop = "the end" if pd.isna(end) else f"{end:g} s"
    return f"{start:g} s to {stop}"
