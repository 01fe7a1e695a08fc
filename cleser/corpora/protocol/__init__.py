"""Protocols: who trains, who tests and what may be seen, and the utterances of their corpora in these roles."""

from cleser.corpora.protocol.cast import Cast, Parts
from cleser.corpora.protocol.protocol import Normalisation as Normalisation
from cleser.corpora.protocol.protocol import Protocol
from cleser.corpora.protocol.protocol import Task as Task
from cleser.corpora.protocol.uses import Uses

__all__ = ["Cast", "Parts", "Protocol", "Uses"]
