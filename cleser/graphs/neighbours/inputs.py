"""What comes as a list, an array or a tensor, as an array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def matrix(values: Any, argument: str) -> npt.NDArray[Any]:
    """Real numbers in this machine's order of bytes, in rows that follow each other.

    Args:
        values: A list, an array, or a tensor on any device, with or without a gradient.
        argument: Its name, for messages.

    Raises:
        ValueError: They are no real numbers.

    >>> matrix(torch.ones(1, 2, dtype=torch.bfloat16, requires_grad=True), "embeddings")
    array([[1., 1.]], dtype=float32)
    >>> matrix([[1j]], "embeddings")
    Traceback (most recent call last):
    ValueError: embeddings are of complex128, expected real numbers
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    found = np.asarray(values)
    if found.dtype.kind == "O":
        try:
            found = found.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{argument} are of objects, expected real numbers") from error
    if found.dtype.kind not in "fiub":
        raise ValueError(f"{argument} are of {found.dtype}, expected real numbers")
    return np.ascontiguousarray(found, dtype=found.dtype.newbyteorder("="))
