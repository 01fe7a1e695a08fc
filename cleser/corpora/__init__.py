"""Corpora as one validated manifest, and protocols that say who may see what."""

from cleser.corpora.describe import Description, describe
from cleser.corpora.manifest import COLUMNS, Gap, Listing, Problem, Spare, problems, validate
from cleser.corpora.probe import probe
from cleser.corpora.protocol import Cast, Parts, Protocol
from cleser.corpora.registry import corpora, load
from cleser.corpora.terms import EMOTIONS

__all__ = [
    "COLUMNS",
    "EMOTIONS",
    "Cast",
    "Description",
    "Gap",
    "Listing",
    "Parts",
    "Problem",
    "Protocol",
    "Spare",
    "corpora",
    "describe",
    "load",
    "probe",
    "problems",
    "validate",
]
