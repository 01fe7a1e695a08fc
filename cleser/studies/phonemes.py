"""Which phonemes languages share, and how consistently each carries emotion across them: tables and a vowel chart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations as ordered_pairs
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cleser.alignment import Alignment
from cleser.anchors import Consistency, emotion_consistency
from cleser.evaluation.plots import new_figure
from cleser.features.pooled import Features
from cleser.features.stored import extract_features
from cleser.phonetics import (
    articulation,
    is_vowel,
    nearest_counterparts,
    shared_phonemes,
    vowel_position,
)
from cleser.speech.backbones import Backbone

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHTS = ("close", "near-close", "close-mid", "mid", "open-mid", "near-open", "open")


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
    plain, relative = _consistencies(features, described, minimum, permutations, seed)
    return PhonemeStudy(_inventory(counts), _counterparts(counts), *_tables(plain, relative))


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


def _consistencies(
    features: Features, rows: pd.DataFrame, minimum: int, permutations: int, seed: int
) -> tuple[NamedConsistency, NamedConsistency]:
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
    found = [
        emotion_consistency(
            values, labels, relative=relative, minimum=minimum, permutations=permutations, seed=seed
        )
        for relative in (False, True)
    ]
    # Those that the statistics know: of tokens whose phoneme, language and emotion are known.
    known = np.all([labels[name] >= 0 for name in ("phoneme", "language", "emotion")], axis=0)
    languages, shown = labels["language"][known], labels["emotion"][known]
    in_all = set.intersection(*(set(shown[languages == k]) for k in np.unique(languages)))
    emotions = [str(names["emotion"][1][code]) for code in sorted(in_all)]
    plain, relative_ = (
        NamedConsistency(one, [str(p) for p in phonemes[one.phonemes]], emotions) for one in found
    )
    return plain, relative_


@dataclass(frozen=True)
class NamedConsistency:
    """Consistencies with the names behind the codes."""

    found: Consistency
    phonemes: list[str]
    emotions: list[str]


def _tables(
    plain: NamedConsistency, relative: NamedConsistency
) -> tuple[pd.DataFrame, pd.DataFrame]:
    found, own = plain.found, relative.found
    table = pd.DataFrame(
        {"phoneme": plain.phonemes, "kind": [_class(p)["kind"] for p in plain.phonemes]}
    )
    table["tokens"] = found.tokens
    table["consistency"], table["p"], table["p_holm"], table["p_bh"] = (
        found.statistic, found.p, found.p_holm, found.p_bh,
    )  # fmt: skip
    for i, emotion in enumerate(plain.emotions):
        table[emotion] = found.by_emotion[:, i]
    table["own"], table["own_p"], table["own_p_holm"], table["own_p_bh"] = (
        own.statistic, own.p, own.p_holm, own.p_bh,
    )  # fmt: skip
    overall = pd.DataFrame(
        {
            "kind": ["whole", "own"],
            "statistic": [found.overall, own.overall],
            "p": [found.p_overall, own.p_overall],
            "phonemes": len(plain.phonemes),
            "holm": [int((one.p_holm < 0.05).sum()) for one in (found, own)],
            "bh": [int((one.p_bh < 0.05).sum()) for one in (found, own)],
        }
    )
    return table.sort_values("consistency", ascending=False, ignore_index=True), overall


def plot_vowels(study: PhonemeStudy, column: str = "consistency") -> Figure:
    """The IPA's vowel chart: shared vowels coloured by their consistency, others grey with their languages.

    A ring marks vowels with a corrected (Holm) p under .05. Diphthongs stand at their first vowel.

    Args:
        study: The phonemes.
        column: ``"consistency"``, or ``"own"`` for what is left relative to the utterance.
    """
    figure, axes = new_figure(7.2, 5.2)
    table = study.consistency.set_index("phoneme")
    p = "p_holm" if column == "consistency" else f"{column}_p_holm"
    languages = [name for name in study.inventory.columns if name not in _OF_PHONEMES]
    vowels = study.inventory[study.inventory["kind"] == "vowel"]
    places = _spread({phoneme: vowel_position(phoneme) for phoneme in vowels["phoneme"]})
    _draw_trapezoid(axes)
    limit = max(0.2, float(table[column].abs().max()))
    coloured = None
    for row in vowels.to_dict("records"):
        phoneme = str(row["phoneme"])
        x, y = places[phoneme]
        if phoneme in table.index:
            value = float(table.loc[phoneme, column])  # type: ignore[arg-type]
            ring = "black" if float(table.loc[phoneme, p]) < 0.05 else "none"  # type: ignore[arg-type]
            coloured = axes.scatter(
                x, y, c=[value], s=430, cmap="RdBu_r", vmin=-limit, vmax=limit, edgecolors=ring, linewidths=1.8,
            )  # fmt: skip
            # Both ends of the scale are dark.
            colour = "white" if abs(value) > 0.7 * limit else "black"
            axes.annotate(phoneme, (x, y), ha="center", va="center", fontsize=12, color=colour)
        else:
            of = " ".join(str(name) for name in languages if row[name])
            axes.annotate(phoneme, (x, y), ha="center", va="center", fontsize=10, color="#999999")
            axes.annotate(of, (x, y - 0.045), ha="center", va="center", fontsize=6, color="#999999")
    if coloured is not None:
        what = "consistency" if column == "consistency" else "relative to the utterance"
        label = f"{what}: mean cosine between languages"
        figure.colorbar(coloured, ax=axes, shrink=0.7, label=label)
    axes.set(
        xlim=(-0.1, 1.15),
        ylim=(-0.12, 1.1),
        yticks=[1 - i / 6 for i in range(7)],
        xticks=[0, 0.5, 1],
    )
    axes.set_yticklabels(_HEIGHTS)
    axes.set_xticklabels(["front", "central", "back"])
    axes.grid(visible=False)
    return figure


_OF_PHONEMES = ("phoneme", "kind", "class", "shared")


def _draw_trapezoid(axes: Axes) -> None:
    corners = [
        _slanted(*corner) for corner in ((0.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 0.0), (0.0, 1.0))
    ]
    x, y = zip(*corners, strict=True)
    axes.plot(x, y, color="#dddddd", lw=1, zorder=0)


def _slanted(backness: float, height: float) -> tuple[float, float]:
    """Open vowels differ less in backness: the chart is a trapezoid."""
    left = 0.45 * (1 - height)
    return left + backness * (1 - left), height


def _spread(places: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Vowels of one place side by side, unrounded ones to the left."""
    at: dict[tuple[float, float], list[str]] = {}
    for phoneme, place in places.items():
        at.setdefault(place, []).append(phoneme)
    spread = {}
    for place, phonemes in at.items():
        x, y = _slanted(*place)
        phonemes.sort(key=lambda phoneme: (articulation(phoneme).rounded, phoneme))
        for i, phoneme in enumerate(phonemes):
            spread[phoneme] = (x + 0.085 * (i - (len(phonemes) - 1) / 2), y)
    return spread


def overlap(inventory: pd.DataFrame) -> pd.DataFrame:
    """What each language shares with all others.

    Returns:
        A language a row: its phonemes, how many are shared (of them vowels), and the share of its phones that they are.
    """
    languages = [name for name in inventory.columns if name not in _OF_PHONEMES]
    shared = inventory["shared"]
    vowels = int((shared & inventory["phoneme"].map(is_vowel)).sum())
    rows = []
    for name in languages:
        counts = inventory[name]
        coverage = counts[shared].sum() / counts.sum()
        rows.append((name, int((counts > 0).sum()), int(shared.sum()), vowels, coverage))
    return pd.DataFrame(
        rows, columns=["language", "phonemes", "shared", "shared_vowels", "coverage"]
    )
