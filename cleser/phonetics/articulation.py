"""How a phone is made: manner and place of consonants, position of vowels.

Names are those of the IPA's chart. Distances between phones are panphon's (Mortensen et al., *PanPhon*, COLING 2016),
whose features are those of phonology: they do not tell ``ə`` from ``ɜ``, or ``r`` from ``ɾ``, which the chart does.
"""

from __future__ import annotations

import csv
import unicodedata
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from cleser.phonetics.alphabets.ipa import BEFORE

# By manner and place, voiceless before voiced; a blank where there is none.
_CONSONANTS: Final = {
    "plosive": {
        "bilabial": "pb", "alveolar": "td", "retroflex": "ʈɖ", "palatal": "cɟ", "velar": "kɡ", "uvular": "qɢ",
        "epiglottal": "ʡ ", "glottal": "ʔ ",
    },
    "nasal": {
        "bilabial": " m", "labiodental": " ɱ", "alveolar": " n", "retroflex": " ɳ", "palatal": " ɲ", "velar": " ŋ",
        "uvular": " ɴ",
    },
    "trill": {"bilabial": " ʙ", "alveolar": " r", "uvular": " ʀ"},
    "tap": {"labiodental": " ⱱ", "alveolar": " ɾ", "retroflex": " ɽ"},
    "lateral tap": {"alveolar": " ɺ"},
    "fricative": {
        "bilabial": "ɸβ", "labiodental": "fv", "dental": "θð", "alveolar": "sz", "postalveolar": "ʃʒ",
        "retroflex": "ʂʐ", "alveolo-palatal": "ɕʑ", "palatal": "çʝ", "palato-velar": "ɧ ", "velar": "xɣ",
        "uvular": "χʁ", "pharyngeal": "ħʕ", "epiglottal": "ʜʢ", "glottal": "hɦ",
    },
    "lateral fricative": {"alveolar": "ɬɮ"},
    "approximant": {
        "labiodental": " ʋ", "alveolar": " ɹ", "retroflex": " ɻ", "palatal": " j", "velar": " ɰ",
        "labio-velar": "ʍw", "labio-palatal": " ɥ",
    },
    "lateral approximant": {
        "alveolar": " l", "velarised alveolar": " ɫ", "retroflex": " ɭ", "palatal": " ʎ",
        "velar": " ʟ",
    },
    "implosive": {"bilabial": " ɓ", "alveolar": " ɗ", "palatal": " ʄ", "velar": " ɠ", "uvular": " ʛ"},
    "click": {"bilabial": "ʘ ", "dental": "ǀ ", "postalveolar": "ǃ ", "palatal": "ǂ ", "alveolar": "ǁ "},
}  # fmt: skip
# By height: front, central and back, each unrounded before rounded.
_VOWELS: Final = {
    "close": "iyɨʉɯu",
    "near-close": "ɪʏ   ʊ",
    "close-mid": "eøɘɵɤo",
    "mid": "  əɚ  ",
    "open-mid": "ɛœɜɞʌɔ",
    "near-open": "æ ɐ   ",
    "open": "aɶ  ɑɒ",
}
_BACKNESS: Final = ("front", "central", "back")
_UNROUNDED: Final = frozenset("ɚ")  # its second place in the row is rhoticity, not rounding
_LIKE: Final = {"ɝ": "ɜ"}
_FRICATIVES: Final = ("fricative", "lateral fricative")

_DEVOICED, _VOICED, _NASAL, _NON_SYLLABIC = "\u0325", "\u032c", "\u0303", "\u032f"


class Articulation(NamedTuple):
    """The class of a phone; of a diphthong or the end of a syllable, that of its first full vowel.

    Attributes:
        manner: ``"vowel"``, or that of a consonant, as ``"plosive"``, ``"affricate"`` or ``"lateral affricate"``.
        place: Place of a consonant, as ``"alveolar"``; empty for vowels.
        voiced: Whether the vocal folds vibrate.
        height: Height of a vowel, ``"close"`` to ``"open"``; empty for consonants.
        backness: Backness of a vowel, ``"front"``, ``"central"`` or ``"back"``; empty for consonants.
        rounded: Whether the lips are rounded; False for consonants.
        nasal: Whether air leaves through the nose.
    """

    manner: str
    place: str
    voiced: bool
    height: str
    backness: str
    rounded: bool
    nasal: bool


def articulation(ipa: str) -> Articulation:
    """How a phone is made.

    Args:
        ipa: One phone, as :func:`to_ipa` writes it.

    Raises:
        ValueError: A letter is none of the IPA.

    >>> articulation("tʃ")
    Articulation(manner='affricate', place='postalveolar', voiced=False, height='', backness='', rounded=False, ...)
    >>> articulation("yː").height, articulation("aɪ").backness
    ('close', 'front')
    """
    return _articulation(ipa)


def is_vowel(ipa: str) -> bool:
    """Whether a phone is, or holds, a vowel; syllabic consonants do not.

    >>> is_vowel("aɪ"), is_vowel("iŋ"), is_vowel("l̩"), is_vowel("tʃ")
    (True, True, False, False)
    """
    return articulation(ipa).manner == "vowel"


def vowel_position(ipa: str) -> tuple[float, float]:
    """Where a vowel stands in the IPA's chart.

    Returns:
        Backness from 0 (front) to 1 (back) and height from 0 (open) to 1 (close).

    Raises:
        ValueError: The phone is no vowel.

    >>> vowel_position("i"), vowel_position("ɑ")
    ((0.0, 1.0), (1.0, 0.0))
    """
    made = articulation(ipa)
    if made.manner != "vowel":
        raise ValueError(f"{ipa!r} is a {made.manner}, expected a vowel")
    heights = list(_VOWELS)
    return _BACKNESS.index(made.backness) / 2, 1 - heights.index(made.height) / (len(heights) - 1)


@cache
def segments(ipa: str) -> tuple[str, ...]:
    """Single sounds of a phone, each with its diacritics; an affricate is one.

    Raises:
        ValueError: It is no phone of the IPA.

    >>> segments("aʊ"), segments("ʈʂʰ")
    (('a', 'ʊ'), ('ʈʂʰ',))
    """
    letters = _letters(ipa)
    spoken = letters.lstrip(BEFORE)
    sounds: list[str] = []
    for letter in spoken:
        if letter not in _TABLE and sounds:  # a diacritic
            if letter.isspace() or letter.isdecimal():
                break
            sounds[-1] += letter
        elif letter in _TABLE and sounds and _is_affricate(sounds[-1], letter):
            sounds[-1] += letter
        elif letter in _TABLE:
            sounds.append(letter)
        else:
            break
    if not sounds or len("".join(sounds)) != len(spoken):
        raise ValueError(f"{ipa!r} is no phone of the IPA")
    sounds[0] = letters.removesuffix(spoken) + sounds[0]
    return tuple(sounds)


def _is_affricate(sound: str, letter: str) -> bool:
    before = _TABLE[sound[0]][0] == "plosive" and not any(s in _TABLE for s in sound[1:])
    return before and _TABLE[letter][0] in _FRICATIVES and letter not in "hɦ"


def phone_distance(a: str, b: str) -> float:
    """How far two phones are apart in panphon's features, 0 to 1.

    The share of features in which two sounds differ, half counted where one has no value. Of phones of several
    sounds, the edit distance over them (half a sound to add or to leave out), divided by the longer one's count.

    Args:
        a: A phone in IPA.
        b: Another.

    >>> phone_distance("b", "b"), phone_distance("p", "b") < phone_distance("p", "a")
    (0.0, True)
    """
    if a == b:
        return 0.0
    left, right = [features(s) for s in segments(a)], [features(s) for s in segments(b)]
    row = [0.5 * j for j in range(len(right) + 1)]
    for x in left:
        previous, row = row, [row[0] + 0.5]
        for j, y in enumerate(right):
            changed = previous[j] + float(np.abs(x - y).mean()) / 2
            row.append(min(changed, previous[j + 1] + 0.5, row[j] + 0.5))
    return row[-1] / max(len(left), len(right))


@cache
def features(sound: str) -> npt.NDArray[np.float64]:
    """Panphon's features of one sound: 1, −1, or 0 where a feature does not apply.

    Raises:
        ValueError: panphon does not know the sound.
    """
    table = _panphon()
    letters = _letters(sound)
    sounds = "".join(letter for letter in letters if letter in _TABLE)
    # What the table lacks is looked up without its diacritics; of an affricate that it lacks, the release.
    tries = [letters, sounds, *(_LIKE.get(letter, letter) for letter in reversed(sounds))]
    for spelled in tries:
        if spelled in table:
            return table[spelled]
    raise ValueError(f"panphon does not know the sound {sound!r}")


@cache
def _panphon() -> dict[str, npt.NDArray[np.float64]]:
    """Panphon's table, which its own loader takes a second for."""
    found = find_spec("panphon")
    if found is None or not found.submodule_search_locations:
        raise ImportError("distances between phones need panphon: pip install panphon")
    path = Path(found.submodule_search_locations[0]) / "data" / "ipa_all.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    values = {"+": 1.0, "0": 0.0, "-": -1.0}
    tones = {rows[0].index(name) for name in ("hitone", "hireg")}
    table = {}
    for row in rows[1:]:
        kept = [values[value] for i, value in enumerate(row) if i and i not in tones]
        table[_decomposed(row[0])] = np.array(kept)
    rhotic = table["ə"].copy()
    return {**table, "ɚ": table.get("ə˞", rhotic)}


@cache
def _articulation(ipa: str) -> Articulation:
    sounds = segments(ipa)
    vowels = [
        s for s in sounds if _TABLE[s.lstrip(BEFORE)[0]][0] == "vowel" and _NON_SYLLABIC not in s
    ]
    sound = vowels[0] if vowels else sounds[0]
    letters = [letter for letter in sound if letter in _TABLE]
    manner, place, voiced, height, backness, rounded = _TABLE[letters[0]]
    if len(letters) > 1:
        release = _TABLE[letters[-1]]
        manner, place = release[0].replace("fricative", "affricate"), release[1]
    nasal = manner == "nasal" or _NASAL in sound
    voiced = _VOICED in sound or (voiced and _DEVOICED not in sound)
    return Articulation(manner, place, voiced, height, backness, rounded, nasal)


_Entry = tuple[str, str, bool, str, str, bool]


def _letters(ipa: str) -> str:
    """A symbol without length and stress, which are no part of a phoneme here."""
    return _decomposed(ipa).translate({ord(mark): None for mark in "ːˑˈˌ"})


def _decomposed(ipa: str) -> str:
    """Every diacritic by itself, but for ç, a letter of its own; without ties, and rings below."""
    plain = unicodedata.normalize("NFD", ipa).translate({0x361: None, 0x35C: None, 0x30A: 0x325})
    return plain.replace("c\u0327", "ç")


def _chart() -> dict[str, _Entry]:
    table: dict[str, _Entry] = {}
    for manner, places in _CONSONANTS.items():
        for place, pair in places.items():
            table |= {
                letter: (manner, place, i == 1, "", "", False) for i, letter in enumerate(pair)
            }
    for height, row in _VOWELS.items():
        for i, letter in enumerate(row):
            rounded = i % 2 == 1 and letter not in _UNROUNDED
            table[letter] = ("vowel", "", True, height, _BACKNESS[i // 2], rounded)
    table |= {written: table[like] for written, like in _LIKE.items()}
    table.pop(" ")
    return table


_TABLE: Final = _chart()
