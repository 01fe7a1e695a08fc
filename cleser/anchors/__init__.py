"""Phoneme and layer anchors: pooling of frames into phones, and what to pair."""
