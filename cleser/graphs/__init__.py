"""Speaker-style graphs: exact neighbours under relations, communities and their refinement."""

from cleser.graphs.communities import communities, modularity
from cleser.graphs.neighbours import cosine_knn
from cleser.graphs.recall import neighbour_recall

__all__ = ["communities", "cosine_knn", "modularity", "neighbour_recall"]
