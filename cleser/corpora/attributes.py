r"""Arousal, valence and dominance: the numbers that annotators give beside, or instead of, an emotion's name.

Corpora ask for them on scales of their own (1 to 7, 1 to 5, −1 to 1). A manifest holds them from −1 to 1, so that what
one corpus teaches can be tested on another,

.. math:: v = 2 \frac{r - \mathit{low}}{\mathit{high} - \mathit{low}} - 1,

and keeps the scale that they came from in the column ``original_scale``, as ``1..7``.
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cleser.corpora.tables import row_named
from cleser.corpora.terms import to_numbers

ATTRIBUTES: Final = ("arousal", "valence", "dominance")
ORIGINAL_SCALE: Final = "original_scale"
SCALE: Final = "scale"  # what rows that have not been mapped yet are measured on
_OWN: Final = "-1..1"
_NUMBER: Final = r"[+-]?\d+(?:\.\d+)?"


def parse_scale(text: str) -> tuple[float, float]:
    """The ends of a scale.

    Raises:
        ValueError: It is no scale.

    >>> parse_scale("1..7"), parse_scale("-1..1")
    ((1.0, 7.0), (-1.0, 1.0))
    """
    found = re.fullmatch(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*", text)
    low, high = map(float, found.groups()) if found else (0.0, 0.0)
    if not low < high:
        raise ValueError(f"scale is {text!r}, expected its ends, as 1..7 or -1..1")
    return low, high


def with_mapped_attributes(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with their attributes mapped to [−1, 1].

    Args:
        rows: Columns among :data:`ATTRIBUTES`, and ``scale`` where they are measured on another scale than −1 to 1. A
            missing value is one that nobody gave.

    Returns:
        The rows, all three attributes as floats, with ``original_scale`` in place of ``scale``; as they were where they
        have no attribute at all.

    Raises:
        ValueError: A value is no number, or lies outside its scale; the message names the first row.

    >>> rows = pd.DataFrame({"utterance": ["a", "b"], "arousal": [1, 5.5], "scale": "1..7"})
    >>> with_mapped_attributes(rows)[["arousal", "valence", "original_scale"]].values.tolist()
    [[-1.0, nan, '1..7'], [0.5, nan, '1..7']]
    """
    if not any(name in rows for name in ATTRIBUTES):
        return rows.drop(columns=SCALE, errors="ignore")
    scale = rows[SCALE].astype("str").fillna(_OWN) if SCALE in rows else pd.Series(_OWN, rows.index)
    ends = {text: parse_scale(text) for text in scale.unique()}
    low, high = (scale.map({text: pair[i] for text, pair in ends.items()}) for i in (0, 1))
    mapped = rows.drop(columns=SCALE, errors="ignore")
    for name in ATTRIBUTES:
        raw = _numbers(rows, name)
        outside = raw.notna() & ~raw.between(low, high)
        if outside.any():
            at = int(outside.to_numpy().argmax())
            raise ValueError(
                f"{row_named(rows, at)}: {name} is {raw.iloc[at]:g}, expected {low.iloc[at]:g} to "
                f"{high.iloc[at]:g}; say on which scale it is measured: in a column {SCALE}, as 1..7, or for all rows "
                f"as manifest:FILE?{SCALE}=1..7"
            )
        mapped[name] = 2 * (raw - low) / (high - low) - 1
    if ORIGINAL_SCALE not in mapped:
        mapped[ORIGINAL_SCALE] = scale.astype("str")
    return mapped


def _numbers(rows: pd.DataFrame, name: str) -> pd.Series[float]:
    if name not in rows:
        return pd.Series(np.nan, rows.index)
    found, wrong = to_numbers(rows[name])
    if wrong.any():
        at = int(wrong.to_numpy().argmax())
        value = rows[name].iloc[at]
        raise ValueError(
            f"{row_named(rows, at)}: {name} is {value!r}, expected a number or nothing"
        )
    return found


def attributes_of(manifest: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Arousal, valence and dominance of N utterances, [N, 3]; NaN where nobody gave them."""
    columns = [manifest.get(name, pd.Series(np.nan, manifest.index)) for name in ATTRIBUTES]
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], 1)


def without_labels(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows without anything that annotators said of them: emotion, attributes and votes."""
    said = [name for name in rows if name in ATTRIBUTES or str(name).startswith("votes.")]
    return rows.assign(emotion=None, **{str(name): np.nan for name in said})


def to_original(values: npt.ArrayLike, scale: str) -> npt.NDArray[np.float64]:
    """Values from −1 to 1 on another scale, beyond whose ends none lies.

    >>> to_original([-1.2, 0, 0.5], "1..7").tolist()
    [1.0, 4.0, 5.5]
    """
    low, high = parse_scale(scale)
    inside = np.clip(np.asarray(values, dtype=np.float64), -1, 1)
    return np.asarray(low + (inside + 1) / 2 * (high - low))


def describe_attributes(manifest: pd.DataFrame) -> pd.DataFrame:
    """A row for each attribute and original scale: ``known, missing``, and ``mean, sd, lowest, highest`` on [−1, 1].

    Empty where a manifest has no attributes.
    """
    columns = ["known", "missing", "mean", "sd", "lowest", "highest"]
    if not any(name in manifest for name in ATTRIBUTES):
        return pd.DataFrame(columns=columns)
    rows: dict[str, dict[str, Any]] = {}
    for scale, part in manifest.groupby(manifest[ORIGINAL_SCALE].fillna("unknown scale")):
        for name in ATTRIBUTES:
            values = part[name].dropna()
            numbers = values.mean(), values.std(), values.min(), values.max()
            cells = (len(values), int(part[name].isna().sum()), *map(float, numbers))
            rows[f"{name} ({scale})"] = dict(zip(columns, cells, strict=True))
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def on_scale(
    rows: pd.DataFrame, scale: str, source: str
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Rows of a published corpus with their scale; values beyond it count as missing, and are named.

    Args:
        rows: Columns ``utterance`` and among :data:`ATTRIBUTES`.
        scale: The scale of all of them, as ``1..7``.
        source: The file that they come from, for the names.

    Returns:
        The rows, and where and what was found outside.
    """
    low, high = parse_scale(scale)
    kept, outside = rows.copy(), []
    for name in [name for name in ATTRIBUTES if name in rows]:
        values = pd.to_numeric(rows[name], errors="coerce").astype("float64")
        wrong = values.notna() & ~values.between(low, high)
        kept[name] = values.mask(wrong)
        outside += [
            (
                f"{source}: {utterance}, {name}",
                f"is beyond its scale and counts as missing: {value:g}, expected {low:g} to {high:g}",
            )
            for utterance, value in zip(rows["utterance"][wrong], values[wrong], strict=True)
        ]
    return kept.assign(scale=scale), outside
