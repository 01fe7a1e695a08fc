r"""Layer anchoring: chosen layers of a speech model are aligned across languages.

S. G. Upadhyay, C. Busso, C.-C. Lee, *A Layer-Anchoring Strategy for Enhancing Cross-Lingual Speech Emotion
Recognition*, arXiv 2407.04966, 2024.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from cleser.losses.blockwise import check_tensor
from cleser.losses.coral import coral, coral_debiased
from cleser.losses.mmd import mmd
from cleser.ranks import gather_items

Distance = Callable[[Tensor, Tensor], Tensor]
"""[L, N, D] and [L, M, D] → [L]."""

Layers = Tensor | Sequence[Tensor]
"""[L, N, D], or L tensors [N, D] or [B, T, D]."""

_DISTANCES: dict[str, Distance] = {
    "coral": partial(coral, all_ranks=False),
    "coral_debiased": partial(coral_debiased, all_ranks=False),
    "mmd": partial(mmd, all_ranks=False),
}


class LayerAnchorLoss(nn.Module):
    r"""Sum over the anchor layers of a distance between the languages.

    .. math:: \mathcal{L} = \sum_{l \in \text{anchors}} d(H_S^l, H_T^l)

    with `coral` as the distance d in the paper.

    Shapes:
        ``source_layers`` [L, N, D], ``target_layers`` [L, M, D], layers first, or for each layer one tensor [N, D], or
        [B, T, D] of which all B·T frames are items: the tuple that encoders of transformers call ``hidden_states``.
        Frames that are padding are items too; pool them first where there are any. Result [].

    Args:
        layers: Numbers of the anchor layers; negative ones count from the last.
        distance: ``"coral"``, ``"coral_debiased"``, ``"mmd"``, or a function of [L, N, D] and [L, M, D] → [L].
        all_ranks: Under `torch.distributed`, take the items of all ranks as one batch.

    Raises:
        ValueError: No layer is given, one is given twice (−1 and the last one's number among them), or the distance is
            unknown.

    >>> states = torch.tensor([[[0.0, 0.0], [2.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    >>> LayerAnchorLoss([0])(states, 0 * states)
    tensor(0.2500)
    """

    def __init__(
        self,
        layers: Sequence[int],
        *,
        distance: Literal["coral", "coral_debiased", "mmd"] | Distance = "coral",
        all_ranks: bool = True,
    ) -> None:
        super().__init__()
        self.layers = tuple(int(layer) for layer in layers)
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers are {self.layers}, expected one at least, each once")
        if not callable(distance) and distance not in _DISTANCES:
            expected = " or ".join(map(repr, _DISTANCES))
            raise ValueError(f"distance is {distance!r}, expected {expected} or a function")
        self.distance: Distance = distance if callable(distance) else _DISTANCES[distance]
        self._named = distance
        self.all_ranks = all_ranks

    def terms(self, source_layers: Layers, target_layers: Layers) -> Tensor:
        """The distance of each anchor layer, [number of anchors].

        Raises:
            ValueError: Shapes do not fit, there is no such layer, or two numbers mean one layer.
        """
        source, target = (
            self._picked(source_layers, "source"),
            self._picked(target_layers, "target"),
        )
        if len(source_layers) != len(target_layers) or source.shape[2] != target.shape[2]:
            raise ValueError(
                f"source_layers are {len(source_layers)} of {source.shape[2]} dimensions, "
                f"target_layers {len(target_layers)} of {target.shape[2]}: expected as many of both"
            )
        if self.all_ranks:
            source, target = gather_items(source), gather_items(target)
        return self.distance(source, target)

    def _picked(self, layers: Layers, side: str) -> Tensor:
        """The anchor layers' items [L, N, D]."""
        count = len(layers)
        wrong = [layer for layer in self.layers if not -count <= layer < count]
        if wrong:
            raise ValueError(f"there is no layer {wrong[0]} among {count}")
        if len({layer % count for layer in self.layers}) < len(self.layers):
            raise ValueError(f"layers are {self.layers}, of which two are the same one of {count}")
        picked = [layers[layer] for layer in self.layers]
        for layer in picked:
            check_tensor(layer, f"{side}_layers are")
        shapes = {tuple(x.shape) for x in picked}
        if len(shapes) > 1 or picked[0].ndim not in (2, 3):
            raise ValueError(
                f"{side}_layers have shapes {sorted(shapes)}, expected [N, D] or [B, T, D] of each layer"
            )
        return torch.stack(picked).flatten(1, -2)

    def forward(self, source_layers: Layers, target_layers: Layers) -> Tensor:
        """The sum of `terms`."""
        return self.terms(source_layers, target_layers).sum()

    def extra_repr(self) -> str:
        """The layers."""
        return f"layers={self.layers}, distance={getattr(self._named, '__name__', self._named)}"
