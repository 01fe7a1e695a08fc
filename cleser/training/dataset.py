"""From a protocol's utterances to batches: features extracted, standardised as agreed, labels as integers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cleser.alignment import Alignment, load_alignments
from cleser.corpora.protocol import Protocol
from cleser.features.lexical import LexicalContent
from cleser.features.normalisation import (
    Moments,
    Shrinkage,
    moments,
    standardise,
    standardise_utterances,
)
from cleser.features.pooled import SHARD, Features, extract_features
from cleser.models.batch import Batch
from cleser.progress import console, track
from cleser.speech.backbones import Backbone


@dataclass
class Dataset:
    """Utterances ready for batching.

    Attributes:
        manifest: Their rows, in order; recordings that could not be used are gone.
        features: Standardised, in the same order.
        labels: Integers [N] by name; −1 is unknown.
        phonemes: Integers [S], one a token; −1 is unknown.
        weight: [N], one on average: every (corpus, emotion) counts alike.
        left_out: Recordings that could not be used.
    """

    manifest: pd.DataFrame
    features: Features
    labels: dict[str, Tensor]
    phonemes: Tensor
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
            phones=[self.features.phones[i] for i in self._tokens(index)[0].tolist()],
            sizes=None,
            frames=None,
        )
        return Dataset(rows, features, labels, picked.phonemes, balance(rows), self.left_out)

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
            phones=[phone for f in features for phone in f.phones],
        )
        phonemes = torch.cat([d.phonemes for d in datasets])
        names = datasets[0].labels
        labels = {name: torch.cat([d.labels[name] for d in datasets]) for name in names}
        left_out = [problem for d in datasets for problem in d.left_out]
        return cls(rows, joined, labels, phonemes, balance(rows), left_out)

    def batch(self, index: Sequence[int] | Tensor) -> Batch:
        """The utterances at these positions as a batch."""
        at = torch.as_tensor(index, dtype=torch.long)
        tokens, offsets = self._tokens(at)
        return Batch(
            tokens=self.features.tokens[tokens],
            offsets=offsets,
            summaries=self.features.summaries[at],
            labels={name: values[at] for name, values in self.labels.items()},
            phonemes=self.phonemes[tokens],
            weight=self.weight[at],
        )

    def _tokens(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """Positions of some utterances' tokens, and where each of these utterances then begins."""
        starts, lengths = self.features.offsets[at], self.features.offsets.diff()[at]
        offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
        first = (starts - offsets[:-1]).repeat_interleave(lengths)
        return first + torch.arange(len(first)), offsets


@dataclass(frozen=True)
class Vocabulary:
    """Names behind the integers of a run's labels."""

    emotions: tuple[str, ...]
    speakers: tuple[str, ...]
    languages: tuple[str, ...]
    corpora: tuple[str, ...]
    phonemes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        emotions: Sequence[str],
        manifest: pd.DataFrame,
        alignments: Sequence[Alignment | None] = (),
    ) -> Vocabulary:
        """The vocabulary of some utterances and their phones."""
        phones = {
            phone for a in alignments if a is not None and not a.uniform for phone in a.phones
        }

        def known(column: str) -> tuple[str, ...]:
            return tuple(sorted(manifest[column].dropna().unique()))

        return cls(
            tuple(emotions), known("speaker"), known("language"), known("corpus"),
            tuple(sorted(phones)),
        )  # fmt: skip

    def encode(self, manifest: pd.DataFrame) -> dict[str, Tensor]:
        """Labels of a manifest as integers; what the vocabulary does not know is −1."""
        columns = {
            "emotion": self.emotions,
            "speaker": self.speakers,
            "language": self.languages,
            "corpus": self.corpora,
        }
        return {c: _codes(manifest[c], names) for c, names in columns.items()}


def phones_of(manifest: pd.DataFrame, folder: str | None = None) -> list[Alignment | None]:
    """When each utterance's phones sound, as far as that is known.

    Args:
        manifest: The utterances. Where the corpus itself knows its phones, as the synthetic one does, a column
            ``phones`` holds them.
        folder: Alignment files of all corpora, see :func:`cleser.alignment.load_alignments`; None for what
            the manifest says.
    """
    if folder is None and "phones" not in manifest:
        return [None] * len(manifest)
    found = load_alignments(manifest, folder)
    if found.problems or found.notes:
        console.print(f"alignments: {found.summary()}", style="dim")
    return found


def _codes(values: pd.Series[str] | list[str], names: Sequence[str]) -> Tensor:
    return torch.from_numpy(pd.Index(names).get_indexer(pd.Index(values)).astype(np.int64))


def load_dataset(
    manifest: pd.DataFrame,
    protocol: Protocol,
    vocabulary: Vocabulary,
    backbone: Backbone,
    *,
    title: str,
    alignments: Sequence[Alignment | None] | None = None,
    reference: Moments | None = None,
    distrusted: Collection[str] = (),
) -> tuple[Dataset, Moments]:
    """Extract and standardise the features of some utterances.

    Args:
        manifest: The utterances.
        protocol: Says how to standardise.
        vocabulary: Turns labels into integers.
        backbone: Turns recordings into frames.
        title: What the progress bar says.
        alignments: When each utterance's phones sound, where that is known.
        reference: Statistics of the source, for utterances that the protocol does not let be standardised
            by their own corpus; their own by default.
        distrusted: Speakers whose statistics would be those of an emotion, see :class:`~cleser.speech.Shrinkage`.

    Returns:
        The dataset, and the statistics of its features before standardisation (a reference for others).

    Raises:
        ValueError: None of the recordings can be used.
    """
    with track(title, len(manifest)) as advance:
        raw = extract_features(manifest, backbone, alignments=alignments, advance=advance)
    rows = manifest[manifest["utterance"].isin(set(raw.utterances))].reset_index(drop=True)
    if rows.empty:
        reasons = "; ".join(f"{p['path']}: {p['reason']}" for p in raw.left_out[:3])
        raise ValueError(f"{title}: none of {len(manifest)} recordings can be used ({reasons})")
    if protocol.removes_content:
        content = LexicalContent()
        content.add(raw, rows)
        raw = content.remove(raw, rows)
    own = moments(raw, groups_of(rows, protocol))
    features = _standardised(raw, rows, protocol, reference or own, distrusted)
    labels = vocabulary.encode(rows)
    phonemes = _codes(raw.phones, vocabulary.phonemes)
    return Dataset(rows, features, labels, phonemes, balance(rows), raw.left_out), own


def _standardised(
    raw: Features,
    rows: pd.DataFrame,
    protocol: Protocol,
    reference: Moments,
    distrusted: Collection[str],
) -> Features:
    if protocol.normalisation == "utterance":
        return standardise_utterances(raw, reference)
    groups = groups_of(rows, protocol)
    if groups is None:  # nothing of the target may be known, so everyone is measured by the source
        return standardise(raw, rows["corpus"], reference=reference)
    return standardise(raw, groups, shrinkage=shrinkage_of(rows, protocol, distrusted))


def shards_of(
    manifest: pd.DataFrame,
    backbone: Backbone,
    phones: Sequence[Alignment | None],
    advance: Callable[[int], object] | None = None,
) -> Iterator[tuple[Features, list[int]]]:
    """Features of a bounded number of recordings at a time, and at which rows these stand."""
    every = pd.Index(manifest["utterance"])
    for begin in range(0, len(manifest), SHARD):
        part = slice(begin, begin + SHARD)
        raw = extract_features(
            manifest.iloc[part], backbone, alignments=phones[part], advance=advance
        )
        yield raw, every.get_indexer(pd.Index(raw.utterances)).tolist()


def summaries_of(
    manifest: pd.DataFrame, backbone: Backbone, phones: Sequence[Alignment | None], *, title: str
) -> tuple[Tensor, pd.DataFrame]:
    """Utterance statistics [N, L, C] as they were extracted, and the rows of the manifest that they describe."""
    with track(title, len(manifest)) as advance:
        found = [
            (raw.summaries, at)
            for raw, at in shards_of(manifest, backbone, phones, advance)
            if len(raw)
        ]
    if not found:
        raise ValueError(f"{title}: none of {len(manifest)} recordings can be used")
    kept = [i for _, at in found for i in at]
    return torch.cat([s for s, _ in found]), manifest.iloc[kept].reset_index(drop=True)


def groups_of(rows: pd.DataFrame, protocol: Protocol) -> pd.Series[str] | None:
    """Whom an utterance shares statistics with; None where only the source may have any."""
    if protocol.normalisation == "utterance" or protocol.target_access == "nothing":
        return None
    if protocol.normalisation in ("speaker", "shrunk"):
        return rows["speaker"].fillna(rows["corpus"])
    if protocol.normalisation == "corpus":
        return rows["corpus"]
    raise ValueError(f"normalisation is {protocol.normalisation!r}, which nobody has settled yet")


def shrinkage_of(
    rows: pd.DataFrame, protocol: Protocol, distrusted: Collection[str]
) -> Shrinkage | None:
    """How speakers' statistics are drawn towards their corpus'; None where they are not."""
    groups = groups_of(rows, protocol)
    if protocol.normalisation != "shrunk" or groups is None:
        return None
    return Shrinkage(groups, rows["corpus"], distrusted=distrusted)


def balance(rows: pd.DataFrame) -> Tensor:
    """Every corpus counts alike, and in it every emotion; unknown emotions count nothing."""
    known = rows["emotion"].notna()
    group = rows["corpus"].str.cat(rows["emotion"].fillna(""), sep="\n")
    size = group.map(group[known].value_counts()).astype(float)
    weight = (1 / size).where(known, 0.0).to_numpy(dtype=np.float32)
    total = float(weight.sum())
    return torch.from_numpy(weight * (known.sum() / total) if total else weight)
