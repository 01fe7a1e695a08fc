"""The manifest: one table of utterances for every corpus, and what was left out of it and why."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import pandas as pd

from cleser.corpora.attributes import ATTRIBUTES, ORIGINAL_SCALE, with_mapped_attributes
from cleser.corpora.languages import is_code, meant
from cleser.corpora.tables import row_named
from cleser.corpora.terms import (
    EMOTIONS,
    GENDERS,
    composed,
    to_composed,
    to_emotions,
    to_genders,
    to_languages,
    to_splits,
)
from cleser.corpora.votes import VOTES, emotions_by_votes, vote_columns, with_named_votes

COLUMNS = (
    "utterance",
    "path",
    "start",
    "end",
    "corpus",
    "language",
    "speaker",
    "gender",
    "emotion",
    "split",
    "text",
)

_REQUIRED = ("utterance", "path", "corpus", "language")
_TIMES = ("start", "end")
# What probe puts behind the columns; a table may bring columns of these names, which it may mean otherwise.
HEADER_COLUMNS = ("duration", "samplerate", "channels", "frames")
PROBED = "probed"  # says in attrs that these are probe's
NAMED_AFTER = "named_after"  # says in attrs which file has given rows its name for want of another
_KNOWN = {
    *COLUMNS,
    *ATTRIBUTES,
    ORIGINAL_SCALE,
    *HEADER_COLUMNS,
    "fold",
    "style",
    "intensity",
    "phones",
}


class Problem(NamedTuple):
    """A recording, or a row of a label table, that a manifest leaves out.

    Attributes:
        path: The file, or where in a table it was named.
        reason: What is wrong with it.

    >>> print(*Problem("wav/2.wav", "holds no samples"), sep=": ")
    wav/2.wav: holds no samples
    """

    path: str
    reason: str


class Spare(Problem):
    """A copy of a recording, a further row of it, or a way back to its folder, without which nothing is lost.

    >>> Spare("copy/1.wav", "is a further copy of an utterance").path
    'copy/1.wav'
    """

    __slots__ = ()


class Gap(Problem):
    """What is not known of recordings that are used all the same: a text, a gender, a value beyond its scale.

    >>> Gap("users.csv", "is not there: ages are unknown").reason
    'is not there: ages are unknown'
    """

    __slots__ = ()


_KINDS: Final[dict[str, type[Problem]]] = {"spare": Spare, "gap": Gap}  # as attrs name them


class Listing(NamedTuple):
    """What a corpus' reader returns.

    Attributes:
        rows: One utterance a row with the corpus' own ids: ``utterance, path, language`` and whatever
            else of the manifest's columns is known. Further columns are kept behind them. Of these ``arousal,
            valence, dominance`` are numbers on the scale that ``scale`` names, see :mod:`cleser.corpora.attributes`,
            and ``votes.anger`` and so on votes of annotators, see :mod:`cleser.corpora.votes`.
            The index says where a row stands in the corpus' own table, for messages.
        problems: What was left out, and what is not known of the others.

    >>> rows = pd.DataFrame({"utterance": ["1"], "path": ["1.wav"], "language": ["de"], "emotion": ["anger"]})
    >>> set(rows) <= set(COLUMNS), set(rows["emotion"]) <= set(EMOTIONS)
    (True, True)
    >>> listing = Listing(rows, [Problem("2.wav", "is named in the table, but is not there")])
    >>> assemble("mine", listing)["utterance"].tolist()
    ['mine/1']
    """

    rows: pd.DataFrame
    problems: list[Problem]


def check_usable(name: str, listing: Listing) -> None:
    """Refuse what a reader found nothing usable in.

    Args:
        name: Name of the corpus or the table.
        listing: What was read.

    Raises:
        ValueError: It holds no recording, or none that can be used.
    """
    if not listing.rows.empty:
        return
    unusable = [problem for problem in listing.problems if not isinstance(problem, Gap)]
    listed = "; ".join(f"{path} {reason}" for path, reason in unusable[:3])
    raise ValueError(
        f"{name}: nothing usable among {len(unusable)} recordings, expected at least one: {listed}"
        if listed
        else f"{name}: names no recording, expected at least one"
    )


def assemble(
    corpus: str, listing: Listing, rename: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Complete a reader's rows to a validated manifest with globally unique ids and our names of emotions.

    Args:
        corpus: Name of the corpus, for rows that do not name their own.
        listing: What the reader found; synonyms of emotions, languages, genders and splits are understood. Without a
            column ``emotion``, an utterance has the emotion with most votes.
        rename: Emotions to call otherwise, as the reader or as we name them.

    Returns:
        The manifest; ids carry the prefix ``"<corpus>/"``, and ``attrs["problems"]`` says what is missing.

    Raises:
        ValueError: A row breaks a rule; see :func:`validate`.

    >>> rows = pd.DataFrame({"utterance": ["03a01Fa"], "path": ["wav/03a01Fa.wav"],
    ...                      "language": "de", "speaker": "03", "emotion": "happiness"})
    >>> manifest = assemble("emodb", Listing(rows, []))
    >>> manifest[["utterance", "speaker", "emotion", "start"]].values.tolist()
    [['emodb/03a01Fa', 'emodb/03', 'happiness', 0.0]]
    """
    # Until all is checked, rows keep the numbers that they have in the reader's table, which messages name.
    rows = listing.rows.copy()
    if not rows.index.is_unique:
        rows = rows.reset_index(drop=True)
    by_votes = "emotion" not in rows
    defaults: dict[str, str | float] = {"corpus": corpus, "start": 0.0, "end": float("nan")}
    for name in COLUMNS:
        if name not in rows:
            rows[name] = defaults.get(name)
    further = [name for name in rows.columns if name not in COLUMNS]
    types = {name: "float64" if name in _TIMES else "str" for name in COLUMNS}
    manifest = rows[[*COLUMNS, *further]].astype(types)
    for name in ("utterance", "corpus", "speaker", "text"):
        manifest[name] = to_composed(manifest[name])
    for name in ("utterance", "speaker"):
        manifest[name] = _prefixed(manifest[name], manifest["corpus"])
    manifest = with_mapped_attributes(manifest)
    corpora = manifest["corpus"].unique()
    source = str(corpora[0]) if len(corpora) == 1 else corpus
    used = _used(rename or {}, manifest)
    manifest["emotion"] = _emotions(manifest, rename)
    manifest = with_named_votes(manifest, rename, source)
    if by_votes:
        manifest["emotion"] = emotions_by_votes(manifest)
    manifest["language"] = to_languages(manifest["language"])
    manifest["gender"] = to_genders(manifest["gender"])
    manifest["split"] = to_splits(manifest["split"])
    validate(manifest, tuple((rename or {}).values()))
    manifest = manifest.reset_index(drop=True)
    manifest.attrs["renamed"] = used
    manifest.attrs[NAMED_AFTER] = listing.rows.attrs.get(NAMED_AFTER, "")
    manifest.attrs.pop(PROBED, None)  # Parquet keeps it, and the recordings may have changed since
    return with_problems(manifest, listing.problems)


def _emotions(manifest: pd.DataFrame, rename: Mapping[str, str] | None) -> pd.Series[str]:
    """Emotions of the rows, by the letters of each row's own corpus."""
    labels, rename = manifest["emotion"], rename or {}
    letters = labels.str.strip().str.len() == 1
    # Words once: a table may name thousands of corpora.
    named = to_emotions(labels.mask(letters), rename)
    for corpus, some in labels[letters].groupby(manifest.loc[letters, "corpus"]):
        named[some.index] = to_emotions(some, rename, str(corpus))
    return named


def _used(rename: Mapping[str, str], manifest: pd.DataFrame) -> list[str]:
    """The names to be called otherwise that there are."""
    if not rename:
        return []
    said = [*manifest["emotion"].dropna().unique()]
    said += [column.removeprefix(VOTES) for column in vote_columns(manifest)]
    there = {composed(text.strip()).casefold() for text in said}
    # A letter that is to be called otherwise need not be known.
    letters = {name: name for name in rename if len(name) == 1}
    there |= {name.casefold() for name in _emotions(manifest, letters).dropna().unique()}
    return [name for name in rename if composed(name).casefold() in there]


def _prefixed(ids: pd.Series[str], corpus: pd.Series[str]) -> pd.Series[str]:
    # A manifest that was loaded, saved and loaded again keeps its ids.
    pairs = zip(ids.to_numpy(object), corpus.to_numpy(object), strict=True)
    names = [
        f"{c}/{i}" if isinstance(i, str) and not i.startswith(f"{c}/") else i for i, c in pairs
    ]
    return pd.Series(names, index=ids.index, dtype="str")


def with_problems(manifest: pd.DataFrame, found: Iterable[Problem]) -> pd.DataFrame:
    """The manifest with these problems in place of those that it had."""
    # Plain dicts, so that attrs survive Parquet and JSON.
    manifest.attrs["problems"] = _Shared(problem._asdict() | _kind(problem) for problem in found)
    return manifest


def _kind(problem: Problem) -> dict[str, str]:
    """The kind of a problem that loses no recording, as attrs hold it."""
    return next(({"kind": name} for name, kind in _KINDS.items() if isinstance(problem, kind)), {})


class _Shared(list[dict[str, str]]):
    """A list that copies of a manifest share: nobody changes it in place.

    pandas copies attrs deeply at every operation, which takes a second each where a corpus of 268 thousand
    turns is mostly missing.
    """

    def __deepcopy__(self, memo: object) -> _Shared:
        return self


def problems(manifest: pd.DataFrame) -> list[Problem]:
    """What the manifest leaves out, and, as a :class:`Gap`, what is not known of recordings that it keeps.

    Args:
        manifest: A table as :func:`~cleser.corpora.load` gives it.

    >>> problems(with_problems(pd.DataFrame(), [Problem("a.wav", "is empty (0 bytes)")]))
    [Problem(path='a.wav', reason='is empty (0 bytes)')]
    """
    return [
        _KINDS.get(problem.get("kind", ""), Problem)(problem["path"], problem["reason"])
        for problem in manifest.attrs.get("problems", [])
    ]


def unused_columns(manifest: pd.DataFrame) -> dict[str, list[str]]:
    """Columns of which nothing is known here, if there are such, for each of emotion and speaker that no row has.

    One of them may be what is missing, under a name that nobody knows.

    >>> rows = pd.DataFrame({"utterance": ["1"], "path": ["1.wav"], "language": "de", "speaker": "a", "Gefühl": "x"})
    >>> unused_columns(assemble("mine", Listing(rows, [])))
    {'emotion': ['Gefühl']}
    """
    others = [
        str(name)
        for name in manifest
        if name not in _KNOWN and not str(name).startswith((VOTES, "Unnamed: "))
    ]
    missing = [name for name in ("emotion", "speaker") if manifest[name].isna().all()]
    return dict.fromkeys(missing, others) if others else {}


def validate(manifest: pd.DataFrame, further: tuple[str, ...] = ()) -> None:
    """Check the rules of a manifest.

    Args:
        manifest: The table to check.
        further: Classes that may stand for emotions beside :data:`EMOTIONS`.

    Raises:
        ValueError: A column is missing, or a value is none that it may be; the message names the first row.

    >>> validate(pd.DataFrame({"path": ["a.wav"]}))
    Traceback (most recent call last):
    ValueError: the manifest lacks the columns ['utterance', 'start', ...], found ['path']
    """
    missing = [name for name in COLUMNS if name not in manifest]
    if missing:
        raise ValueError(f"the manifest lacks the columns {missing}, found {list(manifest)}")
    for name in COLUMNS:
        expected = "float64" if name in _TIMES else "str"
        if manifest[name].dtype != expected:
            raise ValueError(
                f"column {name} has the type {manifest[name].dtype}, expected {expected}"
            )
    for name in _REQUIRED:
        for_all = "; say it for all rows, as manifest:FILE.csv?language=en" * (name == "language")
        _check(manifest, name, lambda c: c.notna() & (c != ""), f"a value{for_all}")
    _check(manifest, "utterance", lambda c: ~c.duplicated(), "another id in every row")
    languages = manifest["language"].unique()
    known = [name for name in languages if is_code(name)]
    hint = next((meant(name) for name in languages if name not in known), "")
    _check(manifest, "language", lambda c: c.isin(known), f"an ISO 639-1 code, as de or en{hint}")
    _check(manifest, "gender", _one_of(GENDERS), f"one of {list(GENDERS)} or nothing")
    classes = (*EMOTIONS, *(name for name in further if name not in EMOTIONS))
    others = sorted(set(manifest["emotion"].dropna()) - set(classes))
    rename = f"; rename {others[:12]} (--map {shlex.quote(f'{others[0]}=CLASS')})" if others else ""
    _check(manifest, "emotion", _one_of(classes), f"one of {list(classes)} or nothing{rename}")
    _check(
        manifest,
        "split",
        _matches(r"(train|dev|test)[\w-]*"),
        "train, dev or test (or a kind of them, as test1) or nothing",
    )
    _check(manifest, "start", lambda c: c >= 0, "a time in seconds from 0 on")
    after = manifest["end"].isna() | (manifest["end"] > manifest["start"])
    _check(manifest, "end", lambda _: after, "a time after the start, or nothing for the whole")


def _check(
    manifest: pd.DataFrame,
    name: str,
    holds: Callable[[pd.Series], pd.Series[bool]],
    expected: str,
) -> None:
    wrong = ~holds(manifest[name])
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        value = manifest[name].iloc[row]
        found = (
            repr(value) if isinstance(value, str) else "missing" if pd.isna(value) else f"{value:g}"
        )
        raise ValueError(f"{row_named(manifest, row)}: {name} is {found}, expected {expected}")


def _matches(pattern: str) -> Callable[[pd.Series], pd.Series[bool]]:
    return lambda column: column.isna() | column.str.fullmatch(pattern, na=True)


def _one_of(values: tuple[str, ...]) -> Callable[[pd.Series], pd.Series[bool]]:
    return lambda column: column.isna() | column.isin(values)
