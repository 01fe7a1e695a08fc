"""How languages mix within style communities: statistics of each emotion against permutations of the speakers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from cleser.graphs.styles.mixing import against, assortativity, language_entropy

if TYPE_CHECKING:
    from cleser.graphs.styles.style_communities import StyleCommunities

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def mixing(
    found: StyleCommunities,
    spoken: Ints,
    again: Callable[[Ints], StyleCommunities],
    permutations: int,
    seed: int,
    refit: bool,
) -> pd.DataFrame:
    """The table of `StyleCommunities.mixing`.

    Args:
        found: The communities.
        spoken: Language of each speaker.
        again: Finds communities for speakers of other languages.
        permutations: How often languages are dealt to speakers at random.
        seed: Of the permutations.
        refit: Find communities anew for every permutation.
    """
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}, expected at least 1")
    rng = np.random.default_rng(seed)
    observed = _statistics(found, spoken)
    drawn = np.empty((permutations, *observed.shape))
    for number in range(permutations):
        dealt = rng.permutation(spoken)
        drawn[number] = _statistics(again(dealt) if refit else found, dealt)
    rows = []
    emotions = found.nodes["emotion"].drop_duplicates().sort_values().tolist()
    for number, emotion in enumerate([*emotions, "all"]):
        entropy = against(observed[number, 0], drawn[:, number, 0])
        along = against(observed[number, 1], drawn[:, number, 1])
        nodes = found.nodes[found.nodes["community"] >= 0]
        nodes = nodes[nodes["emotion"] == emotion] if number < len(emotions) else nodes
        rows.append(
            {
                "emotion": emotion,
                "nodes": len(nodes),
                "languages": nodes["language"].nunique(),
                "communities": nodes["community"].nunique(),
                "entropy": entropy.observed,
                "entropy_chance": entropy.expected,
                "entropy_p": entropy.p_low,
                "assortativity": along.observed,
                "assortativity_chance": along.expected,
                "assortativity_p": along.p_high,
            }
        )
    return pd.DataFrame(rows)


def _statistics(found: StyleCommunities, spoken: Ints) -> Floats:
    """Entropy and assortativity of each emotion, and their means over emotions, [E + 1, 2]."""
    nodes = found.nodes
    language = spoken[found._speakers.of(nodes["speaker"])]
    rows = []
    for emotion in nodes["emotion"].drop_duplicates().sort_values():
        own = np.flatnonzero((nodes["emotion"] == emotion) & (nodes["community"] >= 0))
        entropy = language_entropy(nodes["community"].to_numpy()[own], language[own])
        rows.append([entropy, assortativity(found.graph[own][:, own], language[own])])
    values = np.array(rows).reshape(-1, 2)
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=0)
    mean = np.divide(total, known.sum(axis=0), out=np.full(2, np.nan), where=known.any(axis=0))
    return np.vstack([values, mean])
