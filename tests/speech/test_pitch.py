"""Pitch on sounds whose pitch is known."""

import math

import pytest
import torch

from cleser.speech.backbones.pitch import track_pitch


def harmonics(hertz, seconds=0.6, rate=16000):
    """A voice-like sum of ten harmonics; ``hertz`` may be a function of time."""
    t = torch.arange(int(seconds * rate)) / rate
    f = torch.full_like(t, hertz) if isinstance(hertz, (int, float)) else hertz(t)
    phase = 2 * math.pi * f.cumsum(0) / rate
    return sum(torch.sin(k * phase) / k for k in range(1, 11)) * 0.1


def frequency(track):
    return 27.5 * 2 ** (track.semitones[0, :, 0] / 12)


def follow(sound):
    frames = len(sound) // 160 + 1
    everywhere = torch.ones(1, frames, dtype=torch.bool)
    return track_pitch(sound[None], everywhere, everywhere, rate=16000, hop=160)


@pytest.mark.parametrize("hertz", [70, 85, 120, 210, 333, 440, 560])
def test_steady_tones_are_found_within_a_quarter_semitone(hertz):
    track = follow(harmonics(hertz))
    inner = slice(5, -5)
    assert track.voiced[0, inner].all()
    error = 12 * (frequency(track)[inner] / hertz).log2()
    assert error.abs().max() < 0.25


def test_a_glide_is_followed_without_octave_jumps():
    track = follow(harmonics(lambda t: 120 * 2 ** (t / 0.6)))
    steps = track.semitones[0, 5:-5, 0].diff()
    assert steps.abs().max() < 1
    assert frequency(track)[-10] / frequency(track)[10] > 1.55


def test_noise_is_unvoiced_and_has_the_pitch_of_its_neighbours():
    torch.manual_seed(0)
    noise = torch.randn(4800) * 0.05
    sound = torch.cat([harmonics(200, 0.3), noise, harmonics(200, 0.3)])
    track = follow(sound)
    assert track.voiced[0, 35:55].mean() < 0.2
    assert torch.allclose(frequency(track)[35:55], torch.tensor(200.0), rtol=0.03)


def test_silence_has_a_finite_pitch():
    track = follow(torch.zeros(4800))
    assert not track.voiced.any()
    assert all(torch.isfinite(part).all() for part in track)


def test_harmonicity_falls_with_noise():
    torch.manual_seed(0)
    clean = harmonics(150)
    ratios = [
        follow(clean + level * torch.randn_like(clean)).harmonicity[0, 10:-10].median()
        for level in (0.0, 0.02, 0.1)
    ]
    assert ratios[0] > ratios[1] > ratios[2]
