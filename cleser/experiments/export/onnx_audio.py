r"""Recordings to features in tensor operations alone, so that a run's ONNX model can take a waveform.

The same arithmetic as :class:`cleser.training.audio.AudioEncoder`, without anything that depends on values: every
recording is masked whether it is padded or not, Whisper's spectrogram is a convolution with fixed windows, and the
mean and standard deviation of stretches of frames are products with a matrix of averages,

.. math:: m_{s} = \sum_t W_{st} x_t, \qquad \sigma_{s}^2 = \sum_t W_{st} (x_t - m_{s})^2 .
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cleser.features.pooled import TOKEN
from cleser.speech.backbones import Backbone, TransformersBackbone
from cleser.speech.backbones.convolutions import convolve_batch
from cleser.speech.backbones.wave_encoder import (
    WaveEncoder,
    attention_mask,
    standardise_waveforms,
    watched,
)
from cleser.speech.backbones.whisper_encoder import WhisperEncoder


class RecordingFeatures(nn.Module):
    """Summaries and tokens of recordings, as a store keeps them.

    Args:
        backbone: A model of transformers; it is copied, in single precision.
        tokens: Whether tokens are wanted beside the summaries.

    Raises:
        ValueError: The backbone is another one.
    """

    def __init__(self, backbone: Backbone, *, tokens: bool) -> None:
        super().__init__()
        if not isinstance(backbone, TransformersBackbone):
            raise ValueError(
                f"backbone {backbone.name} cannot be put into an ONNX model, expected one model of transformers "
                "(acoustic follows pitch from frame to frame in a loop, whose length a graph would fix); "
                "export the features' model instead (--onnx alone), and extract features with cleser"
            )
        self.encoder = copy.deepcopy(backbone.encoder).float().eval()
        self.layers = backbone.layers
        self.length = round(TOKEN * backbone.frame_rate)
        self.tokens = tokens
        if isinstance(self.encoder, WhisperEncoder):
            self.register_buffer("windows", _fourier_windows(self.encoder.window))
        else:
            _convolve_plainly(self.encoder)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Summaries [B, L, C], tokens [S, L, C] and how many tokens each recording has, int64 [B].

        With tokens, one recording more stands at the end, to which all tokens belong that are none: their number then
        depends on shapes alone.
        """
        states: dict[int, Tensor] = {}
        masks: list[Tensor] = []

        def receive(state: int, hidden: Tensor, mask: Tensor) -> None:
            masks.append(mask)
            if state in self.layers:
                states[state] = hidden

        if isinstance(self.encoder, WhisperEncoder):
            self._whisper(self.encoder, waveforms, lengths, receive)
        else:
            self._wave(self.encoder, waveforms, lengths, receive)
        frames = torch.stack([states[layer] for layer in self.layers], 2)  # [B, T, L, D]
        inside = masks[0]
        summaries = _pooled(frames, inside[:, None])[:, 0]
        if not self.tokens:
            return summaries, summaries[:0], torch.zeros_like(lengths)
        return self._with_tokens(summaries, frames, inside)

    def _with_tokens(
        self, summaries: Tensor, frames: Tensor, inside: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The tokens in a row, those that are none at the end."""
        time = torch.arange(frames.shape[1], device=frames.device)
        count = inside.sum(1)  # as uniform_bounds cuts them
        pieces = (count.double() / max(self.length, 1)).round().clamp_min(1).long()
        number = time[: frames.shape[1] // max(self.length, 1) + 1]
        first = number * count[:, None] // pieces[:, None]  # [B, P]
        last = (number + 1) * count[:, None] // pieces[:, None]
        held = (time >= first[..., None]) & (time < last[..., None])
        tokens = _pooled(frames, held & inside[:, None])
        real = (number < pieces[:, None]).flatten().long()
        before, total = real.cumsum(0) - real, pieces.sum()
        place = torch.where(real > 0, before, total + torch.arange(real.shape[0]) - before)
        row = tokens.flatten(0, 1)
        return (
            F.pad(summaries, (0, 0, 0, 0, 0, 1)),
            torch.zeros_like(row).index_add(0, place, row),
            torch.cat([pieces, (real.shape[0] - total)[None]]),
        )

    def _whisper(
        self, encoder: WhisperEncoder, waveforms: Tensor, lengths: Tensor, receive: Any
    ) -> None:
        model = encoder.model
        spectrogram, inside = self._spectrogram(encoder, waveforms, lengths)
        hidden = F.gelu(model.conv1(spectrogram)) * inside[:, None]
        hidden = F.gelu(model.conv2(hidden)).transpose(1, 2)
        hidden = hidden + model.embed_positions.weight[: hidden.shape[1]]
        heard = torch.arange(hidden.shape[1]) < encoder.count(lengths)[:, None]
        mask = attention_mask(heard, hidden.dtype)
        with watched(encoder.blocks, receive, heard):
            for block in encoder.blocks:
                output = block(hidden, mask)
                hidden = output[0] if isinstance(output, tuple) else output
        receive(len(encoder.blocks), model.layer_norm(hidden), heard)

    def _spectrogram(
        self, encoder: WhisperEncoder, waveforms: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The encoder's own spectrogram, with its Fourier transform written out."""
        reach, hop = encoder.n_fft // 2, encoder.hop
        longest = waveforms.shape[1]
        heard = torch.arange(longest) < lengths[:, None]
        waveforms = (waveforms * heard)[:, None]
        # Mirrored at its start; of what is shorter than the mirror, as if silence followed.
        mirror = F.pad(waveforms[..., 1 : reach + 1], (0, reach))[..., :reach].flip(-1)
        waveforms = F.pad(torch.cat([mirror, waveforms], -1), (0, reach + hop))
        parts = F.conv1d(waveforms, self.get_buffer("windows"), stride=hop)
        power = parts.square().unflatten(1, (2, -1)).sum(1)
        energies = (encoder.mel.mT @ power).clamp_min(1e-10).log10()
        frames = (longest + hop - 1) // hop
        inside = torch.arange(frames) < (lengths + hop - 1).div(hop, rounding_mode="floor")[:, None]
        energies = energies[..., :frames].masked_fill(~inside[:, None], -1e4)
        energies = (energies.maximum(energies.amax((1, 2), keepdim=True) - 8) + 4) / 4
        return energies * inside[:, None], inside

    def _wave(self, encoder: WaveEncoder, waveforms: Tensor, lengths: Tensor, receive: Any) -> None:
        model = encoder.model
        inside = torch.arange(waveforms.shape[1]) < lengths[:, None]
        waveforms = waveforms * inside
        if encoder.normalise:
            waveforms = standardise_waveforms(waveforms, lengths)
        frames = convolve_batch(list(model.feature_extractor.conv_layers), waveforms, lengths)
        projected = model.feature_projection(frames)
        hidden = projected[0] if isinstance(projected, tuple) else projected
        encoder.transform(
            hidden, torch.arange(hidden.shape[1]) < encoder.count(lengths)[:, None], receive
        )


def _pooled(frames: Tensor, held: Tensor) -> Tensor:
    """Mean and standard deviation [B, P, L, 2D] of the frames [B, T, L, D] that each stretch holds, bool [B, P, T]."""
    average = held / held.sum(-1, keepdim=True).clamp_min(1)
    flat = frames.flatten(2)
    centre = (average.sum(1, keepdim=True) @ flat) / average.sum((1, 2)).clamp_min(1)[:, None, None]
    apart = flat - centre  # squares around a mean lose no digits
    mean = average @ apart
    spread = (average @ apart.square() - mean.square()).clamp_min(0).sqrt()
    shape = frames.shape[2:]
    return torch.cat([(mean + centre).unflatten(-1, shape), spread.unflatten(-1, shape)], -1)


def _fourier_windows(window: Tensor) -> Tensor:
    """Cosines and sines under the window, [2 (n / 2 + 1), 1, n], for each frequency up to half the rate."""
    size = len(window)
    place = torch.arange(size, dtype=torch.float64)
    turn = 2 * torch.pi / size * (place * torch.arange(size // 2 + 1)[:, None] % size)
    return (torch.cat([turn.cos(), -turn.sin()]) * window.double()).float()[:, None]


def _convolve_plainly(encoder: nn.Module) -> None:
    """Take the Fourier transform out of long convolutions, whose sizes depend on the recordings."""
    for module in encoder.modules():
        if isinstance(module, nn.Conv1d):
            module.__dict__.pop("forward", None)
