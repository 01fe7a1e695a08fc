"""Whisper's encoder on recordings as long as they are, where the published one pads everything to 30 seconds."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cleser.speech.backbones.activations import activate_in_place, gelu
from cleser.speech.backbones.base import ReceiveLayer
from cleser.speech.backbones.wave_encoder import attention_mask, truncate, watched


class WhisperEncoder(nn.Module):
    """Log-mel spectrogram, two convolutions and a Transformer over 50 frames a second.

    What lies beyond an utterance's end is zero for every convolution and invisible to attention, and position
    embeddings are taken as far as it reaches: a second of speech costs a second, and silence that nobody
    spoke is no part of any mean. A recording of the full 30 seconds gives what the published encoder gives.

    State 0 is the Transformer's input, the last one includes the final layer normalisation.

    Args:
        encoder: ``WhisperModel.encoder`` of transformers.
        extractor: The model's ``WhisperFeatureExtractor``.
    """

    window: Tensor
    mel: Tensor

    def __init__(self, encoder: Any, extractor: Any) -> None:
        super().__init__()
        self.model = encoder
        self.hop: int = extractor.hop_length
        self.n_fft: int = extractor.n_fft
        self.register_buffer("window", torch.hann_window(self.n_fft), persistent=False)
        mel = torch.as_tensor(extractor.mel_filters, dtype=torch.float32)
        self.register_buffer("mel", mel, persistent=False)
        self.dim: int = encoder.config.d_model
        self.stride: int = self.hop * encoder.conv2.stride[0]
        self.receptive_field = self.n_fft + 4 * self.hop
        self.first_centre = 0.0  # both the spectrogram's windows and the convolutions are centred
        activate_in_place(encoder)

    @property
    def blocks(self) -> nn.ModuleList:
        """The Transformer's blocks, lowest first."""
        blocks: nn.ModuleList = self.model.layers
        return blocks

    @property
    def front_end(self) -> nn.Module:
        """The convolutions that turn the spectrogram into frames."""
        return nn.ModuleList([self.model.conv1, self.model.conv2])

    @property
    def longest(self) -> int:
        """Samples that the position embeddings reach."""
        positions: int = self.model.embed_positions.num_embeddings
        return positions * self.stride

    def keep(self, highest: int) -> None:
        """Drop the blocks above a state."""
        truncate(self.model, highest, final_norm=True)

    def count(self, samples: Tensor) -> Tensor:
        """Frames that waveforms of these lengths have."""
        return (samples + self.stride - 1).div(self.stride, rounding_mode="floor")

    def forward(self, waveforms: Tensor, lengths: Tensor, receive: ReceiveLayer) -> None:
        """Encode waveforms [B, N] of these lengths [B], handing out each state."""
        weight = self.model.conv1.weight
        longest = int(lengths.max())  # asked before the move: a GPU need not be waited for
        padded = int(lengths.min()) < longest
        lengths = lengths.to(weight.device)
        waveforms = waveforms[:, :longest].to(weight.device)
        spectrogram, inside = self._spectrogram(waveforms, lengths)
        hidden = gelu(self.model.conv1(spectrogram.to(weight.dtype))) * inside[:, None].to(
            weight.dtype
        )
        hidden = gelu(self.model.conv2(hidden)).transpose(1, 2)
        hidden = hidden + self.model.embed_positions.weight[: hidden.shape[1]]
        hidden = F.dropout(hidden, p=self.model.dropout, training=self.training)
        heard = torch.arange(hidden.shape[1], device=hidden.device) < self.count(lengths)[:, None]
        mask = attention_mask(heard, hidden.dtype) if padded else None
        with watched(self.blocks, receive, heard):
            for block in self.blocks:
                output = block(hidden, mask)
                hidden = output[0] if isinstance(output, tuple) else output
        receive(len(self.blocks), self.model.layer_norm(hidden), heard)

    def _spectrogram(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel energies [B, M, T], zero beyond each utterance's end, and the mask of true frames [B, T]."""
        # As in a recording padded to 30 seconds: mirrored at its start, silent after its end.
        reach = self.n_fft // 2
        heard = torch.arange(waveforms.shape[1], device=waveforms.device) < lengths[:, None]
        longest = waveforms.shape[1]
        waveforms = F.pad(waveforms.float() * heard, (0, max(0, reach + 1 - longest)))
        waveforms = F.pad(
            F.pad(waveforms[:, None], (reach, 0), mode="reflect")[:, 0], (0, reach + self.hop)
        )
        spectrum = torch.stft(
            waveforms, self.n_fft, self.hop, window=self.window, center=False, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        energies = (self.mel.mT @ power).clamp_min(1e-10).log10()
        counts = (lengths + self.hop - 1).div(self.hop, rounding_mode="floor")
        frames = -(-longest // self.hop)
        energies = energies[..., :frames]
        inside = torch.arange(frames, device=energies.device) < counts[:, None]
        energies = energies.masked_fill(~inside[:, None], -torch.inf)
        energies = (energies.maximum(energies.amax((1, 2), keepdim=True) - 8) + 4) / 4
        return energies * inside[:, None], inside
