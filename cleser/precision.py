"""How a GPU multiplies numbers of float32: in full, or rounded to TensorFloat-32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def float32_products(*, rounded: bool = False) -> Iterator[None]:
    """Matrix products and convolutions of float32 in full, whatever the process allows; nothing changes on a CPU.

    Args:
        rounded: Round what is multiplied to TensorFloat-32 instead: faster, with 11 bits of precision.

    >>> with float32_products():
    ...     torch.eye(2) @ torch.ones(2)
    tensor([1., 1.])
    """
    backends: Any = torch.backends
    settings: tuple[Any, ...]
    # torch before 2.9 has switches instead of a precision.
    if hasattr(backends.cuda.matmul, "fp32_precision"):
        settings, name = (backends.cuda.matmul, backends.cudnn.conv), "fp32_precision"
        value: Any = "tf32" if rounded else "ieee"
    else:
        settings, name, value = (backends.cuda.matmul, backends.cudnn), "allow_tf32", rounded
    before = [getattr(setting, name) for setting in settings]
    for setting in settings:
        setattr(setting, name, value)
    try:
        yield
    finally:
        for setting, own in zip(settings, before, strict=True):
            setattr(setting, name, own)
