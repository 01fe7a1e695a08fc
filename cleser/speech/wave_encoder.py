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
import torch.nn.functional as F
from torch import Tensor, nn

from cleser.speech.backbones import ReceiveLayer
from cleser.speech.wavlm_attention import attend_by_kernel


class WaveEncoder(nn.Module):
    """A convolutional front end and a Transformer over its frames.

    State 0 is the Transformer's input, state i what its i-th block gives; the last one is the encoder's output, its
    final layer normalisation (where there is one) included.

    Args:
        model: A model of transformers with ``feature_extractor``, ``feature_projection`` and ``encoder``.
        highest: The highest state wanted; blocks above it are dropped.
        normalise: Bring each utterance to zero mean and unit variance, as its processor says.
    """

    def __init__(self, model: Any, *, highest: int, normalise: bool) -> None:
        super().__init__()
        self.model = model
        self.normalise = normalise
        self.dim: int = model.config.hidden_size
        self.stride, self.receptive_field = _geometry(self.front_end)
        self.first_centre = self.receptive_field / 2
        self._mask: Tensor | None = None
        truncate(model.encoder, highest, final_norm=final_norm(model))
        for module in model.encoder.pos_conv_embed.modules():
            if isinstance(module, nn.Conv1d):
                module.register_forward_pre_hook(self._without_padding)
        if model.config.model_type == "wavlm":
            attend_by_kernel(model)

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
            waveforms = _standardise(waveforms, lengths)
        hidden = self._convolve(waveforms.to(weight.dtype), lengths)
        projected = self.model.feature_projection(hidden.transpose(1, 2))
        projected = projected[0] if isinstance(projected, tuple) else projected
        inside = torch.arange(projected.shape[1], device=weight.device) < counts[:, None]
        self._mask = inside if padded else None
        try:
            with watched(self.blocks, receive, inside):
                output = self.model.encoder(projected, attention_mask=self._mask)
        finally:
            self._mask = None
        receive(len(self.blocks), output.last_hidden_state, inside)

    def _convolve(self, waveforms: Tensor, lengths: Tensor) -> Tensor:
        hidden = waveforms[:, None]
        for layer in self.model.feature_extractor.conv_layers:
            if isinstance(getattr(layer, "layer_norm", None), nn.GroupNorm):
                hidden = layer.activation(masked_group_norm_convolution(layer, hidden, lengths))
            else:
                hidden = layer(hidden)
        return hidden

    def _without_padding(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
        if self._mask is None:
            return None
        return (inputs[0] * self._mask[:, None].to(inputs[0].dtype), *inputs[1:])


def masked_group_norm_convolution(layer: Any, waveforms: Tensor, lengths: Tensor) -> Tensor:
    r"""The first convolution with its group normalisation, over true frames alone.

    The convolution has one input channel, so that channel c's output is :math:`y_t = w_c^\top x_t` for windows
    :math:`x_t` of k samples. Its mean and variance over an utterance's own windows follow from theirs,

    .. math:: \mu_c = w_c^\top \bar{x}, \qquad \sigma_c^2 = w_c^\top \operatorname{Cov}(x)\, w_c ,

    a k × k matrix an utterance, so that the statistics never touch the 512 channels of output, the largest tensor
    of the whole model.

    Args:
        layer: Has ``conv`` and ``layer_norm``, with a group a channel.
        waveforms: [B, 1, N].
        lengths: True samples of each, int64 [B].

    Returns:
        [B, C, T].

    Raises:
        ValueError: A group has more than one channel.
    """
    conv, norm = layer.conv, layer.layer_norm
    channels, kernel, stride = conv.out_channels, conv.kernel_size[0], conv.stride[0]
    if norm.num_groups != channels:
        raise ValueError(
            f"found {norm.num_groups} groups of {channels} channels, expected a group a channel"
        )
    windows = waveforms[:, 0].float().unfold(-1, kernel, stride)
    count = (lengths - kernel).div(stride, rounding_mode="floor") + 1
    inside = torch.arange(windows.shape[1], device=windows.device) < count[:, None]
    frames = count[:, None, None]
    mean = (windows * inside[..., None]).sum(1, keepdim=True) / frames
    centred = (windows - mean) * inside[..., None]
    weight = conv.weight[:, 0].float()
    variance = ((weight @ (centred.mT @ centred / frames)) * weight).sum(-1)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    shift = norm.bias - scale * (mean @ weight.mT)[:, 0]
    output = F.conv1d(waveforms, conv.weight, stride=stride)  # a bias would cancel
    return torch.addcmul(
        shift[..., None].to(output.dtype), output, scale[..., None].to(output.dtype)
    )


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


def _geometry(front_end: Any) -> tuple[int, int]:
    """Stride and receptive field of a frame, in samples."""
    stride, field = 1, 1
    for layer in front_end.conv_layers:
        field += (layer.conv.kernel_size[0] - 1) * stride
        stride *= layer.conv.stride[0]
    return stride, field


def _standardise(waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Zero mean and unit variance over each utterance's own samples; padding stays zero."""
    inside = torch.arange(waveforms.shape[1], device=waveforms.device) < lengths[:, None]
    waveforms = waveforms.float() * inside
    mean = waveforms.sum(-1, keepdim=True) / lengths[:, None]
    centred = (waveforms - mean) * inside
    variance = centred.square().sum(-1, keepdim=True) / lengths[:, None]
    return centred * (variance + 1e-7).rsqrt()
