"""WavLM's attention by the fused kernel, where transformers materialises and averages every weight.

It also calls the projections as modules, so that low-rank adapters put around them take part.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch.nn.functional as F
from torch import Tensor


def attend_by_kernel(model: Any) -> None:
    """Let every attention of a WavLM compute ``softmax(q kᵀ / √d + gated bias) v`` in one kernel."""
    for block in model.encoder.layers:
        block.attention.torch_multi_head_self_attention = MethodType(_attend, block.attention)


def _attend(
    attention: Any, hidden: Tensor, mask: Tensor | None, gated_bias: Tensor, *_: object
) -> tuple[Tensor, None]:
    batch, time, _dim = hidden.shape
    shape = (batch, time, attention.num_heads, attention.head_dim)
    query, key, value = (
        project(hidden).view(shape).transpose(1, 2)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    bias = gated_bias.view(batch, attention.num_heads, time, time)
    if mask is not None:
        hidden_away = ~mask.bool()[:, None, None]
        fill = bias.masked_fill if bias.requires_grad else bias.masked_fill_
        bias = fill(hidden_away, -float("inf"))
    dropout = attention.dropout if attention.training else 0.0
    heads = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout)
    return attention.out_proj(heads.transpose(1, 2).reshape(hidden.shape)), None
