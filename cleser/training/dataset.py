"""From a protocol's utterances to batches: features extracted, standardised as agreed, labels as integers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from cleser.alignment import Alignment
from cleser.alignment.folder import pack_alignments
from cleser.corpora.attributes import ATTRIBUTES, attributes_of
from cleser.corpora.protocol import Protocol
from cleser.corpora.votes import vote_columns, votes_of
from cleser.features.joined import JoinedFeatures
from cleser.features.normalisation import Moments, Shrinkage
from cleser.features.pooled import Features, Record
from cleser.features.recolouring import Recolouring, covariances, recolouring
from cleser.features.sentences import offsets_of, repeated
from cleser.features.standards import Standards, measure
from cleser.features.stored import BLOCK, StoredFeatures, store_features
from cleser.models.batch import Batch
from cleser.progress import console, track
from cleser.speech.audio import SHORTEST
from cleser.speech.backbones import Backbone
from cleser.training.heard import Heard
from cleser.training.processes import processes
from cleser.training.reading import Excerpt, Wanted
from cleser.training.sources import WITH_TOKENS, Bare, Recoloured, Source, Stored

if TYPE_CHECKING:
    from cleser.training.audio import AudioEncoder, Sounds


class NothingUsableError(ValueError):
    """None of some recordings can be used.

    Attributes:
        left_out: The reason for each recording: ``{"path": …, "reason": …}``.
    """

    def __init__(self, said: str, left_out: list[dict[str, str]]) -> None:
        super().__init__(said)
        self.left_out = left_out


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
    ) -> Wanted | None:
        """What has to be read of the recordings at these positions; None where there is nothing to decode.

        Args:
            index: Positions of the utterances.
            crop: Longest stretch of a recording, in seconds; None for whole recordings.
            seeds: Seeds that decide, with the position, where in its recording a stretch lies.
        """
        if self.source.excerpts is None:
            return None
        at = torch.as_tensor(index, dtype=torch.long)
        return Wanted(self.at[at].tolist(), crop, [(*seeds, i) for i in at.tolist()])

    def load(
        self,
        index: Sequence[int] | Tensor,
        *,
        tokens: bool = True,
        read: Sequence[Excerpt] | None = None,
    ) -> Batch | Sounds:
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

    def without_sentences(self, sentences: pd.Series[str], *, strength: float = 5.0) -> Dataset:
        """The same utterances, with the mean of the sentence that each says taken off its summary.

        Args:
            sentences: The N sentences; of an utterance with NA nothing is taken off.
            strength: κ, see :func:`cleser.features.sentences.offsets_of`.
        """
        codes, size = repeated(sentences)
        total = torch.zeros(len(size), *self.shape, dtype=torch.float64)
        for at in (codes >= 0).nonzero()[:, 0].split(BLOCK):
            total.index_add_(0, codes[at], self.batch(at, tokens=False).summaries.double())
        sentence = torch.full((len(self.source),), -1).scatter(0, self.at, codes)
        features: Any = self.source  # recordings have no sentences taken off: these are of features
        source = Bare(features, sentence, offsets_of(total, size, strength).float())
        return replace(self, source=source)

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
        """The same utterances, those of the recolouring's corpora moved."""
        number = {name: i for i, name in enumerate(by.groups)}
        codes = torch.tensor([number.get(name, -1) for name in self.manifest["corpus"]])
        group = torch.full((len(self.source),), -1).scatter(0, self.at, codes)
        features: Any = self.source  # recordings are not moved: these are features
        return replace(self, source=Recoloured(features, group, by))

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


def phones_of(manifest: pd.DataFrame, folder: str | None = None) -> Sequence[Alignment | None]:
    """When each utterance's phones sound, as far as that is known.

    Args:
        manifest: The utterances. Where the corpus itself knows its phones, as the synthetic one does, a column
            ``phones`` holds them.
        folder: Alignment files of all corpora, see :func:`cleser.alignment.load_alignments`; None for what
            the manifest says.
    """
    if not knows_phones(manifest, folder):
        return [None] * len(manifest)
    found = pack_alignments(manifest, folder)
    if found.said:
        console.print(f"alignments: {found.said}", style="dim")
    return found


def knows_phones(manifest: pd.DataFrame, folder: str | None = None) -> bool:
    """Whether somebody may know when phones sound: there are alignment files, or the corpus itself says it.

    Args:
        manifest: The utterances.
        folder: Alignment files of all corpora, as for :func:`phones_of`.
    """
    return folder is not None or "phones" in manifest


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
    record: Record | None = None,
    tokens: bool = True,
    from_audio: bool = False,
) -> tuple[Dataset, Moments]:
    """Extract and standardise the features of some utterances.

    Args:
        manifest: The utterances.
        protocol: Protocol that says how to standardise.
        vocabulary: Turns labels into integers.
        backbone: Turns recordings into frames.
        title: Text beside the progress bar.
        alignments: When each utterance's phones sound, where that is known.
        reference: Statistics of the source, for utterances that the protocol does not let be standardised
            by their own corpus; their own by default.
        distrusted: Speakers whose statistics would be those of an emotion, see
            :class:`cleser.features.normalisation.Shrinkage`.
        record: What is kept of an utterance.
        tokens: Whether batches hold tokens.
        from_audio: Whether batches are encoded anew from the recordings, by a backbone that learns, and then hold
            tokens in any case. The features found here say how to standardise, and which recordings can be used.

    Returns:
        The dataset, and the statistics of its features before standardisation (a reference for others).

    Raises:
        NothingUsableError: None of the recordings can be used.
    """
    stored = stored_features(manifest, backbone, alignments, title=title, record=record)
    rows = manifest.iloc[stored.rows].reset_index(drop=True)
    standards, own = standards_of(stored, rows, protocol, reference, distrusted)
    labels = vocabulary.encode(rows)
    phonemes = {name: i for i, name in enumerate(vocabulary.phonemes)}
    kept = Stored(stored, standards)
    source: Source = kept
    if from_audio:
        phones = [alignments[i] if alignments is not None else None for i in stored.rows]
        source = Heard.of(rows, phones, backbone.rate, kept)
    dataset = Dataset(
        rows, source, labels, phonemes, balance(rows), stored.left_out, tokens=tokens or from_audio
    )
    return dataset, own


def record_for(protocol: Protocol, *, tokens: bool, phones: bool) -> Record:
    """What the store has to keep of utterances.

    Args:
        protocol: Protocol that says whether what is said is taken out, for which tokens are needed too.
        tokens: Whether batches hold tokens.
        phones: Whether anybody says when phones sound.
    """
    return Record("phone" if tokens or (phones and protocol.removes_content) else "none")


def stored_features(
    manifest: pd.DataFrame,
    backbone: Backbone,
    alignments: Sequence[Alignment | None] | None,
    *,
    title: str,
    record: Record | None = None,
) -> StoredFeatures | JoinedFeatures:
    """The features of some utterances in the cache's store, extracted where they are not there yet.

    Raises:
        NothingUsableError: None of the recordings can be used.
        ValueError: Tokens are wanted of several backbones.
    """
    views, record = backbone.views, record or Record()
    if len(views) > 1 and record.tokens != "none":
        raise ValueError(
            f"{' and '.join(view.name for view in views)} together describe whole utterances, and phones are wanted: "
            "take one backbone, or a recipe that needs none, without alignments and without training the backbone"
        )

    def announce(said: str) -> None:
        console.print(f"{title}: {said}", style="dim", highlight=False)

    with track(title, len(views) * len(manifest)) as advance:
        found = [
            store_features(
                manifest, view, alignments=alignments, record=record, advance=advance,
                announce=announce, device=processes().device, shortest=SHORTEST,
            )
            for view in views
        ]  # fmt: skip
    stored = found[0] if len(views) == 1 else JoinedFeatures.of(found)
    if not len(stored):
        reasons = "; ".join(f"{p['path']}: {p['reason']}" for p in stored.left_out[:3])
        raise NothingUsableError(
            f"{title}: none of {len(manifest)} recordings can be used ({reasons})", stored.left_out
        )
    return stored


def standards_of(
    stored: StoredFeatures | JoinedFeatures,
    rows: pd.DataFrame,
    protocol: Protocol,
    reference: Moments | None = None,
    distrusted: Collection[str] = (),
) -> tuple[Standards, Moments]:
    """Statistics by which features are standardised under a protocol, see :func:`cleser.features.standards.measure`."""
    # Groups are None where nothing of the target may be known: the source measures everyone.
    return measure(
        stored,
        rows,
        groups_of(rows, protocol),
        lexical=protocol.removes_content,
        alone=protocol.normalisation == "utterance",
        reference=reference,
        shrinkage=shrinkage_of(rows, protocol, distrusted),
    )


class SummaryBlocks:
    """Utterance statistics [n, L, C] as they were extracted, a block of utterances at a time."""

    def __init__(self, stored: StoredFeatures | JoinedFeatures) -> None:
        self._stored = stored

    def __iter__(self) -> Iterator[Tensor]:
        for raw, _ in self._stored.blocks(tokens=False):
            yield raw.summaries


def summaries_of(
    manifest: pd.DataFrame,
    backbone: Backbone,
    phones: Sequence[Alignment | None],
    *,
    title: str,
    record: Record | None = None,
) -> tuple[SummaryBlocks, pd.DataFrame]:
    """Utterance statistics as they were extracted, and the rows of the manifest that they describe."""
    stored = stored_features(manifest, backbone, phones, title=title, record=record)
    return SummaryBlocks(stored), manifest.iloc[stored.rows].reset_index(drop=True)


def groups_of(rows: pd.DataFrame, protocol: Protocol) -> pd.Series[str] | None:
    """The group that each utterance shares statistics with; None where only the source may have any."""
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
