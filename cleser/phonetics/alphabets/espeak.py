"""espeak-ng's symbols: its ASCII mnemonics, and its IPA with what is left of them.

The mnemonics follow Kirshenbaum's ASCII-IPA, with digits and # for variants of a vowel. Its IPA keeps what
the conversion does not know: Mandarin's retroflex ``ts.h``, digits for tones, ``ɜ`` for the 3 of tone 35, and
Irish ``A``. In Danish a ``ʔ`` or ``?`` before a vowel, in one symbol with it, is no stop: it marks a short vowel.
wav2vec 2.0 models of phones were trained on that IPA.
"""

from __future__ import annotations

import re
from typing import Final

from cleser.phonetics.alphabets.ipa import VOWELS, parse_ipa
from cleser.phonetics.alphabets.symbol import CHAO, Symbol

_LETTERS: Final = {
    "@": "ə",
    "A": "ɑ",
    "B": "β",
    "C": "ç",
    "D": "ð",
    "E": "ɛ",
    "G": "ɢ",
    "H": "ħ",
    "I": "ɪ",
    "J": "ɟ",
    "L": "ɫ",
    "M": "ɱ",
    "N": "ŋ",
    "O": "ɔ",
    "P": "ɸ",
    "Q": "ɣ",
    "R": "ʀ",
    "S": "ʃ",
    "T": "θ",
    "U": "ʊ",
    "V": "ʌ",
    "W": "œ",
    "X": "χ",
    "Y": "ø",
    "Z": "ʒ",
    "0": "ɒ",
    "3": "ɜ",
    "8": "ɵ",
    "&": "æ",
    "?": "ʔ",
    "*": "ɾ",
    "~": "\u0303",
    "[": "\u032a",
    ":": "ː",
    "'": "ˈ",
    ",": "ˌ",
}
_WHOLE: Final = {
    "**": "ɾ",
    "a#": "ɐ",
    "I#": "ɨ",
    "U#": "ʉ",
    "l#": "ɬ",
    "l^": "ʎ",
    "n^": "ɲ",
    "S;": "ɕ",
    "Z;": "ʑ",
    "sx": "ɧ",
}
_MNEMONICS: Final = {**_LETTERS, **_WHOLE, ";": "ʲ", "#": ""}
_TOKEN: Final = re.compile("|".join(map(re.escape, sorted(_MNEMONICS, key=len, reverse=True))))
# A digit behind an upper-case vowel names a variant of it.
_VARIANT: Final = re.compile(r"(?<=[A-Z@])[0-9]$")
_TONE: Final = re.compile(r"(?<=[^\W\d]|[@.\-\u032a\[])[1-5]{1,3}$")
_TONE_35: Final = re.compile(r"(?:[iuy][ɑaoəɛ]|[iuyɑaoəe])[iuoɡn.\-\u032a]*ɜ")
_LEFT: Final = {
    "ts.": "ʈʂ",
    "i.": "ɻ̩",
    "s.": "ʂ",
    "z.": "ʐ",
    "t.": "ʈ",
    "d.": "ɖ",
    "n.": "ɳ",
    "l.": "ɭ",
    "r.": "ɽ",
    "i\u032a": "ɹ̩",
    "o-": "ɤ",
    "onɡ": "ʊŋ",
    "ong": "ʊŋ",
    "nɡ": "ŋ",
    "ng": "ŋ",
}
# Capitals that are left within IPA. Small letters are letters of IPA themselves.
_CAPITAL: Final = re.compile("[A-Z]")
_SHORT: Final = re.compile(rf"[ʔ?](?=[{VOWELS}])")
_ASPIRATED: Final = re.compile(rf"(?<=[^{VOWELS}h])h$")


def parse_espeak(symbol: str) -> Symbol | None:
    """A symbol of espeak-ng, mnemonic or IPA, in its parts; None where it is none.

    >>> parse_espeak("ts.h").phone, parse_espeak("'i:").phone, parse_espeak("ɑɜ")
    ('ʈʂʰ', 'i', Symbol(phone='ɑ', stress=0, tone='˧˥', length=''))
    """
    text, tone = _without_tone(symbol)
    if text.isascii():
        text = _TOKEN.sub(lambda match: _MNEMONICS[match[0]], _VARIANT.sub("", text))
    for written, meant in _LEFT.items():
        text = text.replace(written, meant)
    text = _CAPITAL.sub(lambda match: _LETTERS.get(match[0], match[0]), text)
    text = _SHORT.sub("", text)
    text = _ASPIRATED.sub("ʰ", text.replace("-", "").lstrip("%="))
    parsed = parse_ipa(text)
    return parsed if parsed is None or not tone else parsed._replace(tone=tone)


def _without_tone(symbol: str) -> tuple[str, str]:
    if _TONE_35.fullmatch(symbol.lstrip("ˈˌ',")):
        return symbol[:-1], "˧˥"
    match = _TONE.search(symbol)
    if not match or (len(match[0]) == 1 and _VARIANT.search(symbol)):
        return symbol, ""
    return symbol[: match.start()], "".join(CHAO[digit] for digit in match[0])
