"""Dropout of many values: on a processor, drawing each by itself would take longer than the layers after it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cleser.memory import empty

_MANY = 1 << 16  # values from which on drawing them takes longer than the layer after it
_PIECE = 1 << 17  # values at a time, whose mask stays in the processor's cache


class InputDropout(nn.Dropout):
    r"""Dropout as :class:`torch.nn.Dropout` does it, but for 65,536 values or more on a processor.

    There eight values share one random number of 64 bits, a byte each: a value is dropped where its byte is less than
    round(256 p), and the others are scaled so that the mean stays. p is then a multiple of 1/256. Where
    that would be 0 or 1, values are drawn as torch does.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop values of x, of any shape, in training."""
        threshold = round(256 * self.p)
        drawn = 0 < threshold < 256  # with fewer or more nothing or all would be dropped
        if not self.training or not drawn or x.device.type != "cpu" or x.numel() < _MANY:
            return super().forward(x)
        dropped = empty(tuple(x.shape), x.dtype)
        pieces = (t.reshape(-1).split(_PIECE) for t in (dropped, x.detach()))
        for piece, values in zip(*pieces, strict=True):
            words = torch.empty(-(-len(piece) // 8), dtype=torch.int64).random_(-(1 << 63), None)
            # As numbers, whose comparison is vectorised where that of bytes is not.
            piece.copy_(words.view(torch.uint8)[: len(piece)]).ge_(threshold)
            piece.mul_(256 / (256 - threshold))
            if not x.requires_grad:
                piece.mul_(values)
        return x * dropped if x.requires_grad else dropped
