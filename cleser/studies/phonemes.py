"""Which phonemes languages share, and how consistently each carries emotion across them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations as ordered_pairs

import numpy as np
import pandas as pd

from cleser.alignment import Alignment
from cleser.anchors import Consistency, emotion_consistency
from cleser.features.pooled import Features
from cleser.features.stored import extract_features
from cleser.phonetics import articulation, is_vowel, nearest_counterparts, shared_phonemes
from cleser.speech.backbones import Backbone


@dataclass(frozen=True)
class PhonemeStudy:
    """Phonemes of several languages.

    Attributes:
        inventory: A phoneme a row: its class, whether all languages share it, and its count in each language.
        counterparts: The nearest phoneme that a language has for each that it lacks.
        consistency: A shared phoneme a row: the statistic of :func:`emotion_consistency`, p-values, corrected ones, the
            statistic of each emotion; the same relative to the utterance.
        overall: The mean statistic of all phonemes and its p, plain and relative.
    """

    inventory: pd.DataFrame
    counterparts: pd.DataFrame
    consistency: pd.DataFrame
    overall: pd.DataFrame


def study_phonemes(
    manifest: pd.DataFrame,
    alignments: Sequence[Alignment | None],
    backbone: Backbone,
    *,
    emotions: Sequence[str] = (),
    minimum: int = 10,
    permutations: int = 2000,
    seed: int = 0,
    advance: Callable[[int], object] | None = None,
) -> PhonemeStudy:
    """Study the phonemes of several languages.

    Args:
        manifest: Utterances of two languages or more.
        alignments: When phones sound, one for each row; uniform ones and None take no part.
        backbone: What phones are described by; all its layers side by side.
        emotions: Emotions to compare; by default all that the languages share.
        minimum: Phones that a language must have of a phoneme in each emotion.
        permutations: Number of permutations of emotions, to know chance.
        seed: Seed of the permutations.
        advance: Called with the number of utterances described, for progress.

    Raises:
        ValueError: No phone is known, or there are too few languages, emotions or phones to compare.
    """
    known = [a is not None and not a.uniform and len(a) > 0 for a in alignments]
    if not any(known):
        raise ValueError("no utterance has an alignment, expected phones: see cleser align")
    rows = manifest[known].reset_index(drop=True)
    spoken = [a for a, kept in zip(alignments, known, strict=True) if kept and a is not None]
    counts = _counts(rows["language"], spoken)
    shown = rows["emotion"].isin(list(emotions)) if emotions else rows["emotion"].notna()
    described = rows[shown].reset_index(drop=True)
    features = extract_features(
        described,
        backbone,
        alignments=[a for a, kept in zip(spoken, shown, strict=True) if kept],
        advance=advance,
    )
    found = _consistencies(features, described, minimum, permutations, seed)
    return PhonemeStudy(_inventory(counts), _counterparts(counts), *_tables(found))


def _counts(languages: pd.Series[str], alignments: Sequence[Alignment]) -> pd.DataFrame:
    """Phones of each phoneme in each language."""
    phones = pd.DataFrame(
        {
            "phoneme": [phone for a in alignments for phone in a.phones],
            "language": np.repeat(languages.to_numpy(object), [len(a) for a in alignments]),
        }
    )
    return pd.crosstab(phones["phoneme"], phones["language"])


def _inventory(counts: pd.DataFrame) -> pd.DataFrame:
    shared = set(shared_phonemes(*(counts.index[counts[name] > 0] for name in counts)))
    classes = [_class(phoneme) for phoneme in counts.index]
    table = pd.DataFrame(classes, index=counts.index)
    table["shared"] = [phoneme in shared for phoneme in counts.index]
    return (
        table.join(counts)
        .sort_values(["kind", "shared", "phoneme"], ascending=[False, False, True])
        .reset_index()
    )


def _class(phoneme: str) -> dict[str, str]:
    made = articulation(phoneme)
    if made.manner == "vowel":
        rounded = "rounded" if made.rounded else "unrounded"
        return {"kind": "vowel", "class": f"{made.height} {made.backness} {rounded}"}
    voiced = "voiced" if made.voiced else "voiceless"
    return {"kind": "consonant", "class": f"{voiced} {made.place} {made.manner}"}


def _counterparts(counts: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for a, b in ordered_pairs(counts.columns, 2):
        has = {name: set(counts.index[counts[name] > 0]) for name in (a, b)}
        for phoneme, nearest in nearest_counterparts(has[a] - has[b], has[b]).items():
            rows.append((a, phoneme, b, nearest.phoneme, nearest.distance))
    return pd.DataFrame(rows, columns=["language", "phoneme", "in", "counterpart", "distance"])


@dataclass(frozen=True)
class _Consistencies:
    """Consistencies of phonemes, plain and relative to the utterance, with the names behind their codes."""

    plain: Consistency
    relative: Consistency
    phonemes: list[str]
    emotions: list[str]


def _consistencies(
    features: Features, rows: pd.DataFrame, minimum: int, permutations: int, seed: int
) -> _Consistencies:
    rows = rows.set_index("utterance").loc[features.utterances].reset_index()
    each = features.offsets.diff().numpy()
    names = {
        column: pd.factorize(rows[column], sort=True)
        for column in ("emotion", "language", "speaker")
    }
    labels = {column: np.repeat(codes, each) for column, (codes, _) in names.items()}
    labels["utterance"] = np.repeat(np.arange(len(rows)), each)
    labels["phoneme"], phonemes = pd.factorize(
        np.array([phone or None for phone in features.phones], dtype=object), sort=True
    )
    values = features.tokens.flatten(1).numpy()
    plain, relative = (
        emotion_consistency(
            values, labels, relative=relative, minimum=minimum, permutations=permutations, seed=seed
        )
        for relative in (False, True)
    )
    # Those that the statistics know: of tokens whose phoneme, language and emotion are known.
    known = np.all([labels[name] >= 0 for name in ("phoneme", "language", "emotion")], axis=0)
    languages, shown = labels["language"][known], labels["emotion"][known]
    in_all = set.intersection(*(set(shown[languages == k]) for k in np.unique(languages)))
    emotions = [str(names["emotion"][1][code]) for code in sorted(in_all)]
    return _Consistencies(plain, relative, [str(p) for p in phonemes[plain.phonemes]], emotions)


def _tables(found: _Consistencies) -> tuple[pd.DataFrame, pd.DataFrame]:
    plain, own = found.plain, found.relative
    table = pd.DataFrame(
        {
            "phoneme": found.phonemes,
            "kind": [_class(phoneme)["kind"] for phoneme in found.phonemes],
            "tokens": plain.tokens,
            "consistency": plain.statistic,
            "p": plain.p,
            "p_holm": plain.p_holm,
            "p_bh": plain.p_bh,
            **dict(zip(found.emotions, plain.by_emotion.T, strict=True)),
            "own": own.statistic,
            "own_p": own.p,
            "own_p_holm": own.p_holm,
            "own_p_bh": own.p_bh,
        }
    )
    overall = pd.DataFrame(
        {
            "kind": ["whole", "own"],
            "statistic": [plain.overall, own.overall],
            "p": [plain.p_overall, own.p_overall],
            "phonemes": len(found.phonemes),
            "holm": [int((one.p_holm < 0.05).sum()) for one in (plain, own)],
            "bh": [int((one.p_bh < 0.05).sum()) for one in (plain, own)],
        }
    )
    return table.sort_values("consistency", ascending=False, ignore_index=True), overall


def languages_of(inventory: pd.DataFrame) -> list[str]:
    """The languages whose phones an inventory counts."""
    return [str(name) for name in inventory if name not in ("phoneme", "kind", "class", "shared")]


def overlap(inventory: pd.DataFrame) -> pd.DataFrame:
    """What each language shares with all others.

    Returns:
        A language a row: its phonemes, how many are shared (of them vowels), and the share of its phones that they are.
    """
    shared = inventory["shared"]
    vowels = int((shared & inventory["phoneme"].map(is_vowel)).sum())
    rows = []
    for name in languages_of(inventory):
        counts = inventory[name]
        coverage = counts[shared].sum() / counts.sum()
        rows.append((name, int((counts > 0).sum()), int(shared.sum()), vowels, coverage))
    return pd.DataFrame(
        rows, columns=["language", "phonemes", "shared", "shared_vowels", "coverage"]
    )
