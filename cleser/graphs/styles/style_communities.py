"""Communities of speakers who express an emotion alike, across languages, for each emotion.

A speaker's mean embedding in an emotion contains much that is not style: the voice, and the language with its
microphones. Both are offsets of groups (`cleser.graphs.styles.offsets`), and are removed before neighbours are
searched. What remains is the difference of this speaker's emotion from the speaker's own mean and from what is usual in
the language.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from cleser.graphs.communities.refine import CommunityRefiner
from cleser.graphs.neighbours.inputs import matrix
from cleser.graphs.styles.nodes import Coded, Nodes, encode, pool
from cleser.graphs.styles.search import LanguageOffsets, Settings, SpeakerOffsets, find, styles_of
from cleser.graphs.styles.style_mixing import mixing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class StyleCommunities:
    """Communities of speakers, for each emotion its own.

    Attributes:
        nodes: A row for each speaker in each emotion: ``speaker, emotion, language``; ``utterances``, how many (or the
            sum of their posteriors); ``reliability`` of their mean, 0 to 1; ``community``, a number that no other
            emotion's community has, −1 where nothing is left once offsets are removed (a speaker of one emotion alone);
            and ``membership``, how far the node belongs to it.
        styles: What is left of each node's mean, float32 [M, D].
        graph: Edges between nodes of the same emotion, sparse [M, M].
    """

    nodes: pd.DataFrame
    styles: npt.NDArray[np.float32]
    graph: sparse.csr_array
    _speakers: Coded = field(repr=False)
    _emotions: Coded = field(repr=False)
    _spoken: Ints = field(repr=False)
    _again: Callable[[Ints], StyleCommunities] = field(repr=False)

    def labels(self, speakers: npt.ArrayLike, emotions: npt.ArrayLike) -> Ints:
        """The community of each utterance.

        Args:
            speakers: [N].
            emotions: [N], or posteriors [N, K], of which the largest counts, where any is above 0.

        Returns:
            int64 [N]; −1 where speaker or emotion are unknown, or their node is in no community.

        Raises:
            ValueError: There are not as many speakers as emotions, or posteriors of other emotions than the communities
                have.

        >>> from cleser.graphs import planted_styles
        >>> x = planted_styles(speakers=6, seed=1)
        >>> who = {"speakers": x.speakers, "emotions": x.emotions, "languages": x.languages}
        >>> found = style_communities(x.embeddings, **who)
        >>> found.labels([0, 0, 99], [1, -1, 1]).tolist()[1:]
        [-1, -1]
        """
        what = self._emotion_of(emotions)
        who = self._speakers.of(speakers)
        if who.shape != what.shape:
            raise ValueError(
                f"found {len(who)} speakers and {len(what)} emotions, expected as many"
            )
        table = np.full((len(self._speakers.names) + 1, len(self._emotions.names) + 1), -1)
        table[self.node_codes] = self.nodes["community"]
        return np.asarray(table[who, what], dtype=np.int64)

    @property
    def node_codes(self) -> tuple[Ints, Ints]:
        """Numbers of each node's speaker and of its emotion, counted from 0, [M] each."""
        speakers, emotions = self.nodes["speaker"], self.nodes["emotion"]
        return self._speakers.of(speakers), self._emotions.of(emotions)

    def _emotion_of(self, emotions: Any) -> Ints:
        """Codes of the emotions that are named, or most likely."""
        given = emotions.detach().cpu() if hasattr(emotions, "detach") else emotions
        if np.ndim(given) != 2:
            return self._emotions.of(given)
        posteriors, known = matrix(given, "emotions"), self._emotions.names
        if known != list(range(posteriors.shape[1])):
            raise ValueError(
                f"emotions are posteriors of {posteriors.shape[1]}, communities of {known}: expected the same"
            )
        likely = np.nanmax(posteriors, axis=1, initial=0) > 0
        best = np.where(np.isnan(posteriors), -1.0, posteriors).argmax(axis=1)
        return np.where(likely, best, -1)

    def mixing(
        self, *, permutations: int = 999, seed: int = 0, refit: bool = False
    ) -> pd.DataFrame:
        """How languages mix within the communities of each emotion, against chance.

        Chance deals the languages of speakers at random among those who show the same emotions. That assumes that such
        speakers differ in nothing else that goes with language, as in how many utterances they have. Where the
        speakers of one language show emotions that those of no other show, there is nobody to deal with: give the
        utterances of the emotions that all languages have.

        Args:
            permutations: How often languages are dealt at random.
            seed: Seed of the permutations.
            refit: Find communities anew for every permutation, which is exact. Otherwise communities stay as they are;
                where offsets were removed they were removed by the true languages, which makes those mix a little
                better than others would: the p-values are then too large.

        Returns:
            A row an emotion: ``nodes, languages, communities``; ``entropy`` (0 apart, 1 mixed) and ``assortativity``
            (1 apart, 0 mixed), each with its ``_chance`` (mean over permutations) and ``_p``: the share of permutations
            in which languages keep apart as much. NaN where an emotion has but one language, where nothing is left of
            the speakers of any other, or where chance has nothing to deal: ``untested`` says which, and is empty
            elsewhere. The last row, *all*, holds the means over the emotions whose value is known.

        Raises:
            ValueError: ``permutations`` is below 1.
        """
        return mixing(self, self._spoken, self._again, permutations, seed, refit)

    def plot(self) -> Figure:
        """Draw the graph of each emotion: colour the community, shape the language, size the utterances."""
        from cleser.graphs.styles.drawing import draw_styles  # noqa: PLC0415  (matplotlib)

        return draw_styles(self.nodes, self.styles, self.graph)


def style_communities(
    embeddings: Any,
    *,
    speakers: npt.ArrayLike,
    emotions: npt.ArrayLike,
    languages: npt.ArrayLike,
    k: int = 15,
    refine: bool | CommunityRefiner = True,
    seed: int = 0,
    resolution: float = 1.0,
    language_offsets: LanguageOffsets = "centre",
    speaker_offsets: SpeakerOffsets = "centre",
) -> StyleCommunities:
    """Find communities of speakers who express an emotion alike.

    One node is a speaker in an emotion, one graph an emotion: cosine neighbours over all languages, an edge weighing
    the similarity (if positive) times the geometric mean of both nodes' reliability. Leiden finds communities, and
    `CommunityRefiner` refines those of all emotions together.

    Args:
        embeddings: Embeddings of utterances [N, D], as a speaker encoder gives them.
        speakers: Speaker of each utterance, names or integers [N]; None, NaN or −1 is unknown, and takes no part.
        emotions: Names or integers [N]; or posteriors [N, K] ≥ 0, for corpora without labels, whose emotions are
            the integers from 0 on. Give corpora with labels one-hot rows beside them.
        languages: Names or integers [N]; a speaker has one.
        k: Neighbours of a node.
        refine: Refine with the default refiner, with the given one, or not at all.
        seed: Seed of Leiden.
        resolution: Resolution of the modularity; larger values give smaller communities.
        language_offsets: ``"centre"`` removes the mean of each language in each emotion; ``"relation"`` removes only
            that of each emotion, but lets nodes be neighbours only across languages; ``"keep"`` removes only that of
            each emotion.
        speaker_offsets: ``"centre"`` removes the mean of each speaker over emotions, ``"keep"`` does not.

    Raises:
        ValueError: Shapes do not agree, embeddings are not finite, posteriors are negative, an utterance lacks a
            language, a speaker has two, or a treatment of offsets is none of the above.

    >>> from cleser.graphs import planted_styles
    >>> x = planted_styles(speakers=6, seed=1)
    >>> who = {"speakers": x.speakers, "emotions": x.emotions, "languages": x.languages}
    >>> style_communities(x.embeddings, **who).nodes["community"].nunique()
    12
    """
    pooled = _pooled(embeddings, speakers, emotions, languages)
    settings = Settings(k, refine, seed, resolution, language_offsets, speaker_offsets)

    def build(languages_of_speakers: Ints) -> StyleCommunities:
        language = languages_of_speakers[pooled.nodes.speakers]
        found = find(pooled.nodes, language, settings)
        table = pooled.table(language).assign(
            community=found.community, membership=found.membership
        )
        return StyleCommunities(
            table, found.styles, found.graph, pooled.who, pooled.what, pooled.spoken, build
        )

    return build(pooled.spoken)


def speaker_styles(
    embeddings: Any,
    *,
    speakers: npt.ArrayLike,
    emotions: npt.ArrayLike,
    languages: npt.ArrayLike,
    language_offsets: LanguageOffsets = "centre",
    speaker_offsets: SpeakerOffsets = "centre",
) -> tuple[pd.DataFrame, npt.NDArray[np.float32]]:
    """What `style_communities` compares, without its search: the nodes, and the style of each.

    Args:
        embeddings: Embeddings of utterances; it and all others are as `style_communities` takes them.
        speakers: [N].
        emotions: [N], or posteriors [N, K].
        languages: [N].
        language_offsets: What is removed of a language.
        speaker_offsets: What is removed of a speaker.

    Returns:
        A row a node (``speaker, emotion, language, utterances, reliability``), and the styles [M, D].

    >>> from cleser.graphs import planted_styles
    >>> x = planted_styles(speakers=6, seed=1)
    >>> nodes, styles = speaker_styles(x.embeddings, speakers=x.speakers, emotions=x.emotions, languages=x.languages)
    >>> list(nodes.columns), styles.shape
    (['speaker', 'emotion', 'language', 'utterances', 'reliability'], (72, 64))
    """
    pooled = _pooled(embeddings, speakers, emotions, languages)
    language = pooled.spoken[pooled.nodes.speakers]
    settings = Settings(language_offsets=language_offsets, speaker_offsets=speaker_offsets)
    return pooled.table(language), styles_of(pooled.nodes, language, settings).astype(np.float32)


@dataclass(frozen=True)
class _Pooled:
    """Utterances as nodes, and the names behind the integers."""

    nodes: Nodes
    who: Coded
    what: Coded
    tongue: Coded
    spoken: Ints

    def table(self, language: Ints) -> pd.DataFrame:
        nodes = self.nodes
        return pd.DataFrame(
            {
                "speaker": [self.who.names[s] for s in nodes.speakers],
                "emotion": [self.what.names[e] for e in nodes.emotions],
                "language": [self.tongue.names[t] for t in language],
                "utterances": nodes.mass,
                "reliability": nodes.reliability,
            }
        )


def _pooled(
    embeddings: Any, speakers: npt.ArrayLike, emotions: npt.ArrayLike, languages: npt.ArrayLike
) -> _Pooled:
    x = _finite(embeddings)
    who = encode(speakers, "speakers", len(x))
    what, weights = _emotion_weights(emotions, len(x))
    tongue = encode(languages, "languages", len(x))
    return _Pooled(pool(x, who.codes, weights), who, what, tongue, _language_of(who, tongue))


def _finite(embeddings: Any) -> Floats:
    x = matrix(embeddings, "embeddings").astype(np.float64)
    if x.ndim != 2:
        raise ValueError(f"embeddings have shape {x.shape}, expected [N, D]")
    whole = np.isfinite(x).all(axis=1)
    if not whole.all():
        raise ValueError(f"embeddings[{int(whole.argmin())}] is not finite")
    return x


def _emotion_weights(emotions: npt.ArrayLike, n: int) -> tuple[Coded, sparse.csr_array]:
    """Names of the emotions, and how far each utterance is of each, [N, K]."""
    given: Any = emotions.detach().cpu() if hasattr(emotions, "detach") else emotions
    if np.ndim(given) == 2:
        posteriors = matrix(given, "emotions").astype(np.float64)
        if len(posteriors) != n or not (np.isfinite(posteriors).all() and (posteriors >= 0).all()):
            raise ValueError(
                f"emotions of shape {posteriors.shape}, expected posteriors [{n}, K] ≥ 0, finite"
            )
        best = posteriors.argmax(axis=1).astype(np.int64)
        return Coded(best, list(range(posteriors.shape[1]))), sparse.csr_array(posteriors)
    coded = encode(given, "emotions", n)
    rows = np.flatnonzero(coded.codes >= 0)
    shape = (n, max(len(coded.names), 1))
    return coded, sparse.csr_array((np.ones(len(rows)), (rows, coded.codes[rows])), shape=shape)


def _language_of(who: Coded, tongue: Coded) -> Ints:
    """The language of each speaker."""
    known = who.codes >= 0
    if (tongue.codes[known] < 0).any():
        row = int(np.flatnonzero(known & (tongue.codes < 0))[0])
        raise ValueError(f"languages[{row}] is unknown, expected the language of every utterance")
    language = np.full(len(who.names), -1, dtype=np.int64)
    language[who.codes[known]] = tongue.codes[known]
    rows = np.flatnonzero(known)
    other = rows[language[who.codes[rows]] != tongue.codes[rows]]
    if len(other):
        row = int(other[0])
        both = sorted({tongue.names[tongue.codes[row]], tongue.names[language[who.codes[row]]]})
        raise ValueError(
            f"speaker {who.names[who.codes[row]]!r} speaks {both}, expected one language: make it two speakers"
        )
    return language
