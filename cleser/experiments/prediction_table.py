"""Predictions of tested utterances as a table, with the truth beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pandas as pd
import torch
from torch import Tensor

from cleser.corpora.attributes import ATTRIBUTES, attributes_of
from cleser.corpora.protocol import Protocol
from cleser.corpora.votes import VOTES, vote_columns
from cleser.experiments.fitted import Fitted, MultiLabel, Regression, multi_label
from cleser.recipes.several_emotions import has_emotions, vote_shares
from cleser.training.dataset import Dataset


def predictions_of(
    fitted: Fitted, test: Dataset, protocol: Protocol, seed: int
) -> tuple[pd.DataFrame, Tensor]:
    """What a fitted method predicts of tested utterances.

    Returns:
        One row an utterance: who it is, the truth, and what was predicted, of classes in ``predicted`` and
        ``p_<class>``, of several emotions at once in ``true_<class>`` and ``sigmoid_<class>``, of attributes in
        ``predicted_<attribute>``; and their embeddings [N, D].
    """
    columns = ["utterance", "corpus", "language", "speaker", "gender", "split", "emotion"]
    table = test.manifest[columns].copy()
    probabilities, embeddings = fitted.predict(test)
    if classes := protocol.classes:
        table["predicted"] = [classes[i] for i in probabilities.argmax(-1).tolist()]
        for k, name in enumerate(classes):
            table[f"p_{name}"] = probabilities[:, k].tolist()
    if (several := multi_label(fitted)) is not None:
        table = pd.concat([table, _several_emotions(several, test, classes)], axis=1)
    for column in vote_columns(test.manifest):
        if column.removeprefix(VOTES) in protocol.classes:
            table[column] = test.manifest[column]
    if names := protocol.regressed:
        found = cast(Regression, fitted).attributes(test)
        for a, name in enumerate(names):
            table[name] = attributes_of(test.manifest)[:, ATTRIBUTES.index(name)]
            table[f"predicted_{name}"] = found[:, a].tolist()
    return table.assign(seed=seed), embeddings


def _several_emotions(fitted: MultiLabel, test: Dataset, classes: Sequence[str]) -> pd.DataFrame:
    """Which emotions each utterance has, ``true_<class>``, and with what probability, ``sigmoid_<class>``."""
    emotion = test.labels["emotion"]
    votes = test.labels.get("votes", torch.zeros(len(emotion), len(classes)))
    has = has_emotions(vote_shares(votes, emotion), fitted.vote_threshold)
    sigmoids = fitted.sigmoids(test)
    truth = {f"true_{name}": has[:, k].tolist() for k, name in enumerate(classes)}
    found = {f"sigmoid_{name}": sigmoids[:, k].tolist() for k, name in enumerate(classes)}
    return pd.DataFrame({**truth, **found}, index=test.manifest.index)
