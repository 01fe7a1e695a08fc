"""The names behind the integers of a run's labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cleser.alignment import Alignment
from cleser.corpora.attributes import ATTRIBUTES, attributes_of
from cleser.corpora.votes import vote_columns, votes_of


@dataclass(frozen=True)
class Vocabulary:
    """Names behind the integers of a run's labels."""

    emotions: tuple[str, ...]
    speakers: tuple[str, ...]
    languages: tuple[str, ...]
    corpora: tuple[str, ...]
    phonemes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        emotions: Sequence[str],
        manifest: pd.DataFrame,
        alignments: Sequence[Alignment | None] = (),
        attributes: Sequence[str] = (),
    ) -> Vocabulary:
        """The vocabulary of some utterances and their phones, and which attributes are learned."""
        phones = {
            phone for a in alignments if a is not None and not a.uniform for phone in a.phones
        }

        def known(column: str) -> tuple[str, ...]:
            return tuple(sorted(manifest[column].dropna().unique()))

        return cls(
            tuple(emotions), known("speaker"), known("language"), known("corpus"),
            tuple(sorted(phones)), tuple(attributes),
        )  # fmt: skip

    def encode(self, manifest: pd.DataFrame) -> dict[str, Tensor]:
        """Labels of a manifest as integers; what the vocabulary does not know is −1."""
        columns = {
            "emotion": self.emotions,
            "speaker": self.speakers,
            "language": self.languages,
            "corpus": self.corpora,
        }
        labels = {c: _codes(manifest[c], names) for c, names in columns.items()}
        if self.emotions and vote_columns(manifest):
            labels["votes"] = torch.from_numpy(votes_of(manifest, self.emotions)).float()
        if self.attributes:
            chosen = [ATTRIBUTES.index(name) for name in self.attributes]
            labels["attributes"] = torch.from_numpy(attributes_of(manifest)[:, chosen]).float()
        return labels


def _codes(values: pd.Series[str] | list[str], names: Sequence[str]) -> Tensor:
    return torch.from_numpy(pd.Index(names).get_indexer(pd.Index(values)).astype(np.int64))
