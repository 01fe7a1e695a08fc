"""Phoneme and layer anchors: pooling of frames into phones, symbols of phones, and what to pair."""

from cleser.anchors.alphabets import Symbol
from cleser.anchors.anchor_batches import AnchorBatchSampler
from cleser.anchors.articulation import (
    Articulation,
    articulation,
    is_vowel,
    phone_distance,
    vowel_position,
)
from cleser.anchors.bank import AnchorBank
from cleser.anchors.consistency import Consistency, emotion_consistency
from cleser.anchors.hierarchical import HierarchicalBatchSampler
from cleser.anchors.inventories import Counterpart, nearest_counterparts, shared_phonemes
from cleser.anchors.layer_similarity import LayerSimilarity, select_layers
from cleser.anchors.pooling import pool_phones, uniform_bounds
from cleser.anchors.resumable import ResumableBatchSampler
from cleser.anchors.symbols import ALPHABETS, detect_alphabet, is_silence, split_symbol, to_ipa

__all__ = [
    "ALPHABETS",
    "AnchorBank",
    "AnchorBatchSampler",
    "Articulation",
    "Consistency",
    "Counterpart",
    "HierarchicalBatchSampler",
    "LayerSimilarity",
    "ResumableBatchSampler",
    "Symbol",
    "articulation",
    "detect_alphabet",
    "emotion_consistency",
    "is_silence",
    "is_vowel",
    "nearest_counterparts",
    "phone_distance",
    "pool_phones",
    "select_layers",
    "shared_phonemes",
    "split_symbol",
    "to_ipa",
    "uniform_bounds",
    "vowel_position",
]
