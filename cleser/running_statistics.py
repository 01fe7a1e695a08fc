"""Running means and covariances that go on running in a model cast to half precision.

A mean that follows a stream moves by a small share of each batch. bfloat16 keeps three digits and float16 four: a
share that is smaller is rounded away, and the mean stands still without a word, however long it is fed.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn


class RunningStatistics(nn.Module):
    """A module whose own buffers of floats keep a precision of `least`, to whatever its model is cast.

    ``model.half()`` and ``model.bfloat16()`` leave these buffers in float32, ``model.double()`` takes them to float64,
    and they follow the model to another device. What the modules within it hold is cast as usual.

    >>> class Mean(RunningStatistics):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.register_running("mean", 2)
    >>> Mean().bfloat16().mean.dtype, Mean().double().mean.dtype
    (torch.float32, torch.float64)
    """

    least: torch.dtype = torch.float32
    """The narrowest type of its buffers."""

    def register_running(self, name: str, *shape: int) -> None:
        """Add a buffer of zeros, in torch's default type where that is wide enough."""
        kind = self._wide(torch.get_default_dtype())
        self.register_buffer(name, torch.zeros(shape, dtype=kind))

    def _wide(self, kind: torch.dtype) -> torch.dtype:
        return torch.promote_types(kind, self.least)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """What torch does to move or to cast a module; a buffer that it narrows is made from the old one instead."""
        before = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, old in before.items():
            new = self._buffers[name]
            if old is not None and new is not None and self._too_narrow(new):
                self._buffers[name] = old.to(new.device, self._wide(new.dtype))
        return self

    def _load_from_state_dict(self, *args: Any) -> None:
        """Load a state; one that is taken over as it is (``assign=True``) may be of half precision."""
        super()._load_from_state_dict(*args)
        for name, buffer in self._buffers.items():
            if buffer is not None and self._too_narrow(buffer):
                self._buffers[name] = buffer.to(self._wide(buffer.dtype))

    def _too_narrow(self, buffer: Tensor) -> bool:
        return buffer.is_floating_point() and buffer.dtype != self._wide(buffer.dtype)
