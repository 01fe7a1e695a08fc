"""Corpora as one validated manifest, and protocols that say who may see what."""
