"""What every aligner is: a recording and its text in, phones in time out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cleser.alignment.phones import Alignment
from cleser.phonetics import Symbol, split_symbol

# espeak-ng names its voices by ISO 639-1 too, but for these. English corpora of emotion are mostly American.
_VOICES: Final = {"zh": "cmn", "en": "en-us", "no": "nb"}
# Modifiers that some voices say as phones of their own: off-glides in Slavic ones, the nasal before a stop in Sinhala.
_BY_THEMSELVES: Final = {"ʲ": "j", "ʰ": "h", "ᵐ": "m", "ⁿ": "n", "ᵑ": "ŋ"}


class Aligner(Protocol):
    """Finds the phones of a text in a recording of it.

    Attributes:
        rate: Sampling rate expected, in Hz.

    >>> class Even:
    ...     # Each letter takes as long as any other.
    ...     rate = 16_000
    ...     def align(self, waveform, text):
    ...         edges = torch.linspace(0, len(waveform) / self.rate, len(text) + 1).numpy()
    ...         return Alignment(edges[:-1], edges[1:], tuple(text))
    >>> aligner: Aligner = Even()
    >>> aligner.align(torch.zeros(16_000), "hi")[1]
    Phone(start=0.5, end=1.0, phone='i')
    """

    rate: int

    def align(self, waveform: Tensor, text: str) -> Alignment:
        """Align samples [T] with what they say."""
        ...


def default_voice(language: str) -> str:
    """The voice of espeak-ng for a language.

    >>> default_voice("zh"), default_voice("tr")
    ('cmn', 'tr')
    """
    return _VOICES.get(language, language)


def check_waveform(waveform: Tensor) -> None:
    """Refuse samples that cannot be a recording.

    Raises:
        ValueError: It is not 1-D, is empty, or holds samples that are not finite or all alike.
    """
    if waveform.ndim != 1 or not len(waveform):
        raise ValueError(f"waveform has shape {list(waveform.shape)}, expected [T] with T ≥ 1")
    if not torch.isfinite(waveform).all():
        raise ValueError("waveform holds samples that are NaN or infinite")
    if waveform.min() == waveform.max():
        raise ValueError("waveform is silent: all its samples are alike, expected speech")


def spelled(
    symbols: Sequence[str], bounds: npt.NDArray[np.float64], quality: float | None
) -> Alignment:
    """An alignment of phones that espeak-ng writes so, with starts and ends [P, 2] in seconds."""
    parts = [_parse(symbol) for symbol in symbols]
    return Alignment(
        bounds[:, 0],
        bounds[:, 1],
        tuple(part.phone for part in parts),
        stress=np.array([part.stress for part in parts]),
        tones=tuple(part.tone for part in parts),
        lengths=tuple(part.length for part in parts),
        quality=quality,
    )


@cache
def _parse(symbol: str) -> Symbol:
    """The parts of a symbol, or of what it begins with: some voices write two phones as one."""
    for stop in range(len(symbol), 0, -1):
        with suppress(ValueError):
            return split_symbol(symbol[:stop], "espeak")
    if symbol in _BY_THEMSELVES:
        return Symbol(_BY_THEMSELVES[symbol])
    raise ValueError(f"espeak-ng wrote the phone {symbol!r}, expected a symbol of the IPA")
