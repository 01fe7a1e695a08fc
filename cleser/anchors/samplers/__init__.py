"""Batch samplers that give every anchor its positive and its negative."""
