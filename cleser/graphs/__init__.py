"""Speaker-style graphs: exact neighbours under relations, communities and their refinement."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cleser.graphs.communities.modularity import communities, modularity
from cleser.graphs.neighbours.cosine_knn import cosine_knn
from cleser.graphs.neighbours.recall import neighbour_recall
from cleser.graphs.styles.offsets import remove_offsets
from cleser.graphs.styles.planted import planted_styles
from cleser.graphs.styles.pseudo_speakers import pseudo_speakers, recordings_of

if TYPE_CHECKING:
    from cleser.graphs.communities.refine import CommunityRefiner, Part, Refinement
    from cleser.graphs.styles.mixing import assortativity, language_entropy, permutation_test
    from cleser.graphs.styles.style_communities import (
        StyleCommunities,
        speaker_styles,
        style_communities,
    )

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

_LATER = {  # name → module: tables, statistics and networks, for which who searches neighbours need not pay
    "CommunityRefiner": "communities.refine",
    "Part": "communities.refine",
    "Refinement": "communities.refine",
    "StyleCommunities": "styles.style_communities",
    "assortativity": "styles.mixing",
    "language_entropy": "styles.mixing",
    "permutation_test": "styles.mixing",
    "speaker_styles": "styles.style_communities",
    "style_communities": "styles.style_communities",
}


def __getattr__(name: str) -> Any:
    """Import what is not imported at once."""
    if name not in _LATER:
        raise AttributeError(f"module 'cleser.graphs' has no attribute {name!r}")
    value = getattr(import_module(f"cleser.graphs.{_LATER[name]}"), name)
    globals()[name] = value
    return value
