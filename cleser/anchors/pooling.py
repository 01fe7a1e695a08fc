"""Frames pooled over the phones that they belong to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from cleser.losses.blockwise import tensor_of
from cleser.tracing import functional, transformed

_MANY = 1 << 20  # values from which on compiled loops pay
_SUMMED = (torch.float32, torch.float64, torch.bfloat16)  # as they are, by compiled loops
_SHARES = 8  # pieces of work a thread, so that none waits long for another


def pool_phones(
    frames: Tensor | Sequence[Tensor],
    bounds: Sequence[Any],
    *,
    std: bool = False,
    frame_rate: float | None = None,
) -> Tensor:
    r"""Mean (and standard deviation) of the frames of each phone.

    .. math:: m_s = \frac{1}{e_s - b_s} \sum_{t = b_s}^{e_s - 1} x_t

    Differentiable in the frames, on any device. The sums read each frame once and keep float32 for frames of half
    precision; float16 frames cannot overflow in them.

    Args:
        frames: A padded batch [B, T, D], or one tensor [T_i, D] per utterance.
        bounds: Each utterance's phones: their first frame and the frame after their last, int64 [S_i, 2], as a tensor,
            an array or a list. Phones may overlap and leave frames out. They may stay on the CPU when the frames are
            on another device.
        std: Append the standard deviation (of the population), computed around the mean.
        frame_rate: Frames a second, for bounds [S_i, 2] in seconds, floats: they are rounded to the nearest frame.

    Returns:
        [S, D] with S = ΣS_i phones, utterance after utterance; [S, 2D] with ``std``. A phone without
        frames is zero.

    Raises:
        ValueError: A phone reaches outside its utterance, the two arguments differ in length or hold no utterance,
            bounds are not [S, 2], floats without a frame rate, or integers with one, or the frame rate is not positive.

    >>> frames = torch.tensor([[[1.0], [3.0], [5.0]]])
    >>> pool_phones(frames, [torch.tensor([[0, 2], [2, 3]])]).flatten().tolist()
    [2.0, 5.0]
    """
    if len(frames) != len(bounds):
        raise ValueError(f"found {len(frames)} utterances and bounds of {len(bounds)}")
    if not len(frames):
        raise ValueError("found no utterances, expected at least one")
    if frame_rate is not None and not 0 < frame_rate < float("inf"):
        raise ValueError(
            f"frame_rate is {frame_rate}, expected a positive number of frames a second"
        )
    bounds = [_in_frames(tensor_of(own), i, frame_rate) for i, own in enumerate(bounds)]
    if _compiled_loops_pay(frames):
        return _pool_by_loops(frames, bounds, std)
    lengths = _lengths(frames)
    spans = _checked(lengths, bounds)
    sizes = [len(b) for b in bounds]
    if _one_by_one(frames):
        pairs = zip(frames, np.split(spans, np.cumsum(sizes)[:-1]), strict=True)
        return torch.cat([_pool(x, own, std) for x, own in pairs])
    spans = spans + np.repeat(np.cumsum([0, *lengths[:-1]]), sizes)[:, None]
    flat = frames.flatten(0, 1) if isinstance(frames, Tensor) else torch.cat(list(frames))
    return _pool(flat, spans, std)


def _one_by_one(frames: Tensor | Sequence[Tensor]) -> bool:
    """Whether it is faster to pool utterance by utterance than to join, or to convert, all frames first.

    Both move every frame once more than reading does; a single utterance's float32 stays in the cache.
    """
    if frames[0].device.type != "cpu":
        return False
    if not isinstance(frames, Tensor):
        return True
    half = frames.dtype in (torch.float16, torch.bfloat16)
    return half and not torch.compiler.is_compiling() and frames.numel() >= _MANY


def _in_frames(bounds: Tensor, number: int, rate: float | None) -> Tensor:
    """An utterance's bounds [S, 2] as integers."""
    if bounds.numel() and bounds.shape != (len(bounds), 2):
        shape = tuple(bounds.shape)
        raise ValueError(
            f"bounds[{number}] has shape {shape}, expected [phones, 2]: begins and ends"
        )
    if not bounds.is_floating_point():
        if rate is not None:
            raise ValueError(
                f"bounds[{number}] is of {bounds.dtype}: with a frame_rate, expected floats, in seconds"
            )
        return bounds
    if bounds.numel() and rate is None:
        raise ValueError(
            f"bounds[{number}] is of {bounds.dtype}, expected frames as integers; for seconds, give frame_rate"
        )
    return (bounds * (rate or 1)).round().long()


def _lengths(frames: Tensor | Sequence[Tensor]) -> list[int]:
    if isinstance(frames, Tensor):
        return len(frames) * [frames.shape[1]]
    return [len(x) for x in frames]


def _parts(frames: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return [frames] if isinstance(frames, Tensor) else frames


def _checked(lengths: Sequence[int], bounds: Sequence[Tensor]) -> NDArray[np.int64]:
    """All bounds [S, 2], once they are known to lie within their utterances."""
    spans = np.concatenate([_spans(own) for own in bounds])
    sizes = [len(own) for own in bounds]
    begins, ends = spans.T
    wrong = (begins < 0) | (ends < begins) | (ends > np.repeat(lengths, sizes))
    if wrong.any():
        i = int(np.searchsorted(np.cumsum(sizes), wrong.argmax(), side="right"))
        raise _outside(i, lengths, bounds)
    return spans


def _spans(bounds: Tensor) -> NDArray[np.int64]:
    # In the transforms of torch.func no tensor has memory to share.
    array = np.array(bounds.tolist()) if functional() else bounds.numpy(force=True)
    return np.ascontiguousarray(array.astype(np.int64, copy=False).reshape(-1, 2))


def _outside(i: int, lengths: Sequence[int], bounds: Sequence[Tensor]) -> ValueError:
    return ValueError(
        f"bounds[{i}] = {bounds[i].tolist()} do not lie within the utterance's {lengths[i]} frames"
    )


def _compiled_loops_pay(frames: Tensor | Sequence[Tensor]) -> bool:
    """Whether there is much on the CPU and no gradient to keep."""
    if transformed():
        return False
    parts = _parts(frames)
    kept = torch.is_grad_enabled() and any(x.requires_grad for x in parts)
    on_cpu = all(x.device.type == "cpu" for x in parts)
    return on_cpu and not kept and sum(x.numel() for x in parts) >= _MANY


def _pool_by_loops(
    frames: Tensor | Sequence[Tensor], bounds: Sequence[Tensor], std: bool
) -> Tensor:
    """Pool each utterance's frames [T_i, D]. Few calls: while frames fill the cache each is as slow as many sums."""
    from cleser.anchors.moments import moments  # noqa: PLC0415  (compiles when called)

    dtype, width = frames[0].dtype, frames[0].shape[-1]
    number = torch.get_num_threads()
    # A few utterances are cut, unless each piece would have to convert its utterance's frames.
    converted = dtype not in _SUMMED or not all(x.is_contiguous() for x in _parts(frames))
    pieces, count = _pieces(bounds, 1 if converted else -(-_SHARES * number // len(bounds)))
    parts: Any = frames
    if not converted:  # what is asked of torch now, threads need not wait for each other to ask
        parts = _memory(frames) if isinstance(frames, Tensor) else [_memory(x) for x in frames]
    # Memory of NumPy: it asks for huge pages, without which new memory costs more than the work.
    kind = np.float64 if dtype == torch.float64 else np.float32
    pooled: NDArray[Any] = np.empty((count, width * (1 + std)), dtype=kind)
    wrong: list[int] = []
    left = iter(pieces)

    def pool() -> None:
        for i, spans, begin in left:  # whoever is free takes the next
            rows = _memory(_summable(frames[i])) if converted else parts[i]
            if not moments(rows, spans, pooled[begin : begin + len(spans)]):
                wrong.append(i)

    # The caller does its share, and threads that stay do the others': to start some takes as long as to pool.
    others = [_threads(os.getpid(), number).submit(pool) for _ in range(number - 1)]
    pool()
    for other in others:
        other.result()
    if wrong:
        raise _outside(min(wrong), _lengths(frames), bounds)
    found = torch.from_numpy(pooled)
    return found if found.dtype == dtype else found.to(dtype)


def _summable(x: Tensor) -> Tensor:
    """Contiguous frames of a kind that the loops sum."""
    kind = x.dtype if x.dtype in _SUMMED else torch.promote_types(x.dtype, torch.float32)
    return x.to(kind).contiguous()


def _memory(x: Tensor) -> NDArray[Any]:
    """A tensor's own memory; of bfloat16, which NumPy does not know, the bits."""
    array: NDArray[Any] = (x.view(torch.int16) if x.dtype == torch.bfloat16 else x).detach().numpy()
    return array.view(np.uint16) if x.dtype == torch.bfloat16 else array


def _pieces(
    bounds: Sequence[Tensor], cuts: int
) -> tuple[list[tuple[int, NDArray[np.int64], int]], int]:
    """Which utterance, which of its spans [·, 2], and how many come before these; and how many there are of all."""
    pieces, count = [], 0
    for i, own in enumerate(bounds):
        spans = _spans(own)
        size = len(spans)
        for cut in range(cuts):
            first, last = size * cut // cuts, size * (cut + 1) // cuts
            pieces.append((i, spans[first:last], count + first))
        count += size
    return pieces, count


@lru_cache(maxsize=1)
def _threads(process: int, number: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(number)


def _pool(flat: Tensor, spans: NDArray[np.int64], std: bool) -> Tensor:
    """Pool frames [N, D] over the spans [S, 2], differentiably."""
    listed = _listed(spans, flat)
    if not std:
        return _mean(flat, listed.frames, listed)
    # Wide from the first sum on: what a mean loses by rounding to half precision would count as spread.
    wide = flat[listed.frames].to(torch.promote_types(flat.dtype, torch.float32))
    everyone = torch.arange(len(wide), device=flat.device)
    mean = _mean(wide, everyone, listed)
    # Around the mean, since E[x²] − E[x]² loses all digits where the spread is small.
    apart = (wide - mean[listed.phones]).square()
    variance = _mean(apart, everyone, listed)
    deviation = torch.where(variance > 0, variance, 1).sqrt() * (variance > 0)
    return torch.cat([mean, deviation], -1).to(flat.dtype)


class _Listed(NamedTuple):
    """Every phone's frames one after another, since phones may overlap or leave gaps.

    Attributes:
        frames: Which frame, int64 [M].
        phones: The phone that the frame belongs to, int64 [M].
        offsets: Where each phone's begin, int64 [S].
        lengths: How many each has, at least 1, int64 [S].
    """

    frames: Tensor
    phones: Tensor
    offsets: Tensor
    lengths: Tensor


def _listed(spans: NDArray[np.int64], flat: Tensor) -> _Listed:
    """The frames of every span, by NumPy, since to call torch takes longer than so small a task."""
    lengths = spans[:, 1] - spans[:, 0]
    offsets = np.cumsum(lengths) - lengths
    phones = np.repeat(np.arange(len(spans)), lengths)
    frames = np.arange(len(phones)) + (spans[:, 0] - offsets)[phones]
    listed = frames, phones, offsets, np.maximum(lengths, 1)
    return _Listed(*(torch.from_numpy(x).to(flat.device, non_blocking=True) for x in listed))


def _mean(x: Tensor, frames: Tensor, listed: _Listed) -> Tensor:
    """Mean over each phone of its rows of ``x``, added up and divided in float32 or wider, and rounded once."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    total = _sums(wide, frames, listed)
    # Divided last: of frames that are all alike the mean is one of them, and their deviation zero.
    return total.div_(listed.lengths[:, None].to(wide.dtype)).to(x.dtype)


def _sums(x: Tensor, frames: Tensor, listed: _Listed) -> Tensor:
    if functional():  # whose transforms find no memory in what embedding_bag keeps
        return x.new_zeros(len(listed.lengths), x.shape[-1]).index_add(0, listed.phones, x[frames])
    return embedding_bag(frames, x, listed.offsets, mode="sum")


def uniform_bounds(count: int, length: int) -> Tensor:
    """Cut frames into equal stretches, int64 [S, 2].

    Args:
        count: How many frames there are.
        length: About how many a stretch has; 0 is as 1.

    Raises:
        ValueError: One of them is negative.

    >>> uniform_bounds(7, 3).tolist()
    [[0, 3], [3, 7]]
    """
    for name, value in (("count", count), ("length", length)):
        if value < 0:
            raise ValueError(f"{name} is {value}, expected a number of frames from 0 on")
    pieces = max(1, round(count / max(length, 1)))
    edges = torch.arange(pieces + 1) * count // pieces
    return torch.stack([edges[:-1], edges[1:]], 1)
