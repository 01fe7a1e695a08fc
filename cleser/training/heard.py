"""A dataset's features from its recordings: read when they are asked for, and encoded by a backbone that learns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pandas as pd
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cleser.alignment import Alignment
from cleser.alignment.packed import PackedAlignments
from cleser.corpora.protocol import Protocol
from cleser.features.normalisation import Moments
from cleser.features.pooled import Record
from cleser.speech.backbones import Backbone
from cleser.training.audio import AudioEncoder, Sounds
from cleser.training.dataset import Dataset, Vocabulary, load_dataset
from cleser.training.reading import Excerpt, Excerpts
from cleser.training.sources import Stored

AT_ONCE: Final = (
    32  # recordings that are recognised together: a backbone's layers are larger than what is kept
)


@dataclass(repr=False)
class Heard:
    """Recordings, encoded each time they are asked for.

    Attributes:
        excerpts: Reads them.
        stored: Their features by the backbone as it was before training, with the statistics that features are
            standardised by.
        encoder: What turns recordings into features now; None before a network is there.
    """

    excerpts: Excerpts
    stored: Stored
    encoder: AudioEncoder | None = None
    at_once = AT_ONCE

    @property
    def shape(self) -> tuple[int, int]:
        """Layers L and channels C of the features."""
        return self.stored.shape

    def __len__(self) -> int:
        return len(self.excerpts)

    def load(self, at: Tensor, *, tokens: bool = True, read: Sequence[Excerpt] = ()) -> Sounds:
        """What has been read of the recordings at some positions, to be encoded; with tokens in any case."""
        waves = [torch.from_numpy(one.wave) for one in read]
        standards = self.stored.standards
        content = standards.content
        corpora = content.corpus[at].tolist()
        by_phone = {
            corpus: {phone: content.table[i] for phone, i in content.rows[corpus].items()}
            for corpus in set(corpora)
        }
        return Sounds(
            pad_sequence(waves, batch_first=True),
            torch.tensor([len(w) for w in waves]),
            [one.alignment for one in read],
            [by_phone[corpus] for corpus in corpora],
            Moments(*(m[standards.group[at]] for m in standards.moments)),
            encoder=self.encoder,
        )

    def before_training(self) -> Stored:
        """Stored features by the backbone as it was before it was trained."""
        return self.stored

    def encoded_by(self, encoder: AudioEncoder) -> Heard:
        """The same recordings, encoded by this."""
        return replace(self, encoder=encoder)

    def join(self, others: Sequence[Heard]) -> Heard:
        """These and others, one after another."""
        excerpts = Excerpts.join([self.excerpts, *(o.excerpts for o in others)])
        return Heard(excerpts, self.stored.join([o.stored for o in others]), self.encoder)


def load_audio_dataset(
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
) -> tuple[Dataset, Moments]:
    """As :func:`cleser.training.dataset.load_dataset`, for recordings that are encoded while training.

    The backbone goes over all recordings once, or reads what it made of them before, for the statistics that
    features are standardised by and to find out which recordings can be used. Batches hold tokens in any case.
    """
    dataset, typical = load_dataset(
        manifest, protocol, vocabulary, backbone, title=title, alignments=alignments,
        reference=reference, distrusted=distrusted,
    )  # fmt: skip
    stored = dataset.source
    assert isinstance(stored, Stored)
    phones = alignments if alignments is not None else [None] * len(manifest)
    rows = dataset.manifest
    excerpts = Excerpts(
        rows["path"].tolist(),
        rows["start"].tolist(),
        rows["end"].tolist(),
        PackedAlignments(phones[i] for i in stored.features.rows),
        backbone.rate,
    )
    return replace(dataset, source=Heard(excerpts, stored), tokens=True), typical
