r"""Layer anchoring: chosen layers of a speech model are aligned across languages.

S. G. Upadhyay, C. Busso, C.-C. Lee, *A Layer-Anchoring Strategy for Enhancing Cross-Lingual Speech Emotion
Recognition*, arXiv 2407.04966, 2024.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from cleser.losses.coral import coral
from cleser.losses.mmd import mmd
from cleser.ranks import gather

Distance = Callable[[Tensor, Tensor], Tensor]
"""[L, N, D] and [L, M, D] → [L]."""

_DISTANCES: dict[str, Distance] = {"coral": coral, "mmd": mmd}


class LayerAnchorLoss(nn.Module):
    r"""Sum over the anchor layers of a distance between the languages.

    .. math:: \mathcal{L} = \sum_{l \in \text{anchors}} d(H_S^l, H_T^l)

    with `coral` as the distance d in the paper.

    Shapes:
        ``source_layers`` [L, N, D], ``target_layers`` [L, M, D], layers first; result [].

    Args:
        layers: Numbers of the anchor layers; negative ones count from the last.
        distance: ``"coral"``, ``"mmd"``, or a function of [L, N, D] and [L, M, D] → [L].
        all_ranks: Under `torch.distributed`, take the items of all ranks as one batch.

    Raises:
        ValueError: No layer is given, one is given twice, or the distance is unknown.

    >>> states = torch.tensor([[[0.0, 0.0], [2.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    >>> LayerAnchorLoss([0])(states, 0 * states)
    tensor(0.2500)
    """

    def __init__(
        self,
        layers: Sequence[int],
        *,
        distance: Literal["coral", "mmd"] | Distance = "coral",
        all_ranks: bool = True,
    ) -> None:
        super().__init__()
        self.layers = tuple(int(layer) for layer in layers)
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers are {self.layers}, expected one at least, each once")
        if not callable(distance) and distance not in _DISTANCES:
            expected = " or ".join(map(repr, _DISTANCES))
            raise ValueError(f"distance is {distance!r}, expected {expected} or a function")
        self.distance = distance if callable(distance) else _DISTANCES[distance]
        self.all_ranks = all_ranks

    def terms(self, source_layers: Tensor, target_layers: Tensor) -> Tensor:
        """The distance of each anchor layer, [number of anchors].

        Raises:
            ValueError: Shapes do not fit, or there is no such layer.
        """
        a, b = tuple(source_layers.shape), tuple(target_layers.shape)
        if len(a) != 3 or len(b) != 3 or a[0] != b[0] or a[2] != b[2]:
            raise ValueError(
                f"source_layers have shape {a}, target_layers {b}: expected [L, N, D] and [L, M, D]"
            )
        wrong = [layer for layer in self.layers if not -a[0] <= layer < a[0]]
        if wrong:
            raise ValueError(f"there is no layer {wrong[0]} among {a[0]}")
        picked = [
            torch.stack([x[layer] for layer in self.layers]) for x in (source_layers, target_layers)
        ]
        if self.all_ranks:
            picked = [gather(x.transpose(0, 1)).transpose(0, 1) for x in picked]
        return self.distance(*picked)

    def forward(self, source_layers: Tensor, target_layers: Tensor) -> Tensor:
        """The sum of `terms`."""
        return self.terms(source_layers, target_layers).sum()

    def extra_repr(self) -> str:
        """The layers."""
        return f"layers={self.layers}, distance={getattr(self.distance, '__name__', self.distance)}"
