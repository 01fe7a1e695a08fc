"""Encoders of raw waveforms (wav2vec 2.0 and its kin), made to give the same numbers whatever they are batched with.

Three things let padding leak into an utterance in the published implementations, and each is closed here:

- the group normalisation of the first convolution takes its statistics over padding too;
- positional convolutions that are stacked (data2vec) or preceded by a batch normalisation (some HuBERTs) see what
  the layer before made of the padding;
- attention looks at padding where the model's processor gives no attention mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from cleser.speech.backbones.activations import activate_in_place
from cleser.speech.backbones.base import ReceiveLayer
from cleser.speech.backbones.convolutions import convolve_batch, convolve_rows, geometry
from cleser.speech.backbones.long_convolution import convolve_by_spectrum
from cleser.speech.backbones.wavlm_attention import attend_by_kernel


class WaveEncoder(nn.Module):
    """A convolutional front end and a Transformer over its frames.

    State 0 is the Transformer's input, state i what its i-th block gives; the last one is the encoder's output, its
    final layer normalisation (where there is one) included.

    Args:
        model: A model of transformers with ``feature_extractor``, ``feature_projection`` and ``encoder``.
        normalise: Bring each utterance to zero mean and unit variance, as its processor says.
    """

    def __init__(self, model: Any, *, normalise: bool) -> None:
        super().__init__()
        self.model = model
        self.normalise = normalise
        self.dim: int = model.config.hidden_size
        self.stride, self.receptive_field = geometry(model.feature_extractor.conv_layers)
        self.first_centre = self.receptive_field / 2
        self._mask: Tensor | None = None
        self._added: Tensor | None = None
        for module in model.encoder.pos_conv_embed.modules():
            if isinstance(module, nn.Conv1d):
                module.register_forward_pre_hook(self._without_padding)
                convolve_by_spectrum(module)
        activate_in_place(model)
        if model.config.model_type == "wavlm":
            attend_by_kernel(model)
        else:
            for block in model.encoder.layers:
                block.register_forward_pre_hook(self._with_added_mask, with_kwargs=True)

    @property
    def blocks(self) -> nn.ModuleList:
        """The Transformer's blocks, lowest first."""
        blocks: nn.ModuleList = self.model.encoder.layers
        return blocks

    @property
    def front_end(self) -> nn.Module:
        """The convolutions that turn samples into frames."""
        front_end: nn.Module = self.model.feature_extractor
        return front_end

    def keep(self, highest: int) -> None:
        """Drop the blocks above a state."""
        truncate(self.model.encoder, highest, final_norm=final_norm(self.model))

    def count(self, samples: Tensor) -> Tensor:
        """Frames that waveforms of these lengths have."""
        return (samples - self.receptive_field).div(self.stride, rounding_mode="floor") + 1

    def forward(self, waveforms: Tensor, lengths: Tensor, receive: ReceiveLayer) -> None:
        """Encode waveforms [B, N] of these lengths [B], handing out each state."""
        weight = next(self.parameters())
        counts = self.count(lengths)
        # Asked before the move: a GPU need not be waited for.
        padded = int(counts.min()) < int(self.count(torch.tensor(waveforms.shape[1])))
        waveforms, lengths, counts = (x.to(weight.device) for x in (waveforms, lengths, counts))
        if self.normalise:
            waveforms = standardise_waveforms(waveforms, lengths)
        projected = self.model.feature_projection(self._frames(waveforms.to(weight.dtype), lengths))
        projected = projected[0] if isinstance(projected, tuple) else projected
        inside = torch.arange(projected.shape[1], device=weight.device) < counts[:, None]
        self.transform(projected, inside, receive, padded=padded)

    def transform(
        self, hidden: Tensor, inside: Tensor, receive: ReceiveLayer, *, padded: bool = True
    ) -> None:
        """Run the Transformer over projected frames [B, T, D], handing out each state.

        Args:
            hidden: The frames.
            inside: Which of them are no padding, bool [B, T].
            receive: Is given each state and ``inside``.
            padded: Whether there may be padding, which then has to be masked.
        """
        if padded:
            self._mask = inside
            if hidden.device.type == "cpu" and self.model.config.model_type != "wavlm":
                self._added = attention_mask(inside, hidden.dtype)
        try:
            with watched(self.blocks, receive, inside):
                output = self.model.encoder(hidden, attention_mask=self._mask)
        finally:
            self._mask = self._added = None
        receive(len(self.blocks), output.last_hidden_state, inside)

    def _frames(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        """What the front end makes of waveforms, [B, T, C]."""
        layers = list(self.model.feature_extractor.conv_layers)
        if waveforms.device.type != "cpu":
            return convolve_batch(layers, waveforms, lengths)
        # A processor gains nothing from convolving a batch at once, and its caches lose.
        return convolve_rows(layers, waveforms, lengths)

    def _without_padding(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
        if self._mask is None:
            return None
        return (inputs[0] * self._mask[:, None].to(inputs[0].dtype), *inputs[1:])

    def _with_added_mask(
        self, block: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
    ) -> Any:
        """Give a block the mask as numbers to add: attention would compute them in every block from truth values."""
        if self._added is None:
            return None
        return inputs, {**named, "attention_mask": self._added.to(inputs[0].dtype)}


def attention_mask(inside: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention scores, [B, 1, 1, T]: next to −∞ on padding."""
    mask = torch.zeros_like(inside, dtype=dtype)
    return mask.masked_fill(~inside, torch.finfo(dtype).min)[:, None, None]


@contextmanager
def watched(blocks: nn.ModuleList, receive: ReceiveLayer, mask: Tensor) -> Iterator[None]:
    """Tell ``receive`` each block's input and its mask while the context lasts."""

    def see(index: int, block: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        receive(index, inputs[0] if inputs else named["hidden_states"], mask)

    handles = [
        block.register_forward_pre_hook(partial(see, i), with_kwargs=True)
        for i, block in enumerate(blocks)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def truncate(encoder: Any, highest: int, *, final_norm: bool) -> None:
    """Drop the blocks above a state, and the final layer normalisation that belongs to the last one alone."""
    if highest < len(encoder.layers):
        del encoder.layers[highest:]
        if final_norm:
            encoder.layer_norm = nn.Identity()


def final_norm(model: Any) -> bool:
    """Whether the encoder's own layer normalisation comes after its blocks (else before them)."""
    return bool(getattr(model.config, "do_stable_layer_norm", False))


def standardise_waveforms(waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Zero mean and unit variance over each utterance's own samples; padding stays zero."""
    inside = torch.arange(waveforms.shape[1], device=waveforms.device) < lengths[:, None]
    waveforms = waveforms.float() * inside
    mean = waveforms.sum(-1, keepdim=True) / lengths[:, None]
    centred = (waveforms - mean) * inside
    variance = centred.square().sum(-1, keepdim=True) / lengths[:, None]
    return centred * (variance + 1e-7).rsqrt()
