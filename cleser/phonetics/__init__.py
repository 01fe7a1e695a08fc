"""Phonetics: symbols of phones in any alphabet to IPA, how phones are made, and which of them languages share."""

from cleser.phonetics.alphabets import Symbol
from cleser.phonetics.articulation import (
    Articulation,
    articulation,
    is_vowel,
    phone_distance,
    vowel_position,
)
from cleser.phonetics.inventories import Counterpart, nearest_counterparts, shared_phonemes
from cleser.phonetics.symbols import ALPHABETS, detect_alphabet, is_silence, split_symbol, to_ipa

__all__ = [
    "ALPHABETS",
    "Articulation",
    "Counterpart",
    "Symbol",
    "articulation",
    "detect_alphabet",
    "is_silence",
    "is_vowel",
    "nearest_counterparts",
    "phone_distance",
    "shared_phonemes",
    "split_symbol",
    "to_ipa",
    "vowel_position",
]
