"""What an extraction will take: how much of the disk, and about how long."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from cleser.features.pooled import Record
from cleser.features.store import PooledStore
from cleser.features.utterance import Utterance
from cleser.speech.backbones import Backbone
from cleser.speech.backbones.replicas import device_of


class Estimate(NamedTuple):
    """Size and time of an extraction.

    Attributes:
        utterances: Number of utterances that are still to be encoded.
        seconds: Seconds of sound in them.
        size: Bytes that are kept of them.
    """

    utterances: int
    seconds: float
    size: int

    @classmethod
    def of(cls, items: Sequence[Utterance], store: PooledStore, record: Record) -> Estimate:
        """The estimate for utterances that a store does not hold yet."""
        # With a row's times and frame count.
        row = store.row_bytes + 12
        rows = sum(record.rows(item.seconds, item.alignment) for item in items)
        return cls(len(items), sum(item.seconds for item in items), rows * row)

    def check(self, folder: Path) -> None:
        """Refuse a disk that is too small."""
        free = shutil.disk_usage(folder).free
        if self.size > free:
            raise ValueError(
                f"{folder}: the features of {self.utterances} utterances take about {_bytes(self.size)}, and "
                f"{_bytes(free)} are free: take fewer layers (--backbone MODEL,layers=middle) or another disk "
                "(CLESER_CACHE); cleser extract can also leave out tokens (--tokens none)"
            )

    def said(self, backbone: Backbone, workers: int) -> str:
        """Size and time in a sentence, after a trial of the backbone's speed."""
        takes = self.seconds / _speed(backbone) / workers
        return (
            f"{self.utterances} utterances, {_time(self.seconds)} of sound: about {_bytes(self.size)}, "
            f"{_time(takes)} of work"
        )


def _bytes(size: float) -> str:
    """A size as people say it.

    >>> _bytes(3.2e5), _bytes(4.25e7), _bytes(1.3e10)
    ('320 kB', '42 MB', '13.0 GB')
    """
    if size >= 1e9:
        return f"{size / 1e9:.1f} GB"
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _time(seconds: float) -> str:
    """A duration as people say it.

    >>> _time(20), _time(150), _time(8000)
    ('20 s', '2 min', '2.2 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@torch.inference_mode()
def _speed(backbone: Backbone) -> float:
    """Seconds of sound that a backbone encodes in a second, by a trial on noise."""
    length = min(10 * backbone.rate, backbone.longest or math.inf)
    noise = 0.1 * torch.randn(1, int(length), device=device_of(backbone))
    lengths = torch.tensor([noise.shape[1]])
    # The first call is slower than any other.
    backbone(noise, lengths)
    began = time.perf_counter()
    backbone(noise, lengths).hidden_states.sum().item()  # waits for a GPU
    return length / backbone.rate / (time.perf_counter() - began)
