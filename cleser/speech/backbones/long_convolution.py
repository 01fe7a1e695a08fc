r"""Long convolutions on a processor, by the Fourier transform.

The positional convolutions of wav2vec 2.0 and its kin span 128 frames, and on a processor they cost as much as
several blocks. A window of n frames under a kernel of k taps gives n - k + 1 outputs at once,

.. math:: y = \mathcal{F}^{-1}\big(\mathcal{F}x \cdot \overline{\mathcal{F}w}\big),

with one product for each frequency and pair of channels, where the sum itself takes k for each output (overlap-save;
Stockham, 1966). Windows begin at fixed places and are shorter only where all recordings of a batch fit into one.
"""

from __future__ import annotations

from types import MethodType

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

_LONG = 32  # taps from which the transform is faster
_Spectra = tuple[tuple[tuple[int, int], ...], dict[int, Tensor]]

# A kernel's transforms by their length, for as long as its weights live and stay what they are.
_SPECTRA = WeakTensorKeyDictionary()


def convolve_by_spectrum(conv: nn.Conv1d) -> None:
    """Let a long convolution work by the transform wherever that is faster, with the same numbers to rounding."""
    plain = conv.stride == conv.dilation == (1,) and conv.padding_mode == "zeros"
    if plain and isinstance(conv.padding, tuple) and conv.kernel_size[0] >= _LONG:
        conv.forward = MethodType(_forward, conv)  # type: ignore[method-assign]


def _forward(conv: nn.Conv1d, hidden: Tensor) -> Tensor:
    """Channels [B, C, T] to [B, C, T']."""
    half = hidden.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
    if hidden.device.type != "cpu" or half:
        plain: Tensor = nn.Conv1d.forward(conv, hidden)
        return plain
    kernel, padding = conv.kernel_size[0], int(conv.padding[0])
    count = hidden.shape[2] + 2 * padding - kernel + 1
    size = _size(kernel, count)
    hop = size - kernel + 1
    windows = -(-count // hop)
    batch, channels = len(hidden), hidden.shape[1]
    room = windows * hop + kernel - 1 - padding - hidden.shape[2]
    frames = F.pad(hidden.transpose(1, 2), (0, 0, padding, room))
    frames = frames.unfold(1, size, hop).movedim(3, 2)  # [B, W, n, C]
    spectrum = torch.fft.rfft(frames, dim=2).reshape(batch * windows, -1, channels // conv.groups)
    spectrum = torch.bmm(spectrum.transpose(0, 1), _spectrum(conv, size)).transpose(0, 1)
    spectrum = spectrum.reshape(batch, windows, size // 2 + 1, conv.out_channels)
    windowed: Tensor = torch.fft.irfft(spectrum, size, dim=2)[:, :, :hop]
    output = windowed.flatten(1, 2)[:, :count]
    return (output if conv.bias is None else output + conv.bias).transpose(1, 2)


def _size(kernel: int, count: int) -> int:
    """How long a window is: three kernels, or less where a short recording fits into one window of less."""
    whole = count + kernel - 1
    return next((n for n in (3 * kernel // 2, 2 * kernel) if n >= whole), 3 * kernel)


def _spectrum(conv: nn.Conv1d, size: int) -> Tensor:
    """Transform of the kernel, [frequency · group, C_in, C_out], made anew only when weights have changed."""
    weights = tuple(conv.parameters())
    if torch.is_grad_enabled() and any(w.requires_grad for w in weights):
        return _transform(conv, size)
    state = tuple((w._version, w.data_ptr()) for w in weights)
    kept: _Spectra | None = _SPECTRA.get(weights[-1])
    if kept is None or kept[0] != state:
        _SPECTRA[weights[-1]] = kept = (state, {})
    if size not in kept[1]:
        with torch.inference_mode(False), torch.no_grad():
            kept[1][size] = _transform(conv, size)
    return kept[1][size]


def _transform(conv: nn.Conv1d, size: int) -> Tensor:
    spectrum: Tensor = torch.fft.rfft(conv.weight, size).conj()  # [C_out, C_in, F]
    inputs, outputs = conv.weight.shape[1], conv.out_channels // conv.groups
    spectrum = spectrum.unflatten(0, (conv.groups, outputs)).permute(3, 0, 2, 1)
    return spectrum.reshape(-1, inputs, outputs).resolve_conj().contiguous()
