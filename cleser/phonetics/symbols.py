"""Symbols of transcriptions to IPA, whatever alphabet a corpus or aligner writes them in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from typing import Final, TypeVar

from cleser.phonetics.alphabets.arpabet import parse_arpabet
from cleser.phonetics.alphabets.espeak import parse_espeak
from cleser.phonetics.alphabets.ipa import parse_ipa
from cleser.phonetics.alphabets.pinyin import is_marked_pinyin, parse_pinyin
from cleser.phonetics.alphabets.symbol import Symbol
from cleser.phonetics.alphabets.xsampa import parse_xsampa

_PARSERS: Final[dict[str, Callable[[str], Symbol | None]]] = {
    "arpabet": parse_arpabet,
    "pinyin": parse_pinyin,
    "ipa": parse_ipa,
    "xsampa": parse_xsampa,
    "espeak": parse_espeak,
}
ALPHABETS: Final = tuple(_PARSERS)
# fmt: off
_SILENCES: Final = frozenset((
    "sil", "sp", "spn", "pau", "silence", "silences", "pause", "noise", "nsn", "spoken_noise", "lau", "laughter",
    "laugh", "breath", "br", "brth", "unk", "oov", "eps", "h#", "epi", "ssil", "nib", "usb", "_", "#", "-", "--",
    ":", ";", "|", "!", "*", "...", "$", "+", "dummy", "iver", "vocnoise", "unknown", "exclude", "cutoff", "_p:_",
))
# fmt: on
# Capitals alone: FAVE's noise, laughter, cough and lip smack; in small letters they could be phones.
_NOISES: Final = frozenset(("NS", "LG", "CG", "LS"))
_Found = TypeVar("_Found")
UNKNOWN: Final[tuple[()]] = ()
"""What stands for a symbol that an alphabet lacks; false, as silences are."""
_KEPT: Final = 100_000  # marks: whatever broken files say is not kept for ever
_STRESSED_ARPABET: Final = re.compile("[AEIOU][AEHORWXY][012](?:_[BIES])?")
_BRACKETS: Final = {"<": ">", "[": "]", "(": ")", "{": "}"}


def to_ipa(symbol: str, alphabet: str) -> str:
    """The IPA of a symbol, without its stress, tone and length.

    Args:
        symbol: The symbol as the transcription writes it.
        alphabet: One of :data:`ALPHABETS`.

    Raises:
        ValueError: There is no such alphabet, or it has no such symbol.

    >>> to_ipa("AH0", "arpabet"), to_ipa("zh", "pinyin"), to_ipa("t_S", "xsampa"), to_ipa("ˈiː", "espeak")
    ('ə', 'ʈʂ', 'tʃ', 'i')
    """
    return split_symbol(symbol, alphabet).phone


@lru_cache(_KEPT)
def split_symbol(symbol: str, alphabet: str) -> Symbol:
    """A symbol in its parts: IPA, stress, tone, length.

    Args:
        symbol: The symbol as the transcription writes it.
        alphabet: One of :data:`ALPHABETS`.

    Raises:
        ValueError: There is no such alphabet, or it has no such symbol.

    >>> split_symbol("iang3", "pinyin")
    Symbol(phone='jaŋ', stress=0, tone='˨˩˦', length='')
    """
    if alphabet not in _PARSERS:
        raise ValueError(f"there is no alphabet {alphabet!r}, expected one of {list(ALPHABETS)}")
    parsed = _PARSERS[alphabet](symbol)
    if parsed is None:
        raise ValueError(f"{symbol!r} is no symbol of the alphabet {alphabet}")
    return parsed


@lru_cache(_KEPT)
def is_silence(symbol: str) -> bool:
    """Whether a mark stands for a pause, a noise or something unknown in place of a phone, in most alphabets.

    Anything in brackets does: ``<eps>``, ``[noise]``, ``(...)``, ``{SL}``.

    >>> [is_silence(mark) for mark in ("", "sil", "<eps>", "SPN_S", "AA1", "s")]
    [True, True, True, True, False, False]
    """
    mark = symbol.strip()
    if not mark or (len(mark) > 1 and _BRACKETS.get(mark[0]) == mark[-1]):
        return True
    if mark in _NOISES:
        return True
    plain = mark.lower()
    return plain in _SILENCES or (plain[-2:-1] == "_" and plain[:-2] in _SILENCES)


def detect_alphabet(symbols: Iterable[str]) -> str:
    """Tell which alphabet a transcription is written in.

    The first that has all symbols, in the order of :data:`ALPHABETS`: lower-case ARPABET and pinyin count only
    where a symbol occurs that is hardly anything else, since ``b``, ``n`` and ``a`` are letters of each.

    Args:
        symbols: The symbols of one transcription; silences among them do not matter.

    Raises:
        ValueError: No alphabet has them all; the message says which symbols the best one lacks.

    >>> detect_alphabet(["DH", "AH0", "sil"]), detect_alphabet(["ð", "ə"]), detect_alphabet(["zh", "ong1"])
    ('arpabet', 'ipa', 'pinyin')
    >>> detect_alphabet(["{", "t_h", "@"]), detect_alphabet(["ts.h", "ɕ"])
    ('xsampa', 'espeak')
    """
    found = set(symbols)
    read, typical = -1, 0
    for symbol in found:
        readers, evidence = _READERS[symbol]
        read &= readers
        typical |= evidence
    if read == -1:  # silences alone
        return "ipa"
    for position, (name, _) in enumerate(_SPELLINGS):
        if read & typical & (1 << position):
            return name
    lacking = {
        name: [s for s in found if not (is_silence(s) or parse(s))]
        for name, parse in _PARSERS.items()
    }
    best = min(ALPHABETS, key=lambda name: len(lacking[name]))
    raise ValueError(
        f"no alphabet has all of these symbols, nearest is {best}, which lacks {sorted(lacking[best])}"
    )


def nearest_alphabet(symbols: Sequence[str]) -> str:
    """The alphabet that a transcription is written in but for a few symbols: the one that has most of them.

    >>> nearest_alphabet(["DH", "AH0", "QQ"])
    'arpabet'
    """
    counts = [0] * len(_SPELLINGS)
    evidence = 0
    for symbol in symbols:
        readers, typical = _READERS[symbol]
        evidence |= typical
        if readers > 0:
            for position in range(len(_SPELLINGS)):
                counts[position] += readers >> position & 1
    best = max(range(len(_SPELLINGS)), key=lambda p: (counts[p], evidence >> p & 1, -p))
    return _SPELLINGS[best][0]


def read_symbols(
    marks: Sequence[str], alphabet: str | None = None
) -> list[Symbol | tuple[()] | None]:
    """All marks of a transcription in their parts, None for silences, :data:`UNKNOWN` for what no alphabet has.

    Args:
        marks: The marks as the transcription writes them; spaces around them do not matter.
        alphabet: One of :data:`ALPHABETS`; by default that of most symbols.

    Raises:
        ValueError: There is no such alphabet.

    >>> read_symbols(["sil", "K", "AE1", "QQ"])[2:]
    [Symbol(phone='æ', stress=1, tone='', length=''), ()]
    """
    if alphabet is None:
        try:
            alphabet = detect_alphabet(marks)
        except ValueError:
            alphabet = nearest_alphabet(marks)
        # X-SAMPA can take AE1 for three vowels, where one unknown symbol keeps ARPABET from having all.
        if alphabet in ("xsampa", "espeak") and any(map(_STRESSED_ARPABET.fullmatch, marks)):
            alphabet = "arpabet"
    table = _table(alphabet)
    return list(map(table.__getitem__, marks))


class _Remembered(dict[str, _Found]):
    """What was found for symbols before; a look costs a quarter of one at ``lru_cache``."""

    def __init__(self, find: Callable[[str], _Found]) -> None:
        super().__init__()
        self.find = find

    def __missing__(self, symbol: str) -> _Found:
        found = self.find(symbol)
        if len(self) < _KEPT:
            self[symbol] = found
        return found


@cache
def _table(alphabet: str) -> _Remembered[Symbol | tuple[()] | None]:
    """The symbols of an alphabet.

    A single sign that it has is a phone, also where others mean silence by it: espeak-ng's flap is ``*``.
    """
    if alphabet not in _PARSERS:
        raise ValueError(f"there is no alphabet {alphabet!r}, expected one of {list(ALPHABETS)}")
    parse = _PARSERS[alphabet]

    def find(mark: str) -> Symbol | tuple[()] | None:
        sign = mark.strip()
        found = parse(sign)
        if is_silence(sign) and not (found and len(sign) == 1):
            return None
        return found or UNKNOWN

    return _Remembered(find)


# Alphabets in order of preference, each with what makes a symbol typical of it. ARPABET comes in capitals, typical
# by themselves, and in small letters.
_SPELLINGS: Final[tuple[tuple[str, Callable[[str], bool]], ...]] = (
    ("arpabet", str.isupper),
    ("arpabet", lambda symbol: parse_ipa(symbol) is None),
    ("pinyin", is_marked_pinyin),
    ("ipa", lambda _: True),
    ("xsampa", lambda _: True),
    ("espeak", lambda _: True),
)


def _readers_of(symbol: str) -> tuple[int, int]:
    """Bit masks of the spellings that can parse a symbol, and of those for which it is typical; silences fit all."""
    mark = symbol.strip()
    if is_silence(mark):
        return -1, 0
    readers = evidence = 0
    for position, (name, is_typical) in enumerate(_SPELLINGS):
        case = position > 1 or mark.isupper() == (position == 0)
        if case and _PARSERS[name](mark) is not None:
            readers |= 1 << position
            evidence |= is_typical(mark) << position
    return readers, evidence


_READERS: Final = _Remembered(_readers_of)
