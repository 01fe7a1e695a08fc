"""The datasets that an experiment learns from and tests on: the utterances of a cast, prepared as its protocol says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import pandas as pd
import torch

from cleser.alignment import Alignment
from cleser.corpora.protocol import Cast, Parts, Protocol
from cleser.experiments.access import alignments_used
from cleser.experiments.one_sided import (
    OneSidedness,
    choose_normalisation,
    fit_one_sidedness,
    speakers_of_one_emotion,
)
from cleser.experiments.sentence_check import (
    SentenceCheck,
    fit_sentence_check,
    remove_target_content,
    said_in,
    sentences_of_one_emotion,
    sentences_taken_off,
)
from cleser.features.moments import Moments
from cleser.speech.backbones import Backbone
from cleser.speech.backbones.fine_tuning import FineTuning
from cleser.training.dataset import Dataset
from cleser.training.from_manifest import (
    knows_phones,
    load_dataset,
    phones_of,
    record_for,
    summaries_of,
)
from cleser.training.vocabulary import Vocabulary


class Data:
    """The datasets of a cast; the target's recordings are opened only when the target is first used.

    Args:
        cast: The utterances that take part.
        backbone: Turns recordings into frames.
        auxiliary: Whether auxiliary corpora are learned from too.
        tuning: Whether and how the backbone is trained, and utterances are then read from audio.
        alignments: Folder of alignments.
        tokens: Whether batches need tokens beside the summaries.
        workers: Number of processes that decode recordings in advance.

    Attributes:
        protocol: The cast's protocol, in which the normalisation ``"auto"`` is settled.
        vocabulary: Names behind the integers of labels.
        seen: Dataset that is learned from, with the development speakers of all seeds.
        moments: Statistics of the features of ``seen``.
        one_sided: Decides ``normalisation="auto"`` for a target; None where nothing is to be decided.
        sentences: Decides whether sentences' means are taken off the target; None where none are taken off the source.
        notes: Sentences that a reader of the results has to know.
    """

    def __init__(
        self,
        cast: Cast,
        backbone: Backbone,
        *,
        auxiliary: bool,
        tuning: FineTuning | None = None,
        alignments: str | None = None,
        tokens: bool = True,
        workers: int = 0,
    ) -> None:
        self.cast, self.backbone, self.alignments = cast, backbone, alignments
        self.tokens, self.workers = tokens, workers
        self.tuning = tuning or FineTuning()
        self.notes: list[str] = []
        rows = pd.concat([cast.source, cast.auxiliary] if auxiliary else [cast.source])
        rows = rows.drop_duplicates("utterance", ignore_index=True)
        phones = phones_of(rows, alignments)
        terms = cast.protocol
        self.vocabulary = Vocabulary.of(terms.classes, rows, phones, terms.regressed)
        self.record = record_for(terms, tokens=self.heard_tokens, phones=self.knows_phones)
        self.one_sided = self._one_sidedness(rows, phones)
        self.protocol = self._settle_normalisation()
        self.seen, self.moments = self._load_source(rows, phones)
        self.sentences: SentenceCheck | None = None
        hears_words = backbone.content_layer is not None and not self.tuning.from_audio
        # Without classes there are no sentences of one emotion, which the check asks for.
        if self.protocol.removes_content and hears_words and terms.classes:
            self._remove_sentences_of_source()

    def _one_sidedness(
        self, rows: pd.DataFrame, phones: Sequence[Alignment | None]
    ) -> OneSidedness | None:
        """What decides ``normalisation="auto"`` for a target, where statistics of the target may be used."""
        terms = self.cast.protocol
        if terms.normalisation != "auto" or not terms.transductive:
            return None
        found = summaries_of(rows, self.backbone, phones, title="source", record=self.record)
        return fit_one_sidedness(*found, terms.labels)

    def _settle_normalisation(self) -> Protocol:
        """The terms, in which ``"auto"`` is decided."""
        heard = self.target_phones if self.one_sided is not None else []
        protocol, note = choose_normalisation(
            self.cast.protocol, self.one_sided, self.cast.heard, self.backbone, heard, self.record
        )
        if note:
            self.notes.append(note)
        return protocol

    def _load_source(
        self, rows: pd.DataFrame, phones: Sequence[Alignment | None]
    ) -> tuple[Dataset, Moments]:
        """What is learned from, and the statistics of its features."""
        single = speakers_of_one_emotion(rows) if self.protocol.normalisation == "shrunk" else []
        if single:
            self.notes.append(
                f"{len(single)} labelled speakers show one emotion each and get their corpus' statistics: "
                f"{_some_of(single)}"
            )
        return load_dataset(
            rows, self.protocol, self.vocabulary, self.backbone,
            title="source", alignments=phones, distrusted=single, record=self.record,
            tokens=self.tokens, from_audio=self.tuning.from_audio,
        )  # fmt: skip

    def _remove_sentences_of_source(self) -> None:
        """Take off what is said where sentences are repeated, but for those that show one emotion each."""
        said = said_in(self.seen, self.backbone)
        single = sentences_of_one_emotion(self.seen.manifest, said)
        if single:
            self.notes.append(
                f"{len(single)} labelled sentences show one emotion each and are left as they are: "
                f"{_some_of(single)}"
            )
        bare = self.seen.without_sentences(said.mask(said.isin(single)))
        self.sentences = fit_sentence_check(self.seen, bare, len(self.vocabulary.emotions))
        self.seen = bare

    @property
    def shape(self) -> tuple[int, int]:
        """Layers and channels of the features."""
        if self.tuning.from_audio:
            return self.backbone.n_layers, 2 * self.backbone.dim  # mean and standard deviation
        return self.seen.shape

    @property
    def heard_tokens(self) -> bool:
        """Whether tokens are needed; from audio they always are, for their statistics."""
        return self.tokens or self.tuning.from_audio

    @cached_property
    def knows_phones(self) -> bool:
        """Whether somebody may know when the source's phones sound."""
        return knows_phones(self.cast.source, self.alignments)

    @cached_property
    def prior(self) -> tuple[float, ...]:
        """The class shares that the protocol assumes of the target."""
        labels, prior = self.cast.protocol.classes, self.cast.protocol.prior
        if prior == "uniform":
            return tuple(1 / len(labels) for _ in labels)
        if prior == "source":
            counts = self.cast.source["emotion"].value_counts()
            prior = {str(name): float(counts[name]) for name in labels}
        assert isinstance(prior, dict)
        return tuple(prior.get(name, 0.0) / sum(prior.values()) for name in labels)

    @cached_property
    def target_phones(self) -> Sequence[Alignment | None]:
        """The alignments of the target, where there are any; no recording is opened to read them."""
        return phones_of(self.cast.heard, self.alignments)

    @property
    def alignments_used(self) -> bool | str:
        """Which alignments of the target are used, in words with a digest."""
        return alignments_used(self.target_phones, self.cast.heard, self.record)

    @property
    def taken_off(self) -> str:
        """How the sentences are known whose means were taken off the target, in words with a digest."""
        return (
            "none" if self.sentences is None else sentences_taken_off(self.target, self.cast.heard)
        )

    @cached_property
    def target(self) -> Dataset:
        """Every target utterance, tested or heard."""
        target, _ = load_dataset(
            self.cast.heard, self.protocol, self.vocabulary, self.backbone,
            title="target", alignments=self.target_phones, reference=self.moments, record=self.record,
            tokens=self.tokens, from_audio=self.tuning.from_audio,
        )  # fmt: skip
        if self.sentences is not None:
            target, note = remove_target_content(target, self.sentences, self.backbone)
            self.notes.append(note)
        if "votes" in self.seen.labels and "votes" not in target.labels:
            # Nobody voted there; whoever learns from the target's utterances learns from one emotion each.
            nobody = torch.zeros(len(target), len(self.vocabulary.emotions))
            target = target.labelled({"votes": nobody})
        return target

    def learned(self, parts: Parts) -> Dataset:
        """The utterances that a seed learns from: source and auxiliary, and the target's share for an oracle."""
        rows = pd.concat([parts.train, parts.auxiliary], ignore_index=True)
        seen = self.seen.subset(rows)
        if self.cast.protocol.target_access != "labels":
            return seen
        return Dataset.join([seen, self.target.subset(rows)])


def _some_of(names: Sequence[str]) -> str:
    """The first of some names, for a note."""
    return f"{', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
