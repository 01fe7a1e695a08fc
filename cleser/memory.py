"""Memory for tensors on the CPU: got in huge pages, kept from step to step, and how much a process has held."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

# Of glibc's mallopt(3): what is asked for, and up to how many bytes.
_TRIM, _MAP = -1, -3
_KEPT = 1 << 28
_REUSED = 1 << 25


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


def keep_freed() -> None:
    """Let this process keep memory that it frees, up to 256 MB, for what it asks for next (Linux with glibc).

    A training step frees its gradients, and the next takes as much again. By default the system may get some of it
    back each time, by the luck of how memory is laid out, and then clears it page by page before it is used again.
    Tensors above 32 MB go back as before. What is set in the environment (``GLIBC_TUNABLES``, ``MALLOC_…``) stays.
    """
    chosen = any(name.startswith(("GLIBC_TUNABLES", "MALLOC_")) for name in os.environ)
    if sys.platform != "linux" or chosen:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # other C libraries have none
        mallopt(_MAP, _REUSED)
        mallopt(_TRIM, _KEPT)


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
