"""Pitch and voice quality by autocorrelation (Boersma, 1993), in batches.

The autocorrelation of each windowed frame is divided by that of the window, so that its height at the
true lag is the harmonic share of the energy. The best path through each frame's candidates, with a price
on octave jumps and on changes of voicing, is found by dynamic programming.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_LOWEST, _HIGHEST = 60.0, 600.0  # Hz: a creaky male voice to a shouting female one
_WINDOW: Final = 640  # samples, 40 ms at 16 kHz
_N_FFT: Final = 2048
_BAND: Final = 400  # bins, about 3 kHz: the harmonics that carry pitch
_CANDIDATES: Final = 6
_VOICING: Final = 0.5  # harmonic share at which a frame counts as voiced
_OCTAVE_COST: Final = 0.03  # prefers the higher of two equal candidates
_JUMP_COST: Final = 0.35  # per octave between neighbouring frames
_CHANGE_COST: Final = 0.2  # between voiced and unvoiced


class PitchTrack(NamedTuple):
    """Pitch of each frame.

    Attributes:
        semitones: Pitch over 27.5 Hz, interpolated through unvoiced frames, [B, T, 1].
        harmonicity: Harmonics-to-noise ratio in units of 10 dB, [B, T, 1].
        voiced: 1 where voiced, else 0, [B, T, 1].
        tilt: Levels of the first harmonic against the second and third, units of 10 dB, [B, T, 2].
    """

    semitones: Tensor
    harmonicity: Tensor
    voiced: Tensor
    tilt: Tensor


def track_pitch(
    waveforms: Tensor, inside: Tensor, speech: Tensor, *, rate: int, hop: int
) -> PitchTrack:
    """Follow the pitch of waveforms.

    Args:
        waveforms: Samples [B, N].
        inside: Frames within each utterance, bool [B, T].
        speech: Frames that may be voiced, bool [B, T].
        rate: Sampling rate in Hz.
        hop: Samples between frames.
    """
    spectrum = _spectrum(waveforms, hop)[:, : speech.shape[1]]
    correlation = _autocorrelation(spectrum)
    lags, strengths = _candidates(correlation, rate)
    frequency = _best_path(lags, strengths, inside, speech, rate)
    voiced = frequency > 0
    share = strengths.amax(-1).clamp(1e-3, 1 - 1e-3)
    semitones = 12 * torch.log2(_interpolate(frequency, voiced) / 27.5)
    return PitchTrack(
        semitones[..., None],
        torch.log10(share / (1 - share))[..., None],
        voiced.float()[..., None],
        _harmonic_tilt(spectrum, frequency, voiced, rate),
    )


def _spectrum(waveforms: Tensor, hop: int) -> Tensor:
    window = torch.hann_window(_WINDOW, device=waveforms.device)
    padded = F.pad(waveforms, (_WINDOW // 2, _WINDOW // 2))
    frames = padded.unfold(-1, _WINDOW, hop)
    frames = (frames - frames.mean(-1, keepdim=True)) * window
    return power(torch.fft.rfft(frames, _N_FFT))


def power(spectrum: Tensor) -> Tensor:
    """|z|² of a complex spectrum, without the root that ``abs`` would take first."""
    return spectrum.real.square() + spectrum.imag.square()


def _autocorrelation(spectrum: Tensor) -> Tensor:
    window = torch.hann_window(_WINDOW, device=spectrum.device)
    own = torch.fft.irfft(torch.fft.rfft(window, _N_FFT).abs().square())[: _WINDOW // 2]
    # Peaks of a band-limited correlation are broad enough for a parabola to find their height.
    raw = torch.fft.irfft(spectrum[..., :_BAND], _N_FFT)[..., : _WINDOW // 2]
    correlation: Tensor = raw / raw[..., :1].clamp_min(1e-12) / (own / own[0])
    return correlation


def _candidates(correlation: Tensor, rate: int) -> tuple[Tensor, Tensor]:
    """The strongest peaks' lags (parabolic) and heights, each [B, T, K]."""
    first, last = int(rate / _HIGHEST), int(rate / _LOWEST)
    region = correlation[..., first - 1 : last + 2]
    left, middle, right = region[..., :-2], region[..., 1:-1], region[..., 2:]
    peak = (middle > left) & (middle >= right)
    # Every multiple of the period is a peak too: of equal ones take the shortest.
    price = _OCTAVE_COST * torch.arange(first, last + 1, device=region.device).log2()
    at = (middle - price).masked_fill(~peak, -1).topk(_CANDIDATES, dim=-1).indices
    height = middle.masked_fill(~peak, 0).gather(-1, at)
    lower, centre, upper = (x.gather(-1, at) for x in (left, middle, right))
    curve = (2 * centre - lower - upper).clamp_min(1e-9)
    offset = ((upper - lower) / (2 * curve)).clamp(-0.5, 0.5)
    risen = height + (upper - lower).square() / (8 * curve)
    # Frames with fewer peaks than candidates are filled up with lags that are no peaks.
    return at + first + offset, risen.where(height > 0, 0).clamp(0, 1)


def _best_path(
    lags: Tensor, strengths: Tensor, inside: Tensor, speech: Tensor, rate: int
) -> Tensor:
    """Viterbi over K voiced candidates and one unvoiced state; 0 Hz where unvoiced, [B, T]."""
    octaves = torch.log2(rate / lags)
    real = strengths > 0
    voiced = (strengths + _OCTAVE_COST * (octaves - octaves.new_tensor(_LOWEST).log2())).where(
        real & speech[..., None], strengths.new_tensor(-1e4)
    )
    score = torch.cat([torch.full_like(voiced[..., :1], _VOICING), voiced], -1)  # [B, T, K + 1]
    move = _JUMP_COST * (octaves[:, 1:, :, None] - octaves[:, :-1, None, :]).abs()  # to, from
    move = F.pad(move, (1, 0, 1, 0), value=_CHANGE_COST)
    move[..., 0, 0] = 0
    best = score[:, 0]
    stay = torch.arange(score.shape[-1], device=score.device)
    came_from = []
    for t in range(1, score.shape[1]):
        value, previous = (best[:, None, :] - move[:, t - 1]).max(-1)
        # Beyond its end an utterance stays in its last state, so that padding changes nothing.
        here = inside[:, t, None]
        came_from.append(previous.where(here, stay))
        best = (value + score[:, t]).where(here, best)
    state = best.argmax(-1)
    states = [state]
    for previous in reversed(came_from):
        state = previous.gather(1, state[:, None]).squeeze(1)
        states.append(state)
    path = torch.stack(states[::-1], 1)
    hertz = F.pad(rate / lags, (1, 0))
    return hertz.gather(-1, path[..., None]).squeeze(-1)


def _interpolate(frequency: Tensor, voiced: Tensor) -> Tensor:
    """Carry pitch through unvoiced frames on a line, flat at the ends; 120 Hz if nothing is voiced."""
    index = torch.arange(frequency.shape[1], device=frequency.device).expand_as(frequency)
    before = index.where(voiced, torch.full_like(index, -1)).cummax(1).values
    beyond = frequency.shape[1]
    after = index.where(voiced, torch.full_like(index, beyond)).flip(1).cummin(1).values.flip(1)
    none = (before < 0) & (after >= beyond)
    before, after = before.where(before >= 0, after), after.where(after < beyond, before)
    low, high = before.clamp(0, beyond - 1), after.clamp(0, beyond - 1)
    weight = (index - low) / (high - low).clamp_min(1)
    line = torch.lerp(frequency.gather(1, low), frequency.gather(1, high), weight)
    return line.masked_fill(none, 120.0)


def _harmonic_tilt(spectrum: Tensor, frequency: Tensor, voiced: Tensor, rate: int) -> Tensor:
    """H1−H2 and H1−H3 on voiced frames, 0 elsewhere."""
    step = rate / _N_FFT
    levels = []
    for harmonic in (1, 2, 3):
        at = (frequency * harmonic / step).round().long().clamp(1, spectrum.shape[-1] - 2)
        around = torch.stack([at - 1, at, at + 1], -1)
        levels.append(spectrum.gather(-1, around).amax(-1).clamp_min(1e-10).log10())
    tilt = torch.stack([levels[0] - levels[1], levels[0] - levels[2]], -1)
    return tilt * voiced[..., None]
