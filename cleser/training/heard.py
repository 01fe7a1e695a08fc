"""A dataset's features from its recordings: read when they are asked for, and encoded by a backbone that learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import pandas as pd
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cleser.alignment import Alignment
from cleser.alignment.packed import PackedAlignments
from cleser.features.moments import Moments
from cleser.training.audio import AudioEncoder, WaveformBatch
from cleser.training.reading import Excerpt, Excerpts
from cleser.training.sharding import is_sharded
from cleser.training.sources import StoredSource

# Recordings that are recognised together: a backbone's layers are larger than what is kept.
AT_ONCE: Final = 32


@dataclass(repr=False)
class RecordingSource:
    """Recordings, encoded each time they are asked for.

    Attributes:
        excerpts: Reads them.
        stored: Their features by the backbone as it was before training, with the statistics that features are
            standardised by.
        encoder: What turns recordings into features now; None before a network is there.
    """

    excerpts: Excerpts
    stored: StoredSource
    encoder: AudioEncoder | None = None
    at_once = AT_ONCE

    @classmethod
    def of(
        cls,
        rows: pd.DataFrame,
        alignments: Sequence[Alignment | None],
        rate: int,
        stored: StoredSource,
    ) -> RecordingSource:
        """The recordings of a manifest.

        Args:
            rows: Their paths, and where in them the utterances begin and end.
            alignments: When each one's phones sound, where that is known.
            rate: Sampling rate that the backbone wants, in Hz.
            stored: Their features before training.
        """
        paths, starts, ends = (rows[name].tolist() for name in ("path", "start", "end"))
        return cls(Excerpts(paths, starts, ends, PackedAlignments(alignments), rate), stored)

    @property
    def shape(self) -> tuple[int, int]:
        """Layers L and channels C of the features."""
        return self.stored.shape

    @property
    def shared_out(self) -> bool:
        """Whether each process encodes a share. A block whose weights are spread over processes takes all of them."""
        return self.encoder is not None and not is_sharded(self.encoder.backbone)

    def __len__(self) -> int:
        return len(self.excerpts)

    def load(
        self, at: Tensor, *, tokens: bool = True, read: Sequence[Excerpt] = ()
    ) -> WaveformBatch:
        """What has been read of the recordings at some positions, to be encoded; with tokens in any case."""
        waves = [torch.from_numpy(one.wave) for one in read]
        standards = self.stored.standards
        content = standards.content
        return WaveformBatch(
            waveforms=pad_sequence(waves, batch_first=True),
            lengths=torch.tensor([len(w) for w in waves]),
            alignments=[one.alignment for one in read],
            content=[content.rows[corpus] for corpus in content.corpus[at].tolist()],
            moments=Moments(*(m[standards.group[at]] for m in standards.moments)),
            encoder=self.encoder,
            table=content.with_zero,
        )

    def before_training(self) -> StoredSource:
        """Stored features by the backbone as it was before it was trained."""
        return self.stored

    def encoded_by(self, encoder: AudioEncoder) -> RecordingSource:
        """The same recordings, encoded by this encoder."""
        return replace(self, encoder=encoder)

    def join(self, others: Sequence[RecordingSource]) -> RecordingSource:
        """These recordings and others, one after another."""
        excerpts = Excerpts.join([self.excerpts, *(o.excerpts for o in others)])
        return RecordingSource(excerpts, self.stored.join([o.stored for o in others]), self.encoder)
