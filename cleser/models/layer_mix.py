"""One representation from the layers of a backbone."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from cleser.tracing import transformed

Mix = Literal["weighted", "concat"]


class LayerMix(nn.Module):
    r"""Mixes L layers of C channels into D.

    .. math:: y = W \sum_{l=1}^{L} \mathrm{softmax}(w)_l \, x_l \quad\text{or}\quad y = \sum_{l=1}^{L} W_l x_l

    Args:
        layers: Number of layers L.
        channels: Channels C of a layer.
        dim: Channels D of the mix.
        mix: ``"weighted"`` learns one weight a layer (Yang et al., SUPERB, 2021), for layers that describe
            the same thing ever more abstractly; ``"concat"`` projects each layer by its own matrix, for
            layers whose channels mean different things.

    Raises:
        ValueError: ``mix`` is neither of these.

    >>> mix = LayerMix(layers=3, channels=8, dim=4)
    >>> mix(torch.zeros(5, 3, 8)).shape, mix.weights.softmax(0)
    (torch.Size([5, 4]), tensor([0.3333, 0.3333, 0.3333], grad_fn=<SoftmaxBackward0>))
    """

    def __init__(self, layers: int, channels: int, dim: int, mix: Mix = "weighted") -> None:
        super().__init__()
        if mix not in get_args(Mix):
            raise ValueError(f"mix is {mix!r}, expected one of {list(get_args(Mix))}")
        self.mix = mix
        if mix == "weighted":
            self.weights = nn.Parameter(torch.zeros(layers))
            self.project = nn.Linear(channels, dim)
        else:
            self.project = nn.Linear(layers * channels, dim)

    def states(self, x: Tensor) -> Tensor:
        """Each layer of [..., L, C] by itself in the common space, [..., L, D]; their mix is `join`."""
        if self.mix == "weighted":
            projected: Tensor = self.project(x)
            return projected
        items = x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])
        if self.project.weight.requires_grad and _plainly_eager():
            states = _ByLayer.apply(items, self.project.weight)  # type: ignore[no-untyped-call]
        else:
            states = _by_layer(items, self.project.weight)
        states = states.reshape(*x.shape[:-1], self.project.out_features)
        # The bias is shared out, so that the states add up to the mix.
        shared: Tensor = states + self.project.bias / x.shape[-2]
        return shared

    def join(self, states: Tensor) -> Tensor:
        """The mix [..., D] of layers' states [..., L, D]."""
        if self.mix == "weighted":
            return torch.einsum("...ld,l->...d", states, self._shares())
        return states.sum(-2)

    def forward(self, x: Tensor) -> Tensor:
        """Mix [..., L, C] into [..., D]: what `states` and `join` come to, without a product for each layer."""
        if self.mix == "weighted":
            # Of all ways to write this sum the one that torch does fastest, on the way back as well.
            shares = self._shares().expand(*x.shape[:-2], 1, -1)
            projected: Tensor = self.project((shares @ x).squeeze(-2))
            return projected
        concatenated: Tensor = self.project(x.flatten(-2))
        return concatenated

    def _shares(self) -> Tensor:
        """The layers' weights [L], of sum one."""
        return self.weights.softmax(0)


def _plainly_eager() -> bool:
    """Whether gradients are kept, and neither a compiler nor a transform of `torch.func` looks on."""
    return torch.is_grad_enabled() and not transformed()


def _by_layer(x: Tensor, weight: Tensor) -> Tensor:
    """Each layer's product W_l x_l [N, L, D], of x [N, L, C] and W [D, L · C]."""
    return torch.einsum("nlc,dlc->nld", x, weight.unflatten(1, x.shape[1:]))


class _ByLayer(torch.autograd.Function):
    """`_by_layer`, whose gradient of W is written where it belongs; it has no derivative of its own.

    Left to torch, it would be found in another order and copied: with several megabytes of new memory at each step,
    which the system has to clear first, a step took half as long again.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _by_layer(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        x, weight = ctx.saved_tensors
        wide, items = (t.to(weight.dtype) for t in (gradient, x))  # autocast takes narrow ones
        of_weight = torch.empty_like(weight)
        by_layer = of_weight.unflatten(1, x.shape[1:]).transpose(0, 1)  # [L, D, C]
        torch.bmm(wide.permute(1, 2, 0), items.transpose(0, 1), out=by_layer)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = torch.einsum("nld,dlc->nlc", wide, weight.unflatten(1, x.shape[1:])).to(x.dtype)
        return of_x, of_weight
