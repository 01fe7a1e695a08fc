"""What a run recognises in a target without labels, in place of scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cleser.evaluation.most_probable import most_probable
from cleser.evaluation.numbers_as_text import counted


def summarise_unlabelled(predictions: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any]:
    """How often each class is recognised, and how far different seeds agree.

    Args:
        predictions: A row for each utterance and seed, with ``predicted`` and, for each class, ``p_<class>``.
        classes: The K classes.

    Returns:
        ``recognised``, the number of utterances of each class after averaging the probabilities over seeds;
        ``agreement``, the share of utterances of which all seeds recognise the same class, None for one seed and where
        all seeds have the very same probabilities, as those of a method that draws nothing; and ``confidence``, the
        mean probability of the recognised class.

    >>> rows = [("a", 0, "sad", 0.1, 0.9), ("a", 1, "sad", 0.3, 0.7),
    ...         ("b", 0, "calm", 0.8, 0.2), ("b", 1, "sad", 0.4, 0.6)]
    >>> table = pd.DataFrame(rows, columns=["utterance", "seed", "predicted", "p_calm", "p_sad"])
    >>> found = summarise_unlabelled(table, ["calm", "sad"])
    >>> found["recognised"], found["agreement"], round(found["confidence"], 3)
    ({'calm': 1, 'sad': 1}, 0.5, 0.7)
    """
    found = most_probable(predictions, classes)
    of_each = predictions.groupby("utterance")
    answers = of_each["predicted"].nunique()
    shares = [f"p_{name}" for name in classes]
    differ = predictions["seed"].nunique() > 1 and bool(
        (of_each[shares].nunique() > 1).any(axis=None)
    )
    return {
        "recognised": {name: int((found["predicted"] == name).sum()) for name in classes},
        "agreement": float((answers == 1).mean()) if differ else None,
        "confidence": float(found["confidence"].to_numpy().mean()),
    }


def show_unlabelled(results: dict[str, Any]) -> Group:
    """What a terminal shows of a run on a target without labels."""
    table = Table(
        title=f"{results['recipe']} · protocol {results['protocol']}", title_justify="left"
    )
    for heading in ("recognised", "utterances", "share"):
        table.add_column(heading)
    total = results["n_utterances"]
    for name, count in results["recognised"].items():
        table.add_row(name, str(count), f"{100 * count / total:.1f} %")
    notes = [
        f"{total} utterances; no utterance of the target has a label, so that nothing says how often this is right",
    ]
    if results["agreement"] is not None:
        notes.append(
            f"all {len(results['seeds'])} seeds agree on {100 * results['agreement']:.0f} % of the utterances"
        )
    if results["left_out"]:
        notes.append(f"{counted(len(results['left_out']), 'recordings')} left out")
    return Group(table, Text("\n".join(notes), style="dim"))
