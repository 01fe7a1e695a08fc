"""The same people under two corpus names, as far as their ids or their voices say so.

Corpora are cut anew and published again, with other names for the same speakers. That cannot be refused, since ids
coincide by chance and voices may be alike, but it can be noted.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_TELLING = 4  # characters of an id that does not coincide by chance, unless it is a number
_FEWEST = 4  # speakers of a corpus: fewer say too little about how far apart two people are
_NEARER = 0.8  # than the least distance within a corpus: of strangers, the nearest are about that far apart
_SHRINKAGE = 0.1  # of the correlations between a speaker's recordings towards none


def shared_people(frame: pd.DataFrame, voices: pd.DataFrame | None = None) -> list[str]:
    """Notes on speakers of different corpora who may be the same person.

    An id says so by itself if it has four characters or more and is no number: ``01`` to ``24``, ``F01`` or ``0011``
    are names of speakers in many corpora. Such ids count where the voices are alike too.

    Args:
        frame: Utterances with ``corpus, speaker``.
        voices: What :func:`alike_voices` found.

    >>> rows = {"corpus": ["a", "b"], "speaker": ["a/anna", "b/anna"]}
    >>> shared_people(pd.DataFrame(rows))
    ['a and b have speakers of the same name, who may be the same people: anna']
    """
    named = frame[["corpus", "speaker"]].dropna().drop_duplicates()
    pairs = zip(named["corpus"], named["speaker"], strict=True)
    local = pd.Series([s.removeprefix(f"{c}/") for c, s in pairs], index=named.index, dtype=object)
    ids = local.groupby(named["corpus"]).agg(set)
    alike: set[tuple[str, str]] = set()
    if voices is not None:
        alike = set(zip(voices["speaker"], voices["other_speaker"], strict=True))
    notes = []
    for one, other in combinations(ids.index, 2):
        telling = [
            i
            for i in sorted(ids[one] & ids[other])
            if (len(i) >= _TELLING and not i.isdigit()) or (f"{one}/{i}", f"{other}/{i}") in alike
        ]
        if telling:
            notes.append(
                f"{one} and {other} have speakers of the same name, who may be the same people: "
                f"{', '.join(telling)}"
            )
    if alike:
        found = ", ".join(f"{a} and {b}" for a, b in sorted(alike))
        notes.append(f"{len(alike)} pairs of speakers of different corpora sound alike: {found}")
    return notes


def alike_voices(manifest: pd.DataFrame, embeddings: NDArray[np.float32]) -> pd.DataFrame:
    """Speakers of two corpora whose voices are clearly nearer than those of any two speakers within either corpus.

    A speaker's voice is the mean of the speaker's embeddings, less the mean of the corpus' speakers, whitened by
    the covariance of recordings about their speakers' means (of both corpora, correlations shrunk by a tenth), so that
    what varies within a speaker counts little. Two voices are alike if each is the other's nearest and their Euclidean
    distance is below 0.8 of the least one between two speakers of one corpus.

    Args:
        manifest: Utterances with ``corpus, speaker``, both known, in the order of the embeddings.
        embeddings: Speaker embeddings [N, D], as of :func:`cleser.speech.speakers.embed_speakers`.

    Returns:
        Columns ``speaker, other_speaker, distance, least``: the last is the least distance within a corpus. Corpora of
        fewer than four speakers are not compared: they say too little about how far apart two people are.
    """
    values = pd.DataFrame(np.asarray(embeddings, dtype=np.float64))
    speakers = manifest.groupby("corpus")["speaker"].agg(lambda names: sorted(set(names)))
    comparable = [corpus for corpus in speakers.index if len(speakers[corpus]) >= _FEWEST]
    speaker = manifest["speaker"].to_numpy()
    means = values.groupby(speaker).mean()
    scatter = values - means.loc[speaker].to_numpy()
    found = []
    for one, other in combinations(comparable, 2):
        rows = manifest["corpus"].isin([one, other]).to_numpy()
        whiten = _whitening(scatter[rows].to_numpy())
        a, b = (
            _centred(means.loc[speakers[corpus]].to_numpy()) @ whiten for corpus in (one, other)
        )
        between = _distances(a, b)
        least = min(_distances(x, x)[np.triu_indices(len(x), 1)].min() for x in (a, b))
        nearest = (between == between.min(axis=0)) & (between == between.min(axis=1)[:, None])
        found += [
            (speakers[one][i], speakers[other][j], between[i, j], least)
            for i, j in np.argwhere(nearest & (between < _NEARER * least))
        ]
    return pd.DataFrame(found, columns=["speaker", "other_speaker", "distance", "least"])


def _centred(voices: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = voices - voices.mean(axis=0)
    return centred


def _whitening(scatter: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix [D, D] after which what is left of each recording has no correlations and unit variance."""
    covariance = scatter.T @ scatter / len(scatter)
    deviation = np.sqrt(np.diag(covariance))
    deviation[deviation == 0] = 1.0
    correlation = covariance / np.outer(deviation, deviation)
    shrunk = (1 - _SHRINKAGE) * correlation + _SHRINKAGE * np.eye(len(correlation))
    inverse: NDArray[np.float64] = np.linalg.inv(np.linalg.cholesky(shrunk))
    return inverse.T / deviation[:, None]


def _distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return found
