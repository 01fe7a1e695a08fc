"""Anyone's corpus, as a table: ``manifest:FILE``, in the layouts that people have.

Read are tables of text (commas, semicolons, tabs; UTF-8, UTF-16, Windows-1252), JSON lines, JSON and Parquet: our own,
audformat's, EmoBox's, nkululeko's, and the ``metadata.csv`` of a folder of audio on the Hugging Face Hub. A folder is a
whole database of audformat, see :mod:`cleser.corpora.audformat_database`.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import numpy as np
import pandas as pd

from cleser.corpora.attributes import ATTRIBUTES, SCALE
from cleser.corpora.audformat_database import HEADER, is_database, read_database
from cleser.corpora.consensus import ATTRIBUTES as CONSENSUS_ATTRIBUTES
from cleser.corpora.consensus import SCALE as CONSENSUS_SCALE
from cleser.corpora.emobox import LANGUAGES, decode_emotions
from cleser.corpora.folders import flaw, from_here, printable
from cleser.corpora.manifest import (
    COLUMNS,
    NAMED_AFTER,
    Gap,
    Listing,
    Problem,
    Spare,
    assemble,
    check_usable,
)
from cleser.corpora.tables import ENDINGS, read_table, read_text
from cleser.corpora.terms import composed, is_missing, is_nobody, to_genders, to_numbers

_SHEETS: Final = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
_TABLE: Final = "table"  # of a database
# What others call our columns; the first that there is counts.
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "path": (
        "file", "file_name", "filename", "FileName", "wav", "wav_path", "wav_filename", "audio", "audio_path",
        "audio_file", "audio_filepath", "name",
    ),
    "utterance": ("key", "utterance_id", "utt_id"),
    "language": ("lang", "locale", "language_code"),
    "speaker": ("speaker_id", "speakers", "spk", "SpkrID", "spk_id", "speaker_name", "actor"),
    "gender": ("sex", "Gender", "Sex"),
    "emotion": ("emo", "EmoClass", "label", "emotion_label", "Emotion", "emotions", "emotion_class", "emotion_name"),
    "start": ("start_time", "begin", "offset"),
    "end": ("end_time",),
    "split": ("Split_Set", "Split", "partition", "subset"),
    "arousal": ("EmoAct", "activation", "act"),
    "valence": ("EmoVal",),
    "dominance": ("EmoDom",),
    "text": ("transcription", "transcript", "sentence", "Utterance", "raw_text"),
}  # fmt: skip


def read(argument: str) -> Listing:
    """Read a manifest.

    Args:
        argument: A file, or the folder of an audformat database, of which ``FOLDER?table=NAME`` picks
            a table. Paths in it are relative to its folder. It needs a path and a language for each row; what
            holds for all rows may stand behind the name, ``FILE.csv?language=en&corpus=mine``. An utterance is named
            by its file (and its times, where a file has several), and a corpus by the table's, where the table does
            not. ``arousal, valence, dominance`` are numbers from −1 to 1, or on the scale that ``scale`` names, as
            ``FILE.csv?scale=1..5``. What :func:`cleser.corpora.load` returned can be saved and read again.

    Raises:
        ValueError: The file is of another kind, or lacks a column.
    """
    source, given = _argument(argument)
    if source.is_dir():
        if not is_database(source):
            raise ValueError(_no_table(source))
        rows = read_database(source, given.pop(_TABLE, None))
        source /= HEADER
        return _listing(_with_our_names(rows, source, given), source)
    if not source.is_file():
        raise ValueError(_no_such_file(source, from_here(argument)))
    return _listing(_table(source, given), source)


def read_parts(files: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """Read the tables of a split, whose speakers have the same names in each.

    Args:
        files: A manifest for each part, as ``{"train": Path("train.csv"), "test": Path("test.csv")}``; or one table
            under any name, whose column ``split`` says the part.

    Returns:
        A validated manifest for each part. Where a table names no corpora, its speakers are taken for those of the
        other tables with the same name; where it names no utterances, they are named by their files.

    Raises:
        ValueError: A file is no manifest or holds nothing usable, or a single one has no ``split``.
    """
    parts = {}
    for name, file in files.items():
        source = file.expanduser().resolve()
        table = _table(source, {})
        if "utterance" not in table:
            table["utterance"] = _whole_names(table)
        if "corpus" not in table:
            table["corpus"] = "split"
        listing = _listing(table, source)
        check_usable(f"{name} ({source})", listing)
        parts[name] = assemble("split", listing)
    if len(parts) > 1:
        return parts
    (whole,) = parts.values()
    if whole["split"].isna().any():
        without = int(whole["split"].isna().sum())
        raise ValueError(
            f"{source}: {without} of {len(whole)} rows have no split, expected train, dev or test in each; or give a "
            "table for each part"
        )
    return {str(name): rows.reset_index(drop=True) for name, rows in whole.groupby("split")}


def _whole_names(table: pd.DataFrame) -> list[str]:
    """Paths as they stand in the table, and the stretch where it is one."""
    if "start" not in table:
        return table["path"].tolist()
    times = zip(
        table["path"],
        table["start"],
        table["end"] if "end" in table else table["start"],
        strict=True,
    )
    return [path if pd.isna(start) else f"{path}@{start:g}-{end:g}" for path, start, end in times]


def _table(source: Path, given: Mapping[str, str]) -> pd.DataFrame:
    """The rows under our names of columns, which hold a path and a language at least."""
    return _with_our_names(read_rows(source), source, given)


def _with_our_names(raw: pd.DataFrame, source: Path, given: Mapping[str, str]) -> pd.DataFrame:
    table = with_our_names(raw, scaled=SCALE in given)
    if "scale" not in table and any(name in raw for name in CONSENSUS_ATTRIBUTES):
        table["scale"] = CONSENSUS_SCALE
    for name, value in given.items():
        table[name] = value
    if "dataset" in table:  # an EmoBox list
        table = table.rename(columns={"corpus": "corpus_given"} if "corpus" in table else {})
        table["corpus"] = given.get("corpus", table["dataset"])
        if "language" not in table:
            table["language"] = table["dataset"].map(LANGUAGES)
        if "emotion" in table:
            table["emotion"] = decode_emotions(table["emotion"], table["dataset"], source)
    missing = [name for name in ("path", "language") if name not in table]
    if missing:
        example = f"; say it for all rows, as manifest:{source.name}?language=en"
        raise ValueError(
            f"{source}: found the columns {list(table)}, expected also {missing} (known: {list(COLUMNS)}; for "
            f"path also {', '.join(_NAMES['path'][:4])} and others)"
            + example
            * (missing == ["language"])
        )
    table = table.reset_index(drop=True)
    for name in ("start", "end"):
        if name in table:
            table[name] = _seconds(table[name], source)
    if "start" in table and "end" not in table and "duration" in table:
        table["end"] = table["start"].fillna(0.0) + _seconds(table["duration"], source)
    return table


def read_rows(source: Path) -> pd.DataFrame:
    """The rows of a file as they stand, all as texts but for Parquet.

    Raises:
        ValueError: The file is none that is read, or broken.
    """
    if not source.is_file():
        raise ValueError(_no_such_file(source))
    suffix = source.suffix.lower()
    if suffix in (".parquet", ".pq"):
        try:
            table = pd.read_parquet(source)
        except Exception as error:  # of pyarrow's many kinds
            raise ValueError(f"{source}: cannot be read as Parquet ({error})") from error
        # audformat keeps file, start and end in the index.
        return table.reset_index() if any(table.index.names) else table
    if suffix in (".jsonl", ".ndjson", ".json"):
        return _from_json(source, lines=suffix != ".json")
    if suffix in (".csv", ".tsv", ".txt"):
        return read_table(source)
    hint = ": save the sheet as CSV (UTF-8) and give that" * (suffix in _SHEETS)
    raise ValueError(
        f"{source}: found {suffix or 'no ending'}, expected one of {list(ENDINGS)}{hint}"
    )


def _no_table(folder: Path) -> str:
    """What to say of a folder that is no database: which table to give, or what one of its recordings holds."""
    tables = sorted(e.name for e in os.scandir(folder) if Path(e.name).suffix.lower() in ENDINGS)
    fix = (
        f"give its table, as manifest:{folder / tables[0]}"
        if tables
        else "write a table with a row for each recording and the columns path, language, emotion and, if known, "
        "speaker"
    )
    return (
        f"{folder} is a folder without {HEADER}, expected a table in one of {list(ENDINGS)}, or the folder of an "
        f"audformat database: {fix}"
    )


def _no_such_file(source: Path, hint: str = "") -> str:
    return f"{source}: no such file{hint}, expected a manifest in one of {list(ENDINGS)}"


def _from_json(source: Path, *, lines: bool) -> pd.DataFrame:
    """A row an object: one a line, in a list, or by their keys."""
    rows: list[Any] = []
    number = 1
    try:
        text = read_text(source)
        if lines:
            for line in text.splitlines():
                if line.strip():
                    rows.append(json.loads(line))
                number += 1
        else:
            content = json.loads(text)
            by_key = isinstance(content, dict)
            rows = [{"key": k, **v} for k, v in content.items()] if by_key else list(content)
        table = pd.DataFrame([dict(row) for row in rows])
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f'{source}, line {number}: {error}, expected objects in JSON as {{"path": …}}'
        ) from error
    strings = {name: _as_text(table[name]) for name in table.columns}
    return pd.DataFrame(strings)


def _as_text(column: pd.Series[Any]) -> pd.Series[str]:
    """A column as texts; the speaker 1 stays 1, whom a gap in the column makes 1.0."""

    def text(value: Any) -> str:
        whole = pd.api.types.is_float(value) and float(value).is_integer()
        return f"{value:.0f}" if whole else str(value)

    return column.map(text, na_action="ignore").astype("str")


def _argument(argument: str) -> tuple[Path, dict[str, str]]:
    """The file, and what is said for all its rows."""
    path = Path(argument).expanduser()
    if "?" not in argument or path.exists():
        return path.resolve(), {}
    name, _, query = argument.rpartition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    source = Path(name).expanduser().resolve()
    known = [*COLUMNS, SCALE, *([_TABLE] if source.is_dir() else [])]
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ValueError(
            f"{argument}: found {unknown} behind the question mark, expected some of {known}"
        )
    return source, given


def with_our_names(table: pd.DataFrame, *, scaled: bool = False) -> pd.DataFrame:
    """The table with our names of columns, where others stand for them, however these are spelt.

    Args:
        table: Rows that :func:`read_rows` returns.
        scaled: Whether somebody says on which scale attributes are.
    """
    table = table.rename(columns={name: str(name) for name in table.columns})
    table = table.loc[:, ~table.columns.duplicated()]
    if "utterance" in table and "path" not in table and _are_sentences(table["utterance"]):
        table = table.rename(columns={"utterance": "text"})
    taken: dict[str, str] = {}
    for name, others in _NAMES.items():
        other = next((other for other in others if other in table), None)
        if name not in table and other is not None and other not in taken:
            taken[other] = name
    return _however_spelt(table.rename(columns=taken).copy(), scaled=scaled)


def _however_spelt(table: pd.DataFrame, *, scaled: bool) -> pd.DataFrame:
    """The table with the columns that it still lacks, where they are there in capitals, with blanks or hyphens.

    Not ids, since MELD's ``Utterance`` is a text, not the path by ``Name``, who may be a person, and not attributes
    that are words or on a scale that nobody says (``scaled``): a table is read for its emotions without them.
    """
    spelt = {_folded(name): name for name in reversed(table.columns)}
    scaled = scaled or SCALE in spelt
    taken: dict[str, str] = {}
    for name in (*COLUMNS, *ATTRIBUTES, SCALE):
        others = (_folded(other) for other in (name, *_NAMES.get(name, ())) if other != "name")
        other = next((spelt[o] for o in others if o in spelt and spelt[o] not in taken), None)
        known = other in COLUMNS or other in taken
        if name in ATTRIBUTES and other is not None and not _are_values(table[other], scaled):
            continue
        if name not in table and name != "utterance" and other is not None and not known:
            taken[other] = name
    return table.rename(columns=taken)


def _are_values(column: pd.Series[Any], scaled: bool) -> bool:
    """Whether an attribute may have the values of a column: numbers, from −1 to 1 where no other scale is named."""
    numbers, wrong = to_numbers(column)
    return not wrong.any() and bool(scaled or (numbers.isna() | numbers.between(-1, 1)).all())


def _folded(name: str) -> str:
    """What is the same for ``Speaker ID``, ``speaker-id``, ``speaker_id`` and ``SpeakerID``."""
    return re.sub(r"[\W_]+", "", name.casefold())


def _are_sentences(column: pd.Series[Any]) -> bool:
    texts = _as_text(column).dropna()
    return bool(len(texts)) and bool(texts.str.contains(" ").mean() > 0.5)


def _listing(table: pd.DataFrame, source: Path) -> Listing:
    if "start" in table:
        table["start"] = table["start"].fillna(0.0)
    texts = [n for n in COLUMNS if n in table and n not in ("start", "end")]
    for name in texts:
        table[name] = _as_text(table[name])
    named = "corpus" in table and bool(table["corpus"].notna().all())
    table["corpus"] = table["corpus"].fillna(source.stem) if "corpus" in table else source.stem
    # Parquet keeps attrs: a table that has been loaded and saved is not named after its file any more.
    table.attrs[NAMED_AFTER] = "" if named else str(source)
    if "speaker" in table:
        table["speaker"] = table["speaker"].mask(is_nobody(table["speaker"]))
    unknown = _unknown_genders(table["gender"], source) if "gender" in table else []
    if "split" in table and table["split"].str.fullmatch(r"[\d.]+").eq(True).any():
        table = table.rename(columns={"split": "fold"})  # numbers of folds are no splits
    rows, problems = _usable(table, source)
    return Listing(rows, [*problems, *unknown])


def _unknown_genders(column: pd.Series[str], source: Path) -> list[Problem]:
    """What cells hold that is neither female nor male, as words of other languages; their genders count as missing."""
    said = column[to_genders(column).isna() & ~is_missing(column)]
    if said.empty:
        return []
    names = said.value_counts().index.tolist()
    rest = f" and {len(names) - 3} others" * (len(names) > 3)
    listed = ", ".join(map(repr, names[:3])) + rest
    return [
        Gap(
            str(source),
            f"gender is {listed} in {len(said):,} rows, expected female or male, and counts as unknown there",
        )
    ]


def _usable(table: pd.DataFrame, source: Path) -> Listing:
    problems = []
    nameless = is_missing(table["path"])
    problems += [
        Problem(f"{source}: row {row}", "has no path") for row in np.flatnonzero(nameless).tolist()
    ]
    table = table[~nameless]
    shown = table["path"]
    table = table.assign(path=[_resolved(path, source.parent) for path in shown])
    flaws = _flaws(table["path"])
    if spelt := _otherwise_spelt(table["path"], flaws):
        table["path"] = [spelt.get(path, path) for path in table["path"]]
        flaws |= _flaws(table["path"])
    said = table["path"].map(lambda path: flaws.get(path, "is missing")).astype("str")
    problems += [
        Problem(path, reason)
        for path, reason in zip(table["path"], said, strict=True)
        if reason != ""
    ]
    table = table[said == ""]
    if "utterance" not in table:
        table = table.assign(utterance=_ids(table))
        again = table["utterance"].duplicated()
        problems += _second_rows(table, again)
        table = table[~again]
    return Listing(table, problems)


def _second_rows(table: pd.DataFrame, again: pd.Series[bool]) -> list[Problem]:
    """Rows of recordings that have one already, which counts; a word on what they say otherwise."""
    label = table["emotion"] if "emotion" in table else pd.Series(None, table.index, dtype="str")
    first = table["utterance"].map(label[~again].set_axis(table.loc[~again, "utterance"]))
    return [
        Spare(
            path,
            "has a second row"
            if pd.isna(other) or other == counts
            else f"has a second row, of emotion {other}, where the first one says "
            f"{'none' if pd.isna(counts) else counts}",
        )
        for path, other, counts in zip(
            table.loc[again, "path"], label[again], first[again], strict=True
        )
    ]


def _seconds(column: pd.Series[Any], source: Path) -> pd.Series[float]:
    """Times in seconds, from numbers, timedeltas, and texts as ``0 days 00:00:01.5``, ``00:00:01,5`` or ``1,5``."""
    if pd.api.types.is_timedelta64_dtype(column):
        seconds: pd.Series[float] = column.dt.total_seconds()
        return seconds
    numbers = pd.to_numeric(column, errors="coerce")
    texts = column[numbers.isna() & column.notna()].astype("str")
    texts = texts[~is_missing(texts) & (texts != "NaT")]
    if len(texts):
        pointed = texts.str.replace(",", ".")
        times = pd.to_numeric(pointed, errors="coerce").astype("float64")
        times = times.fillna(
            pd.to_timedelta(pointed[times.isna()], errors="coerce").dt.total_seconds()
        )
        if times.isna().any():
            found = texts[times.isna()].iloc[0]
            raise ValueError(f"{source}: found {found!r}, expected {column.name} in seconds")
        numbers = numbers.astype("float64")
        numbers[texts.index] = times
    return numbers.astype("float64")


def _resolved(path: str, folder: Path) -> str:
    """The path from the manifest's folder; backslashes of Windows divide folders too, where there is no such file."""
    # os.path, which takes any text for a path: of a name too long it says that there is no such file.
    found = folder / os.path.expanduser(path)  # noqa: PTH111
    if "\\" in path and not os.path.exists(found):  # noqa: PTH110
        found = folder / path.replace("\\", "/")
    return os.path.normpath(found)


def _flaws(paths: pd.Series[str]) -> dict[str, str]:
    """What keeps each recording that exists from being one, by its path; folders are listed once."""
    flaws: dict[str, str] = {}
    for folder in {os.path.dirname(path) for path in paths}:  # noqa: PTH120  (names only)
        try:
            with os.scandir(folder) as scan:
                flaws.update({e.path: flaw(e) for e in scan if e.is_file()})
        except (OSError, ValueError):  # no such folder, or a name that none can have
            continue
    return {path: found for path, found in flaws.items() if printable(path) == path}


def _otherwise_spelt(paths: pd.Series[str], there: Mapping[str, str]) -> dict[str, str]:
    """Files for the paths that are missing, which differ in their Unicode form or in capitals alone.

    Tables and archives go from one system to another, of which some compose letters and some do not mind capitals.
    """

    @cache
    def names(folder: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        with suppress(OSError, ValueError), os.scandir(folder) as scan:
            for entry in scan:
                found.setdefault(composed(entry.name).casefold(), []).append(entry.name)
        return found

    @cache
    def near(path: str) -> str | None:
        """The one path that differs so, of those that there are."""
        folder, name = os.path.split(path)
        above = folder if not name or os.path.isdir(folder) else near(folder)  # noqa: PTH112
        if not name or above is None:
            return above
        alike = names(above).get(composed(name).casefold(), [])
        alike = [one for one in alike if composed(one) == composed(name)] or alike
        return os.path.join(above, alike[0]) if len(alike) == 1 else None  # noqa: PTH118

    found = {path: near(path) for path in paths.unique() if path not in there}
    # A file that the table names itself is that row's, and one that two names may mean is nobody's.
    taken = set(paths)
    meant: dict[str | None, set[str]] = {}
    for path, other in found.items():
        meant.setdefault(other, set()).add(composed(path))
    return {
        path: other
        for path, other in found.items()
        if other and other not in taken and len(meant[other]) == 1
    }


def _ids(table: pd.DataFrame) -> list[str]:
    """Names of utterances: their files', with folders where these are alike, with times where a file has several."""
    files = {path: composed(path) for path in table["path"].unique()}
    paths = pd.Series([*dict.fromkeys(files.values())], dtype="str")
    stems = paths.map(lambda path: Path(path).stem)
    if stems.duplicated().any():
        above = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120
        stems = paths.map(lambda path: Path(path).relative_to(above).with_suffix("").as_posix())
        if stems.duplicated().any():  # a.wav and a.flac
            stems = paths.map(lambda path: Path(path).relative_to(above).as_posix())
    stem_of = dict(zip(paths, stems, strict=True))
    names: dict[str, str] = {}
    alike: Counter[str] = Counter()  # files whose paths are one but for the form of their letters
    for file, path in files.items():
        alike[path] += 1
        names[file] = stem_of[path] + f"_{alike[path]}" * (alike[path] > 1)
    several = table["path"].duplicated(keep=False)
    if not several.any() or "start" not in table:
        return [names[path] for path in table["path"]]
    ends = table["end"] if "end" in table else pd.Series(np.nan, table.index)
    rows = zip(table["path"], table["start"], ends, several, strict=True)
    ids = [
        f"{names[path]}_{_stretch(start, end, 3)}" if many else names[path]
        for path, start, end, many in rows
    ]
    # Milliseconds, or as many digits as it takes where these are the same for two stretches.
    places = pd.DataFrame(
        {"id": ids, "path": table["path"].array, "start": table["start"].array, "end": ends.array}
    )
    again = places.drop_duplicates().duplicated("id", keep=False)
    fine = set(places.loc[again.index[again], "id"])
    return [
        f"{names[path]}_{_stretch(start, end, 6)}" if id in fine else id
        for id, path, start, end in places.itertuples(index=False)
    ]


def _stretch(start: float, end: float, digits: int) -> str:
    return f"{start:.{digits}f}-{'' if np.isnan(end) else f'{end:.{digits}f}'}"
