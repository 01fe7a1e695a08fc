"""The normalisations of a protocol in words: how they standardise, and whose statistics they take."""

from __future__ import annotations

from typing import Final

from cleser.corpora.protocol.protocol import Normalisation

STATISTICS_OF: Final[dict[Normalisation, str]] = {
    "auto": "each target speaker, or of the target corpus,",
    "shrunk": "each target speaker and of the target corpus",
    "speaker": "each target speaker",
    "corpus": "the target corpus",
}
"""Whose statistics enter the normalisation of a target that may be heard; "utterance" uses none."""


def describe_normalisation(name: str) -> str:
    """The name of a normalisation in words.

    >>> describe_normalisation("shrunk"), describe_normalisation("corpus")
    ('by speaker, shrunk towards the corpus', 'by corpus')
    """
    return "by speaker, shrunk towards the corpus" if name == "shrunk" else f"by {name}"
