r"""The convolutions that turn waveforms into frames, over each recording's own samples alone.

The first of them has a group normalisation in many models: each channel to zero mean and unit variance over time, and
over padding too as it is published. It has one input channel, so that channel c's output is :math:`y_t = w_c^\top x_t`
for windows :math:`x_t` of k samples. Its mean and variance over an utterance's own windows follow from theirs,

.. math:: \mu_c = w_c^\top \bar{x}, \qquad \sigma_c^2 = w_c^\top \operatorname{Cov}(x)\, w_c ,

a k × k matrix an utterance: the statistics never touch the output, the largest tensor of the whole model.

On a processor most of the time beyond the products themselves goes into memory that is asked for and given back. There
a recording is taken in pieces of some seconds, each through all layers, which write to memory that stays.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_PIECE = 128  # frames of a recording that go through all layers together


def geometry(layers: Sequence[Any]) -> tuple[int, int]:
    """Stride and receptive field of a frame, in samples."""
    stride, field = 1, 1
    for layer in layers:
        field += (layer.conv.kernel_size[0] - 1) * stride
        stride *= layer.conv.stride[0]
    return stride, field


def convolve_batch(layers: Sequence[Any], waveforms: Tensor, lengths: Tensor) -> Tensor:
    """Frames [B, T, C] of a padded batch [B, N]: how a GPU likes it.

    Args:
        layers: Each with ``conv``, ``activation`` and perhaps ``layer_norm``.
        waveforms: Zero beyond each length.
        lengths: True samples of each, int64 [B].
    """
    hidden = waveforms[:, None]
    for layer in layers:
        if _has_group_norm(layer):
            scale, shift = _group_norm(layer, waveforms, lengths)
            raw = F.conv1d(hidden, layer.conv.weight, stride=layer.conv.stride)
            hidden = layer.activation(torch.addcmul(shift[..., None], raw, scale[..., None]))
        else:
            hidden = layer(hidden)
    return hidden.transpose(1, 2)


def convolve_rows(layers: Sequence[Any], waveforms: Tensor, lengths: Tensor) -> Tensor:
    """The same, a recording at a time and channels last, so that every convolution is a plain matrix product.

    Frames beyond a recording's own are zero.
    """
    weights = [_taps(layer.conv) for layer in layers]
    room = _Room(layers, waveforms)
    rows = [
        _convolve_row(layers, weights, waveform[:length], room)
        for waveform, length in zip(waveforms.contiguous(), lengths.tolist(), strict=True)
    ]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)


class _Memory(threading.local):
    """Two arrays that every thread keeps for itself: asking for new ones costs as much as filling them."""

    def __init__(self) -> None:
        self.arrays = [torch.empty(0), torch.empty(0)]


_MEMORY: Final = _Memory()


class _Room:
    """Where layers write to, in turns: what one wrote is still in the cache when the next one reads it.

    Where gradients are wanted, each layer's output is kept, and has memory of its own.
    """

    def __init__(self, layers: Sequence[Any], like: Tensor) -> None:
        learns = any(p.requires_grad for layer in layers for p in layer.parameters())
        self.kept = torch.is_grad_enabled() and (learns or like.requires_grad)

    def take(self, rows: int, like: Tensor, channels: int) -> Tensor:
        """An array [rows, channels], other than the one taken before it."""
        if self.kept:
            return like.new_empty(rows, channels)
        arrays, size = _MEMORY.arrays, rows * channels
        arrays.reverse()
        if arrays[0].dtype != like.dtype or len(arrays[0]) < size:
            with torch.inference_mode(False):
                arrays[0] = torch.empty(size, dtype=like.dtype)
        return arrays[0][:size].view(rows, channels)


def _convolve_row(
    layers: Sequence[Any], weights: Sequence[Tensor], waveform: Tensor, room: _Room
) -> Tensor:
    """Frames [T, C] of one recording [N]."""
    first, bias = weights[0], layers[0].conv.bias
    if _has_group_norm(layers[0]):
        scale, shift = _group_norm(layers[0], waveform[None], torch.tensor([len(waveform)]))
        first, bias = first * scale, shift[0]
    bias = first.new_zeros(first.shape[1]) if bias is None else bias
    first = torch.cat([first, bias[None]])
    stride, field = geometry(layers)
    count = (len(waveform) - field) // stride + 1
    pieces = []
    for begin in range(0, count, _PIECE):
        last = min(begin + _PIECE, count) - 1
        hidden = waveform[begin * stride : last * stride + field]
        hidden = _finish(layers[0], _convolve_samples(hidden, layers[0].conv, first, room))
        for layer, weight in zip(layers[1:], weights[1:], strict=True):
            hidden = _finish(layer, _convolve(hidden, layer.conv, weight, room))
        pieces.append(hidden.clone())
    return torch.cat(pieces)


def _convolve_samples(waveform: Tensor, conv: nn.Conv1d, weight: Tensor, room: _Room) -> Tensor:
    """Frames of one channel [N]: its windows are copied, each beside a one for the bias, the weights' last row."""
    windows = F.pad(waveform.unfold(0, conv.kernel_size[0], conv.stride[0]), (0, 1), value=1.0)
    return _product(
        windows, weight, None, room.take(len(windows), windows, conv.out_channels), room
    )


def _convolve(hidden: Tensor, conv: nn.Conv1d, weight: Tensor, room: _Room) -> Tensor:
    """A strided convolution of [T, C] as products of views: every n-th window, where n neighbours overlap."""
    kernel, stride, channels = conv.kernel_size[0], conv.stride[0], hidden.shape[1]
    output = room.take((len(hidden) - kernel) // stride + 1, hidden, conv.out_channels)
    turns = -(-kernel // stride)
    for turn in range(min(turns, len(output))):
        rows = output[turn::turns]
        windows = hidden.as_strided(
            (len(rows), kernel * channels),
            (turns * stride * channels, 1),
            hidden.storage_offset() + turn * stride * channels,
        )
        _product(windows, weight, conv.bias, rows, room)
    return output


def _product(
    windows: Tensor, weight: Tensor, bias: Tensor | None, output: Tensor, room: _Room
) -> Tensor:
    """Write a matrix product to where it belongs."""
    if room.kept:
        return output.copy_(F.linear(windows, weight.mT, bias))
    if bias is None:
        return torch.mm(windows, weight, out=output)
    return torch.addmm(bias, windows, weight, out=output)


def _finish(layer: Any, hidden: Tensor) -> Tensor:
    """What follows a layer's convolution; a group normalisation is in its weights already."""
    if getattr(layer, "layer_norm", None) is not None and not _has_group_norm(layer):
        hidden = layer.layer_norm(hidden)
    activated: Tensor = layer.activation(hidden)
    return activated


def _taps(conv: nn.Conv1d) -> Tensor:
    """Weights [C_out, C_in, k] as a matrix [k · C_in, C_out]."""
    return conv.weight.permute(2, 1, 0).contiguous().view(-1, conv.out_channels)


def _has_group_norm(layer: Any) -> bool:
    return isinstance(getattr(layer, "layer_norm", None), nn.GroupNorm)


def _group_norm(layer: Any, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """What the group normalisation multiplies and adds, [B, C] each; the convolution's bias cancels.

    In single precision whatever the layers compute in: a filter's variance is a sum that cancels, and rounded to
    half precision it comes out negative for filters of frequencies that the recording lacks.

    Raises:
        ValueError: A group has more than one channel.
    """
    with torch.autocast(waveforms.device.type, enabled=False):
        scale, shift = _scale_and_shift(layer.conv, layer.layer_norm, waveforms.float(), lengths)
    return scale.to(waveforms.dtype), shift.to(waveforms.dtype)


def _scale_and_shift(
    conv: nn.Conv1d, norm: nn.GroupNorm, waveforms: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """What the group normalisation multiplies and adds, in single precision."""
    if norm.num_groups != conv.out_channels:
        raise ValueError(
            f"found {norm.num_groups} groups of {conv.out_channels} channels, expected a group a channel"
        )
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    windows = waveforms.unfold(-1, kernel, stride)
    count = (lengths - kernel).div(stride, rounding_mode="floor") + 1
    frames = count[:, None, None]
    if len(waveforms) == 1:
        windows = windows[:, : int(count)]
        mean = windows.mean(1, keepdim=True)
        centred = windows - mean
    else:
        inside = torch.arange(windows.shape[1], device=windows.device) < count[:, None]
        mean = (windows * inside[..., None]).sum(1, keepdim=True) / frames
        centred = (windows - mean) * inside[..., None]
    weight = conv.weight[:, 0].float()
    variance = ((weight @ (centred.mT @ centred / frames)) * weight).sum(-1)
    scale = norm.weight * (variance.clamp_min(0) + norm.eps).rsqrt()  # rounding can go below
    return scale, norm.bias - scale * (mean @ weight.mT)[:, 0]
