"""Flags whose values are pairs, as ``--map calm=neutral``."""

from __future__ import annotations

from collections.abc import Iterable


def parse_map(pairs: Iterable[str]) -> dict[str, str]:
    """Turn ``("calm=neutral",)`` into ``{"calm": "neutral"}``.

    >>> parse_map(["calm=neutral"])
    {'calm': 'neutral'}
    """
    return _parsed(pairs, "map", "FROM=TO, as calm=neutral")


def parse_voices(pairs: Iterable[str]) -> dict[str, str]:
    """Turn ``("en=en-gb-scotland",)`` into ``{"en": "en-gb-scotland"}``.

    >>> parse_voices(["en=en-gb-scotland"])
    {'en': 'en-gb-scotland'}
    """
    return _parsed(pairs, "voice", "LANGUAGE=VOICE, as en=en-gb-scotland")


def _parsed(pairs: Iterable[str], flag: str, expected: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        if pair.count("=") != 1 or not all(pair.split("=")):
            raise ValueError(f"{flag} holds {pair!r}, expected {expected}")
        name, value = pair.split("=")
        found[name] = value
    return found
