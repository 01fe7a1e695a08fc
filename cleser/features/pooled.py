"""Features of utterances: tokens and summaries, the mean and the standard deviation of their frames in every layer.

A *token* is a short stretch of speech with one feature vector per layer; a *summary* is the same over the whole
utterance. Tokens are phones where an alignment says when each sounds, and stretches of equal length elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from cleser.alignment import Alignment
from cleser.anchors.pooling import uniform_bounds

TOKEN = 0.1  # seconds of a token where phones are not known
Tokens = Literal["phone", "uniform", "none"]


@dataclass(frozen=True)
class Features:
    """Tokens and summaries of many utterances.

    Attributes:
        utterances: Their ids, in order.
        tokens: [S, L, C], all utterances' tokens one after another.
        offsets: Where each utterance's tokens begin, int64 [N + 1].
        summaries: [N, L, C].
        phones: IPA symbol of each token [S], empty where no alignment says it.
        left_out: Recordings that could not be used: ``{"path": …, "reason": …}``.
        sizes: Frames in each token, int64 [S]; of features as they were extracted, else None.
        frames: Frames that count in each utterance, int64 [N], those between its phones too; likewise.

    >>> features = Features(["a", "b"], torch.tensor([[[1.0]], [[3.0]], [[5.0]]]), torch.tensor([0, 2, 3]),
    ...                     torch.tensor([[[2.0]], [[5.0]]]), ["h", "a", "o"])
    >>> features.pick(torch.tensor([1])).phones, Features.join([features, features]).offsets.tolist()
    (['o'], [0, 2, 3, 5, 6])
    """

    utterances: list[str]
    tokens: Tensor
    offsets: Tensor
    summaries: Tensor
    phones: list[str]
    left_out: list[dict[str, str]] = field(default_factory=list)
    sizes: Tensor | None = None
    frames: Tensor | None = None

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def shape(self) -> tuple[int, int]:
        """Layers L and channels C."""
        _, layers, channels = self.summaries.shape
        return layers, channels

    def pick(self, at: Tensor) -> Features:
        """Some utterances, by position."""
        counts = self.offsets.diff()[at]
        offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
        first = (self.offsets[at] - offsets[:-1]).repeat_interleave(counts)
        tokens = first + torch.arange(len(first))
        return replace(
            self,
            utterances=[self.utterances[i] for i in at.tolist()],
            tokens=self.tokens[tokens],
            offsets=offsets,
            summaries=self.summaries[at],
            phones=[self.phones[i] for i in tokens.tolist()],
            sizes=None if self.sizes is None else self.sizes[tokens],
            frames=None if self.frames is None else self.frames[at],
        )

    @classmethod
    def join(cls, parts: Sequence[Features]) -> Features:
        """Join several, one after another."""
        counts = torch.cat([p.offsets.diff() for p in parts])
        sizes = [p.sizes for p in parts if p.sizes is not None]
        frames = [p.frames for p in parts if p.frames is not None]
        return cls(
            utterances=[name for p in parts for name in p.utterances],
            tokens=torch.cat([p.tokens for p in parts]),
            offsets=torch.nn.functional.pad(counts.cumsum(0), (1, 0)),
            summaries=torch.cat([p.summaries for p in parts]),
            phones=[phone for p in parts for phone in p.phones],
            left_out=[problem for p in parts for problem in p.left_out],
            sizes=torch.cat(sizes) if len(sizes) == len(parts) else None,
            frames=torch.cat(frames) if len(frames) == len(parts) else None,
        )

    def without_tokens(self) -> Features:
        """The summaries alone."""
        none = torch.zeros(len(self) + 1, dtype=torch.long)
        sizes = None if self.sizes is None else self.sizes[:0]
        return replace(self, tokens=self.tokens[:0], offsets=none, phones=[], sizes=sizes)


@dataclass(frozen=True)
class Record:
    """What a store keeps of an utterance for training: its summary in the first row, then its tokens.

    Attributes:
        tokens: ``"phone"``, the phones of an alignment, and stretches of equal length where an utterance has none;
            ``"uniform"``, such stretches everywhere; ``"none"``, the summary alone.
        length: Length of such a stretch, in seconds.
        std: Whether the standard deviation of the frames follows their mean.

    Raises:
        ValueError: A stretch has no length.

    >>> str(Record()), str(Record(tokens="none", std=False))
    ('utterance and tokens, 0.1 s or phones, mean+std', 'utterance mean')
    """

    tokens: Tokens = "phone"
    length: float = TOKEN
    std: bool = True

    def __post_init__(self) -> None:
        if not self.length > 0:
            raise ValueError(f"length is {self.length} s, expected more than 0")

    def __str__(self) -> str:
        # Phones or equal stretches: an utterance's key says which, so that both may stand in one store.
        tokens = "" if self.tokens == "none" else f" and tokens, {self.length:g} s or phones,"
        return f"utterance{tokens} mean{'+std' * self.std}"

    def phones(self, alignment: Alignment | None) -> Alignment | None:
        """The alignment, as far as it decides what is kept."""
        wanted = self.tokens == "phone" and alignment is not None and not alignment.uniform
        return alignment if wanted else None

    def rows(self, seconds: float, alignment: Alignment | None) -> int:
        """How many rows an utterance has, about."""
        if self.tokens == "none":
            return 1
        known = self.phones(alignment)
        return 1 + (max(1, round(seconds / self.length)) if known is None else len(known))

    def stretches(
        self, mask: Tensor, alignment: Alignment | None, frame_rate: float
    ) -> tuple[Tensor, list[str]]:
        """First frame of each row and the frame after its last, int64 [1 + S, 2], and the rows' labels.

        Args:
            mask: Frames of the utterance that count, bool [T] on the CPU.
            alignment: Phones in time.
            frame_rate: Frames a second.
        """
        counting = mask.nonzero()[:, 0]
        if not len(counting):
            return torch.empty(0, 2, dtype=torch.int64), []
        whole = torch.tensor([[0, len(mask)]])
        if self.tokens == "none":
            return whole, [""]
        length = round(self.length * frame_rate)
        within, phones = token_bounds(mask, self.phones(alignment), frame_rate, length)
        # Bounds among the frames that count, as bounds among all: those between do not count.
        tokens = torch.stack([counting[within[:, 0]], counting[within[:, 1] - 1] + 1], 1)
        return torch.cat([whole, tokens]), ["", *phones]


def token_bounds(
    mask: Tensor, alignment: Alignment | None, frame_rate: float, length: int
) -> tuple[Tensor, list[str]]:
    """Where tokens begin and end among the frames that count.

    Args:
        mask: Frames that count, bool [T].
        alignment: Phones in time; None, or a uniform one, for stretches of equal length.
        frame_rate: Frames a second.
        length: Length of a uniform token, in frames.

    Returns:
        Bounds int64 [S, 2] among the frames of the mask, and the symbol of each token.

    >>> mask = torch.tensor([False, True, True, True])
    >>> bounds, phones = token_bounds(mask, Alignment([0.0, 0.2], [0.2, 0.4], "pa"), 10, 1)
    >>> bounds.tolist(), phones
    ([[0, 1], [1, 3]], ['p', 'a'])
    """
    if alignment is not None and not alignment.uniform:
        before = torch.nn.functional.pad(mask.cumsum(0), (1, 0))
        bounds = before[torch.from_numpy(alignment.bounds(frame_rate, len(mask)))]
        sounding = bounds[:, 1] > bounds[:, 0]
        if sounding.any():
            phones = [p for p, s in zip(alignment.phones, sounding.tolist(), strict=True) if s]
            return bounds[sounding], phones
    bounds = uniform_bounds(int(mask.sum()), length)
    return bounds, [""] * len(bounds)
