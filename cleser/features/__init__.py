"""From recordings to features: extraction, the store, statistics, normalisation and lexical content."""

from cleser.features.lexical import LexicalContent
from cleser.features.pooled import Features, Record
from cleser.features.sentences import find_sentences, remove_sentences, sentences_of
from cleser.features.standards import standardise
from cleser.features.store import PooledBatch, PooledStore
from cleser.features.store_settings import StoreSettings
from cleser.features.stored import (
    StoredFeatures,
    extract_features,
    store_features,
    store_folder,
)

__all__ = [
    "Features",
    "LexicalContent",
    "PooledBatch",
    "PooledStore",
    "Record",
    "StoreSettings",
    "StoredFeatures",
    "extract_features",
    "find_sentences",
    "remove_sentences",
    "sentences_of",
    "standardise",
    "store_features",
    "store_folder",
]
