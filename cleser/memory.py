"""Memory for large tensors on the CPU, in huge pages where the system gives any."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor on the CPU whose values are not set.

    Its memory is NumPy's, which asks the system for huge pages. In pages of 4 kB, the first write to new memory takes
    about as long as a copy.

    Args:
        shape: Of the tensor.
        dtype: Of its values.

    >>> empty((2, 3), torch.float16).shape
    torch.Size([2, 3])
    """
    size = int(np.prod(shape)) * dtype.itemsize
    if not size:
        return torch.empty(shape, dtype=dtype)
    return torch.from_numpy(np.empty(size, dtype=np.uint8)).view(dtype).view(shape)
