"""The alignments of a corpus, from a folder that somebody's aligner wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path, PurePath
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from cleser.alignment.files.ctm import channels_of, read_ctm
from cleser.alignment.files.json_file import from_entries
from cleser.alignment.files.read import SUFFIXES, read_alignment
from cleser.alignment.files.tiers import AlignmentError, Tier, to_alignment
from cleser.alignment.made_from import MADE_FROM, read_origins
from cleser.alignment.packed import PackedAlignments
from cleser.alignment.phones import Alignment
from cleser.corpora.folders import printable
from cleser.corpora.recording import RecordingError, read_header
from cleser.corpora.terms import composed

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
    shelf = _Shelf(existing_folder(folder))
    found = _filed(manifest, shelf, tier, alphabet, problems)
    return _fitting(manifest, found, problems, str(folder), keep, shelf)


def _filed(
    manifest: pd.DataFrame,
    shelf: _Shelf,
    tier: str | int | None,
    alphabet: str | None,
    problems: list[dict[str, str]],
) -> Iterator[_Found | None]:
    """What the files say of each row."""
    for row in _rows(manifest):
        try:
            found = _find(shelf, row, tier, alphabet)
        except (AlignmentError, OSError) as error:
            problems.append(_broken(error))
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
) -> Iterator[_Found | None]:
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
        yield None if known is None else _Found(known, known, str(path))


def _fitting(
    manifest: pd.DataFrame,
    found: Iterator[_Found | None],
    problems: list[dict[str, str]],
    source: str,
    keep: Callable[[Alignment | None], object],
    shelf: _Shelf | None = None,
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
    for row, one, only in zip(_rows(manifest), found, alone, strict=True):
        said = one and _misfit(one, row, length(str(row.path)), alone=only)
        count += one is not None
        if one is None or said:
            keep(None)
            misfits += [{"path": one.file, "reason": f"{_MISFIT}: {said}"}] if one else []
            continue
        keep(one.alignment)
        notes.update(dict.fromkeys((one.file, note) for note in one.alignment.notes))
    if shelf is not None:
        problems += shelf.problems
        _check_some(manifest, count, problems, shelf)
    if 2 * len(misfits) > count:
        first = misfits[0]
        raise ValueError(
            f"{source}: {len(misfits)} of {count} alignments do not fit their recordings, as {first['path']}: "
            f"{first['reason'].partition(': ')[2]}"
        )
    mended = [{"path": file, "reason": note} for file, note in notes]
    return [*problems, *misfits], mended


def _check_some(
    manifest: pd.DataFrame, count: int, problems: list[dict[str, str]], shelf: _Shelf
) -> None:
    """Refuse a folder that holds no alignment of any utterance, rather than do without alignments."""
    if len(manifest) and not count and all(p["reason"] == _ABSENT for p in problems):
        first = Path(manifest["path"].iloc[0])
        raise ValueError(
            f"{shelf.folder}: none of {len(manifest)} utterances has an alignment here, expected files like "
            f"{first.stem}.TextGrid; found {shelf.sample()}"
        )


def _seconds(path: str) -> float | None:
    """How long a recording is; None where it cannot be read, which is said where it is used."""
    try:
        header = read_header(path)
    except RecordingError:
        return None
    return header.frames / header.samplerate


def _misfit(found: _Found, row: _Row, seconds: float | None, *, alone: bool) -> str | None:
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


def _advice(last: float, length: float, row: _Row, seconds: float) -> str:
    """What may have led to phones that end after the sound."""
    if 200 < last / max(length, 1e-3) < 5000:
        return "; are its times milliseconds?"
    if row.is_part and last <= seconds + LATE:
        return f"; do its times count from the recording's start, not the utterance's? {_REMEDY}"
    return ""


def _stretch(start: float, end: float) -> str:
    stop = "the end" if pd.isna(end) else f"{end:g} s"
    return f"{start:g} s to {stop}"


def _rows(manifest: pd.DataFrame) -> Iterator[_Row]:
    columns = (manifest[name] for name in ("utterance", "path", "start", "end"))
    for utterance, path, start, end in zip(*columns, strict=True):
        yield _Row(utterance, PurePath(path), start, end)


class _Found(NamedTuple):
    """An alignment, the one of the recording that it was cut from (or itself), and the file.

    Of a file that is known to be of a part of its recording, ``part`` says where that begins and ends.
    """

    alignment: Alignment
    whole: Alignment
    file: str
    part: tuple[float, float] | None = None


class _Row(NamedTuple):
    utterance: str
    path: PurePath
    start: float
    end: float

    @property
    def is_part(self) -> bool:
        return _is_part(self.start, self.end)

    def is_from(self, part: tuple[float, float]) -> bool:
        """Whether it is this part of its recording, but for the rounding of tables."""
        return bool(np.allclose((self.start, self.end), part, rtol=0, atol=1e-3, equal_nan=True))


def _is_part(start: float, end: float) -> bool:
    return start > 0 or not pd.isna(end)  # NaN is the recording's end


class _Shelf:
    """Files of alignments by what they are named, in the one form in which ids of utterances are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, list[Path]] = {}
        self.problems: list[dict[str, str]] = []
        self.parts: dict[Path, tuple[float, float]] = {}
        for path in _walk(folder, self.problems):
            if path.name == MADE_FROM:
                self.parts |= _parts(path.parent)
                continue
            name = composed(path.stem).removesuffix("_annot")  # as emuR's
            self.files.setdefault(name, []).append(path)
        self.recordings: dict[str, tuple[Path, Tier]] | None = None

    def get(self, row: _Row, name: str) -> Path | None:
        files = self.files.get(name, [])
        if len(files) < 2:
            return files[0] if files else None
        near = {file: _nearness(file, row) for file in files}
        ranked = sorted(files, key=near.__getitem__)
        if near[ranked[0]] == near[ranked[1]]:
            said = f"{ranked[1]} is named alike, expected one for {row.path}"
            raise AlignmentError(ranked[0], said)
        return ranked[0]

    def recording(self, name: str) -> tuple[Path, Tier] | None:
        """What a CTM file of many recordings says of one."""
        if self.recordings is None:
            self.recordings = {}
            for path in (p for files in self.files.values() for p in files if _is_ctm(p)):
                try:
                    found = read_ctm(path)
                except (AlignmentError, OSError) as error:
                    self.problems.append(_broken(error))
                else:
                    self.recordings.update({key: (path, tier) for key, tier in found.items()})
        if name not in self.recordings and (channels := channels_of(self.recordings, name)):
            path = self.recordings[channels[0]][0]
            said = f"{name!r} has several channels, expected utterances named {channels}"
            raise AlignmentError(path, said)
        return self.recordings.get(name)

    def sample(self) -> str:
        names = [path.name for files in list(self.files.values())[:3] for path in files[:1]]
        return (
            f"{', '.join(names)}, …" if names else f"no file that ends in one of {list(SUFFIXES)}"
        )


def _walk(folder: Path, problems: list[dict[str, str]]) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        problems.append(_broken(error))

    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders.sort()
        for name in sorted(files):
            if name == MADE_FROM or name.lower().endswith(SUFFIXES):
                yield Path(parent, name)


def _parts(folder: Path) -> dict[Path, tuple[float, float]]:
    """The files that cleser align made of parts of recordings: their times count from the part's start."""
    return {
        folder / f"{utterance}.TextGrid": (origin.start, origin.end)
        for utterance, origin in read_origins(folder).items()
        if _is_part(origin.start, origin.end)
    }


def _is_ctm(path: Path) -> bool:
    return path.suffix.lower() == ".ctm"


def _nearness(file: Path, row: _Row) -> tuple[int, int, int]:
    """How the file lies to the utterance's name, then to its recording: the least is nearest."""
    named = _shared_folders(file, PurePath(row.utterance))
    return -named, -_shared_folders(file, row.path), _rank(file)


def _shared_folders(file: Path, recording: PurePath) -> int:
    count = 0
    for a, b in zip(reversed(file.parent.parts), reversed(recording.parent.parts), strict=False):
        if composed(a) != composed(b):
            break
        count += 1
    return count


def _rank(file: Path) -> int:
    return SUFFIXES.index(file.suffix.lower())


def _find(shelf: _Shelf, row: _Row, tier: str | int | None, alphabet: str | None) -> _Found | None:
    own, recording = composed(row.utterance.rsplit("/", 1)[-1]), composed(row.path.stem)
    for name in dict.fromkeys((own, recording)):
        file = shelf.get(row, name)
        if file is not None:
            of = name if _is_ctm(file) else tier
            whole = read_alignment(file, tier=of, alphabet=alphabet)
        elif (spoken := shelf.recording(name)) is not None:
            file = spoken[0]
            whole = to_alignment(spoken[1], file, alphabet)
        else:
            continue
        made_of = shelf.parts.get(file)
        of_recording = made_of is None and name == recording and row.is_part
        end = row.end if row.end == row.end else None
        part = whole.cut(row.start, end) if of_recording else whole
        return _Found(part, whole, str(file), made_of)
    return None


def _broken(error: AlignmentError | OSError) -> dict[str, str]:
    if isinstance(error, AlignmentError):
        at = f"{error.where}: " if error.where else ""
        return {"path": printable(error.path), "reason": f"cannot be read: {at}{error.reason}"}
    said = f"cannot be read: {error.strerror or error}"
    return {"path": printable(str(error.filename or "")), "reason": said}
