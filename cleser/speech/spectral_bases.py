"""The two constant matrices between a power spectrum and cepstra: triangular mel filters and the cosine basis.

In single precision, step by step as torchaudio computes them, so that features are equal to the last bit wherever
they were computed.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor


def mel_filters(
    bins: int,
    lowest: float,
    highest: float,
    bands: int,
    rate: int,
    *,
    norm: Literal["slaney"] | None = None,
) -> Tensor:
    r"""Triangular filters whose corners are evenly spaced in mel, :math:`m = 2595 \log_{10}(1 + f / 700)`.

    Args:
        bins: Frequencies of the spectrum, from 0 Hz to half the rate.
        lowest: Where the first filter begins, in Hz.
        highest: Where the last filter ends, in Hz.
        bands: Number of filters.
        rate: Samples in a second.
        norm: ``"slaney"`` gives every filter the same area; ``None`` the same height, 1.

    Returns:
        Weights [bins, bands].

    >>> mel_filters(9, 0.0, 4000.0, 2, 8000)[2]  # the weights of 1000 Hz
    tensor([0.6759, 0.3241])
    """
    mels = torch.linspace(_mel(lowest), _mel(highest), bands + 2)
    corners = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    widths = corners[1:] - corners[:-1]
    distances = corners[None] - torch.linspace(0, rate // 2, bins)[:, None]
    rising = -distances[:, :-2] / widths[:-1]
    falling = distances[:, 2:] / widths[1:]
    filters = torch.minimum(rising, falling).clamp(min=0)
    if norm == "slaney":
        filters *= 2.0 / (corners[2:] - corners[:-2])
    return filters


def cosine_basis(coefficients: int, bands: int) -> Tensor:
    r"""The orthonormal discrete cosine transform of type II, which turns log mel bands into cepstra.

    .. math:: c_k = \sqrt{\tfrac{2}{N}} \, s_k \sum_{n=0}^{N-1} x_n \cos\tfrac{\pi (n + 1/2) k}{N},
        \quad s_0 = \tfrac{1}{\sqrt 2}, \; s_{k > 0} = 1.

    Args:
        coefficients: Number of cepstra, the zeroth among them.
        bands: Number of bands N.

    Returns:
        Columns of the transform [bands, coefficients].
    """
    places = torch.arange(float(bands)) + 0.5
    basis = torch.cos(math.pi / bands * places * torch.arange(float(coefficients))[:, None])
    basis[0] *= 1.0 / math.sqrt(2.0)
    basis *= math.sqrt(2.0 / bands)
    return basis.t()


def _mel(frequency: float) -> float:
    return 2595.0 * math.log10(1.0 + frequency / 700.0)
