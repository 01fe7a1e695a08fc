"""A batch of utterances: their tokens in a row, with offsets, and who and what they are."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass
class Batch:
    """B utterances with S tokens (phones) in all.

    Attributes:
        tokens: [S, L, C].
        offsets: Where each utterance's tokens begin, int64 [B + 1].
        summaries: [B, L, C], statistics of the whole utterance.
        labels: Integers [B] by name (``emotion``, ``speaker``, ``language``, ``corpus``); −1 is unknown. Where they are
            learned, ``attributes`` are numbers [B, A]; NaN is unknown. Where a corpus has them, ``votes`` [B, K] are
            those of annotators for each emotion; 0 is unknown.
        phonemes: Category of each token, int64 [S]; −1 where it is not known.
        weight: How much each utterance counts in a supervised loss, [B], one on average.

    >>> batch = Batch(tokens=torch.zeros(3, 2, 8), offsets=torch.tensor([0, 2, 3]), summaries=torch.zeros(2, 2, 8),
    ...               labels={"emotion": torch.tensor([0, 1])}, phonemes=torch.tensor([5, 6, 5]), weight=torch.ones(2))
    >>> len(batch), batch.token_labels()["emotion"].tolist()
    (2, [0, 0, 1])
    """

    tokens: Tensor
    offsets: Tensor
    summaries: Tensor
    labels: dict[str, Tensor]
    phonemes: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.summaries)

    def token_labels(self) -> dict[str, Tensor]:
        """The utterances' labels and the phoneme, [S] each, for every token."""
        counts = self.offsets.diff()
        spread = {name: values.repeat_interleave(counts, 0) for name, values in self.labels.items()}
        return {**spread, "phoneme": self.phonemes}

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "labels"}
        labels = {name: values.to(device) for name, values in self.labels.items()}
        return Batch(**{k: v.to(device) for k, v in moved.items()}, labels=labels)
