"""Several backbones side by side: an utterance is described by all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cleser.speech.backbones.base import Backbone, Frames


class JoinedBackbone(Backbone):
    """Views of the same recordings, joined where utterances are described (early fusion).

    Each backbone has its own store and its own frames, of different rates. They are joined as statistics of whole
    utterances: the layers of the first, then those of the second; layers with fewer channels than the widest are filled
    up with zeros. There are therefore no frames of a joined backbone, and it cannot be tuned.

    Args:
        views: The backbones. What is said is looked for in the last one.

    >>> from cleser.speech import AcousticBackbone
    >>> one = AcousticBackbone()
    >>> joined = JoinedBackbone([one, one])
    >>> joined.n_layers == 2 * one.n_layers, joined.dim == one.dim
    (True, True)
    """

    mix = "concat"

    def __init__(self, views: Sequence[Backbone]) -> None:
        super().__init__()
        self.joined = torch.nn.ModuleList(views)
        last = views[-1]
        self.rate, self.frame_rate = last.rate, last.frame_rate
        self.receptive_field = last.receptive_field
        self.n_layers = sum(view.n_layers for view in views)
        self.dim = max(view.dim for view in views)
        self.content_layer = last.content_layer

    @property
    def views(self) -> tuple[Backbone, ...]:
        """The backbones."""
        return tuple(self.joined)  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        """Identity of what is computed, made of all names."""
        return "+".join(view.name for view in self.views)

    @property
    def longest(self) -> int | None:
        """Samples at ``rate`` that every view can hear at once; None where there is no limit."""
        limits = [view.longest * self.rate // view.rate for view in self.views if view.longest]
        return min(limits, default=None)

    def count_frames(self, samples: Tensor) -> Tensor:
        """Not defined: the views have frames of different rates."""
        raise ValueError(_NO_FRAMES.format(self.name))

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Frames:
        """Not defined: the views have frames of different rates."""
        raise ValueError(_NO_FRAMES.format(self.name))


_NO_FRAMES = (
    "{} are several backbones, whose frames have different rates: they describe whole utterances together, "
    "expected one backbone where frames are wanted"
)
