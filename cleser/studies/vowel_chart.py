"""The vowel chart of the study of phonemes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cleser.evaluation.plots import new_figure
from cleser.phonetics import articulation, vowel_position
from cleser.studies.phonemes import PhonemeStudy, languages_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHTS = ("close", "near-close", "close-mid", "mid", "open-mid", "near-open", "open")
_CENTRED: Final[dict[str, Any]] = {"ha": "center", "va": "center"}


def plot_vowels(study: PhonemeStudy, column: str = "consistency") -> Figure:
    """The IPA's vowel chart: shared vowels coloured by their consistency, others grey with their languages.

    A ring marks vowels with a corrected (Holm) p under .05. Diphthongs stand at their first vowel.

    Args:
        study: The phonemes.
        column: ``"consistency"``, or ``"own"`` for what is left relative to the utterance.
    """
    figure, axes = new_figure(7.2, 5.2)
    table = study.consistency.set_index("phoneme")
    vowels = study.inventory[study.inventory["kind"] == "vowel"].set_index("phoneme")
    places = _spread({phoneme: vowel_position(phoneme) for phoneme in vowels.index})
    _draw_trapezoid(axes)
    shared = [phoneme for phoneme in vowels.index if phoneme in table.index]
    if shared:
        values = table.loc[shared, column].to_numpy(float)
        p = table.loc[shared, "p_holm" if column == "consistency" else f"{column}_p_holm"]
        limit = max(0.2, float(table[column].abs().max()))
        across, up = zip(*(places[phoneme] for phoneme in shared), strict=True)
        points = axes.scatter(
            across, up, c=values, s=430, cmap="RdBu_r", vmin=-limit, vmax=limit, linewidths=1.8,
            edgecolors=["black" if one < 0.05 else "none" for one in p],
        )  # fmt: skip
        for phoneme, value in zip(shared, values, strict=True):
            # Both ends of the scale are dark.
            colour = "white" if abs(value) > 0.7 * limit else "black"
            axes.annotate(phoneme, places[phoneme], fontsize=12, color=colour, **_CENTRED)
        what = "consistency" if column == "consistency" else "relative to the utterance"
        label = f"{what}: mean cosine between languages"
        figure.colorbar(points, ax=axes, shrink=0.7, label=label)
    for row in vowels.drop(index=shared).reset_index().to_dict("records"):
        x, y = places[row["phoneme"]]
        of = " ".join(name for name in languages_of(study.inventory) if row[name])
        axes.annotate(row["phoneme"], (x, y), fontsize=10, color="#999999", **_CENTRED)
        axes.annotate(of, (x, y - 0.045), fontsize=6, color="#999999", **_CENTRED)
    axes.set(xlim=(-0.1, 1.15), ylim=(-0.12, 1.1))
    axes.set_yticks([1 - i / 6 for i in range(7)], _HEIGHTS)
    axes.set_xticks([0, 0.5, 1], ["front", "central", "back"])
    axes.grid(visible=False)
    return figure


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
