"""Phoneme and layer anchors: pooling of frames into phones, and what to pair."""

from cleser.anchors.pooling import pool_phones, uniform_bounds

__all__ = ["pool_phones", "uniform_bounds"]
