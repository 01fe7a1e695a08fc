"""Phoneme and layer anchors: pooling of frames into phones, and what to pair with what.

What :mod:`cleser.phonetics` says of phones can be imported from here too.
"""

from cleser.anchors.bank import AnchorBank
from cleser.anchors.consistency import Consistency, emotion_consistency
from cleser.anchors.layers.similarity import LayerSimilarity, select_layers
from cleser.anchors.pooling import pool_phones, uniform_bounds
from cleser.anchors.samplers.anchor_batches import AnchorBatchSampler
from cleser.anchors.samplers.hierarchical import HierarchicalBatchSampler
from cleser.anchors.samplers.resumable import ResumableBatchSampler
from cleser.phonetics import (
    ALPHABETS,
    Articulation,
    Counterpart,
    Symbol,
    articulation,
    detect_alphabet,
    is_silence,
    is_vowel,
    nearest_counterparts,
    phone_distance,
    shared_phonemes,
    split_symbol,
    to_ipa,
    vowel_position,
)

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
