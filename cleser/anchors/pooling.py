"""Frames pooled over the phones that they belong to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

_MANY = 1 << 20  # values from which on compiled loops pay


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
    size = frames.shape[1] if isinstance(frames, Tensor) else None
    lengths = [len(x) for x in frames] if size is None else len(frames) * [size]
    spans = _checked(lengths, bounds)
    if _compiled_loops_pay(frames, std):
        return _pool_by_loops(frames, spans, [len(b) for b in bounds], std)
    if not isinstance(frames, Tensor) and frames[0].device.type == "cpu":
        # One by one: joining them first would move every frame once more than reading does.
        pairs = zip(frames, spans.split([len(b) for b in bounds]), strict=True)
        return torch.cat([_pool(x, own, std) for x, own in pairs])
    starts = torch.tensor([0, *lengths[:-1]], device=spans.device).cumsum(0)
    phones = torch.tensor([len(b) for b in bounds], device=spans.device)
    spans = spans + torch.repeat_interleave(starts, phones)[:, None]
    flat = frames.flatten(0, 1) if isinstance(frames, Tensor) else torch.cat(list(frames))
    return _pool(flat, spans, std)


def _checked(lengths: Sequence[int], bounds: Sequence[Tensor]) -> Tensor:
    """All bounds [S, 2], once they are known to lie within their utterances."""
    spans = torch.cat([b.reshape(-1, 2) for b in bounds])
    phones = torch.tensor([len(b) for b in bounds], device=spans.device)
    within = torch.repeat_interleave(torch.tensor(lengths, device=spans.device), phones)
    wrong = (spans[:, 0] < 0) | (spans[:, 1] > within) | (spans[:, 1] < spans[:, 0])
    if wrong.any():
        i = int((phones.cumsum(0) <= int(wrong.nonzero()[0])).sum())
        raise ValueError(
            f"bounds[{i}] = {bounds[i].tolist()} do not lie within the utterance's "
            f"{lengths[i]} frames"
        )
    return spans


def _compiled_loops_pay(frames: Tensor | Sequence[Tensor], std: bool) -> bool:
    """Whether there is much on the CPU, no gradient to keep, and no half precision that tensors sum as fast."""
    if torch.compiler.is_compiling() or (frames[0].dtype.itemsize < 4 and not std):
        return False
    parts = [frames] if isinstance(frames, Tensor) else frames
    kept = torch.is_grad_enabled() and any(x.requires_grad for x in parts)
    on_cpu = all(x.device.type == "cpu" for x in parts)
    return on_cpu and not kept and sum(x.numel() for x in parts) >= _MANY


def _pool_by_loops(
    frames: Tensor | Sequence[Tensor], spans: Tensor, sizes: Sequence[int], std: bool
) -> Tensor:
    """Pool each utterance's frames [T_i, D] over as many of the spans [S, 2] as are its."""
    from cleser.anchors.moments import moments  # noqa: PLC0415  (compiles when called)

    dtype = frames[0].dtype
    wide = torch.promote_types(dtype, torch.float32)
    rows = _array(frames, wide) if isinstance(frames, Tensor) else None
    pairs = spans.cpu().to(torch.int64).numpy()
    # Memory of NumPy: it asks for huge pages, without which new memory costs more than the work.
    kind = np.float64 if wide == torch.float64 else np.float32
    pooled = np.empty((len(spans), frames[0].shape[-1] * (1 + std)), dtype=kind)
    number = torch.get_num_threads()
    # A few utterances are cut, unless each piece would have to convert its utterance's frames.
    pieces = _pieces(sizes, 1 if rows is None else -(-number // len(sizes)))

    def pool(some: Sequence[tuple[int, slice]]) -> None:
        for i, own in some:
            moments(_array(frames[i], wide) if rows is None else rows[i], pairs[own], pooled[own])

    # The caller does a share, and threads that stay do the others: to start some takes as long as to pool.
    shares = [pieces[i::number] for i in range(number)]
    others = [_threads(os.getpid(), number).submit(pool, share) for share in shares[1:]]
    pool(shares[0])
    for other in others:
        other.result()
    return torch.from_numpy(pooled).to(dtype)


def _pieces(sizes: Sequence[int], cuts: int) -> list[tuple[int, slice]]:
    """Which utterance and which of all phones, each utterance's cut into equal stretches."""
    pieces, begin = [], 0
    for i, size in enumerate(sizes):
        edges = [begin + size * cut // cuts for cut in range(cuts + 1)]
        pieces += [(i, slice(*pair)) for pair in pairwise(edges)]
        begin += size
    return pieces


def _array(x: Tensor, dtype: torch.dtype) -> NDArray[Any]:
    array: NDArray[Any] = x.detach().to(dtype).contiguous().numpy()
    return array


@lru_cache(maxsize=1)
def _threads(process: int, number: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(number)


def _pool(flat: Tensor, spans: Tensor, std: bool) -> Tensor:
    """Pool frames [N, D] over the spans [S, 2], differentiably."""
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
