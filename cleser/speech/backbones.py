"""What every backbone is: waveforms in, hidden states of all layers out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence


class Frames(NamedTuple):
    """Hidden states of a padded batch.

    Attributes:
        hidden_states: [L, B, T, D], layers first.
        lengths: Frames of each utterance, int64 [B].
        mask: Frames that count, bool [B, T]: inside the utterance and, for backbones that can tell, speech.
    """

    hidden_states: Tensor
    lengths: Tensor
    mask: Tensor


class Backbone(nn.Module, ABC):
    """Turns recordings into layers of frames.

    Attributes:
        rate: Sampling rate expected, in Hz.
        frame_rate: Frames a second.
        n_layers: Layers L given.
        dim: Channels D of each layer.
        mix: How its layers are best made one: ``"weighted"`` where they describe the same thing, ever more
            abstractly, ``"concat"`` where their channels mean different things.
    """

    rate: int
    frame_rate: float
    n_layers: int
    dim: int
    mix: Literal["weighted", "concat"] = "weighted"

    @property
    @abstractmethod
    def name(self) -> str:
        """Identity of what is computed, for caches: changes whenever the numbers would."""

    @abstractmethod
    def forward(self, waveforms: Tensor, lengths: Tensor) -> Frames:
        """Encode a padded batch of waveforms [B, N] whose true lengths in samples are [B]."""

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


def load_backbone(name: str) -> Backbone:
    """The backbone of this name.

    Raises:
        ValueError: There is none.
    """
    from cleser.speech.acoustic import AcousticBackbone  # noqa: PLC0415  (it is a Backbone itself)

    if name == "acoustic":
        return AcousticBackbone().eval()
    raise ValueError(f"backbone is {name!r}, expected 'acoustic'")
