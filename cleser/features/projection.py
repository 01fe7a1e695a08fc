"""Random projections: many numbers of an utterance as few, of which similarities stay about the same."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

PROJECTED = 512  # numbers that an utterance is described by at most


def described_by(channels: int) -> int:
    """Numbers F that an utterance of so many channels is described by."""
    return min(channels, PROJECTED)


def projected(x: Tensor) -> Tensor:
    r"""Project x [N, F] onto `PROJECTED` random directions, where it has more channels.

    .. math:: y = \frac{1}{\sqrt{D}} x S, \qquad S \in \{-1, 1\}^{F \times D}

    Similarities stay as they are within about :math:`1 / \sqrt{D}`, and memory no longer grows with layers and channels
    (W. B. Johnson, J. Lindenstrauss, 1984; D. Achlioptas, *Database-friendly random projections*, 2003). The signs are
    the bits of a counter-based generator, the same on every machine.
    """
    return x if x.shape[1] <= PROJECTED else x @ _signs(x.shape[1])


@lru_cache(maxsize=1)
def _signs(channels: int) -> Tensor:
    words = np.random.Philox(key=0).random_raw(channels * PROJECTED // 64).astype("<u8")
    bits = np.unpackbits(words.view(np.uint8)).reshape(channels, PROJECTED)
    return torch.from_numpy((2 * bits.astype(np.float32) - 1) / np.float32(PROJECTED) ** 0.5)
