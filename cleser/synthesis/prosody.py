"""A voice says a text in a manner: espeak-ng for what it can do, linear filters for the rest.

Nothing here moves a phone: filters have no delay, and a vocal tract of another length, made by playing
the sound at another speed, moves every time by the same known factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.ndimage import uniform_filter1d

from cleser.synthesis.espeak import Speech, synthesise

RATE: Final = 16000  # Hz
# dB re full scale, of speech at loudness 0: leaves room for 15 dB and its peaks.
_LEVEL: Final = -27.0
_SEMITONES: Final = 0.18  # of a step of espeak-ng's pitch, measured
_RISE: Final = 0.03  # semitones by which a step of its pitch range lifts the median, measured
_REACH: Final = 8192  # samples of silence behind the sound, so that no filter wraps around into it

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Voice:
    """Who speaks.

    Attributes:
        language: Voice of espeak-ng, as ``en`` or ``cmn``.
        variant: Speaker of espeak-ng, as ``m3`` or ``f2``.
        tract: Factor on all formants; above 1 the vocal tract is shorter.
        rate: Words a minute.
        pitch: Semitones from the variant's own.
        brightness: Spectral tilt in dB an octave around 1 kHz.
    """

    language: str
    variant: str | None = None
    tract: float = 1.0
    rate: float = 165.0
    pitch: float = 0.0
    brightness: float = 0.0


@dataclass(frozen=True)
class Manner:
    """How it is said, relative to the voice.

    Attributes:
        pitch: Semitones.
        range: log2 of the factor on the pitch range.
        rate: log2 of the factor on the speaking rate.
        loudness: dB.
        brightness: Spectral tilt in dB an octave.
        breath: dB of aspiration noise, over 24 dB below the speech.
    """

    pitch: float = 0.0
    range: float = 0.0
    rate: float = 0.0
    loudness: float = 0.0
    brightness: float = 0.0
    breath: float = 0.0


def speak(text: str, voice: Voice, manner: Manner | None = None, *, seed: int = 0) -> Speech:
    """Say a text.

    Args:
        text: What to say.
        voice: Who speaks.
        manner: How to say it; None is plainly. What espeak-ng cannot do is brought to its nearest limit.
        seed: Seed of the aspiration noise.

    Returns:
        16 kHz speech within ±1, with exact phone times.
    """
    import soxr  # noqa: PLC0415  (what is aligned is not always synthesised)

    manner = manner or Manner()
    said = synthesise(text, voice=voice.language, variant=voice.variant, **_settings(voice, manner))
    sound = np.asarray(soxr.resample(said.samples, said.rate * voice.tract, RATE), dtype=np.float64)
    sound = _tilted(sound, voice.brightness + manner.brightness)
    sound = _breathy(sound, manner.breath - 24.0, np.random.default_rng(seed))
    starts, ends = said.starts / voice.tract, said.ends / voice.tract
    sound *= 10 ** ((_LEVEL + manner.loudness) / 20) / _level(sound, starts, ends)
    return Speech(sound.clip(-1, 1).astype(np.float32), RATE, said.phones, starts, ends)


def _settings(voice: Voice, manner: Manner) -> dict[str, int]:
    width = _whole(50 * 2**manner.range, 0, 99)
    semitones = voice.pitch + manner.pitch - 12 * np.log2(voice.tract)
    steps = (semitones - _RISE * (width - 50)) / _SEMITONES
    return {
        "rate": _whole(voice.rate * 2**manner.rate / voice.tract, 80, 450),
        "pitch": _whole(50 + steps, 0, 99),
        "pitch_range": width,
    }


def _whole(value: float, lowest: int, highest: int) -> int:
    return min(max(round(value), lowest), highest)


def _tilted(sound: Samples, slope: float) -> Samples:
    """A straight line in dB over log frequency, level below 125 Hz and unchanged at 1 kHz."""
    length = next_fast_len(len(sound) + _REACH, real=True)
    octaves = np.log2(np.maximum(rfftfreq(length, 1 / RATE), 125.0) / 1000)
    filtered = irfft(rfft(sound, length) * 10 ** (slope * octaves / 20), length)
    return np.asarray(filtered[: len(sound)])


def _breathy(sound: Samples, level: float, random: np.random.Generator) -> Samples:
    """Noise, rising 6 dB an octave as aspiration does, that follows the speech's envelope."""
    noise = np.diff(random.standard_normal(len(sound) + 1)) / np.sqrt(2)
    power = uniform_filter1d(np.square(sound), round(0.02 * RATE), mode="constant")
    envelope = np.sqrt(power.clip(0))  # a running sum may end a hair below zero
    return np.asarray(sound + 10 ** (level / 20) * envelope * noise)


def _level(sound: Samples, starts: npt.NDArray[np.float64], ends: npt.NDArray[np.float64]) -> float:
    spoken = np.zeros(len(sound), dtype=bool)
    for start, end in zip(starts, ends, strict=True):
        spoken[round(start * RATE) : round(end * RATE)] = True
    return float(np.sqrt(np.square(sound[spoken]).mean()))
