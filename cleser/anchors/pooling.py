"""Frames pooled over the phones that they belong to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pool_phones(
    frames: Tensor | Sequence[Tensor], bounds: Sequence[Tensor], *, std: bool = False
) -> Tensor:
    r"""Mean (and standard deviation) of the frames of each phone.

    .. math:: m_s = \frac{1}{e_s - b_s} \sum_{t = b_s}^{e_s - 1} x_t

    Differentiable; half-precision frames are summed in float32.

    Args:
        frames: A padded batch [B, T, D], or one tensor [T_i, D] per utterance.
        bounds: For each utterance its phones' first frame and the frame after their last, int64 [S_i, 2].
        std: Append the standard deviation (of the population).

    Returns:
        [S, D] with S = ΣS_i phones, utterance after utterance; [S, 2D] with ``std``. A phone without
        frames is zero.

    Raises:
        ValueError: A phone reaches outside its utterance, or the two arguments differ in length.

    >>> frames = torch.tensor([[[1.0], [3.0], [5.0]]])
    >>> pool_phones(frames, [torch.tensor([[0, 2], [2, 3]])]).flatten().tolist()
    [2.0, 5.0]
    """
    if len(frames) != len(bounds):
        raise ValueError(f"found {len(frames)} utterances and bounds of {len(bounds)}")
    for i, (x, b) in enumerate(zip(frames, bounds, strict=True)):
        if len(b) and (
            int(b.min()) < 0 or int(b[:, 1].max()) > len(x) or (b[:, 1] < b[:, 0]).any()
        ):
            raise ValueError(
                f"bounds[{i}] = {b.tolist()} do not lie within the utterance's {len(x)} frames"
            )
    starts = [0]
    for x in frames:
        starts.append(starts[-1] + len(x))
    flat = frames.flatten(0, 1) if isinstance(frames, Tensor) else torch.cat(list(frames))
    absolute = torch.cat([b + s for b, s in zip(bounds, starts, strict=False)])
    lengths = absolute[:, 1] - absolute[:, 0]
    # Phones may overlap or leave gaps: list every phone's frames, then add each to its phone.
    phone = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
    first = torch.repeat_interleave(absolute[:, 0] - (lengths.cumsum(0) - lengths), lengths)
    picked = flat[first + torch.arange(len(first), device=first.device)]
    wide = torch.float32 if picked.dtype in (torch.float16, torch.bfloat16) else picked.dtype
    picked = picked.to(wide)
    count = lengths.clamp_min(1)[:, None].to(wide)

    def mean(values: Tensor) -> Tensor:
        return values.new_zeros(len(lengths), values.shape[-1]).index_add(0, phone, values) / count

    pooled = mean(picked)
    if std:
        # Around the mean, since E[x²] − E[x]² loses all digits where the spread is small.
        variance = mean((picked - pooled[phone]).square())
        deviation = torch.where(variance > 0, variance, 1).sqrt() * (variance > 0)
        pooled = torch.cat([pooled, deviation], -1)
    return pooled.to(flat.dtype)


def uniform_bounds(count: int, length: int) -> Tensor:
    """Cut ``count`` frames into equal stretches of about ``length`` frames, int64 [S, 2].

    >>> uniform_bounds(7, 3).tolist()
    [[0, 3], [3, 7]]
    """
    pieces = max(1, round(count / max(length, 1)))
    edges = torch.arange(pieces + 1) * count // pieces
    return torch.stack([edges[:-1], edges[1:]], 1)
