"""Layers pooled over stretches of time while the model runs, so that no layer's frames outlive the next layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class StreamingPool:
    r"""Mean, and standard deviation if wanted, of each stretch's frames, layer after layer.

    A batch's stretches are a matrix of averages :math:`W \in [B, S, T]`, so that a layer's means are one product,

    .. math:: m = W h, \qquad s = \sqrt{W (h - \bar h)^2 - (m - \bar h)^2},

    with :math:`\bar h` the utterance's own mean, around which squares lose no digits. Sums are taken in float32.

    Args:
        bounds: For each utterance its stretches' first frame and the frame after their last, int64 [S_i, 2]; or what
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
        self._average: Tensor | None = None
        self._values: list[Tensor | None] = [None] * layers

    def __call__(self, layer: int, hidden: Tensor, mask: Tensor) -> None:
        """Pool a layer's hidden states [B, T, D], of which those in the mask [B, T] count."""
        with torch.autocast(hidden.device.type, enabled=False):
            self._pool(layer, hidden, mask)

    def _pool(self, layer: int, hidden: Tensor, mask: Tensor) -> None:
        if self._average is None:
            self._average = self._averages(mask)
        frames = hidden.float()
        if not self.std:
            self._values[layer] = (self._average @ frames)[self._inside]
            return
        centre = self._whole @ frames  # [B, 1, D]
        mean = self._average @ (frames - centre)
        spread = self._average @ (frames - centre).square() - mean.square()
        pooled = torch.cat([mean + centre, spread.clamp_min(0).sqrt()], -1)
        self._values[layer] = pooled[self._inside]

    def _averages(self, mask: Tensor) -> Tensor:
        self.bounds = list(self._given(mask) if callable(self._given) else self._given)
        most = max(len(b) for b in self.bounds)
        first = torch.zeros(len(self.bounds), most, 1, dtype=torch.int64)
        last = torch.zeros_like(first)
        for i, b in enumerate(self.bounds):
            first[i, : len(b), 0], last[i, : len(b), 0] = b[:, 0], b[:, 1]
        time = torch.arange(mask.shape[1], device=mask.device)
        held = (time >= first.to(mask.device)) & (time < last.to(mask.device)) & mask[:, None]
        count = held.sum(-1, keepdim=True)
        self._inside, self._count = count[..., 0] > 0, count[..., 0]
        self._whole = mask.float()[:, None] / mask.sum(-1).clamp_min(1)[:, None, None]
        return held / count.clamp_min(1)

    def values(self) -> list[tuple[Tensor, Tensor]]:
        """What has been pooled: for each utterance [S_i, L, C], and which of its stretches had frames, bool [S_i].

        A stretch none of whose frames counts is left out.

        Raises:
            ValueError: A layer is still to come.
        """
        done = [v for v in self._values if v is not None]
        if len(done) < self.layers or self._average is None:
            raise ValueError(f"found {len(done)} layers pooled, expected {self.layers}")
        inside = self._inside.cpu()
        pooled = torch.stack(done, 1).cpu().split(inside.sum(-1).tolist())
        kept = [inside[i, : len(b)] for i, b in enumerate(self.bounds)]
        return list(zip(pooled, kept, strict=True))

    def counts(self) -> list[Tensor]:
        """How many frames each of these stretches is made of, int64 [S_i] for each utterance."""
        inside = self._inside.cpu()
        return list(self._count.cpu()[inside].split(inside.sum(-1).tolist()))
