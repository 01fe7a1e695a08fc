"""What a loss pulls and pushes: items in the plane, with arrows along their negative gradient. For the gallery."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from torch import Tensor

from cleser.evaluation.plots import PALETTE

MARKERS = "os^D"


def draw_pulls(
    axes: Axes,
    loss: Callable[[Tensor], Tensor],
    items: Tensor,
    *,
    colours: Sequence[int],
    markers: Sequence[int],
    title: str,
    reach: float = 0.45,
) -> None:
    """Draw items [N, 2] and where a descent on the loss would move them; the longest arrow has length ``reach``."""
    leaf = items.clone().requires_grad_()
    value = loss(leaf)
    value.backward()
    assert leaf.grad is not None
    moves = -leaf.grad * reach / leaf.grad.norm(dim=1).max().clamp_min(1e-9)
    for item, move, colour, marker in zip(
        items.tolist(), moves.tolist(), colours, markers, strict=True
    ):
        shade = PALETTE[colour] if colour >= 0 else "#bbbbbb"
        axes.annotate("", [item[0] + move[0], item[1] + move[1]], item,
                      arrowprops={"arrowstyle": "->", "color": shade, "lw": 1.4})  # fmt: skip
        axes.plot(*item, MARKERS[marker], color=shade, ms=8, mec="white")
    axes.set_title(f"{title}\nloss {value.item():.2f}", fontsize=9)
    axes.set(aspect="equal", xticks=[], yticks=[])
    axes.margins(0.2)


def legend(axes: Axes, names: Mapping[str, tuple[int, int]]) -> None:
    """Say what (colour, marker) stands for."""
    for name, (colour, marker) in names.items():
        shade = PALETTE[colour] if colour >= 0 else "#bbbbbb"
        axes.plot([], [], MARKERS[marker], color=shade, label=name)
    axes.legend(fontsize=7, loc="lower left", bbox_to_anchor=(1.0, 0.0), frameon=False)


def circle(degrees: Sequence[float]) -> Tensor:
    """Unit vectors at these angles, [N, 2]."""
    angles = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def panels(number: int) -> tuple[plt.Figure, list[Axes]]:
    """A row of square axes."""
    figure, axes = plt.subplots(1, number, figsize=(3.1 * number + 1.0, 3.3), squeeze=False)
    return figure, list(axes[0])
