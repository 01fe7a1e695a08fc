"""Phoneme and layer anchors: pooling of frames into phones, symbols of phones, and what to pair."""

from cleser.anchors.alphabets import Symbol
from cleser.anchors.pooling import pool_phones, uniform_bounds
from cleser.anchors.symbols import ALPHABETS, detect_alphabet, is_silence, split_symbol, to_ipa

__all__ = [
    "ALPHABETS",
    "Symbol",
    "detect_alphabet",
    "is_silence",
    "pool_phones",
    "split_symbol",
    "to_ipa",
    "uniform_bounds",
]
