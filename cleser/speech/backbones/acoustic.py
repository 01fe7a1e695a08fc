"""Low-level descriptors of speech as a backbone: no pretrained weights, any language, CPU speed.

Two layers of description, 40 channels each, at 100 frames a second:

====  ========  ==========================================================================
0     cepstrum  log energy, MFCC 1–13 and their first and second differences
1     voice     pitch, voicing, harmonics, energy, spectral shape and balance, and differences
====  ========  ==========================================================================

Recording conditions differ more between corpora than emotions do, so each frame is clamped to a noise
floor that follows the utterance's own level, and frames of silence are masked out. Log-mel energies are no
layer of their own: forty channels that all move with level and microphone drown those that do not, and
transfer suffers (see the docs' page on recipes). Pitch is carried through unvoiced frames by interpolation,
so that a mean over frames is a mean over the pitch contour.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from cleser.speech.backbones import pitch
from cleser.speech.backbones.base import Backbone, Frames
from cleser.speech.backbones.pitch import PitchTrack, track_pitch
from cleser.speech.spectral_bases import cosine_basis, mel_filters

LAYERS: Final = ("cepstrum", "voice")
CHANNELS: Final = 40
# Version of the numbers: raised whenever they change, so that stored features are not misread.
VERSION: Final = 1
_EPSILON: Final = 1e-10


class AcousticBackbone(Backbone):
    """Voiced-aware low-level descriptors in two layers of description.

    Args:
        noise_floor: Energies lower than this many dB under the utterance's loud frames are clamped.
        silence: Frames whose energy is this many dB under the loud frames are masked out.

    >>> backbone = AcousticBackbone()
    >>> one, two = backbone.extract([torch.randn(16_000), torch.randn(32_000)])  # seconds of noise
    >>> one.shape, two.shape  # layers, frames, channels
    (torch.Size([2, 101, 40]), torch.Size([2, 201, 40]))
    """

    hann: Tensor
    mel: Tensor
    dct: Tensor
    rate = 16000
    frame_rate = 100.0
    receptive_field = 0.025
    n_layers = len(LAYERS)
    dim = CHANNELS
    mix = "concat"
    kept = "float32"  # levels in dB, pitch in octaves

    def __init__(self, *, noise_floor: float = 50.0, silence: float = 35.0) -> None:
        super().__init__()
        self.noise_floor = noise_floor
        self.silence = silence
        self.hop, self.window, self.n_fft = 160, 400, 512
        mel = mel_filters(self.n_fft // 2 + 1, 60.0, 7600.0, CHANNELS, self.rate, norm="slaney")
        self.register_buffer("hann", torch.hann_window(self.window), persistent=False)
        self.register_buffer("mel", mel, persistent=False)
        dct = cosine_basis(14, CHANNELS)
        self.register_buffer("dct", dct, persistent=False)

    @property
    def name(self) -> str:
        """Identity of what is computed, for stores; the version of the numbers, and the settings."""
        return f"acoustic-v{VERSION}-floor{self.noise_floor:g}-silence{self.silence:g}"

    def count_frames(self, samples: Tensor) -> Tensor:
        """Frames that waveforms of these lengths have, int64 [B]."""
        return samples.div(self.hop, rounding_mode="floor") + 1

    @torch.no_grad()
    def forward(self, waveforms: Tensor, lengths: Tensor) -> Frames:
        """Describe a padded batch.

        Args:
            waveforms: Samples [B, N] at ``rate``, zero beyond each length.
            lengths: Samples in each waveform, int64 [B].

        Returns:
            Hidden states [L, B, T, D] with the mask of speech frames [B, T].
        """
        waveforms, lengths = (x.to(self.mel.device) for x in (waveforms, lengths))
        power = self._power(waveforms)
        counts = self.count_frames(lengths)
        inside = torch.arange(power.shape[1], device=power.device) < counts[:, None]
        total = power.sum(-1)
        level = _decibel(total)
        loud = _quantile(level, inside, 0.95)[:, None]
        peak = _quantile(_decibel(power.amax(-1)), inside, 0.95)[:, None, None]
        power = power.clamp_min(_undo_decibel(peak - self.noise_floor))
        # Where nothing is loud, no frame is far below it: without any power there is no speech either.
        speech = inside & (level > loud - self.silence) & (total > 0)
        track = track_pitch(waveforms, inside, speech, rate=self.rate, hop=self.hop)

        cepstrum = _decibel(power @ self.mel) @ self.dct / 10
        energy = _decibel(power.sum(-1, keepdim=True)) / 10
        layers = [
            torch.cat([energy, _with_differences(cepstrum[..., 1:], inside)], -1),
            self._voice(power, energy, track, inside),
        ]
        return Frames(torch.stack(layers), counts, speech)

    def _power(self, waveforms: Tensor) -> Tensor:
        spectrum = torch.stft(
            waveforms, self.n_fft, self.hop, self.window, self.hann,
            center=True, pad_mode="constant", return_complex=True,
        )  # fmt: skip
        return pitch.power(spectrum).transpose(1, 2)

    def _voice(self, power: Tensor, energy: Tensor, track: PitchTrack, inside: Tensor) -> Tensor:
        shape = _spectral_shape(power, self.rate)
        flux = _flux(power)
        voice = torch.cat(
            [track.semitones, track.harmonicity, track.voiced, track.tilt, energy, shape, flux], -1
        )
        differences = _difference(voice[..., : CHANNELS - voice.shape[-1]], inside)
        return torch.cat([voice, differences], -1)


def _decibel(power: Tensor) -> Tensor:
    return 10 * torch.log10(power + _EPSILON)


def _undo_decibel(level: Tensor) -> Tensor:
    return torch.pow(10.0, level / 10)


def _quantile(values: Tensor, mask: Tensor, q: float) -> Tensor:
    """The q-quantile of each row over its masked columns (lower neighbour), [B]."""
    ordered = values.masked_fill(~mask, -math.inf).sort(-1, descending=True).values
    rank = ((1 - q) * mask.sum(-1)).long().clamp_max(values.shape[-1] - 1)
    return ordered.gather(-1, rank[:, None]).squeeze(-1)


def _difference(values: Tensor, inside: Tensor, reach: int = 2) -> Tensor:
    """Regression slope over ±reach frames, as in HTK; edges repeat the last true frame."""
    last = (inside.sum(-1) - 1).clamp_min(0)
    index = torch.arange(values.shape[1], device=values.device)
    slope = torch.zeros_like(values)
    for step in range(1, reach + 1):
        ahead = torch.minimum((index + step)[None], last[:, None])
        behind = (index - step).clamp_min(0)[None].expand_as(ahead)
        behind = torch.minimum(behind, last[:, None])
        slope += step * (_take(values, ahead) - _take(values, behind))
    return slope / (2 * sum(step * step for step in range(1, reach + 1)))


def _take(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[-1]))


def _with_differences(values: Tensor, inside: Tensor) -> Tensor:
    first = _difference(values, inside)
    return torch.cat([values, first, _difference(first, inside)], -1)


def _flux(power: Tensor) -> Tensor:
    """Distance of neighbouring frames' normalised magnitudes, [B, T, 1]."""
    magnitude = F.normalize(power.sqrt(), dim=-1)
    step = (magnitude[:, 1:] - magnitude[:, :-1]).norm(dim=-1, keepdim=True)
    return F.pad(step, (0, 0, 1, 0))


def _spectral_shape(power: Tensor, rate: int) -> Tensor:
    """Moments, roll-offs, slopes and band balances of each frame's spectrum, [B, T, 13]."""
    bins = power.shape[-1]
    hertz = torch.linspace(0, rate / 2, bins, device=power.device)
    kilohertz = hertz / 1000
    share = power / power.sum(-1, keepdim=True).clamp_min(_EPSILON)
    centre = (share * kilohertz).sum(-1, keepdim=True)
    deviation = kilohertz - centre
    spread = (share * deviation.square()).sum(-1, keepdim=True).sqrt()
    skew = (share * deviation.pow(3)).sum(-1, keepdim=True) / spread.pow(3).clamp_min(_EPSILON)
    entropy = -(share * (share + _EPSILON).log()).sum(-1, keepdim=True)
    cumulated = share.cumsum(-1)
    rolloffs = [(cumulated < q).sum(-1, keepdim=True) * kilohertz[1] for q in (0.25, 0.5, 0.85)]

    def band(low: float, high: float) -> Tensor:
        return power[..., (hertz >= low) & (hertz < high)]

    def balance(upper: Tensor, lower: Tensor) -> Tensor:
        return _decibel(upper) - _decibel(lower)

    alpha = balance(band(1000, 5000).sum(-1), band(50, 1000).sum(-1))
    hammarberg = balance(band(2000, 5000).amax(-1), band(0, 2000).amax(-1))
    top = balance(band(4000, 8000).sum(-1), band(50, 4000).sum(-1))
    slopes = [_slope(_decibel(band(*b)), hertz[(hertz >= b[0]) & (hertz < b[1])]) for b in _SLOPES]
    scalars = torch.stack([alpha, hammarberg, top, *slopes], -1) / 10
    return torch.cat([centre, spread, skew, entropy, *rolloffs, scalars], -1)


_SLOPES: Final = ((30.0, 500.0), (500.0, 1500.0), (1500.0, 5000.0))


def _slope(level: Tensor, hertz: Tensor) -> Tensor:
    """Least-squares slope of a band's level, in dB per kHz."""
    centred = (hertz - hertz.mean()) / 1000
    return (level * centred).sum(-1) / centred.square().sum()
