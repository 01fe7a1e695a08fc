"""Frames pooled over the phones that they belong to."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
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
    lengths = [len(x) for x in frames]
    spans = _checked(lengths, bounds)
    if _compiled_loops_pay(frames, std):
        return _pool_by_loops(frames, spans.split([len(b) for b in bounds]), std)
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
    kept = torch.is_grad_enabled() and any(x.requires_grad for x in frames)
    on_cpu = all(x.device.type == "cpu" for x in frames)
    return on_cpu and not kept and sum(x.numel() for x in frames) >= _MANY


def _pool_by_loops(frames: Tensor | Sequence[Tensor], spans: Sequence[Tensor], std: bool) -> Tensor:
    """Pool each utterance's frames [T_i, D] over its spans [S_i, 2]."""
    from cleser.anchors.moments import moments  # noqa: PLC0415  (compiles when called)

    dtype = frames[0].dtype
    wide = np.dtype(np.float64 if dtype == torch.float64 else np.float32)
    sizes = [len(own) for own in spans]
    # Memory of NumPy: it asks for huge pages, without which new memory costs more than the work.
    pooled = torch.from_numpy(np.empty((sum(sizes), frames[0].shape[-1] * (1 + std)), dtype=wide))

    def pool(x: Tensor, own: Tensor, out: Tensor) -> None:
        rows = x.detach().to(out.dtype).contiguous().numpy()
        moments(rows, own.cpu().to(torch.int64).numpy(), out.numpy())

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        run = map if torch.get_num_threads() == 1 else threads.map
        deque(run(pool, frames, spans, pooled.split(sizes)), maxlen=0)
    return pooled.to(dtype)


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
