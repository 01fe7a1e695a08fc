r"""How many triplets each pair violates, without listing a triplet.

The hinge of a triplet is linear where it is positive. With V the violating triplets,

.. math::

    \sum_{(a, p, n) \in V} (s_{an} - s_{ap} + m) = \sum_{a, j} C_{aj} s_{aj} + m |V|, \qquad
    C_{aj} = \underbrace{|\{p : (a, p, j) \in V\}|}_{\text{if } j \text{ is a negative}}
           - \underbrace{|\{n : (a, j, n) \in V\}|}_{\text{if } j \text{ is a positive}}

so that counts are all that is needed, for the value and for the gradient, which is C itself. Sorting an anchor's row
by s for positives and s + m for negatives gives them: a triplet is violated where the negative comes after the
positive. Time is O(N² log N), memory O(N²), for what are O(N³) triplets.
"""

from __future__ import annotations

import torch
from torch import Tensor


def count_violations(
    similarity: Tensor, positive: Tensor, negative: Tensor, margin: float, *, disjoint: bool = False
) -> tuple[Tensor, Tensor]:
    """Signed counts of violated triplets per pair, and how many there are.

    Args:
        similarity: [N, M], rows are anchors.
        positive: bool [N, M].
        negative: bool [N, M].
        margin: m; a triplet is violated where s_an + m > s_ap.
        disjoint: Promises that no pair is both positive and negative, which halves the work.

    Returns:
        C [N, M] in the similarities' dtype, and |V|.

    >>> s = torch.tensor([[0.9, 0.3, 0.8, 0.1]])
    >>> positive = torch.tensor([[True, True, False, False]])
    >>> counts, total = count_violations(s, positive, ~positive, 0.2)
    >>> counts.tolist(), int(total)
    ([[-1.0, -1.0, 2.0, 0.0]], 2)
    """
    similarity = similarity.detach()
    if not disjoint:
        none = torch.zeros_like(positive)
        counts, total = count_violations(
            similarity.repeat(1, 2),
            torch.cat([positive, none], 1),
            torch.cat([none, negative], 1),
            margin,
            disjoint=True,
        )
        as_positive, as_negative = counts.chunk(2, 1)
        return as_positive + as_negative, total
    keys = torch.where(negative, similarity + margin, similarity)
    keys = keys.masked_fill(~(positive | negative), torch.inf)
    # A tie is no violation: of equal keys the positive comes last.
    order = _ascending(keys, last=positive)
    is_positive, is_negative = positive.gather(1, order), negative.gather(1, order)
    before = is_positive.to(keys.dtype).cumsum(1)
    after = is_negative.to(keys.dtype).flip(1).cumsum(1).flip(1)
    sorted_counts = before * is_negative - after * is_positive
    total = (before * is_negative).sum(dtype=torch.float64)
    return torch.empty_like(keys).scatter_(1, order, sorted_counts), total


def _ascending(keys: Tensor, *, last: Tensor) -> Tensor:
    """The order of each row, int64 [N, M]; of equal keys those marked ``last`` come last."""
    if keys.dtype != torch.float32:
        first = torch.sort(last.to(torch.uint8), dim=1, stable=True).indices
        return first.gather(1, torch.sort(keys.gather(1, first), dim=1, stable=True).indices)
    # Value, tie mark and column in one integer: sorting values alone is many times faster than sorting with indices.
    bits = (keys + 0.0).view(torch.int32)  # + 0.0 because −0 equals 0, but has other bits
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    column = torch.arange(keys.shape[1], device=keys.device)
    packed = (ordered.to(torch.int64) << 32) | (last.to(torch.int64) << 31) | column
    if keys.device.type == "cpu" and not torch.compiler.is_compiling():
        packed.numpy().sort(axis=1)  # NumPy's sort is vectorised
    else:
        packed = packed.sort(dim=1).values
    return packed & 0x7FFFFFFF
