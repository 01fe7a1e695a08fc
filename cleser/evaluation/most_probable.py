"""What the networks of all seeds recognise together."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd


def most_probable(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The class with the highest probability of each utterance, averaged over seeds.

    Args:
        predictions: A row for each utterance and seed, with ``utterance`` and, for each class, ``p_<class>``.
        classes: The K classes.

    Returns:
        A row an utterance, in the order in which they first occur: ``predicted`` and ``confidence``.

    >>> rows = [("b", 0.1, 0.9), ("a", 0.8, 0.2), ("b", 0.3, 0.7)]
    >>> most_probable(pd.DataFrame(rows, columns=["utterance", "p_calm", "p_sad"]), ["calm", "sad"])
              predicted  confidence
    utterance
    b               sad         0.8
    a              calm         0.8
    """
    columns = [f"p_{name}" for name in classes]
    means = predictions.groupby("utterance", sort=False)[columns].mean()
    predicted = [classes[k] for k in means.to_numpy().argmax(1)]
    return pd.DataFrame({"predicted": predicted, "confidence": means.max(axis=1)}, means.index)
