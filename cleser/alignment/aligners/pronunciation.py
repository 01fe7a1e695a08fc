"""Texts in the phones that a model knows: espeak-ng pronounces, and its symbols are looked up in a vocabulary."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cleser.phonetics import split_symbol
from cleser.synthesis.espeak import synthesise


@lru_cache(maxsize=4096)
def pronounce(text: str, voice: str) -> tuple[str, ...]:
    """Phones of a text as espeak-ng writes them, stress marks included.

    Raises:
        ValueError: There is no such voice, or the text says nothing.

    >>> pronounce("the shop", "en-us")
    ('ð', 'ə', 'ʃ', 'ˈɑː', 'p')
    """
    return tuple(synthesise(text, voice=voice).phones)


class PhoneVocabulary:
    """The phones that a model has outputs for.

    Args:
        symbols: What each output stands for; empty for what is no phone.

    Raises:
        ValueError: There is no phone among them.

    >>> vocabulary = PhoneVocabulary(["", "aɪ", "t", "ʃ", "uː"])
    >>> vocabulary.encode("ˈaɪ"), vocabulary.encode("tʃ"), vocabulary.encode("ˌu"), vocabulary.encode("tː")
    ((1,), (2, 3), (4,), (2,))
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        self._numbers = {symbol: i for i, symbol in enumerate(symbols) if symbol}
        if not self._numbers:
            raise ValueError("the vocabulary has no phones, expected symbols of the IPA")
        self._similar: dict[str, int] = {}

    def encode(self, symbol: str) -> tuple[int, ...]:
        """Outputs of a phone of espeak-ng's: its own, else those of its parts, else the most similar one's."""
        for spelling in _spellings(symbol):
            if spelling in self._numbers:
                return (self._numbers[spelling],)
        parts = self._divide(_plain(symbol))
        return parts or (self._most_similar(_plain(symbol)),)

    def _divide(self, symbol: str) -> tuple[int, ...]:
        """The longest known beginning, and the same of what remains; empty where something is not known."""
        if not symbol:
            return ()
        for stop in range(len(symbol), 0, -1):
            if symbol[:stop] in self._numbers:
                rest = self._divide(symbol[stop:])
                if rest or stop == len(symbol):
                    return (self._numbers[symbol[:stop]], *rest)
        return ()

    def _most_similar(self, symbol: str) -> int:
        if symbol not in self._similar:
            wanted = _features(symbol)
            self._similar[symbol] = min(
                self._numbers.items(), key=lambda item: _distance(wanted, _features(item[0]))
            )[1]
        return self._similar[symbol]


def _spellings(symbol: str) -> Iterator[str]:
    unstressed = symbol.lstrip("ˈˌ")
    yield symbol
    yield unstressed
    try:
        parts = split_symbol(symbol, "espeak")
    except ValueError:
        return
    for tone in dict.fromkeys((parts.tone, "")):
        yield parts.phone + parts.length + tone
        yield parts.phone + tone
        yield parts.phone + "ː" + tone


def _plain(symbol: str) -> str:
    try:
        return split_symbol(symbol, "espeak").phone
    except ValueError:
        return symbol.strip("ˈˌː")


@cache
def _features(symbol: str) -> npt.NDArray[np.int64]:
    """Articulatory features of a phone's first segment, [24]; all zero where panphon has none."""
    segments = _table().word_to_vector_list(
        unicodedata.normalize("NFD", _plain(symbol)), numeric=True
    )
    return np.array(segments[0] if segments else [0] * 24)


def _distance(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> float:
    return float(np.abs(a - b).sum()) if a.any() and b.any() else np.inf


@cache
def _table() -> Any:
    import panphon  # noqa: PLC0415

    return panphon.FeatureTable()
