"""What tables of others call emotions, languages, genders and splits, and what these are called here.

Case, blanks around and underscores do not matter. What is in no table stays as it is, so that whoever loads the table
can rename it (``--map``) or is told.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from cleser.corpora.languages import code_of

# A line an emotion: its name here, then its others.
_EMOTIONS: Final = """\
anger: angry ang an mad rage furious irritated
happiness: happy hap ha joy joyful joyous
neutral: neutrality neu ne normal
sadness: sad sa
fear: fea fe fearful scared afraid frightened
disgust: dis di disgusted
surprise: sur su surprised ps pleasant_surprise pleasantly_surprised
contempt: con contemptuous
calm: calmness
boredom: bored bor boredem
amusement: amused amu
anxiety: anxious worried worry
excitement: excited exc
frustration: frustrated fru
guilt: guilty
interest: interested
pride: proud
relief: relieved
shame: ashamed
sleepiness: sleepy
other: oth others"""
_MISSING: Final = frozenset(
    {
        *("", "nan", "na", "n/a", "none", "null", "unknown", "unk", "xxx", "undefined", "-", "?"),
        *("<na>", "no_agreement", "no agreement", "x"),
    }
)
# Without those that may be somebody's code.
_NOBODY: Final = _MISSING - {"x", "xxx", "no_agreement", "no agreement"}
_GENDERS: Final = """\
female: f w woman women girl
male: m man men boy"""
_SPLITS: Final = """\
train: training trn tr
dev: val valid validation development devel
test: testing tst"""
CODES: Final[dict[str, dict[str, str]]] = {
    "msp-podcast": {
        "A": "anger", "S": "sadness", "H": "happiness", "U": "surprise", "F": "fear", "D": "disgust",
        "C": "contempt", "N": "neutral", "O": "other", "X": "",
    },
    "msp-improv": {"A": "anger", "H": "happiness", "N": "neutral", "O": "other", "S": "sadness"},
    "emodb": {
        "W": "anger", "L": "boredom", "E": "disgust", "A": "fear", "F": "happiness", "T": "sadness", "N": "neutral",
    },
    "cafe": {
        "C": "anger", "D": "disgust", "J": "happiness", "N": "neutral", "P": "fear", "S": "surprise", "T": "sadness",
    },
    "oreau": {
        "C": "anger", "D": "disgust", "J": "happiness", "N": "neutral", "P": "fear", "S": "surprise", "T": "sadness",
    },
    "shemo": {
        "A": "anger", "F": "fear", "H": "happiness", "N": "neutral", "S": "sadness", "W": "surprise",
    },
    "urdu": {"A": "anger", "H": "happiness", "N": "neutral", "S": "sadness"},
    "savee": {"A": "anger", "D": "disgust", "F": "fear", "H": "happiness", "N": "neutral"},
    "aesdd": {"A": "anger", "D": "disgust", "F": "fear", "H": "happiness", "S": "sadness"},
}  # fmt: skip
"""Letters for emotions, which mean something else in each corpus; empty for no agreement."""


def _table(text: str) -> dict[str, str]:
    pairs = (line.split(": ") for line in text.splitlines())
    return {word: name for name, others in pairs for word in (name, *others.split())}


def _names(text: str) -> tuple[str, ...]:
    return tuple(line.partition(":")[0] for line in text.splitlines())


EMOTIONS: Final = _names(_EMOTIONS)
GENDERS: Final = _names(_GENDERS)
_EMOTION_TABLE: Final = _table(_EMOTIONS)
_GENDER_TABLE: Final = _table(_GENDERS)
_SPLIT_TABLE: Final = _table(_SPLITS)


def composed(text: str) -> str:
    """A text in the one form (NFC) in which texts are compared: Macs and some archives write é as e and its accent."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def to_composed(names: pd.Series[str]) -> pd.Series[str]:
    """Names or texts in one form, so that one who is written in two is one.

    >>> to_composed(pd.Series(["José", "Jose\u0301"])).nunique()
    1
    """
    return _mapped(names, composed)


def to_emotions(
    labels: pd.Series[str], rename: Mapping[str, str] | None = None, corpus: str = ""
) -> pd.Series[str]:
    """Labels as emotions of a manifest.

    Args:
        labels: Labels as a table has them.
        rename: Labels, or names of emotions, to call otherwise.
        corpus: Corpus whose single letters they are.

    Raises:
        ValueError: There are single letters, and the corpus is none whose letters are known.

    >>> to_emotions(pd.Series(["hap", "Angry", " FEAR", "unknown", "whisper"])).tolist()
    ['happiness', 'anger', 'fear', nan, 'whisper']
    >>> to_emotions(pd.Series(["F"]), corpus="emodb").tolist(), to_emotions(pd.Series(["F"]), corpus="shemo").tolist()
    (['happiness'], ['fear'])
    """
    rename = {composed(name): new for name, new in (rename or {}).items()}
    folded = {name.casefold(): new for name, new in rename.items() if len(name) > 1}
    found = labels.dropna().unique()
    letters = {text.strip() for text in found if _is_letter(text.strip())} - set(rename)
    codes = _codes_of(letters, corpus) if letters else {}
    names: dict[str, str | None] = {}
    for text in found:
        plain = composed(text.strip())
        name = codes.get(plain.upper()) if plain in letters else _emotion(plain)
        other = folded.get(plain.casefold(), rename.get(name or "", name or None))
        names[text] = rename.get(plain, other)
    return labels.map(names).astype("str")


def to_class(text: str) -> str:
    """A class that somebody asks for by our name of the emotion, or as it is where it is none that is known.

    >>> to_class("Angry"), to_class("whisper")
    ('anger', 'whisper')
    """
    return _emotion(text.strip()) or text


def _emotion(text: str) -> str:
    plain = re.sub(r"[\s_]+", "_", text.lower())
    return "" if plain in _MISSING else _EMOTION_TABLE.get(plain, text)


def _is_letter(text: str) -> bool:
    """Whether a label is one letter, which says an emotion by somebody's table; ``X`` says none in any."""
    return len(text) == 1 and text.isascii() and text.isalpha() and text.lower() not in _MISSING


def _codes_of(letters: set[str], corpus: str) -> dict[str, str]:
    """The table of a corpus, which holds all the letters.

    Letters do not tell by themselves whose they are: ``A, F, N`` are fear, joy and neutral in EMO-DB, and anger, fear
    and neutral in ShEMO.
    """
    own = _table_of(corpus)
    strange = sorted(letter for letter in letters if letter.upper() not in own)
    if not strange:
        return own
    classes = " ".join(f"{letter}=CLASS" for letter in strange)
    if own:
        raise ValueError(
            f"emotion holds the letters {strange}, expected some of {corpus}'s, {', '.join(own)}; say what they mean "
            f"(--map {classes})"
        )
    raise ValueError(
        f"emotion holds the letters {strange}, which mean something else in each corpus: {_guesses(strange)} what they "
        f"mean (--map {classes})"
    )


def _table_of(corpus: str) -> dict[str, str]:
    """Letters of a corpus, however its name is spelt; none where they are not known."""

    def key(name: str) -> str:
        return re.sub(r"[\W_]", "", name.lower())

    return next((codes for name, codes in CODES.items() if key(name) == key(corpus)), {})


def _guesses(letters: list[str]) -> str:
    """What the letters would mean in the corpora that have them all, and how to say that it is one of these."""
    known: dict[str, list[str]] = {}
    for corpus, codes in CODES.items():
        if all(letter.upper() in codes for letter in letters):
            said = " ".join(f"{letter}={codes[letter.upper()]}" for letter in letters)
            known.setdefault(said, []).append(corpus)
    if not known:
        return f"none of {', '.join(CODES)} has them all; say"
    listed = "; ".join(f"{said} in {', '.join(corpora)}" for said, corpora in known.items())
    return f"{listed}; say whose they are (a column corpus, or manifest:FILE?corpus=NAME), or"


def to_languages(names: pd.Series[str]) -> pd.Series[str]:
    """Codes of ISO 639-1 for codes, English names and tags as BCP 47 has them, of ISO 639-3 for languages without.

    >>> to_languages(pd.Series(["English", "cmn-Hans-CN", "de_DE", "yue", "Klingon", "NA"])).tolist()
    ['en', 'zh', 'de', 'yue', 'Klingon', nan]
    """

    def language(name: str) -> str | None:
        # R writes NA for nothing; na is the code of Nauru.
        if name != "na" and name.strip().lower() == "na":
            return None
        return code_of(name) or name

    return _mapped(names, language)


def to_genders(names: pd.Series[str]) -> pd.Series[str]:
    """``female`` or ``male``; whatever is neither is missing.

    >>> to_genders(pd.Series(["F", "Male", "child"])).tolist()
    ['female', 'male', nan]
    """
    return _mapped(names, lambda name: _GENDER_TABLE.get(name.strip().lower()))


def to_splits(names: pd.Series[str]) -> pd.Series[str]:
    """``train``, ``dev`` and ``test``, with what stands behind them.

    >>> to_splits(pd.Series(["Train", "val", "Test1", "Development"])).tolist()
    ['train', 'dev', 'test1', 'dev']
    """

    def split(name: str) -> str | None:
        plain = name.strip().lower()
        match = re.fullmatch(r"([a-z]+)([\W_]?\d+)?", plain)
        if plain in _MISSING or match is None:
            return None if plain in _MISSING else plain
        return _SPLIT_TABLE.get(match[1], match[1]) + (match[2] or "")

    return _mapped(names, split)


def is_missing(names: pd.Series[str]) -> pd.Series[bool]:
    """Whether a cell says that nothing is known."""
    return names.isna() | names.str.strip().str.lower().isin(_MISSING)


def to_numbers(column: pd.Series[Any]) -> tuple[pd.Series[float], pd.Series[bool]]:
    """A column as numbers, and which of its cells are neither a number nor say that nothing is known.

    >>> numbers, wrong = to_numbers(pd.Series(["0.5", "NA", "-", None, "high"]))
    >>> numbers.tolist(), wrong.tolist()
    ([0.5, nan, nan, nan, nan], [False, False, False, False, True])
    """
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    return numbers, numbers.isna() & ~is_missing(column.astype("str"))


def is_nobody(names: pd.Series[str]) -> pd.Series[bool]:
    """Whether a cell says that the speaker is not known; a speaker may be called X.

    >>> is_nobody(pd.Series(["X", "unknown", "7"])).tolist()
    [False, True, False]
    """
    return names.isna() | names.str.strip().str.lower().isin(_NOBODY)


def _mapped(values: pd.Series[str], function: object) -> pd.Series[str]:
    names = {value: function(value) for value in values.dropna().unique()}  # type: ignore[operator]
    return values.map(names).astype("str")
