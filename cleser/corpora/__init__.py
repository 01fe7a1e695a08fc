"""Corpora as one validated manifest, and protocols that say who may see what."""

from cleser.corpora.manifest import COLUMNS, EMOTIONS, Listing, Problem, problems, validate
from cleser.corpora.registry import corpora, load

__all__ = [
    "COLUMNS",
    "EMOTIONS",
    "Listing",
    "Problem",
    "corpora",
    "load",
    "problems",
    "validate",
]
