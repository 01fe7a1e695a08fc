"""Activations that need no memory of their own.

A model that is only asked for its hidden states never looks at an activation's input again. Where memory is new to the
process, as the large arrays of frames are, writing the output over the input takes half the time.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def gelu(x: Tensor) -> Tensor:
    """GELU; overwrites its input where no gradient will ask for it."""
    if torch.is_grad_enabled() and x.requires_grad:
        return F.gelu(x)
    overwritten: Tensor = torch.ops.aten.gelu_(x)
    return overwritten


def activate_in_place(model: nn.Module) -> None:
    """Let every GELU of a model of transformers be :func:`gelu`: what comes before them is theirs alone."""
    for module in model.modules():
        if getattr(module, "act", None) is F.gelu:
            module.act = gelu  # type: ignore[assignment]
