r"""How consistently a phoneme carries emotion across languages.

Speaker style-aware phoneme anchoring (Upadhyay, Busso & Lee, 2025, arXiv 2509.20373) rests on the claim that phonemes
encode emotion alike in different corpora. This is a statistic for it, ours, with a test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from cleser.multiple_tests import holm

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_LABELS = ("phoneme", "emotion", "language", "speaker", "utterance")
_CHUNK = 200  # permutations at once
_VALUES = 1 << 22  # features in double precision at once
_NARROWEST = 16  # channels of a block, however many phones there are


@dataclass(frozen=True)
class Consistency:
    """How alike the languages show emotion, for the K phonemes that all of them have often enough.

    Attributes:
        phonemes: Their codes, [K].
        statistic: Mean cosine between languages, −1 to 1, [K].
        p: Chance of a statistic as high where emotion does not matter, [K].
        p_holm: Corrected so that one false phoneme among all has the chance p (Holm, 1979), [K].
        p_bh: Corrected so that the share of false phonemes among those found is p (Benjamini & Hochberg, 1995), [K].
        by_emotion: The statistic of each emotion, [K, E].
        tokens: Phones in the language that has the fewest, [K].
        overall: Mean statistic of all phonemes.
        p_overall: Its chance.
    """

    phonemes: Integers
    statistic: Floats
    p: Floats
    p_holm: Floats
    p_bh: Floats
    by_emotion: Floats
    tokens: Integers
    overall: float
    p_overall: float


def emotion_consistency(
    features: npt.ArrayLike,
    labels: Mapping[str, npt.ArrayLike],
    *,
    relative: bool = False,
    minimum: int = 10,
    permutations: int = 2000,
    seed: int = 0,
) -> Consistency:
    r"""Compare what emotions do to each phoneme in different languages.

    Features are standardised by speaker. The contrast of an emotion is what it adds to a phoneme, and the statistic
    the cosine of contrasts between languages, averaged over emotions e and pairs of languages:

    .. math::

        c_{p,l,e} = \bar{x}_{p,l,e} - \bar{x}_{p,l}, \qquad
        T_p = \frac{1}{E \binom{L}{2}} \sum_e \sum_{l < m} \cos(c_{p,l,e}, c_{p,m,e})

    Chance permutes the emotions of each speaker's utterances, so that phones of an utterance stay together: they are no
    independent observations. Emotions change all of an utterance, its loudness say, and thereby each of its phonemes;
    ``relative`` takes an utterance's mean contrast away first, and asks for what is a phoneme's own.

    Args:
        features: Phones pooled over their frames, [S, D].
        labels: ``phoneme, emotion, language, speaker, utterance`` of each phone, integers [S]; a phone of which any
            but the speaker is −1 is left out. Unknown speakers count as one in each language.
        relative: Whether to take away what the whole utterance does.
        minimum: Phones that a language must have of a phoneme in each emotion.
        permutations: Their number; the smallest p is 1 / (permutations + 1).
        seed: Seed of the permutations.

    Raises:
        ValueError: A label is missing or of another length, a feature is not finite, an utterance has two emotions,
            or there are not two languages, two emotions that all of them have, and a phoneme with enough phones.

    >>> rng = np.random.default_rng(0)
    >>> emotion, language = np.arange(80) % 2, np.arange(80) // 40  # one phoneme, two languages of 40 utterances
    >>> labels = {"phoneme": np.zeros(80, int), "emotion": emotion, "language": language,
    ...           "speaker": language, "utterance": np.arange(80)}
    >>> x = rng.normal(size=(80, 4)) + 2 * emotion[:, None]  # emotion 1 raises all channels in both languages
    >>> found: Consistency = emotion_consistency(x, labels, permutations=99)
    >>> bool(found.overall > 0.9), found.p_overall
    (True, 0.01)
    """
    x, kept, of = _checked(features, labels)
    kept, of = _with_shared_emotions(kept, of)
    utterances, which = np.unique(of["utterance"], return_inverse=True)
    plan = _Plan.of(of, which, len(utterances), permutations, seed)
    phonemes = _frequent(of, minimum)
    if not len(phonemes):
        raise ValueError(
            f"no phoneme has {minimum} phones in each emotion of each language, expected one at least"
        )
    spoken = [_Spoken.of(which, of["phoneme"] == p, plan) for p in phonemes]
    for block in _centred_blocks(x, kept, of, which, relative=relative):
        for one in spoken:
            one.add(block)
    observed, chance = zip(*(one.statistics() for one in spoken), strict=True)
    from scipy.stats import false_discovery_control  # noqa: PLC0415  (slow to load)

    by_emotion = np.stack(observed)
    statistic, null = by_emotion.mean(1), np.stack(chance)  # [K], [K, R]
    p = (1 + (null >= statistic[:, None] - 1e-12).sum(1)) / (1 + permutations)
    overall = statistic.mean()
    return Consistency(
        phonemes,
        statistic,
        p,
        holm(p),
        false_discovery_control(p),
        by_emotion,
        np.array([_fewest(of, phoneme) for phoneme in phonemes]),
        float(overall),
        float((1 + (null.mean(0) >= overall - 1e-12).sum()) / (1 + permutations)),
    )


_Of = dict[str, Integers]


@dataclass(frozen=True)
class _Plan:
    """Emotions of utterances as they are (first) and permuted, and each utterance's language."""

    emotions: Integers  # [1 + R, U]
    languages: Integers  # [U]
    n_emotions: int
    n_languages: int

    @classmethod
    def of(cls, of: _Of, which: Integers, count: int, permutations: int, seed: int) -> _Plan:
        emotion, language, speaker = (np.zeros(count, np.int64) for _ in range(3))
        for target, name in ((emotion, "emotion"), (language, "language"), (speaker, "speaker")):
            target[which] = of[name]
            if (target[which] != of[name]).any():
                raise ValueError(f"an utterance has two values of {name}, expected one")
        emotion, language = _compact(emotion), _compact(language)
        groups = _compact(language * (speaker.max() + 2) + speaker + 1)
        random = np.random.default_rng(seed)
        rows = np.tile(emotion, (permutations + 1, 1))
        for group in range(groups.max() + 1):
            members = np.flatnonzero(groups == group)
            order = np.argsort(random.random((permutations, len(members))), axis=1)
            rows[1:, members] = emotion[members][order]
        return cls(rows, language, int(emotion.max()) + 1, int(language.max()) + 1)


def _centred_blocks(
    x: npt.NDArray[Any], kept: Integers, of: _Of, which: Integers, *, relative: bool
) -> Iterator[Floats]:
    """Some channels of the kept phones after the other, each standardised by speaker and without its cell's mean.

    No channel is asked about another one: in double precision, and several times over, all of them took several times
    the memory of the features.
    """
    speakers = _Groups.of(of["language"] * (of["speaker"].max() + 2) + of["speaker"] + 1)
    cells = _Groups.of(of["phoneme"] * (of["language"].max() + 1) + of["language"])
    spoken = _Groups.of(which)
    width = max(_VALUES // len(kept), _NARROWEST)
    for begin in range(0, x.shape[1], width):
        block: Floats = x[:, begin : begin + width][kept].astype(np.float64, copy=False)
        speakers.centre(block)
        deviation = np.sqrt(speakers.means(block**2))
        block /= np.where(deviation > 0, deviation, 1)[speakers.group]
        cells.centre(block)
        if relative:
            spoken.centre(block)
            cells.centre(block)
        yield block


@dataclass(frozen=True)
class _Groups:
    """Groups of rows."""

    group: Integers  # of each row, [S]
    adding: csr_array  # sums the rows of each group, [G, S]
    sizes: Floats  # [G, 1]

    @classmethod
    def of(cls, codes: Integers) -> _Groups:
        group = _compact(codes)
        return cls(group, _adding(group, np.arange(len(group)), len(group)), _sizes(group))

    def means(self, x: Floats) -> Floats:
        found: Floats = self.adding @ x / self.sizes
        return found

    def centre(self, x: Floats) -> None:
        """Take the mean of its group from each row, in place."""
        x -= self.means(x)[self.group]


def _adding(group: Integers, rows: Integers, count: int) -> csr_array:
    """The matrix [G, count] that sums these rows of ``count`` by their group."""
    return csr_array((np.ones(len(rows)), (group, rows)), shape=(group.max() + 1, count))


def _sizes(group: Integers) -> Floats:
    return np.bincount(group).astype(np.float64)[:, None]


@dataclass(frozen=True)
class _Spoken:
    """One phoneme's phones, and what is known of its contrasts c so far: their inner products over channels."""

    adding: csr_array  # sums the phones of each of its utterances, [M, S]
    counts: Floats  # phones in each of its utterances, [M, 1]
    emotions: Integers  # of its utterances as they are (first) and permuted, [1 + R, M]
    inside: list[npt.NDArray[np.bool_]]  # whether an utterance is of the language, [M] for each
    n_emotions: int
    products: dict[tuple[int, int], Floats]  # of two languages, or of one with itself, [1 + R, E]

    @classmethod
    def of(cls, which: Integers, where: npt.NDArray[np.bool_], plan: _Plan) -> _Spoken:
        members, row = np.unique(which[where], return_inverse=True)
        shape = (len(plan.emotions), plan.n_emotions)
        pairs = combinations_with_replacement(range(plan.n_languages), 2)
        return cls(
            _adding(row, np.flatnonzero(where), len(where)),
            _sizes(row),
            plan.emotions[:, members],
            [plan.languages[members] == language for language in range(plan.n_languages)],
            plan.n_emotions,
            {pair: np.zeros(shape) for pair in pairs},
        )

    def add(self, block: Floats) -> None:
        """Add what further channels of all phones [S, W] have to the products."""
        sums = self.adding @ block
        for begin in range(0, len(self.emotions), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            contrasts = [self._contrasts(self.emotions[part], sums, of) for of in self.inside]
            for (one, other), product in self.products.items():
                product[part] += (contrasts[one] * contrasts[other]).sum(-1)

    def _contrasts(self, emotions: Integers, sums: Floats, of: npt.NDArray[np.bool_]) -> Floats:
        """Contrasts in one language, [r, E, W]; zero where an emotion does not occur."""
        hot = (emotions[:, None, of] == np.arange(self.n_emotions)[:, None]).astype(float)
        contrasts: Floats = hot @ sums[of]
        contrasts /= np.maximum(hot @ self.counts[of], 1)
        return contrasts

    def statistics(self) -> tuple[Floats, Floats]:
        """Cosines of each emotion as observed [E], and their mean under each permutation [R]."""
        norms = [np.sqrt(self.products[one, one]) for one in range(len(self.inside))]
        cosines = []
        for one, other in combinations(range(len(norms)), 2):
            both = norms[one] * norms[other]
            cosine = np.divide(
                self.products[one, other], both, out=np.zeros_like(both), where=both > 0
            )
            cosines.append(cosine)
        found = np.mean(cosines, axis=0)  # [1 + R, E]
        return found[0], found[1:].mean(1)


def _checked(
    features: npt.ArrayLike, labels: Mapping[str, npt.ArrayLike]
) -> tuple[npt.NDArray[Any], Integers, _Of]:
    """Features as they are, and the rows and labels of those phones of which all is known."""
    x = np.asarray(features)
    if x.dtype.kind != "f":
        x = x.astype(np.float64)
    missing = [name for name in _LABELS if name not in labels]
    if missing:
        raise ValueError(f"labels lack {missing}, found {list(labels)}")
    of = {name: np.asarray(labels[name]).astype(np.int64) for name in _LABELS}
    if x.ndim != 2 or any(values.shape != x.shape[:1] for values in of.values()):
        shapes: dict[str, Any] = {name: values.shape for name, values in of.items()}
        raise ValueError(
            f"features have the shape {x.shape} and labels {shapes}, expected [S, D] and [S]"
        )
    for phone, row in enumerate(x):  # all at once would take a mask of their shape
        if not np.isfinite(row).all():
            raise ValueError(f"the features of phone {phone} are not finite")
    known = np.all([of[name] >= 0 for name in _LABELS if name != "speaker"], axis=0)
    return x, np.flatnonzero(known), {name: values[known] for name, values in of.items()}


def _with_shared_emotions(rows: Integers, of: _Of) -> tuple[Integers, _Of]:
    languages = np.unique(of["language"])
    if len(languages) < 2:
        raise ValueError(f"found {len(languages)} languages, expected two at least")
    sets = [set(of["emotion"][of["language"] == language].tolist()) for language in languages]
    shared = set.intersection(*sets)
    if len(shared) < 2:
        raise ValueError(f"the languages share {len(shared)} emotions, expected two at least")
    kept = np.isin(of["emotion"], list(shared))
    return rows[kept], {name: values[kept] for name, values in of.items()}


def _compact(codes: Integers) -> Integers:
    found: Integers = np.unique(codes, return_inverse=True)[1]
    return found


def _cells(of: _Of, phoneme: int) -> Integers:
    """Phones of a phoneme in each language and emotion, [L, E]."""
    inside = of["phoneme"] == phoneme
    languages, emotions = np.unique(of["language"]), np.unique(of["emotion"])
    return np.array(
        [
            [(inside & (of["language"] == k) & (of["emotion"] == e)).sum() for e in emotions]
            for k in languages
        ]
    )


def _frequent(of: _Of, minimum: int) -> Integers:
    return np.array(
        [p for p in np.unique(of["phoneme"]) if _cells(of, p).min() >= minimum], dtype=np.int64
    )


def _fewest(of: _Of, phoneme: int) -> int:
    return int(_cells(of, phoneme).sum(1).min())
