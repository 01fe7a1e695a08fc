"""From recordings to features: extraction, the store, statistics, normalisation and lexical content."""

from cleser.features.lexical import LexicalContent
from cleser.features.normalisation import standardise
from cleser.features.pooled import Features, extract_features
from cleser.features.store import PooledBatch, PooledStore, StoreSettings

__all__ = [
    "Features",
    "LexicalContent",
    "PooledBatch",
    "PooledStore",
    "StoreSettings",
    "extract_features",
    "standardise",
]
