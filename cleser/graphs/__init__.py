"""Speaker-style graphs: exact neighbours under relations, communities and their refinement."""

from cleser.graphs.neighbours import cosine_knn
from cleser.graphs.recall import neighbour_recall

__all__ = ["cosine_knn", "neighbour_recall"]
