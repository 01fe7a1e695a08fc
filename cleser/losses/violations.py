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

from cleser.tracing import functional


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
    order, is_positive, is_negative = _ascending(keys, positive, negative)
    before = is_positive.to(keys.dtype).cumsum_(1)
    negatives = is_negative.to(keys.dtype).cumsum_(1)
    after = negatives[:, -1:] - negatives
    sorted_counts = torch.where(is_negative, before, torch.where(is_positive, -after, 0))
    total = sorted_counts.clamp_min(0).sum(1).double().sum()
    return torch.empty_like(sorted_counts).scatter_(1, order, sorted_counts), total


def _ascending(keys: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Order of each row, int64 [N, M], and who is positive and negative in that order.

    Of equal keys positives come last: a tie is no violation. What is neither has counts of zero, wherever it stands.
    """
    if keys.dtype == torch.float32 and not functional():  # whose transforms see into no bits
        return _ascending_packed(keys, positive, negative)
    last = torch.sort(positive.to(torch.uint8), dim=1, stable=True).indices
    order = last.gather(1, torch.sort(keys.gather(1, last), dim=1, stable=True).indices)
    return order, positive.gather(1, order), negative.gather(1, order)


def _ascending_packed(
    keys: Tensor, positive: Tensor, negative: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same by a sort of integers that hold key, marks and column: many times faster than a sort with indices."""
    bits = (keys + 0.0).view(torch.int32)  # + 0.0 because −0 equals 0, but has other bits
    column = torch.arange(keys.shape[1], device=keys.device, dtype=torch.int32)
    marked = torch.where(negative, column | _NEGATIVE, column)
    marked = torch.where(positive, column | _POSITIVE, marked)
    packed = torch.stack([marked, bits ^ ((bits >> 31) & _VALUE)], dim=-1).view(torch.int64)
    packed = packed.squeeze(-1)
    if keys.device.type == "cpu" and not torch.compiler.is_compiling():
        packed.numpy().sort(axis=1)  # NumPy's sort is vectorised
    else:
        packed = packed.sort(dim=1).values
    marked = packed.unsqueeze(-1).view(torch.int32)[..., 0].contiguous()
    order = (marked & ~(_POSITIVE | _NEGATIVE)).long()
    return order, marked < 0, (marked & _NEGATIVE) != 0


_VALUE = 0x7FFFFFFF
"""All bits but the sign: negative floats order like integers once these are flipped."""
_POSITIVE, _NEGATIVE = -(2**31), 2**30
"""Marks above the column in the lower half, as int32; within int64 that half counts as unsigned: positives are last."""
