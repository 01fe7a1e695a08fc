"""How well women and men are recognised, and whether the difference is larger than that between single speakers.

The two groups consist of different speakers (:func:`cleser.evaluation.intervals.group_difference`), so that the
interval is wide if there are few of them. An interval that contains zero means that no difference was found, not that
there is none.
"""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

from cleser.evaluation.intervals import group_difference, interval
from cleser.evaluation.metrics import uar
from cleser.evaluation.numbers_as_text import counted
from cleser.evaluation.speakers import Clusters, cluster

GENDERS: Final = ("female", "male")
FEW: Final = 5  # speakers of a gender


def gender_gap(predictions: pd.DataFrame, classes: list[str]) -> dict[str, Any]:
    """UAR of each gender, and female less male.

    Args:
        predictions: Rows with ``seed, utterance, speaker, emotion, predicted`` and, where it is known, ``gender``
            (``female`` or ``male``).
        classes: Names of the classes.

    Returns:
        ``groups`` with the UAR, utterances and speakers of each gender; ``difference``, None where only one gender is
        there; ``unknown``, how many utterances have none; ``notes``, sentences that say what the figures rest on. The
        UAR is over the classes that both genders show.

    >>> row = {"seed": 0, "utterance": "a", "speaker": "1", "emotion": "anger", "predicted": "anger"}
    >>> gender_gap(pd.DataFrame([row]), ["anger"])["notes"]
    ['the gender of no speaker is known']
    """
    if "gender" not in predictions:
        predictions = predictions.assign(gender=None)
    each = predictions.dropna(subset="speaker").groupby("speaker")["gender"].nunique()
    mixed = [str(name) for name in each.index[each > 1]]
    certain = predictions[~predictions["speaker"].isin(mixed)]
    groups = {name: certain[certain["gender"] == name] for name in GENDERS}
    groups = {name: rows for name, rows in groups.items() if len(rows)}
    unknown = predictions.loc[predictions["gender"].isna(), "utterance"].nunique()
    shown = [set(rows["emotion"]) for rows in groups.values()]
    both = [name for name in classes if shown and all(name in of for of in shown)]
    kept = {name: rows[rows["emotion"].isin(both)] for name, rows in groups.items()} if both else {}
    clusters = {name: cluster(rows, classes) for name, rows in kept.items()}
    summary: dict[str, Any] = {
        "groups": {name: _group(kept[name], of) for name, of in clusters.items()},
        "difference": None,
        "unknown": int(unknown),
        "notes": _notes(kept, int(unknown), [name for name in classes if name not in both]),
    }
    if mixed:
        summary["notes"].append(
            f"{len(mixed)} speakers have utterances of both genders and are left out"
            if len(mixed) > 1
            else "1 speaker has utterances of both genders and is left out"
        )
    if len(clusters) == 2 and clusters["male"].seeds == clusters["female"].seeds:
        summary["difference"] = group_difference(
            clusters["male"], clusters["female"], uar
        ).summary()
    elif len(clusters) == 2:
        summary["notes"].append("some seeds tested one gender alone: there is no difference")
    return summary


def _group(rows: pd.DataFrame, clusters: Clusters) -> dict[str, Any]:
    return {
        "uar": interval(clusters, uar).summary(),
        "speakers": int(rows["speaker"].nunique()),
        "utterances": int(rows["utterance"].nunique()),
    }


def _notes(groups: dict[str, pd.DataFrame], unknown: int, missing: list[str]) -> list[str]:
    if not groups:
        return ["the gender of no speaker is known"]
    notes = []
    if unknown:
        notes.append(f"{unknown} utterances are of unknown gender and left out")
    for name in GENDERS:
        if name not in groups:
            notes.append(f"no {name} speaker is known: there is no gap to measure")
            continue
        rows = groups[name]
        count = int(rows["speaker"].nunique())
        if not count:
            notes.append(
                f"no {name} utterance has a speaker: intervals count utterances, and are too narrow"
            )
            continue
        if count < FEW:
            notes.append(
                f"{counted(count, f'{name} speakers')}: too few to speak of {name} voices in general"
            )
        if nameless := rows.loc[rows["speaker"].isna(), "utterance"].nunique():
            notes.append(
                f"{counted(nameless, f'{name} utterances')} without a speaker count as one each: intervals are too "
                "narrow if speakers recur among these"
            )
    if missing and len(groups) == 2:
        notes.append(f"without {', '.join(missing)}, which not both genders show")
    return notes
