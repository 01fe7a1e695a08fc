"""Symbols of transcriptions to IPA, whatever alphabet a corpus or aligner writes them in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Final

from cleser.anchors.alphabets.arpabet import parse_arpabet
from cleser.anchors.alphabets.espeak import parse_espeak
from cleser.anchors.alphabets.ipa import parse_ipa
from cleser.anchors.alphabets.pinyin import is_marked_pinyin, parse_pinyin
from cleser.anchors.alphabets.symbol import Symbol
from cleser.anchors.alphabets.xsampa import parse_xsampa

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
    ":", ";", "|", "!", "*", "...", "$",
))
# fmt: on
_BRACKETS: Final = {"<": ">", "[": "]", "(": ")", "{": "}"}


def to_ipa(symbol: str, alphabet: str) -> str:
    """The IPA of a symbol, without its stress, tone and length.

    Args:
        symbol: As the transcription writes it.
        alphabet: One of :data:`ALPHABETS`.

    Raises:
        ValueError: There is no such alphabet, or it has no such symbol.

    >>> to_ipa("AH0", "arpabet"), to_ipa("zh", "pinyin"), to_ipa("t_S", "xsampa"), to_ipa("ˈiː", "espeak")
    ('ə', 'ʈʂ', 'tʃ', 'i')
    """
    return split_symbol(symbol, alphabet).phone


@cache
def split_symbol(symbol: str, alphabet: str) -> Symbol:
    """A symbol in its parts: IPA, stress, tone, length.

    Args:
        symbol: As the transcription writes it.
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


@cache
def is_silence(symbol: str) -> bool:
    """Whether a mark stands for a pause, a noise or something unknown in place of a phone.

    Anything in brackets does: ``<eps>``, ``[noise]``, ``(...)``, ``{SL}``.

    >>> [is_silence(mark) for mark in ("", "sil", "<eps>", "SPN_S", "AA1", "s")]
    [True, True, True, True, False, False]
    """
    mark = symbol.strip()
    if not mark or (len(mark) > 1 and _BRACKETS.get(mark[0]) == mark[-1]):
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
    found = {symbol for symbol in symbols if not is_silence(symbol)}
    lacking = {name: [s for s in found if name not in _readers(s)] for name in ALPHABETS}
    for name in ALPHABETS:
        if not lacking[name] and _is_typical(name, found):
            return name
    best = min(ALPHABETS, key=lambda name: len(lacking[name]))
    raise ValueError(
        f"no alphabet has all of these symbols, nearest is {best}, which lacks {sorted(lacking[best])}"
    )


@cache
def _readers(symbol: str) -> frozenset[str]:
    return frozenset(name for name, parse in _PARSERS.items() if parse(symbol) is not None)


def _is_typical(alphabet: str, symbols: set[str]) -> bool:
    if not symbols:
        return alphabet == "ipa"
    if alphabet == "arpabet":
        lower = {symbol for symbol in symbols if symbol.islower()}
        return not lower or (lower == symbols and any("ipa" not in _readers(s) for s in lower))
    if alphabet == "pinyin":
        return any(is_marked_pinyin(symbol) for symbol in symbols)
    return True
