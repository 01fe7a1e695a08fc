"""One transcribed symbol in its parts."""

from __future__ import annotations

from typing import Final, NamedTuple

# Pitch 1 (low) to 5 (high) as Chao's tone letters.
CHAO: Final = dict(zip("12345", "˩˨˧˦˥", strict=True))


class Symbol(NamedTuple):
    """What one symbol of a transcription says.

    Attributes:
        phone: IPA without stress, tone and length, in Unicode's composed form (NFC).
        stress: 1 primary, 2 secondary, 0 none.
        tone: Chao's tone letters as ``"˧˥"``, or empty.
        length: ``"ː"`` long, ``"ˑ"`` half-long, ``"̆"`` extra-short, or empty.

    >>> from cleser.anchors import ALPHABETS, split_symbol
    >>> "arpabet" in ALPHABETS
    True
    >>> split_symbol("AH1", "arpabet")
    Symbol(phone='ʌ', stress=1, tone='', length='')
    """

    phone: str
    stress: int = 0
    tone: str = ""
    length: str = ""
