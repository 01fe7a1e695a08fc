"""Phonemes that languages share, and for the others their nearest counterparts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cleser.phonetics.articulation import is_vowel, phone_distance, vowel_position


class Counterpart(NamedTuple):
    """The phoneme of another language that is nearest.

    Attributes:
        phoneme: IPA.
        distance: :func:`phone_distance`; 0 for the same phoneme, and for one that panphon does not tell apart.

    >>> nearest_counterparts("y", "iu")["y"]
    Counterpart(phoneme='u', distance=0.045454545454545456)
    """

    phoneme: str
    distance: float


def shared_phonemes(*inventories: Iterable[str], vowels: bool = False) -> tuple[str, ...]:
    """Phonemes that all inventories have, in order of their code points.

    Args:
        inventories: Phonemes of each language.
        vowels: Vowels only, as in the earlier work on phonetic anchors.

    >>> shared_phonemes("aip", "apu"), shared_phonemes("aip", "apu", vowels=True)
    (('a', 'p'), ('a',))
    """
    if not inventories:
        return ()
    common = set.intersection(*(set(inventory) for inventory in inventories))
    return tuple(sorted(p for p in common if not vowels or is_vowel(p)))


def nearest_counterparts(a: Iterable[str], b: Iterable[str]) -> dict[str, Counterpart]:
    """For each phoneme of one language the nearest of another, vowels among vowels.

    Where panphon sees several as equally near, the same phoneme comes first, then the nearest in the vowel chart.

    Args:
        a: Phonemes of a language.
        b: Phonemes of the other language.

    Returns:
        A counterpart for each phoneme of ``a``; none where ``b`` has no phoneme of its kind.

    >>> {p: c.phoneme for p, c in nearest_counterparts(["y", "θ", "a"], ["i", "u", "s", "a", "k"]).items()}
    {'a': 'a', 'y': 'u', 'θ': 's'}
    """
    others = sorted(set(b))
    found = {}
    for phoneme in sorted(set(a)):
        kin = [other for other in others if is_vowel(other) == is_vowel(phoneme)]
        if kin:
            best = min(kin, key=lambda other: (*_rank(phoneme, other), other))
            found[phoneme] = Counterpart(best, phone_distance(phoneme, best))
    return found


def _rank(a: str, b: str) -> tuple[float, bool, float]:
    apart = 0.0
    if is_vowel(a):
        apart = sum(abs(x - y) for x, y in zip(vowel_position(a), vowel_position(b), strict=True))
    return phone_distance(a, b), a != b, apart
