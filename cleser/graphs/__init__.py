"""Speaker-style graphs: exact neighbours under relations, communities and their refinement."""

from cleser.graphs.communities import communities, modularity
from cleser.graphs.mixing import assortativity, language_entropy, permutation_test
from cleser.graphs.neighbours import cosine_knn
from cleser.graphs.offsets import remove_offsets
from cleser.graphs.planted import planted_styles
from cleser.graphs.pseudo_speakers import pseudo_speakers, recordings_of
from cleser.graphs.recall import neighbour_recall
from cleser.graphs.refine import CommunityRefiner, Part, Refinement
from cleser.graphs.styles import StyleCommunities, speaker_styles, style_communities

__all__ = [
    "CommunityRefiner",
    "Part",
    "Refinement",
    "StyleCommunities",
    "assortativity",
    "communities",
    "cosine_knn",
    "language_entropy",
    "modularity",
    "neighbour_recall",
    "permutation_test",
    "planted_styles",
    "pseudo_speakers",
    "recordings_of",
    "remove_offsets",
    "speaker_styles",
    "style_communities",
]
