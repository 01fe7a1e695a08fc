"""Recipes run: from a protocol to a run folder, and from a run folder to predictions, comparisons and exports."""
