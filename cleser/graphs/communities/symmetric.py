"""Products with symmetric sparse matrices, whose gradients are such products too.

PyTorch, which cannot know that a matrix is its own transpose, builds the transpose in every backward pass: that takes
some twenty times as long as the product.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor


def sparse_tensor(edges: Any) -> Tensor:
    """A symmetric scipy matrix [N, N] as float32 in PyTorch: products with it never hold what each edge carries."""
    csr = edges.tocsr()
    rows, columns = (torch.from_numpy(p.astype(np.int64)) for p in (csr.indptr, csr.indices))
    values = torch.from_numpy(csr.data.astype(np.float32))
    # PyTorch warns of what is in beta, and of invariants, which scipy's matrices have.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(rows, columns, values, size=csr.shape)


def multiply(matrix: Tensor, values: Tensor) -> Tensor:
    """The product of a symmetric matrix, sparse [N, N], and values [N, D]."""
    product: Tensor = _Product.apply(matrix, values)  # type: ignore[no-untyped-call]
    return product


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor, values: Tensor) -> Tensor:
        ctx.save_for_backward(matrix)
        return matrix @ values

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, ctx.saved_tensors[0] @ gradients[0]


@cache
def convolution() -> Any:
    """The light convolution of PyTorch Geometric (X. He et al., *LightGCN*, SIGIR 2020) with these products."""
    with warnings.catch_warnings():
        # It calls torch.jit.script as it is imported, which new releases of torch warn of.
        warnings.filterwarnings("ignore", message=".*torch.jit.script")
        from torch_geometric.nn import LGConv  # noqa: PLC0415

    class Convolution(LGConv):  # type: ignore[misc]
        def message_and_aggregate(self, edge_index: Tensor, x: Tensor) -> Tensor:
            return multiply(edge_index, x)

    return Convolution(normalize=False)
