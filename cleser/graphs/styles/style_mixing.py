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
_ONE = "one language"
_LOST = "nothing is left of the speakers of all languages but one"
_NONE = "nothing is left of any speaker"
_NOBODY = "no speakers of two languages show the same emotions"


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
        permutations: How often languages are dealt at random, among speakers who show the same emotions.
        seed: Seed of the permutations.
        refit: Find communities anew for every permutation.
    """
    if permutations < 1:
        raise ValueError(f"permutations is {permutations}, expected at least 1")
    rng = np.random.default_rng(seed)
    observed = _statistics(found, spoken)
    alike = _alike(found, len(spoken))
    drawn = np.empty((permutations, *observed.shape))
    for number in range(permutations):
        dealt = spoken.copy()
        for own in alike:
            dealt[own] = rng.permutation(spoken[own])
        drawn[number] = _statistics(again(dealt) if refit else found, dealt)
    known = ~np.isnan(observed)
    observed, drawn = _with_mean(observed, known), _with_mean(drawn, known)
    emotions = _emotions(found)
    reasons = _untested(found, spoken, alike, emotions)
    whole = found.nodes[found.nodes["community"] >= 0]
    groups = [(emotion, whole[whole["emotion"] == emotion]) for emotion in emotions]
    rows = []
    for n, ((emotion, nodes), reason) in enumerate(
        zip([*groups, ("all", whole)], reasons, strict=True)
    ):
        of_chance = np.full_like(drawn[:, n], np.nan) if reason else drawn[:, n]
        row = _row(nodes, observed[n], of_chance)
        rows.append({"emotion": emotion, **row, "untested": reason})
    return pd.DataFrame(rows)


def _emotions(found: StyleCommunities) -> list[object]:
    return found.nodes["emotion"].drop_duplicates().sort_values().tolist()


def _row(nodes: pd.DataFrame, observed: Floats, drawn: Floats) -> dict[str, object]:
    """How languages mix in some nodes: entropy and assortativity [2], against those of all permutations [P, 2]."""
    entropy, along = (against(observed[i], drawn[:, i]) for i in range(2))
    return {
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


def _alike(found: StyleCommunities, speakers: int) -> list[Ints]:
    """Groups of speakers who show the same emotions.

    What is left of a speaker's emotion depends on which others there are: on the mean that is removed, and on what
    emotions say of each other. Only within a group may a language be anybody's.
    """
    speaker, emotion = found.node_codes
    shown = np.zeros((speakers, emotion.max(initial=-1) + 1), dtype=bool)
    shown[speaker, emotion] = True
    group = np.unique(shown, axis=0, return_inverse=True)[1].ravel()
    return [np.flatnonzero(group == number) for number in range(group.max(initial=-1) + 1)]


def _untested(
    found: StyleCommunities, spoken: Ints, alike: list[Ints], emotions: list[object]
) -> list[str]:
    """Why each emotion, and all together, cannot be tested; empty where they can."""
    mixed = [own for own in alike if len(np.unique(spoken[own])) > 1]
    dealt = np.concatenate(mixed) if mixed else np.empty(0, dtype=np.int64)
    speaker, _ = found.node_codes
    reasons = []
    for emotion in emotions:
        inside = (found.nodes["emotion"] == emotion) & (found.nodes["community"] >= 0)
        own = speaker[inside.to_numpy()]
        if len(np.unique(spoken[own])) < 2:
            shown = speaker[(found.nodes["emotion"] == emotion).to_numpy()]
            reasons.append(_one_language(spoken[own], spoken[shown]))
        else:
            reasons.append("" if np.isin(own, dealt).any() else _NOBODY)
    every = next((one for one in ("", _NOBODY, _LOST, _NONE) if one in reasons), _ONE)
    return [*reasons, every]


def _one_language(left: Ints, shown: Ints) -> str:
    """Why communities have fewer than two languages: speakers have no more, or means took the others away.

    Args:
        left: Languages of the speakers in communities.
        shown: Languages of all who show the emotion.
    """
    if len(np.unique(shown)) < 2:
        return _ONE
    return _LOST if len(left) else _NONE


def _statistics(found: StyleCommunities, spoken: Ints) -> Floats:
    """Entropy and assortativity of each emotion, [E, 2]."""
    nodes = found.nodes
    language = spoken[found.node_codes[0]]
    rows = []
    for emotion in _emotions(found):
        own = np.flatnonzero((nodes["emotion"] == emotion) & (nodes["community"] >= 0))
        entropy = language_entropy(nodes["community"].to_numpy()[own], language[own])
        rows.append([entropy, assortativity(found.graph[own][:, own], language[own])])
    return np.array(rows).reshape(-1, 2)


def _with_mean(values: Floats, known: npt.NDArray[np.bool_]) -> Floats:
    """Statistics [..., E, 2] and, as a last row, their means over emotions.

    Args:
        values: Statistics; NaN is unknown.
        known: Where the observed ones are known, [E, 2]. Permuted languages may give a value to an emotion that has
            none as it is; a mean with it could not be compared with the observed one.
    """
    counted = known & ~np.isnan(values)
    total, count = np.where(counted, values, 0).sum(axis=-2), counted.sum(axis=-2)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return np.concatenate([values, mean[..., None, :]], axis=-2)
