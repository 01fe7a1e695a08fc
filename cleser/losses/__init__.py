"""Losses for cross-lingual transfer: tensors in, scalars out; needs torch alone."""
