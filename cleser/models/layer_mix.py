"""One representation from the layers of a backbone."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Mix = Literal["weighted", "concat"]


class LayerMix(nn.Module):
    r"""Mixes L layers of C channels into D.

    .. math:: y = W \sum_{l=1}^{L} \mathrm{softmax}(w)_l \, x_l \quad\text{or}\quad y = \sum_{l=1}^{L} W_l x_l

    Args:
        layers: L.
        channels: C.
        dim: D.
        mix: ``"weighted"`` learns one weight a layer (Yang et al., SUPERB, 2021), for layers that describe
            the same thing ever more abstractly; ``"concat"`` projects each layer by its own matrix, for
            layers whose channels mean different things.

    >>> mix = LayerMix(layers=3, channels=8, dim=4)
    >>> mix(torch.zeros(5, 3, 8)).shape, mix.weights.softmax(0)
    (torch.Size([5, 4]), tensor([0.3333, 0.3333, 0.3333], grad_fn=<SoftmaxBackward0>))
    """

    def __init__(self, layers: int, channels: int, dim: int, mix: Mix = "weighted") -> None:
        super().__init__()
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
        by_layer = self.project.weight.unflatten(1, x.shape[-2:])
        # The bias is shared out, so that the states add up to the mix.
        return torch.einsum("...lc,dlc->...ld", x, by_layer) + self.project.bias / x.shape[-2]

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
