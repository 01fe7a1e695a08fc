"""Whether tensors can be looked at: not while a compiler traces code, or a transform of `torch.func` maps over them."""

from __future__ import annotations

import torch
from torch import Tensor


def functional() -> bool:
    """Whether a transform of `torch.func`, such as ``vmap``, is at work.

    >>> functional(), torch.func.vmap(lambda x: x * functional())(torch.ones(2)).tolist()
    (False, [1.0, 1.0])
    """
    return torch._C._are_functorch_transforms_active()


def transformed() -> bool:
    """Whether a compiler or a transform is at work: no bytes to look at, and no writing in place."""
    return torch.compiler.is_compiling() or functional()


def unseen(values: Tensor) -> bool:
    """Whether values cannot be looked at: it would break a compiler's graph or a transform, or wait for the device."""
    return transformed() or values.is_cuda
