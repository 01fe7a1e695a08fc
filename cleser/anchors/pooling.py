"""Frames pooled over the phones that they belong to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


def pool_phones(
    frames: Tensor | Sequence[Tensor], bounds: Sequence[Tensor], *, std: bool = False
) -> Tensor:
    r"""Mean (and standard deviation) of the frames of each phone.

    .. math:: m_s = \frac{1}{e_s - b_s} \sum_{t = b_s}^{e_s - 1} x_t

    Differentiable in the frames, on any device. The sums read each frame once and keep float32 for frames of half
    precision; float16 frames cannot overflow in them.

    Args:
        frames: A padded batch [B, T, D], or one tensor [T_i, D] per utterance.
        bounds: For each utterance its phones' first frame and the frame after their last, int64 [S_i, 2]. Phones may
            overlap and leave frames out. They may stay on the CPU when the frames are on another device.
        std: Append the standard deviation (of the population), computed around the mean.

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
    if not len(frames):
        raise ValueError("found no utterances, expected at least one")
    if isinstance(frames, Tensor):
        return _pool(frames.flatten(0, 1), _absolute([frames.shape[1]] * len(frames), bounds), std)
    if frames[0].device.type == "cpu":
        # One by one: joining them first would move every frame once more than reading does.
        spans = [
            _absolute([len(x)], [b], i) for i, (x, b) in enumerate(zip(frames, bounds, strict=True))
        ]
        return torch.cat([_pool(x, b, std) for x, b in zip(frames, spans, strict=True)])
    return _pool(torch.cat(list(frames)), _absolute([len(x) for x in frames], bounds), std)


def _absolute(lengths: Sequence[int], bounds: Sequence[Tensor], number: int = 0) -> Tensor:
    """The bounds [S, 2] in frames from the first utterance's first, once they are known to lie within."""
    device = bounds[0].device
    phones = torch.tensor([len(b) for b in bounds], device=device)
    limits = torch.tensor(lengths, device=device)
    spans = torch.cat([b.reshape(-1, 2) for b in bounds])
    within = torch.repeat_interleave(limits, phones)
    wrong = (spans[:, 0] < 0) | (spans[:, 1] > within) | (spans[:, 1] < spans[:, 0])
    if wrong.any():
        first = int(wrong.nonzero()[0])
        i = int((phones.cumsum(0) <= first).sum())
        raise ValueError(
            f"bounds[{number + i}] = {bounds[i].tolist()} do not lie within the utterance's "
            f"{lengths[i]} frames"
        )
    return spans + torch.repeat_interleave(limits.cumsum(0) - limits, phones)[:, None]


def _pool(flat: Tensor, spans: Tensor, std: bool) -> Tensor:
    """Pool frames [N, D] over the spans [S, 2]."""
    lengths = spans[:, 1] - spans[:, 0]
    ends = lengths.cumsum(0)
    # Phones may overlap or leave gaps: every phone lists its frames.
    phone = torch.repeat_interleave(torch.arange(len(spans), device=spans.device), lengths)
    index = torch.arange(len(phone), device=spans.device) + (spans[:, 0] - ends + lengths)[phone]
    lengths, offsets, phone, index = (
        x.to(flat.device, non_blocking=True) for x in (lengths, ends - lengths, phone, index)
    )
    mean = _mean(flat, index, offsets, lengths, phone)
    if not std:
        return mean.to(flat.dtype)
    wide = torch.float32 if flat.dtype.itemsize < 4 else flat.dtype
    # Around the mean, since E[x²] − E[x]² loses all digits where the spread is small.
    apart = (flat[index].to(wide) - mean.to(wide)[phone]).square()
    everyone = torch.arange(len(index), device=index.device)
    variance = _mean(apart, everyone, offsets, lengths, phone)
    deviation = torch.where(variance > 0, variance, 1).sqrt() * (variance > 0)
    return torch.cat([mean, deviation], -1).to(flat.dtype)


def _mean(x: Tensor, index: Tensor, offsets: Tensor, lengths: Tensor, phone: Tensor) -> Tensor:
    """Mean over each phone of the rows of ``x`` that it lists; these are added up in float32 or wider."""
    share = 1 / lengths.clamp_min(1).to(torch.float32 if x.dtype.itemsize < 4 else x.dtype)
    if x.dtype.itemsize < 4:
        # A sum may not fit float16, so that each row is weighed on its way into it.
        weights = share.to(x.dtype)[phone]
        return embedding_bag(index, x, offsets, mode="sum", per_sample_weights=weights)
    return embedding_bag(index, x, offsets, mode="sum") * share[:, None]


def uniform_bounds(count: int, length: int) -> Tensor:
    """Cut ``count`` frames into equal stretches of about ``length`` frames, int64 [S, 2].

    >>> uniform_bounds(7, 3).tolist()
    [[0, 3], [3, 7]]
    """
    pieces = max(1, round(count / max(length, 1)))
    edges = torch.arange(pieces + 1) * count // pieces
    return torch.stack([edges[:-1], edges[1:]], 1)
