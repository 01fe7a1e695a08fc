"""Nearest neighbours by cosine similarity: exact and approximate, on processors and GPUs."""
