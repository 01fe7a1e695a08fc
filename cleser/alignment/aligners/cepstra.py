"""Cepstra to compare two speakers by: what a voice, a room and a microphone add is taken away.

Mel cepstra (Davis and Mermelstein 1980) with 5 ms between frames, so that boundaries are fine. Both sides are
clamped to the recording's own range between speech and noise; each coefficient is standardised over the
frames of speech; energy is measured from the loud frames and weighs half.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from cleser.speech.spectral_bases import cosine_basis, mel_filters

RATE: Final = 16000  # Hz
HOP: Final = 80  # samples from frame to frame
FRAME_RATE: Final = RATE / HOP
_WINDOW, _FFT, _BANDS, _COEFFICIENTS = 400, 512, 26, 12
_REACH = 4  # frames on either side that a slope is taken over
_ENERGY_WEIGHT = 0.5
_SLOPE_WEIGHT = 6.0  # makes slopes vary as much as what they are slopes of
_EPSILON = 1e-10

Floats = npt.NDArray[np.float32]


def mel_power(samples: Floats) -> Floats:
    """Power in mel bands, [T, 26]; frame t lies around sample ``80 t``."""
    padded = np.pad(samples, _FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::HOP]
    spectrum = np.fft.rfft(frames * _window(), axis=1)
    return np.asarray((np.abs(spectrum) ** 2).astype(np.float32) @ _bank())


def level(power: Floats) -> Floats:
    """Energy of each frame in dB below the loud frames (their 95 % quantile), [T], mostly negative."""
    decibels = _decibel(power.sum(1))
    return np.asarray(decibels - np.quantile(decibels, 0.95), dtype=np.float32)


def dynamic_range(power: Floats) -> float:
    """How far the noise lies below the loud frames, in dB, between 25 and 45."""
    quiet = float(np.quantile(level(power), 0.02))
    return float(np.clip(-quiet - 3, 25, 45))


def cepstra(power: Floats, span: float) -> Floats:
    """Describe the frames of an utterance.

    Args:
        power: Mel power [T, 26].
        span: Range in dB below the loud frames under which everything is noise.

    Returns:
        [T, 26]: standardised cepstra 1–12 and energy, then their slopes over ±20 ms.
    """
    bands = _decibel(power)
    floor = np.quantile(bands.max(1), 0.95) - span
    coefficients = np.maximum(bands, floor) @ _cosines()
    energy = np.maximum(level(power), -span)
    speech = energy > 3 - span
    centred = coefficients - coefficients[speech].mean(0)
    centred /= np.maximum(coefficients[speech].std(0), 1e-3) * np.sqrt(_COEFFICIENTS)
    energy = _ENERGY_WEIGHT * (energy - energy[speech].mean()) / 10
    both = np.concatenate([centred, energy[:, None]], 1)
    return np.concatenate([both, _SLOPE_WEIGHT * _slope(both)], 1).astype(np.float32)


def _slope(values: Floats) -> Floats:
    padded = np.pad(values, ((_REACH, _REACH), (0, 0)), mode="edge")
    slope = np.zeros_like(values)
    for step in range(1, _REACH + 1):
        ahead = padded[_REACH + step : _REACH + step + len(values)]
        slope += step * (ahead - padded[_REACH - step : _REACH - step + len(values)])
    return slope / np.float32(2 * sum(step * step for step in range(1, _REACH + 1)))


def _decibel(power: Floats) -> Floats:
    return np.asarray(10 * np.log10(power + _EPSILON), dtype=np.float32)


@cache
def _window() -> Floats:
    margin = (_FFT - _WINDOW) // 2
    return np.pad(np.hanning(_WINDOW), (margin, _FFT - _WINDOW - margin)).astype(np.float32)


@cache
def _bank() -> Floats:
    return np.asarray(mel_filters(_FFT // 2 + 1, 80.0, 7200.0, _BANDS, RATE).numpy())


@cache
def _cosines() -> Floats:
    return np.asarray(cosine_basis(_COEFFICIENTS + 1, _BANDS).numpy()[:, 1:])
