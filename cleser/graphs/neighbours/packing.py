"""A similarity and an item in one whole number, which orders neighbours: the more similar first, ties by item."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

NONE: Final = -(2**63)  # less than any neighbour
LAST: Final = 2**31 - 1  # the greatest number of an item


def pack(similarities: Tensor, items: Tensor) -> Tensor:
    """Neighbours as int64, the nearest the greatest.

    The bits of a float32, those of negative ones but for the sign turned over, are in the order of the numbers; below
    them stands how many items come after.

    >>> keys = pack(torch.tensor([0.5, -0.5, 0.5, 0.0]), torch.tensor([7, 8, 3, 9]))
    >>> unpack(keys.sort(descending=True).values)
    (tensor([ 0.5000,  0.5000,  0.0000, -0.5000]), tensor([3, 7, 9, 8]))
    """
    bits = similarities.float().view(torch.int32).long()
    return (torch.where(bits < 0, bits ^ LAST, bits) << 32) | (LAST - items.long())


def unpack(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Similarities, −∞ where there is no neighbour, and items, −1 where there is none."""
    bits = keys >> 32
    bits = torch.where(bits < 0, bits ^ LAST, bits).int()
    none = keys == NONE
    items = LAST - (keys & 0xFFFFFFFF)
    return bits.view(torch.float32).masked_fill(none, -torch.inf), items.masked_fill(none, -1)
