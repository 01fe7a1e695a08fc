"""Dropout of many values: on a processor, drawing each by itself would take longer than the layers after it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_MANY = 1 << 20  # values from which on drawing them takes milliseconds


class InputDropout(nn.Dropout):
    r"""Dropout as :class:`torch.nn.Dropout` does it, but for a million values or more on a processor.

    There eight values share one random number of 64 bits, a byte each: a value is dropped where its byte is less than
    round(256 p), and the others are scaled so that the mean stays. p is then a multiple of 1/256.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop values of x, of any shape, in training."""
        if not self.training or not self.p or x.device.type != "cpu" or x.numel() < _MANY:
            return super().forward(x)
        threshold = round(256 * self.p)
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64)
        kept = words.random_(-(1 << 63), None).view(torch.uint8)[: x.numel()] >= threshold
        # By way of int8, whose conversion is vectorised where that of bool is not.
        mask = kept.view(torch.int8).to(x.dtype).mul_(256 / (256 - threshold)).view_as(x)
        return x * mask if x.requires_grad else mask.mul_(x)
