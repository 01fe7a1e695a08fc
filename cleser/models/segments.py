"""Pooling of tokens by utterance in tensor operations alone, which a graph for another runtime can hold."""

from __future__ import annotations

import torch
from torch import Tensor


def exporting() -> bool:
    """Whether a graph is being exported; torch before 2.7 does not tell that from compiling, which then counts too.

    >>> exporting()
    False
    """
    told: bool = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)()
    return told


def owners(offsets: Tensor, count: int) -> Tensor:
    """Which utterance each of ``count`` tokens belongs to, int64 [S]; utterances begin at ``offsets`` [B + 1].

    >>> owners(torch.tensor([0, 2, 2, 3]), 3).tolist()
    [0, 0, 2]
    """
    places = torch.arange(count, device=offsets.device)
    return (places[:, None] >= offsets[1:]).sum(1)


def pool_segments(tokens: Tensor, offsets: Tensor) -> Tensor:
    """Mean and standard deviation of each utterance's tokens [S, D], [B, 2D]; zero where it has none.

    As :func:`cleser.anchors.pool_phones` with ``std``, whose compiled loops no exported graph can hold.

    >>> pool_segments(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 2, 3])).tolist()
    [[2.0, 1.0], [5.0, 0.0]]
    """
    owner = owners(offsets, tokens.shape[0])
    share = 1 / offsets.diff().clamp_min(1)[:, None].to(tokens.dtype)
    none = tokens.new_zeros(offsets.shape[0] - 1, tokens.shape[1])
    mean = none.index_add(0, owner, tokens) * share
    variance = none.index_add(0, owner, (tokens - mean[owner]).square()) * share
    return torch.cat([mean, variance.sqrt()], 1)
