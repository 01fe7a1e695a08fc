r"""Praat's backslash trigraphs, as ``\sw`` for ə: how it writes IPA in files that are not Unicode."""

from __future__ import annotations

import re
from typing import Final

_VOWELS: Final = {
    "ae": "æ", "as": "ɑ", "ab": "ɒ", "ay": "ɒ", "at": "ɐ", "ct": "ɔ", "e-": "ɘ", "ef": "ɛ", "er": "ɜ", "hs": "ʊ",
    "i-": "ɨ", "ic": "ɪ", "kb": "ɞ", "mt": "ɯ", "o-": "ɵ", "o/": "ø", "oe": "œ", "Oe": "ɶ", "rh": "ɤ", "sr": "ɚ",
    "sw": "ə", "u-": "ʉ", "vt": "ʌ", "yc": "ʏ",
}  # fmt: skip
_CONSONANTS: Final = {
    "?-": "ʡ", "?g": "ʔ", "9-": "ʢ", "9e": "ʕ", "b^": "ɓ", "bc": "ʙ", "bf": "β", "be": "β", "c,": "ç", "cc": "ɕ",
    "cf": "χ", "d.": "ɖ", "d^": "ɗ", "dh": "ð", "f.": "ɽ", "ff": "ɸ", "fh": "ɾ", "g^": "ɠ", "G^": "ʛ", "gc": "ɢ",
    "gf": "ɣ", "gs": "ɡ", "h-": "ħ", "h^": "ɦ", "hc": "ʜ", "hj": "ɧ", "ht": "ɥ", "j-": "ɟ", "j^": "ʄ", "jc": "ʝ",
    "l-": "ɬ", "l.": "ɭ", "l~": "ɫ", "lc": "ʟ", "lz": "ɮ", "mj": "ɱ", "ml": "ɰ", "n.": "ɳ", "nc": "ɴ", "ng": "ŋ",
    "nj": "ɲ", "O.": "ʘ", "r.": "ɻ", "rc": "ʀ", "ri": "ʁ", "rl": "ɺ", "rt": "ɹ", "s.": "ʂ", "sh": "ʃ", "t.": "ʈ",
    "te": "θ", "tf": "θ", "vs": "ʋ", "wt": "ʍ", "yt": "ʎ", "z.": "ʐ", "zc": "ʑ", "zh": "ʒ",
    "|1": "ǀ", "|2": "ǁ", "|-": "ǂ",
}  # fmt: skip
_MARKS: Final = {
    ":f": "ː", ".f": "ˑ", "'1": "ˈ", "'2": "ˌ", "hr": "˞", "^h": "ʰ", "li": "\u0361", "cn": "\u031a",
    "`^": "\u0300", "'^": "\u0301", "^^": "\u0302", "~^": "\u0303", "-^": "\u0304", "N^": "\u0306", ":^": "\u0308",
    "0^": "\u030a", "v^": "\u030c", "+v": "\u031f", "-v": "\u0320", ":v": "\u0324", "0v": "\u0325", "|v": "\u0329",
    "Nv": "\u032a", "vv": "\u032c", "nv": "\u032f", "~v": "\u0330", "3v": "\u0339", "cv": "\u031c", "Uv": "\u033a",
    "Dv": "\u033b", "T^": "\u031d", "Tv": "\u031e", "T(": "\u0318", "T)": "\u0319",
}  # fmt: skip
_TABLE: Final = {**_VOWELS, **_CONSONANTS, **_MARKS}
_TRIGRAPH: Final = re.compile(r"\\(..)", re.DOTALL)


def to_unicode(mark: str) -> str:
    r"""Spell out the trigraphs of a mark; what is none stays.

    >>> to_unicode(r"\'1\as\:f"), to_unicode("s\\")
    ('ˈɑː', 's\\')
    """
    return _TRIGRAPH.sub(lambda match: _TABLE.get(match[1], match[0]), mark)
