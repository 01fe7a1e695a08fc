"""Speech-like noise, and what people do with recordings before they publish them again."""

from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 16000


def babble(seed: int, seconds: float = 1.5, rate: int = RATE) -> np.ndarray:
    """Harmonics of a wandering pitch and noise, in syllables of random level: no two seeds are alike."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate

    def wander(step: float) -> np.ndarray:
        knots = np.arange(0, seconds + 2 * step, step)
        return np.interp(time, knots, rng.standard_normal(len(knots)))

    pitch = rng.uniform(90, 250) * 2 ** (0.3 * wander(0.15))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voiced = sum(np.sin(k * phase) * np.exp(0.5 * wander(0.2)) / k for k in range(1, 15))
    level = np.exp(1.2 * wander(0.12))
    sound = level * (voiced + 0.3 * rng.standard_normal(len(time)))
    return (0.25 * sound / np.abs(sound).max()).astype(np.float32)


def write(path: Path, sound: np.ndarray, rate: int = RATE, **kind: object) -> str:
    if not kind:  # the containers' own rounding would differ
        sound = np.rint(32767 * np.clip(sound, -1, 1)).astype(np.int16)
    soundfile.write(path, sound, rate, **kind)
    return str(path)


# Each writes a sound of RATE to a path without ending, and returns the file.
COPIES = {
    "flac": lambda x, p: write(p.with_suffix(".flac"), x),
    "float": lambda x, p: write(p.with_suffix(".wav"), 0.99 * x, subtype="FLOAT"),
    "vorbis": lambda x, p: write(p.with_suffix(".ogg"), x, subtype="VORBIS"),
    "opus": lambda x, p: write(
        p.with_suffix(".ogg"), soxr.resample(x, RATE, 48000), 48000, subtype="OPUS"
    ),
    "mp3": lambda x, p: write(p.with_suffix(".mp3"), x, subtype="MPEG_LAYER_III"),
    "mu-law": lambda x, p: write(p.with_suffix(".wav"), x, subtype="ULAW"),
    "8 kHz": lambda x, p: write(p.with_suffix(".wav"), soxr.resample(x, RATE, 8000), 8000),
    "11.025 kHz": lambda x, p: write(p.with_suffix(".wav"), soxr.resample(x, RATE, 11025), 11025),
    "44.1 kHz": lambda x, p: write(p.with_suffix(".wav"), soxr.resample(x, RATE, 44100), 44100),
    "stereo": lambda x, p: write(p.with_suffix(".wav"), np.stack([x, x], axis=1)),
    "one channel": lambda x, p: write(p.with_suffix(".wav"), np.stack([x, 0 * x], axis=1)),
    "quieter": lambda x, p: write(p.with_suffix(".wav"), 0.1 * x),
    "louder": lambda x, p: write(p.with_suffix(".wav"), 3.9 * x),
    "inverted": lambda x, p: write(p.with_suffix(".wav"), -x),
    "a sample less": lambda x, p: write(p.with_suffix(".wav"), x[1:]),
    "5 ms less": lambda x, p: write(p.with_suffix(".wav"), x[80:-80]),
    "0.3 s more": lambda x, p: write(p.with_suffix(".wav"), np.pad(x, (4800, 0))),
    "offset": lambda x, p: write(p.with_suffix(".wav"), x + 0.05),
}
