"""Memory for large tensors on the CPU, in huge pages where the system gives any; and how much a process has held."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor on the CPU whose values are not set.

    Its memory is NumPy's, which asks the system for huge pages. In pages of 4 kB, the first write to new memory takes
    about as long as a copy.

    Args:
        shape: Shape of the tensor.
        dtype: Type of its values.

    >>> empty((2, 3), torch.float16).shape
    torch.Size([2, 3])
    """
    size = int(np.prod(shape)) * dtype.itemsize
    if not size:
        return torch.empty(shape, dtype=dtype)
    return torch.from_numpy(np.empty(size, dtype=np.uint8)).view(dtype).view(shape)


def reset_peak() -> None:
    """Forget the most memory that this process has held, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int | None:
    """The most memory that this process has held since :func:`reset_peak`, in bytes; None if that is not known.

    >>> found = peak()
    >>> found is None or found > 0
    True
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return None
