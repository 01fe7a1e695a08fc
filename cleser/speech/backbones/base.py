"""What every backbone is: waveforms in, hidden states of all layers out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

ReceiveLayer = Callable[[int, Tensor, Tensor], None]
"""Told a layer's place, its hidden states [B, T, D] and the mask of frames that count [B, T]."""


class Frames(NamedTuple):
    """Hidden states of a padded batch.

    Attributes:
        hidden_states: [L, B, T, D], layers first.
        lengths: Frames of each utterance, int64 [B].
        mask: Frames that count, bool [B, T]: inside the utterance and, for backbones that can tell, speech.

    >>> from cleser.speech import AcousticBackbone
    >>> frames: Frames = AcousticBackbone()(torch.randn(2, 16_000), torch.tensor([16_000, 8_000]))
    >>> frames.hidden_states.ndim, frames.mask.sum(1).equal(frames.lengths)
    (4, True)
    """

    hidden_states: Tensor
    lengths: Tensor
    mask: Tensor


class Backbone(nn.Module, ABC):
    """Turns recordings into layers of frames.

    Attributes:
        rate: Sampling rate expected, in Hz.
        frame_rate: Frames a second.
        first_frame: The middle of frame 0, in seconds from the recording's start.
        receptive_field: How much sound a frame is made of before layers look around, in seconds.
        n_layers: Layers L given.
        dim: Channels D of each layer.
        mix: How its layers are made one, see :class:`cleser.models.LayerMix`.
        content_layer: Which layer knows best what is said, counted as in a list; None where none does.
        kept: How its features are kept. Float16 has 11 bits, too few for a channel that varies little around much.

    >>> from cleser.speech import AcousticBackbone
    >>> backbone: Backbone = AcousticBackbone()
    >>> backbone.rate, backbone.n_layers, round(backbone.frame_rate)
    (16000, 2, 100)
    """

    rate: int
    frame_rate: float
    first_frame: float = 0.0
    receptive_field: float
    n_layers: int
    dim: int
    mix: Literal["weighted", "concat"] = "concat"
    content_layer: int | None = None
    kept: Literal["float16", "float32"] = "float16"

    @property
    @abstractmethod
    def name(self) -> str:
        """Identity of what is computed, for caches: changes whenever the numbers would."""

    @property
    def whole(self) -> tuple[str, tuple[int, ...]]:
        """Name and layers of the same encoder with all its layers: what it stored serves for some of them too."""
        return self.name, tuple(range(self.n_layers))

    @abstractmethod
    def forward(self, waveforms: Tensor, lengths: Tensor) -> Frames:
        """Encode a padded batch of waveforms [B, N] whose true lengths in samples are [B]."""

    @abstractmethod
    def count_frames(self, samples: Tensor) -> Tensor:
        """Frames that waveforms of these lengths have, int64 [B]."""

    @property
    def views(self) -> tuple[Backbone, ...]:
        """The backbones that describe an utterance side by side, this one alone, or those that are joined."""
        return (self,)

    @property
    def shortest(self) -> int:
        """Samples that a waveform must have."""
        return 1

    @property
    def longest(self) -> int | None:
        """Samples that a waveform may have; None where there is no limit."""
        return None

    def stream(self, waveforms: Tensor, lengths: Tensor, receive: ReceiveLayer) -> None:
        """Encode a padded batch and hand out each layer as soon as it is known.

        Args:
            waveforms: Samples [B, N] at ``rate``, zero beyond each length.
            lengths: Samples in each waveform, int64 [B].
            receive: Called with a layer's place, its hidden states [B, T, D] and the mask [B, T].

        >>> from cleser.speech import AcousticBackbone
        >>> shapes = {}
        >>> def keep(place, states, mask):  # a ReceiveLayer
        ...     shapes[place] = list(states.shape)
        >>> AcousticBackbone().stream(torch.randn(2, 16_000), torch.tensor([16_000, 8_000]), keep)
        >>> shapes
        {0: [2, 101, 40], 1: [2, 101, 40]}
        """
        frames = self(waveforms, lengths)
        for place, hidden in enumerate(frames.hidden_states):
            receive(place, hidden, frames.mask)

    def extract(self, waveforms: Sequence[Tensor]) -> list[Tensor]:
        """Encode recordings of any lengths, keeping only the frames that count.

        Args:
            waveforms: 1-D tensors of samples at ``rate``.

        Returns:
            One tensor [L, T_i, D] for each.

        Raises:
            ValueError: A waveform is empty or not 1-D.
        """
        for i, waveform in enumerate(waveforms):
            if waveform.ndim != 1 or not len(waveform):
                shape = list(waveform.shape)
                raise ValueError(f"waveforms[{i}] has shape {shape}, expected [T] with T ≥ 1")
        if not waveforms:
            return []
        lengths = torch.tensor([len(w) for w in waveforms])
        frames = self(pad_sequence(list(waveforms), batch_first=True), lengths)
        return [frames.hidden_states[:, i, m] for i, m in enumerate(frames.mask)]
