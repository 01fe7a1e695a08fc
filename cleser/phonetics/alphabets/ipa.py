"""IPA as corpora write it: ligatures, ties, stress, tones in four notations.

The International Phonetic Alphabet, revised to 2020 (International Phonetic Association).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from cleser.phonetics.alphabets.symbol import CHAO, Symbol

VOWELS: Final = "iyɨʉɯuɪʏʊeøɘɵɤoəɛœɜɞʌɔæɐaɶɑɒɚɝ"
_PLOSIVES: Final = "pbtdʈɖcɟkɡqɢʔʡ"
_FRICATIVES: Final = "ɸβfvθðszʃʒʂʐɕʑçʝxɣχʁħʕɬɮ"
_SONORANTS: Final = "mɱnɳɲŋɴʙrʀⱱɾɽʋɹɻjɰlɭʎʟwɥʍɫɺ"
_OTHERS: Final = "hɦʜʢɧʘǀǃǂǁɓɗʄɠʛ"
BEFORE: Final = "ʰʱʷˀᵐᶬⁿᶯᶮᵑ"
"""Modifiers that may stand before a consonant: what it begins with, as in ʰp and ⁿd."""

_STRESS: Final = {"ˈ": 1, "ˌ": 2}
_LENGTHS: Final = "ːˑ\u0306"
# Tones over a vowel: high, mid, low, rising, falling, extra-high, extra-low.
_ACCENTS: Final = {
    "\u0301": "˦",
    "\u0304": "˧",
    "\u0300": "˨",
    "\u030c": "˩˥",
    "\u0302": "˥˩",
    "\u030b": "˥",
    "\u030f": "˩",
}
_SUPERSCRIPTS: Final = dict(zip("¹²³⁴⁵", "˩˨˧˦˥", strict=True))
_TONES: Final = {**{tone: tone for tone in "˩˨˧˦˥"}, **CHAO, **_SUPERSCRIPTS}
# Ways of writing that mean the same.
_SAME: Final = str.maketrans(
    {
        "g": "ɡ",
        ":": "ː",
        "ʦ": "ts",
        "ʣ": "dz",
        "ʧ": "tʃ",
        "ʤ": "dʒ",
        "ʨ": "tɕ",
        "ʥ": "dʑ",
        "ᵻ": "ɨ",
        "ᵿ": "ʉ",
        "ɿ": "ɹ\u0329",
        "ʅ": "ɻ\u0329",
        "ε": "ɛ",  # letters of Greek, taken for those of IPA
        "φ": "ɸ",
        "Φ": "ɸ",
        "\u035c": "\u0361",
        "\u030a": "\u0325",  # the ring of ŋ̊ stands above where there is no room below
    }
)
_DIACRITICS: Final = r"[\u0303-\u036f\u02b0-\u02c6\u02d4-\u02e4ⁿᵊᶿᵝʼ]*"
_CONSONANT: Final = f"[{_PLOSIVES}{_FRICATIVES}{_SONORANTS}{_OTHERS}]"
# ç is a c with a cedilla once it is decomposed.
_FRICATIVE: Final = f"(?:[{_FRICATIVES}]|c\u0327)"
_TIE: Final = "\u0361"
# One consonant, an affricate, a long consonant written twice, two at once that a tie makes one, or what a syllable may
# be without its onset.
_SHAPE: Final = re.compile(
    f"(?:[{BEFORE}]?(?:{_CONSONANT}{_DIACRITICS}"
    f"|[{_PLOSIVES}]{_DIACRITICS}{_FRICATIVE}{_DIACRITICS}"
    rf"|({_CONSONANT}{_DIACRITICS})\1"
    f"|{_CONSONANT}{_DIACRITICS}{_TIE}{_CONSONANT}{_DIACRITICS})"
    f"|(?:[jwɥɰ]{_DIACRITICS})?(?:[{VOWELS}]{_DIACRITICS})+(?:[jwɥɰnŋmɹɻlɫ]{_DIACRITICS})?)"
)


def parse_ipa(symbol: str) -> Symbol | None:
    """A symbol of IPA in its parts; None where it is none.

    A tie is kept where the phone is none without it, as in ``k͡p``; an affricate is the same with and without.

    >>> parse_ipa("ˈt͡ʃʰ"), parse_ipa("aː˥˩"), parse_ipa("AH0")
    (Symbol(phone='tʃʰ', stress=1, tone='', length=''), Symbol(phone='a', stress=0, tone='˥˩', length='ː'), None)
    """
    stress, tone, length, phone = 0, "", "", ""
    for letter in unicodedata.normalize("NFD", symbol).translate(_SAME):
        if letter in _STRESS:
            stress = stress or _STRESS[letter]
        elif letter in _LENGTHS:
            length += letter
        elif letter in _ACCENTS and phone:
            tone += _ACCENTS[letter]
        elif letter in _TONES and phone:
            tone += _TONES[letter]
        else:
            phone += letter
    for spelled in (phone.replace(_TIE, ""), phone):
        if is_ipa(spelled):
            return Symbol(unicodedata.normalize("NFC", spelled), stress, tone, length)
    return None


def is_ipa(phone: str) -> bool:
    """Whether these letters can be one phone, or the vowel of a syllable with its glides and end."""
    return _SHAPE.fullmatch(unicodedata.normalize("NFD", phone)) is not None
