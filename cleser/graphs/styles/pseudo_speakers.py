"""Speakers for corpora that publish none: communities of utterances that sound like one voice.

Within a recording the question is how alike two utterances of one voice are. Utterances of different recordings
answer it: hardly any pair of them is of one speaker, so that a similarity that few of those pairs reach
(`FALSE_ALARMS`) is taken to mean the same voice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from cleser.graphs.communities.modularity import by_size, communities
from cleser.graphs.neighbours.cosine_knn import cosine_knn
from cleser.graphs.neighbours.inputs import matrix
from cleser.relations import same

Ints = npt.NDArray[np.int64]
# Share of pairs of different recordings that are as similar as one voice.
FALSE_ALARMS: Final = 0.05
_PAIRS: Final = 100_000  # drawn to find the threshold
_PODCAST: Final = re.compile(r"((?:MSP|BIIC)-PODCAST_\d+)_\d+", re.IGNORECASE)


def recordings_of(names: Iterable[Any]) -> list[str | None]:
    """The recording that each utterance is cut from, where its name says so; None elsewhere.

    Args:
        names: Paths, file names or ids of utterances of MSP-Podcast or BIIC-Podcast.

    >>> recordings_of(["Audios/MSP-PODCAST_0001_0008.wav", "biic-podcast/BIIC-PODCAST_1000_0321_0003", "a.wav"])
    ['MSP-PODCAST_0001', 'BIIC-PODCAST_1000', None]
    """
    found = (_PODCAST.match(PurePath(str(name)).name) for name in names)
    return [match.group(1).upper() if match else None for match in found]


def pseudo_speakers(
    embeddings: Any,
    *,
    recordings: npt.ArrayLike | None = None,
    k: int = 15,
    resolution: float = 1.0,
    seed: int = 0,
) -> Ints:
    """Cluster utterances into voices.

    With recordings, no two recordings share a speaker, and edges join utterances of one recording whose similarity only
    a share `FALSE_ALARMS` of the pairs of different recordings reach. Without, neighbours over the whole corpus make
    the graph. Leiden finds the communities of either graph.

    Args:
        embeddings: Embeddings of a speaker encoder, [N, D].
        recordings: Recording of each utterance, names or integers [N]; None, NaN and −1 are unknown: one recording.
        k: Neighbours of an utterance.
        resolution: Resolution of the modularity; larger values give more speakers.
        seed: Seed of Leiden.

    Returns:
        int64 [N], from 0 on; the speaker with most utterances first.

    Raises:
        ValueError: What `cosine_knn` refuses, or recordings are not N.

    >>> rng = np.random.default_rng(0)
    >>> voices = np.repeat(rng.normal(size=(2, 8)), 10, axis=0)  # two voices, ten utterances each
    >>> pseudo_speakers(voices + 0.1 * rng.normal(size=(20, 8)), k=5).tolist()
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    """
    x = matrix(embeddings, "embeddings")
    if not len(x):
        return np.empty(0, dtype=np.int64)
    if recordings is None:
        return communities(_positive(cosine_knn(x, k)), resolution=resolution, seed=seed)
    codes = _codes(recordings, len(x))
    graph = cosine_knn(x, k, where=same("recording"), labels={"recording": codes})
    threshold = _threshold(x, codes, seed)
    graph.data = np.where(graph.data >= threshold, graph.data - min(threshold, 0), 0)
    speakers = np.empty(len(x), dtype=np.int64)
    begin = 0
    for recording in range(codes.max() + 1):
        own = np.flatnonzero(codes == recording)
        found = communities(_positive(graph[own][:, own]), resolution=resolution, seed=seed)
        speakers[own] = found + begin
        begin += int(found.max()) + 1
    return by_size(speakers)


def _codes(recordings: npt.ArrayLike, n: int) -> Ints:
    """Recordings as integers; all that are unknown are one more."""
    from cleser.graphs.styles.nodes import encode  # noqa: PLC0415  (pandas)

    codes = encode(recordings, "recordings", n).codes
    return np.where(codes < 0, codes.max() + 1, codes)


def _positive(graph: sparse.csr_array) -> sparse.csr_array:
    graph.data = np.maximum(graph.data, 0)
    return graph


def _threshold(x: npt.NDArray[Any], codes: Ints, seed: int) -> float:
    """Similarity that few pairs of different recordings reach; of one recording alone, the median."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, len(x), (2, _PAIRS))
    apart = codes[a] != codes[b]
    quantile = 1 - FALSE_ALARMS
    if not apart.any():
        apart, quantile = a != b, 0.5
    if not apart.any():
        return 0.0
    # In half precision squares overflow, and sums of them lose their digits.
    length = np.sqrt(np.einsum("nd,nd->n", x, x, dtype=np.float64))
    a, b = a[apart], b[apart]
    product = np.einsum("nd,nd->n", x[a], x[b], dtype=np.float64)
    return float(np.quantile(product / (length[a] * length[b]), quantile))
