"""The search for communities of pooled nodes: offsets are removed, neighbours found, and their graph is divided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import sparse

from cleser.graphs.communities.modularity import communities
from cleser.graphs.communities.refine import CommunityRefiner, Part
from cleser.graphs.neighbours.cosine_knn import cosine_knn
from cleser.graphs.styles.nodes import Nodes
from cleser.graphs.styles.offsets import remove_offsets
from cleser.relations import differ, same

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
LanguageOffsets = Literal["centre", "relation", "keep"]
SpeakerOffsets = Literal["centre", "keep"]
_NOTHING_LEFT = 1e-6  # of a mean node's length: less is rounding


@dataclass(frozen=True)
class Settings:
    """What `cleser.graphs.style_communities` asks for."""

    k: int = 15
    refine: bool | CommunityRefiner = True
    seed: int = 0
    resolution: float = 1.0
    language_offsets: LanguageOffsets = "centre"
    speaker_offsets: SpeakerOffsets = "centre"

    def __post_init__(self) -> None:
        offsets = {"language_offsets": LanguageOffsets, "speaker_offsets": SpeakerOffsets}
        for name, kind in offsets.items():
            value, known = getattr(self, name), list(get_args(kind))
            if value not in known:
                raise ValueError(f"{name} is {value!r}, expected one of {known}")


@dataclass(frozen=True)
class Found:
    """Community, membership and style of each node, and the graph of all."""

    community: Ints
    membership: Floats
    styles: npt.NDArray[np.float32]
    graph: sparse.csr_array


def find(nodes: Nodes, language: Ints, settings: Settings) -> Found:
    """Styles, graph and communities of pooled nodes."""
    styles = styles_of(nodes, language, settings)
    length = np.linalg.norm(styles, axis=1)
    scale = np.linalg.norm(nodes.means, axis=1).mean() if len(length) else 1.0
    usable = np.flatnonzero(length > _NOTHING_LEFT * scale)
    graph = _graph(styles[usable], nodes, usable, language, settings)
    community = np.full(len(styles), -1, dtype=np.int64)
    membership = np.zeros(len(styles))
    places = [usable[nodes.emotions[usable] == e] for e in np.unique(nodes.emotions[usable])]
    begin = 0
    for own, (labels, share) in zip(
        places, _partitions(graph, styles, nodes, places, settings), strict=True
    ):
        community[own], membership[own] = labels + begin, share
        begin += int(labels.max()) + 1
    return Found(community, membership, styles.astype(np.float32), graph)


def styles_of(nodes: Nodes, language: Ints, settings: Settings) -> Floats:
    """What is left of the nodes' means [M, D] once the offsets of languages and speakers are removed."""
    groups = [nodes.emotions]
    if settings.language_offsets == "centre":
        groups = [nodes.emotions * (language.max(initial=0) + 1) + language]
    if settings.speaker_offsets == "centre":
        groups.append(nodes.speakers)
    return remove_offsets(nodes.means, groups, nodes.reliability)


def _graph(
    styles: Floats, nodes: Nodes, usable: Ints, language: Ints, settings: Settings
) -> sparse.csr_array:
    """Edges among all nodes; those that are not usable have none."""
    n = len(nodes.mass)
    if not len(usable):
        return sparse.csr_array((n, n), dtype=np.float32)
    where = same("emotion")
    if settings.language_offsets == "relation":
        where = where & differ("language")
    labels = {"emotion": nodes.emotions[usable], "language": language[usable]}
    found = cosine_knn(styles, settings.k, where=where, labels=labels).tocoo()
    rows, columns = usable[found.coords[0]], usable[found.coords[1]]
    weight = found.data * np.sqrt(nodes.reliability[rows] * nodes.reliability[columns])
    kept = weight > 0
    values = weight[kept].astype(np.float32)
    return sparse.csr_array((values, (rows[kept], columns[kept])), shape=(n, n))


def _partitions(
    graph: sparse.csr_array, styles: Floats, nodes: Nodes, places: list[Ints], settings: Settings
) -> list[tuple[Ints, Floats]]:
    """Communities of the nodes of each emotion, and how far each node belongs to its own."""
    graphs = [graph[own][:, own] for own in places]
    labels = [
        communities(each, resolution=settings.resolution, seed=settings.seed) for each in graphs
    ]
    if settings.refine is False:
        return [(each, np.ones(len(each))) for each in labels]
    refiner = CommunityRefiner() if settings.refine is True else settings.refine
    refined = refiner.fit_together(
        [
            Part(each, styles[own], start, nodes.speakers[own], nodes.reliability[own])
            for each, own, start in zip(graphs, places, labels, strict=True)
        ]
    )
    return [
        (r.labels, r.membership[np.arange(len(r.labels)), r.labels].astype(np.float64))
        for r in refined
    ]
