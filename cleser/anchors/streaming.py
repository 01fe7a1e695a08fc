"""Layers pooled over stretches of time while the model runs, so that no layer's frames outlive the next layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

_STRETCHES: Final = 512  # stretches of an utterance that are pooled by one matrix


class _Block(NamedTuple):
    """Some stretches of each utterance, and the frames from the first to the last of theirs.

    Attributes:
        frames: First frame and the one after the last, alike for all utterances.
        average: The stretches' rows of W there, [B, S, T].
    """

    frames: slice
    average: Tensor


class StreamingPool:
    r"""Mean, and standard deviation if wanted, of each stretch's frames, layer after layer.

    A batch's stretches are a matrix of averages :math:`W \in [B, S, T]`, so that a layer's means are one product,

    .. math:: m = W h, \qquad s = \sqrt{W (h - \bar h)^2 - (m - \bar h)^2},

    with :math:`\bar h` the utterance's own mean, around which squares lose no digits. Sums are taken in float32. Most
    of W is zero in a long recording; its rows are taken some hundred at a time, and their columns from the first frame
    to the last that any of them holds, so that memory grows with the recording and not with its square.

    Args:
        bounds: Each utterance's stretches: their first frame and the frame after their last, int64 [S_i, 2]; or what
            gives them for the mask of the first layer that comes, bool [B, T].
        layers: How many there will be.
        std: Append the standard deviation (of the population).
    """

    def __init__(
        self,
        bounds: Sequence[Tensor] | Callable[[Tensor], Sequence[Tensor]],
        layers: int,
        *,
        std: bool = False,
    ) -> None:
        self._given = bounds
        self.layers = layers
        self.std = std
        self._blocks: list[_Block] = []
        self._values: list[Tensor | None] = [None] * layers

    def __call__(self, layer: int, hidden: Tensor, mask: Tensor) -> None:
        """Pool a layer's hidden states [B, T, D], of which those in the mask [B, T] count."""
        with torch.autocast(hidden.device.type, enabled=False):
            self._pool(layer, hidden, mask)

    def _pool(self, layer: int, hidden: Tensor, mask: Tensor) -> None:
        if not self._blocks:
            self._blocks = self._averages(mask)
        frames = hidden.float()
        centre = self._whole @ frames if self.std else None  # [B, 1, D]
        pooled = [self._means(block, frames[:, block.frames], centre) for block in self._blocks]
        self._values[layer] = torch.cat(pooled, 1).flatten(0, 1).index_select(0, self._places)

    def _means(self, block: _Block, frames: Tensor, centre: Tensor | None) -> Tensor:
        """A block's means [B, S, D], and standard deviations if wanted, of its frames [B, T, D]."""
        if centre is None:
            return block.average @ frames
        mean = block.average @ (frames - centre)
        spread = block.average @ (frames - centre).square() - mean.square()
        return torch.cat([mean + centre, spread.clamp_min(0).sqrt()], -1)

    def _averages(self, mask: Tensor) -> list[_Block]:
        """W for the mask of the frames that count, and what else is known by it."""
        self.bounds = list(self._given(mask) if callable(self._given) else self._given)
        most = max(len(b) for b in self.bounds)
        first = torch.zeros(len(self.bounds), most, 1, dtype=torch.int64)
        last = torch.zeros_like(first)
        for i, b in enumerate(self.bounds):
            first[i, : len(b), 0], last[i, : len(b), 0] = b[:, 0], b[:, 1]
        blocks, counts = [], []
        for starts, ends in zip(first.split(_STRETCHES, 1), last.split(_STRETCHES, 1), strict=True):
            there = starts < ends  # an utterance may have fewer stretches than another
            begin, end = (0, 0)
            if there.any():
                begin, end = int(starts[there].min()), int(ends[there].max())
            frames = slice(min(begin, mask.shape[1]), min(end, mask.shape[1]))
            time = torch.arange(frames.start, frames.stop, device=mask.device)
            held = (time >= starts.to(mask.device)) & (time < ends.to(mask.device))
            held &= mask[:, None, frames]
            counts.append(held.sum(-1, keepdim=True))
            blocks.append(_Block(frames, held / counts[-1].clamp_min(1)))
        # Where stretches have frames is looked up once, for all layers: a mask makes a GPU wait.
        self._count = torch.cat(counts, 1)[..., 0].cpu()
        self._inside = self._count > 0
        self._places = self._inside.flatten().nonzero()[:, 0].to(mask.device)
        self._whole = mask.float()[:, None] / mask.sum(-1).clamp_min(1)[:, None, None]
        return blocks

    def values(self) -> list[tuple[Tensor, Tensor]]:
        """What has been pooled: for each utterance [S_i, L, C], and which of its stretches had frames, bool [S_i].

        A stretch none of whose frames counts is left out.

        Raises:
            ValueError: A layer is still to come.
        """
        done = [v for v in self._values if v is not None]
        if len(done) < self.layers or not self._blocks:
            raise ValueError(f"found {len(done)} layers pooled, expected {self.layers}")
        pooled = torch.stack(done, 1).cpu().split(self._inside.sum(-1).tolist())
        kept = [self._inside[i, : len(b)] for i, b in enumerate(self.bounds)]
        return list(zip(pooled, kept, strict=True))

    def counts(self) -> list[Tensor]:
        """How many frames each of these stretches is made of, int64 [S_i] for each utterance."""
        return list(self._count[self._inside].split(self._inside.sum(-1).tolist()))
