"""Utterances ready for batching: rows, labels as integers, and where their features stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cleser.corpora.attributes import attributes_of
from cleser.features.pooled import Features
from cleser.features.recolouring import Recolouring, covariances, recolouring
from cleser.features.sentences import measure_sentences
from cleser.features.stored import BLOCK
from cleser.models.batch import Batch
from cleser.training.reading import Excerpt, ExcerptRequest
from cleser.training.sources import (
    WITH_TOKENS,
    ContentRemovedSource,
    FeatureSource,
    RecolouredSource,
    Source,
)
from cleser.training.vocabulary import Vocabulary  # noqa: F401  (where users import it from)

if TYPE_CHECKING:
    from cleser.training.audio import AudioEncoder, WaveformBatch


@dataclass
class Dataset:
    """Utterances ready for batching: rows, labels, and where their features stand.

    A subset is other rows and positions of the same source; no features are copied.

    Attributes:
        manifest: Rows of the utterances, in order; recordings that could not be used are gone.
        source: Source of their features.
        labels: Integers [N] by name; −1 is unknown. ``attributes`` are numbers [N, A]; NaN is unknown.
        phonemes: Integers by name of phoneme, for batches' tokens.
        weight: Weights [N], one on average: every (corpus, emotion) counts alike.
        left_out: Recordings that could not be used.
        at: Position of each utterance in the source, int64 [N]; by default one after another.
        tokens: Whether batches hold tokens.
    """

    manifest: pd.DataFrame
    source: Source
    labels: dict[str, Tensor]
    phonemes: Mapping[str, int]
    weight: Tensor
    left_out: list[dict[str, str]]
    at: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    tokens: bool = True

    def __post_init__(self) -> None:
        if not len(self.at):
            self.at = torch.arange(len(self.manifest))

    def __len__(self) -> int:
        return len(self.manifest)

    @property
    def shape(self) -> tuple[int, int]:
        """Layers L and channels C of the features."""
        return self.source.shape

    @property
    def at_once(self) -> int:
        """Number of utterances to recognise together."""
        return min(self.source.at_once, WITH_TOKENS) if self.tokens else self.source.at_once

    def subset(self, manifest: pd.DataFrame) -> Dataset:
        """The utterances that also stand in another manifest, with its emotions (which may be blank)."""
        rows, index, labels = picked(self, manifest)
        return replace(self, manifest=rows, labels=labels, weight=balance(rows), at=self.at[index])

    def sample(self, most: int, *, seed: int = 0) -> Dataset:
        """At most so many of the utterances, drawn at random and in their order; the same for the same seed."""
        if len(self) <= most:
            return self
        drawn = np.random.default_rng(seed).choice(len(self), most, replace=False)
        return self.subset(self.manifest.iloc[np.sort(drawn)])

    @classmethod
    def join(cls, datasets: Sequence[Dataset]) -> Dataset:
        """Several datasets as one; corpora and emotions are balanced over all of it."""
        rows = pd.concat([d.manifest for d in datasets], ignore_index=True)
        first, *others = (d.source for d in datasets)
        shifts = np.cumsum([0, *(len(d.source) for d in datasets[:-1])]).tolist()
        return cls(
            manifest=rows,
            source=first.join(others),
            labels={n: torch.cat([d.labels[n] for d in datasets]) for n in datasets[0].labels},
            phonemes=datasets[0].phonemes,
            weight=balance(rows),
            left_out=[problem for d in datasets for problem in d.left_out],
            at=torch.cat([d.at + s for d, s in zip(datasets, shifts, strict=True)]),
            tokens=datasets[0].tokens,
        )

    def labelled(self, found: Mapping[str, Tensor]) -> Dataset:
        """The same utterances with labels that have been found, beside their own or in place of these."""
        return replace(self, labels={**self.labels, **found})

    def weighted(self, weight: Tensor) -> Dataset:
        """The same utterances with other weights [N] in a supervised loss."""
        return replace(self, weight=weight)

    def encoded_by(self, encoder: AudioEncoder) -> Dataset:
        """The same utterances, encoded by this encoder where they are recordings."""
        return replace(self, source=self.source.encoded_by(encoder))

    def before_training(self) -> Dataset:
        """The same utterances as the backbone heard them before it was trained: features kept on disk."""
        return replace(self, source=self.source.before_training())

    def wanted(
        self, index: Sequence[int] | Tensor, crop: float | None = None, seeds: tuple[int, ...] = ()
    ) -> ExcerptRequest | None:
        """What has to be read of the recordings at these positions; None where there is nothing to decode.

        Args:
            index: Positions of the utterances.
            crop: Longest stretch of a recording, in seconds; None for whole recordings.
            seeds: Seeds that decide, with the position, where in its recording a stretch lies.
        """
        if self.source.excerpts is None:
            return None
        at = torch.as_tensor(index, dtype=torch.long)
        return ExcerptRequest(self.at[at].tolist(), crop, [(*seeds, i) for i in at.tolist()])

    def load(
        self,
        index: Sequence[int] | Tensor,
        *,
        tokens: bool = True,
        read: Sequence[Excerpt] | None = None,
    ) -> Batch | WaveformBatch:
        """The utterances at these positions as a batch, or on their way to one where they are recordings.

        Args:
            index: Positions of the utterances.
            tokens: Whether tokens are wanted beside the summaries.
            read: What has been read of the recordings already; by default all of them is read now.
        """
        at = torch.as_tensor(index, dtype=torch.long)
        wanted = self.wanted(at)
        if read is None and wanted is not None and self.source.excerpts is not None:
            read = self.source.excerpts.read(wanted)
        loaded = self.source.load(self.at[at], tokens=tokens and self.tokens, read=read or ())
        labels = {name: values[at] for name, values in self.labels.items()}
        if not isinstance(loaded, Features):
            return replace(loaded, labels=labels, weight=self.weight[at])
        known = [self.phonemes.get(phone, -1) for phone in loaded.phones]
        return Batch(
            tokens=loaded.tokens,
            offsets=loaded.offsets,
            summaries=loaded.summaries,
            labels=labels,
            phonemes=torch.tensor(known, dtype=torch.long),
            weight=self.weight[at],
        )

    def batch(self, index: Sequence[int] | Tensor, *, tokens: bool = True) -> Batch:
        """The utterances at these positions as a batch; recordings as the backbone hears them now, without gradients.

        Args:
            index: Positions of the utterances.
            tokens: Whether tokens are wanted beside the summaries.
        """
        loaded = self.load(index, tokens=tokens)
        return loaded if isinstance(loaded, Batch) else loaded.encoded()

    def without_sentences(self, sentences: pd.Series[str]) -> Dataset:
        """The same utterances, with the mean of the sentence that each says taken off its summary.

        Args:
            sentences: The N sentences; of an utterance with NA nothing is taken off.

        Raises:
            ValueError: The utterances are recordings, not stored features.
        """
        features = self._stored("what is said can be taken off")
        codes, offsets = measure_sentences(
            sentences, lambda at: self.batch(at, tokens=False).summaries, self.shape
        )
        sentence = torch.full((len(self.source),), -1).scatter(0, self.at, codes)
        return replace(self, source=ContentRemovedSource(features, sentence, offsets.float()))

    def recolouring(self, onto: Dataset, layers: Sequence[int], *, ridge: float) -> Recolouring:
        """Maps that move each of the utterances' corpora onto other utterances, so that covariances are alike.

        Args:
            onto: The other utterances, unlabelled.
            layers: The layers that are moved.
            ridge: λ, see :func:`cleser.features.recolouring.recolouring`.
        """
        of_target = covariances(onto.summary_blocks(), layers)
        groups, maps = [], []
        for corpus, rows in self.manifest.groupby("corpus", sort=True):
            of_corpus = covariances(self.subset(rows).summary_blocks(), layers)
            groups.append(str(corpus))
            maps.append(recolouring(of_corpus, of_target, ridge=ridge).float())
        return Recolouring(list(layers), groups, torch.stack(maps))

    def recoloured(self, by: Recolouring) -> Dataset:
        """The same utterances, those of the recolouring's corpora moved.

        Raises:
            ValueError: The utterances are recordings, not stored features.
        """
        features = self._stored("covariances can be changed")
        number = {name: i for i, name in enumerate(by.groups)}
        codes = torch.tensor([number.get(name, -1) for name in self.manifest["corpus"]])
        group = torch.full((len(self.source),), -1).scatter(0, self.at, codes)
        return replace(self, source=RecolouredSource(features, group, by))

    def _stored(self, what: str) -> FeatureSource:
        """The source, where that is of features that are there already."""
        if not isinstance(self.source, FeatureSource):
            raise ValueError(f"found recordings, expected stored features, of which {what}")
        return self.source

    def summaries(self) -> Tensor:
        """Summary statistics of all, standardised, [N, L, C] on the CPU."""
        found = torch.empty(len(self), *self.shape)
        first = 0
        for block in self.summary_blocks():
            found[first : first + len(block)] = block
            first += len(block)
        return found

    def summary_blocks(self) -> Iterator[Tensor]:
        """Summaries of all utterances, a bounded number at a time."""
        for at in torch.arange(len(self)).split(BLOCK):
            yield self.batch(at, tokens=False).summaries.float().cpu()


def picked(
    dataset: Dataset, manifest: pd.DataFrame
) -> tuple[pd.DataFrame, Tensor, dict[str, Tensor]]:
    """Rows, positions and labels of a dataset's utterances that also stand in a manifest, with its emotions."""
    at = pd.Index(dataset.manifest["utterance"]).get_indexer(manifest["utterance"])
    rows = manifest[at >= 0].reset_index(drop=True)
    index = torch.from_numpy(at[at >= 0])
    labels = {name: values[index] for name, values in dataset.labels.items()}
    unknown = torch.tensor(rows["emotion"].isna().to_numpy(dtype=bool))  # bool of no rows, too
    labels["emotion"] = labels["emotion"].masked_fill(unknown, -1)
    if "votes" in labels:
        labels["votes"] = labels["votes"].masked_fill((labels["emotion"] < 0)[:, None], 0)
    if "attributes" in labels:
        blank = np.isnan(attributes_of(rows)).all(1)
        labels["attributes"] = labels["attributes"].masked_fill(
            torch.from_numpy(blank)[:, None], torch.nan
        )
    return rows, index, labels


def balance(rows: pd.DataFrame) -> Tensor:
    """Weights by which every emotion of every corpus counts alike: one on average where it is known, zero elsewhere.

    Corpora with the same emotions thus count alike. One with fewer emotions counts less: otherwise these would count
    more than those that it lacks.

    Returns:
        [N], float32.
    """
    known = rows["emotion"].notna()
    group = rows["corpus"].str.cat(rows["emotion"].fillna(""), sep="\n")
    size = group.map(group[known].value_counts()).astype(float)
    weight = (1 / size).where(known, 0.0).to_numpy(dtype=np.float32)
    total = float(weight.sum())
    return torch.from_numpy(weight * np.float32(known.sum() / total) if total else weight)


def by_corpus(dataset: Dataset) -> list[Tensor]:
    """Masks of the utterances of each corpus, bool [N] each."""
    corpus = dataset.labels["corpus"]
    return [corpus == code for code in corpus.unique()]
