"""From a protocol's utterances to batches: features extracted, standardised as agreed, labels as integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cleser.corpora.protocol import Protocol
from cleser.models.batch import Batch
from cleser.recipes.progress import track
from cleser.speech.backbones import Backbone
from cleser.speech.features import Features, extract_features
from cleser.speech.normalise import Moments, moments, standardise, standardise_utterances


@dataclass
class Dataset:
    """Utterances ready for batching.

    Attributes:
        manifest: Their rows, in order; recordings that could not be used are gone.
        features: Standardised, in the same order.
        labels: Integers [N] by name; −1 is unknown.
        weight: [N], one on average: every (corpus, emotion) counts alike.
        left_out: Recordings that could not be used.
    """

    manifest: pd.DataFrame
    features: Features
    labels: dict[str, Tensor]
    weight: Tensor
    left_out: list[dict[str, str]]

    def __len__(self) -> int:
        return len(self.manifest)

    def subset(self, manifest: pd.DataFrame) -> Dataset:
        """The utterances that also stand in another manifest, with its emotions (which may be blank)."""
        at = pd.Index(self.manifest["utterance"]).get_indexer(manifest["utterance"])
        rows = manifest[at >= 0].reset_index(drop=True)
        index = torch.from_numpy(at[at >= 0])
        picked = self.batch(index)
        labels = dict(picked.labels)
        labels["emotion"] = labels["emotion"].masked_fill(torch.tensor(rows["emotion"].isna()), -1)
        features = replace(
            self.features,
            utterances=rows["utterance"].tolist(),
            tokens=picked.tokens,
            offsets=picked.offsets,
            summaries=picked.summaries,
        )
        return Dataset(rows, features, labels, _balance(rows), self.left_out)

    @classmethod
    def join(cls, datasets: Sequence[Dataset]) -> Dataset:
        """Several datasets as one; corpora and emotions are balanced over all of it."""
        features = [d.features for d in datasets]
        counts = torch.cat([f.offsets.diff() for f in features])
        rows = pd.concat([d.manifest for d in datasets], ignore_index=True)
        joined = Features(
            utterances=rows["utterance"].tolist(),
            tokens=torch.cat([f.tokens for f in features]),
            offsets=torch.nn.functional.pad(counts.cumsum(0), (1, 0)),
            summaries=torch.cat([f.summaries for f in features]),
        )
        names = datasets[0].labels
        labels = {name: torch.cat([d.labels[name] for d in datasets]) for name in names}
        left_out = [problem for d in datasets for problem in d.left_out]
        return cls(rows, joined, labels, _balance(rows), left_out)

    def batch(self, index: Sequence[int] | Tensor) -> Batch:
        """The utterances at these positions as a batch."""
        at = torch.as_tensor(index, dtype=torch.long)
        starts, lengths = self.features.offsets[at], self.features.offsets.diff()[at]
        offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
        first = (starts - offsets[:-1]).repeat_interleave(lengths)
        return Batch(
            tokens=self.features.tokens[first + torch.arange(len(first))],
            offsets=offsets,
            summaries=self.features.summaries[at],
            labels={name: values[at] for name, values in self.labels.items()},
            weight=self.weight[at],
        )


@dataclass(frozen=True)
class Vocabulary:
    """Names behind the integers of a run's labels."""

    emotions: tuple[str, ...]
    speakers: tuple[str, ...]
    languages: tuple[str, ...]
    corpora: tuple[str, ...]

    @classmethod
    def of(cls, emotions: Sequence[str], manifest: pd.DataFrame) -> Vocabulary:
        """The vocabulary of some utterances."""
        names = (manifest[c].dropna().unique() for c in ("speaker", "language", "corpus"))
        return cls(tuple(emotions), *(tuple(sorted(n)) for n in names))

    def encode(self, manifest: pd.DataFrame) -> dict[str, Tensor]:
        """Labels of a manifest as integers; what the vocabulary does not know is −1."""
        columns = {
            "emotion": self.emotions,
            "speaker": self.speakers,
            "language": self.languages,
            "corpus": self.corpora,
        }
        return {c: _codes(manifest[c], names) for c, names in columns.items()}


def _codes(values: pd.Series[str], names: Sequence[str]) -> Tensor:
    return torch.from_numpy(pd.Index(names).get_indexer(pd.Index(values)).astype(np.int64))


def load_dataset(
    manifest: pd.DataFrame,
    protocol: Protocol,
    vocabulary: Vocabulary,
    backbone: Backbone,
    *,
    title: str,
    reference: Moments | None = None,
) -> tuple[Dataset, Moments]:
    """Extract and standardise the features of some utterances.

    Args:
        manifest: The utterances.
        protocol: Says how to standardise.
        vocabulary: Turns labels into integers.
        backbone: Turns recordings into frames.
        title: What the progress bar says.
        reference: Statistics of the source, for utterances that the protocol does not let be standardised
            by their own corpus; their own by default.

    Returns:
        The dataset, and the statistics of its features before standardisation (a reference for others).

    Raises:
        ValueError: None of the recordings can be used.
    """
    with track(title, len(manifest)) as advance:
        raw = extract_features(manifest, backbone, advance=advance)
    rows = manifest[manifest["utterance"].isin(set(raw.utterances))].reset_index(drop=True)
    if rows.empty:
        reasons = "; ".join(f"{p['path']}: {p['reason']}" for p in raw.left_out[:3])
        raise ValueError(f"{title}: none of {len(manifest)} recordings can be used ({reasons})")
    own = moments(raw)
    features = _standardised(raw, rows, protocol, reference or own)
    labels = vocabulary.encode(rows)
    return Dataset(rows, features, labels, _balance(rows), raw.left_out), own


def _standardised(
    raw: Features, rows: pd.DataFrame, protocol: Protocol, reference: Moments
) -> Features:
    if protocol.normalisation == "utterance":
        return standardise_utterances(raw, reference)
    if protocol.target_access == "nothing":
        # Nothing of the target may be known, so everyone is measured by the source.
        return standardise(raw, rows["corpus"], reference=reference)
    groups = rows["corpus"]
    if protocol.normalisation == "speaker":
        groups = rows["speaker"].fillna(rows["corpus"])
    return standardise(raw, groups)


def _balance(rows: pd.DataFrame) -> Tensor:
    """Every corpus counts alike, and in it every emotion; unknown emotions count nothing."""
    known = rows["emotion"].notna()
    group = rows["corpus"].str.cat(rows["emotion"].fillna(""), sep="\n")
    size = group.map(group[known].value_counts()).astype(float)
    weight = (1 / size).where(known, 0.0).to_numpy(dtype=np.float32)
    total = float(weight.sum())
    return torch.from_numpy(weight * (known.sum() / total) if total else weight)
