"""Hanyu pinyin: initials, finals with tone digits or accents, and whole syllables.

Sounds after Lee & Zee, *Standard Chinese (Beijing)*, JIPA 33(1), 2003. A final is one symbol, also where it
is a glide, a vowel and a nasal, since transcriptions in pinyin give it one time.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from cleser.phonetics.alphabets.symbol import Symbol

INITIALS: Final = {
    "b": "p",
    "p": "pʰ",
    "m": "m",
    "f": "f",
    "d": "t",
    "t": "tʰ",
    "n": "n",
    "l": "l",
    "g": "k",
    "k": "kʰ",
    "h": "x",
    "j": "tɕ",
    "q": "tɕʰ",
    "x": "ɕ",
    "zh": "ʈʂ",
    "ch": "ʈʂʰ",
    "sh": "ʂ",
    "r": "ʐ",
    "z": "ts",
    "c": "tsʰ",
    "s": "s",
}
_GLIDES: Final = {"y": "j", "w": "w"}
FINALS: Final = {
    "a": "a",
    "o": "o",
    "e": "ɤ",
    "ê": "ɛ",
    "ai": "aɪ",
    "ei": "eɪ",
    "ao": "aʊ",
    "ou": "oʊ",
    "an": "an",
    "en": "ən",
    "ang": "aŋ",
    "eng": "əŋ",
    "ong": "ʊŋ",
    "er": "aɻ",
    "i": "i",
    "ii": "ɹ̩",  # after z c s
    "iii": "ɻ̩",  # after zh ch sh r
    "ia": "ja",
    "io": "jo",
    "ie": "jɛ",
    "iao": "jaʊ",
    "iou": "joʊ",
    "ian": "jɛn",
    "in": "in",
    "iang": "jaŋ",
    "ing": "iŋ",
    "iong": "jʊŋ",
    "u": "u",
    "ua": "wa",
    "uo": "wo",
    "uai": "waɪ",
    "uei": "weɪ",
    "uan": "wan",
    "uen": "wən",
    "uang": "waŋ",
    "ueng": "wəŋ",
    "v": "y",
    "ve": "ɥɛ",
    "van": "ɥɛn",
    "vn": "yn",
}
_SPELLED: Final = {
    "iu": "iou",
    "ui": "uei",
    "un": "uen",
    "ue": "ve",
    "ng": "eng",
    # THCHS-30's and AISHELL's lexicon: the i of zi, shi and ri.
    "iy": "ii",
    "ix": "iii",
    "iz": "iii",
    "r": "er",
}
_TONES: Final = {"1": "˥", "2": "˧˥", "3": "˨˩˦", "4": "˥˩", "5": "", "0": "", "": ""}
_ACCENTS: Final = {"\u0304": "1", "\u0301": "2", "\u030c": "3", "\u0300": "4"}
_DENTAL, _RETROFLEX, _PALATAL = (
    frozenset("zcs"),
    frozenset(("zh", "ch", "sh", "r")),
    frozenset("jqx"),
)
_SYLLABLE: Final = re.compile(r"(zh|ch|sh|[bpmfdtnlgkhjqxrzcsyw])?([aeiouvê]+(?:ng|n)?)(r)?")


def parse_pinyin(symbol: str) -> Symbol | None:
    """An initial, a final or a syllable in pinyin in its parts; None where it is none.

    >>> parse_pinyin("zh").phone, parse_pinyin("ang4"), parse_pinyin("nǚ").phone
    ('ʈʂ', Symbol(phone='aŋ', stress=0, tone='˥˩', length=''), 'ny')
    """
    letters, tone = _without_tone(symbol)
    if letters in INITIALS and not tone:
        return Symbol(INITIALS[letters])
    if letters in _GLIDES and not tone:
        return Symbol(_GLIDES[letters])
    phone = _final(letters) or _syllable(letters)
    return Symbol(phone, 0, _TONES[tone]) if phone and tone in _TONES else None


def is_marked_pinyin(symbol: str) -> bool:
    """Whether a symbol is pinyin that other alphabets hardly have: a tone digit, a final in ng, zh ch sh.

    An accent alone is none: it is a tone of IPA too.
    """
    letters, tone = _without_tone(symbol)
    return letters in {"zh", "ch", "sh"} or symbol.endswith(tone or "-") or letters.endswith("ng")


def _without_tone(symbol: str) -> tuple[str, str]:
    tone = symbol[-1] if symbol[-1:].isascii() and symbol[-1:].isdigit() else ""
    letters = ""
    for letter in unicodedata.normalize("NFD", symbol.removesuffix(tone).lower()):
        if letter in _ACCENTS and not tone:
            tone = _ACCENTS[letter]
        else:
            letters += letter
    letters = unicodedata.normalize("NFC", letters.replace("u:", "v"))
    return letters.replace("ü", "v"), tone


def _final(letters: str) -> str:
    return FINALS.get(_SPELLED.get(letters, letters), "")


def _syllable(letters: str) -> str:
    """The sounds of a syllable; none where it is none."""
    match = _SYLLABLE.fullmatch(letters)
    if not match:
        return ""
    onset, final = _respelled(match[1] or "", match[2])
    if final not in FINALS:
        return ""
    rhyme = _rhotic(FINALS[final]) if match[3] else FINALS[final]
    return INITIALS.get(onset, "") + rhyme


def _rhotic(rhyme: str) -> str:
    """A rhyme with -r, before which an n or ɪ at its end is lost, and the i of zi and shi becomes ə."""
    return "əɻ" if "\u0329" in rhyme else rhyme.removesuffix("n").removesuffix("ɪ") + "ɻ"


def _respelled(onset: str, final: str) -> tuple[str, str]:
    """Undo spelling rules: what a final is after y, w, j and z."""
    if onset == "y":
        final = _after_y(final)
    elif onset == "w":
        final = final if final == "u" else "u" + final
    elif onset in _PALATAL and final.startswith("u"):
        final = "v" + final[1:]
    elif final == "i" and onset in _DENTAL:
        final = "ii"
    elif final == "i" and onset in _RETROFLEX:
        final = "iii"
    return ("" if onset in _GLIDES else onset), _SPELLED.get(final, final)


def _after_y(final: str) -> str:
    if final.startswith("u"):
        return "v" + final[1:]
    return final if final.startswith("i") else "i" + final
