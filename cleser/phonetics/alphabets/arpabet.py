"""ARPABET, as CMUdict and Montreal Forced Aligner's English models write it, and TIMIT's and Buckeye's additions.

Vowels carry their stress as a digit; 0 with AH and ER is the reduced vowel.
"""

from __future__ import annotations

import re
from typing import Final

from cleser.phonetics.alphabets.symbol import Symbol

_VOWELS: Final = {
    "AA": "ɑ",
    "AE": "æ",
    "AH": "ʌ",
    "AO": "ɔ",
    "AW": "aʊ",
    "AX": "ə",
    "AX-H": "ə̥",
    "AXR": "ɚ",
    "AY": "aɪ",
    "EH": "ɛ",
    "ER": "ɝ",
    "EY": "eɪ",
    "IH": "ɪ",
    "IX": "ɨ",
    "IY": "i",
    "OW": "oʊ",
    "OY": "ɔɪ",
    "UH": "ʊ",
    "UW": "u",
    "UX": "ʉ",
}
_CONSONANTS: Final = {
    "B": "b",
    "CH": "tʃ",
    "D": "d",
    "DH": "ð",
    "DX": "ɾ",
    "EL": "l̩",
    "EM": "m̩",
    "EN": "n̩",
    "ENG": "ŋ̍",
    "F": "f",
    "G": "ɡ",
    "H": "h",
    "HH": "h",
    "HV": "ɦ",
    "JH": "dʒ",
    "K": "k",
    "L": "l",
    "M": "m",
    "N": "n",
    "NG": "ŋ",
    "NX": "ɾ̃",
    "P": "p",
    "Q": "ʔ",
    "R": "ɹ",
    "S": "s",
    "SH": "ʃ",
    "T": "t",
    "TH": "θ",
    "V": "v",
    "W": "w",
    "WH": "ʍ",
    "Y": "j",
    "Z": "z",
    "ZH": "ʒ",
    # TIMIT: the closure before a stop.
    "BCL": "b̚",
    "DCL": "d̚",
    "GCL": "ɡ̚",
    "KCL": "k̚",
    "PCL": "p̚",
    "TCL": "t̚",
    "TQ": "ʔ",  # Buckeye: a t that is a glottal stop
}
_REDUCED: Final = {"AH": "ə", "ER": "ɚ"}
# Stress, and the place in the word that Kaldi appends.
_SYMBOL: Final = re.compile(r"([A-Za-z]+(?:-[Hh])?)([012])?(?:_[BIES])?")


def parse_arpabet(symbol: str) -> Symbol | None:
    """A symbol of ARPABET in its parts; None where it is none.

    >>> parse_arpabet("AH0"), parse_arpabet("AH1").phone, parse_arpabet("T_B").phone
    (Symbol(phone='ə', stress=0, tone='', length=''), 'ʌ', 't')
    """
    match = _SYMBOL.fullmatch(symbol)
    if not match or not (match[1].isupper() or match[1].islower()):
        return None
    name, digit = match[1].upper(), match[2]
    if name in _VOWELS:
        phone = _REDUCED.get(name, _VOWELS[name]) if digit == "0" else _VOWELS[name]
        return Symbol(phone, int(digit or 0))
    if name[:-1] in _VOWELS and name[-1] == "N" and digit is None:  # Buckeye: nasalised
        return Symbol(_VOWELS[name[:-1]] + "\u0303")
    return Symbol(_CONSONANTS[name]) if name in _CONSONANTS and digit is None else None
