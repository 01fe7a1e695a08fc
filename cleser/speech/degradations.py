r"""Recordings made worse in known ways, from a seeded generator and without outside data: noise, rooms, codecs, speed.

Each function takes samples [T] and gives float32 samples at the same rate.
"""

from __future__ import annotations

import io
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from scipy.signal import fftconvolve

Samples = npt.NDArray[np.float32]
Noise = Literal["white", "pink", "speech"]
NOISES: Final[tuple[Noise, ...]] = ("white", "pink", "speech")


class Codec(NamedTuple):
    """A way to encode sound, as libsndfile names it.

    Attributes:
        container: Format of the file.
        subtype: Encoding within it.
        rate: Sampling rate that it is encoded at, in Hz; None for the recording's own.
    """

    container: str
    subtype: str
    rate: int | None = None


CODECS: Final = {
    "mp3": Codec("MP3", "MPEG_LAYER_III"),
    "vorbis": Codec("OGG", "VORBIS"),
    "opus": Codec("OGG", "OPUS", 16000),
    "u-law": Codec("WAV", "ULAW", 8000),
    "gsm": Codec("WAV", "GSM610", 8000),
}
"""*u-law* and *gsm* are telephones: 8 kHz, nothing above 4 kHz is left."""


def add_noise(samples: npt.ArrayLike, kind: Noise, snr: float, rng: np.random.Generator) -> Samples:
    r"""Add noise at a signal-to-noise ratio.

    .. math:: \mathrm{SNR} = 10 \log_{10} \frac{\sum_t x_t^2}{\sum_t n_t^2}

    over the whole recording, pauses included. *White* noise has the same power at every frequency, *pink* falls by 3 dB
    an octave, *speech* has the recording's own spectrum with phases at random: as loud as its speaker in each band, as
    many voices at once are, but without words.

    Args:
        samples: [T].
        kind: ``"white"``, ``"pink"`` or ``"speech"``.
        snr: Signal-to-noise ratio, in dB.
        rng: Draws the noise.

    Returns:
        [T]; the speech in it as loud as before. Silence stays silence.

    Raises:
        ValueError: The kind is unknown.
    """
    if kind not in NOISES:
        raise ValueError(f"kind is {kind!r}, expected one of {', '.join(NOISES)}")
    x = np.asarray(samples, dtype=np.float64)
    spectrum = np.fft.rfft(rng.standard_normal(len(x)))
    if kind == "pink":
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    elif kind == "speech":
        turns = rng.uniform(0, 2 * np.pi, len(spectrum))
        spectrum = np.abs(np.fft.rfft(x)) * np.exp(1j * turns)
    spectrum[:1] = 0  # no constant offset
    noise = np.fft.irfft(spectrum, len(x))
    power = float((noise**2).sum())
    gain = np.sqrt((x**2).sum() / power / 10 ** (snr / 10)) if power else 0.0
    return (x + gain * noise).astype(np.float32)


def impulse_response(rt60: float, rate: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    r"""A room without walls' details: white noise whose power falls by 60 dB in ``rt60`` seconds.

    .. math:: h_t = n_t \, 10^{-3 t / (f \, T_{60})}, \qquad n_t \sim \mathcal N(0, 1)

    Args:
        rt60: Reverberation time :math:`T_{60}`, in seconds.
        rate: :math:`f`, in Hz.
        rng: Draws the noise.

    Returns:
        [T] of 1.2 ``rt60``, of unit energy: as loud as what it is convolved with.

    Raises:
        ValueError: ``rt60`` is not above 0.
    """
    if not rt60 > 0:
        raise ValueError(f"rt60 is {rt60} s, expected more than 0")
    t = np.arange(max(1, round(1.2 * rt60 * rate)))
    h = rng.standard_normal(len(t)) * 10 ** (-3 * t / (rate * rt60))
    return np.asarray(h / np.sqrt((h**2).sum()))


def reverberate(
    samples: npt.ArrayLike, rate: int, rt60: float, rng: np.random.Generator
) -> Samples:
    """Put a recording into a room: half of the energy comes directly, half over :func:`impulse_response`.

    Args:
        samples: [T].
        rate: Sampling rate, in Hz.
        rt60: Reverberation time, in seconds.
        rng: Draws the room.

    Returns:
        [T], as loud as before; what sounds on after the recording's end is cut off.
    """
    x = np.asarray(samples, dtype=np.float64)
    room = fftconvolve(x, impulse_response(rt60, rate, rng))[: len(x)]
    return _as_loud(x + room, x)


def encode(samples: npt.ArrayLike, rate: int, codec: str) -> Samples:
    """Encode and decode again, in memory.

    Args:
        samples: [T], within ±1.
        rate: Sampling rate, in Hz.
        codec: One of :data:`CODECS`.

    Returns:
        [T]: cut or filled with silence where the codec changes the length.

    Raises:
        ValueError: The codec is unknown, or this libsndfile has it not.
    """
    if codec not in CODECS:
        raise ValueError(f"codec is {codec!r}, expected one of {', '.join(CODECS)}")
    container, subtype, at = CODECS[codec]
    if not soundfile.check_format(container, subtype):
        raise ValueError(f"{soundfile.__libsndfile_version__} of libsndfile cannot encode {codec}")
    x = np.asarray(samples, dtype=np.float32)
    at = at or rate
    file = io.BytesIO()
    sent = x if at == rate else soxr.resample(x, rate, at)
    soundfile.write(file, sent, at, format=container, subtype=subtype)
    file.seek(0)
    back, found = soundfile.read(file, dtype="float32")
    if found != rate:
        back = soxr.resample(back, found, rate)
    decoded = np.zeros(len(x), np.float32)
    decoded[: len(back)] = back[: len(x)]
    return decoded


def change_speed(samples: npt.ArrayLike, rate: int, factor: float) -> Samples:
    """Play a recording faster or slower: pitch and tempo change together, as those of a tape.

    Args:
        samples: [T].
        rate: Sampling rate, in Hz.
        factor: 1.1 is 10 % faster.

    Returns:
        [T / factor].

    Raises:
        ValueError: The factor is not above 0.
    """
    if not factor > 0:
        raise ValueError(f"factor is {factor}, expected more than 0")
    x = np.asarray(samples, dtype=np.float32)
    return np.asarray(soxr.resample(x, rate * factor, rate), dtype=np.float32)


def _as_loud(x: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> Samples:
    power = float((x**2).sum())
    gain = np.sqrt((reference**2).sum() / power) if power else 0.0
    return (gain * x).astype(np.float32)
