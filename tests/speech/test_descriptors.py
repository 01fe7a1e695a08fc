"""The acoustic backbone's descriptors on sounds of which they are known: clicks, tones, slopes and noise."""

import math

import numpy as np
import pytest
import torch
from scipy.fft import dct

from cleser.speech import AcousticBackbone
from tests.speech.test_pitch import harmonics

RATE, BINS = 16000, 257
HERTZ = np.arange(BINS) * RATE / 2 / (BINS - 1)
CHANNELS = [
    "semitones", "harmonicity", "voiced", "h1-h2", "h1-h3", "energy", "centre", "spread", "skewness", "entropy",
    "rolloff25", "rolloff50", "rolloff85", "alpha", "hammarberg", "top", "slope500", "slope1500", "slope5000", "flux",
]  # fmt: skip


def described(sound: torch.Tensor, floor: float = 100.0) -> dict[str, torch.Tensor]:
    """Each channel of the voice layer over the frames, with next to nothing clamped."""
    (frames,) = AcousticBackbone(noise_floor=floor).extract([sound])
    assert frames.shape[-1] == 2 * len(CHANNELS)
    names = CHANNELS + [f"change of {name}" for name in CHANNELS]
    return dict(zip(names, frames[1].T, strict=True))


def tones(*parts: tuple[float, float], seconds: float = 0.5) -> torch.Tensor:
    """A sum of sines of given frequencies and powers."""
    t = torch.arange(int(seconds * RATE), dtype=torch.float64) / RATE
    sound = sum(math.sqrt(p) * torch.sin(2 * math.pi * hertz * t) for hertz, p in parts)
    return (0.1 * sound).float()


def clicks(level: np.ndarray) -> torch.Tensor:
    """Pulses whose spectrum has a given level in dB [8193], so short and so rare that each frame sees one at most."""
    pulse = np.fft.fftshift(np.fft.irfft(10 ** (level / 20)))
    around = pulse[len(pulse) // 2 - 60 : len(pulse) // 2 + 60]
    sound = np.zeros(RATE // 2)
    for centre in range(480, len(sound) - 480, 480):  # in the middle of every third frame
        sound[centre - 60 : centre + 60] += around
    return torch.from_numpy(sound).float() / np.abs(around).max()


FINE = np.linspace(0, RATE / 2, 8193)


def loudest(found: dict[str, torch.Tensor]) -> dict[str, float]:
    """The median over those frames in whose middle a click is."""
    top = found["energy"] > found["energy"].max() - 0.01
    return {name: float(values[top].median()) for name, values in found.items()}


def count(low: float, high: float) -> int:
    return int(((low <= HERTZ) & (high > HERTZ)).sum())


def test_a_click_has_a_flat_spectrum() -> None:
    """Each bin holds the same share, whichever way the window looks at the click."""
    found = described(clicks(np.zeros_like(FINE)))
    k = HERTZ / 1000
    expected = {
        "centre": k.mean(),
        "spread": k.std(),
        "skewness": 0.0,
        "entropy": math.log(BINS),
        "rolloff25": k[64],  # the first bin up to which a quarter of 257 lies
        "rolloff50": k[128],
        "rolloff85": k[218],
        "alpha": math.log10(count(1000, 5000) / count(50, 1000)),
        "hammarberg": 0.0,
        "top": math.log10(count(4000, 8000) / count(50, 4000)),
        "slope500": 0.0,
        "slope1500": 0.0,
        "slope5000": 0.0,
    }
    for name, value in expected.items():
        # A sum that reaches its quarter may fall short of it by rounding.
        step = 1.01 * k[1] if name.startswith("rolloff") else 2e-3
        torch.testing.assert_close(
            found[name], torch.full_like(found[name], value), atol=step, rtol=0, msg=name
        )


@pytest.mark.parametrize("slope", [-6.0, 4.0])
def test_a_spectrum_that_falls_in_a_line_has_its_slope_in_all_bands(slope: float) -> None:
    found = loudest(described(clicks(slope * FINE / 1000)))
    for band in ("slope500", "slope1500", "slope5000"):
        assert found[band] == pytest.approx(slope / 10, abs=0.03), band  # in 10 dB per kHz
    power = 10 ** (slope * HERTZ / 10000)
    inside = [(low <= HERTZ) & (high > HERTZ) for low, high in ((1000, 5000), (50, 1000))]
    alpha = math.log10(power[inside[0]].sum() / power[inside[1]].sum())
    assert found["alpha"] == pytest.approx(alpha, abs=0.02)


def test_each_slope_is_that_of_its_own_band() -> None:
    """A spectrum of three lines that meet where the bands do."""
    level = np.interp(FINE, [0, 500, 1500, 5000, 8000], [0, 6, -6, 15, 15])
    found = loudest(described(clicks(level)))
    assert found["slope500"] == pytest.approx(1.2, abs=0.15)
    assert found["slope1500"] == pytest.approx(-1.2, abs=0.1)
    assert found["slope5000"] == pytest.approx(0.6, abs=0.03)


@pytest.mark.parametrize(("low", "share"), [(1000.0, 0.9), (2000.0, 0.3)])
def test_two_tones_have_the_moments_of_two_points(low: float, share: float) -> None:
    apart = 3.0  # kHz
    found = described(tones((low, share), (low + 1000 * apart, 1 - share)))
    q = 1 - share
    expected = {
        "centre": low / 1000 + apart * q,
        "spread": apart * math.sqrt(share * q),
        "skewness": (share - q) / math.sqrt(share * q),
    }
    for name, value in expected.items():
        assert found[name][5:-5].median() == pytest.approx(value, rel=0.01), name


def test_rolloffs_lie_at_the_tone_that_fills_the_share() -> None:
    """Powers of .3, .3, .3 and .1: a quarter is reached at the first tone, half at the second, .85 at the third."""
    found = described(tones((1000, 0.3), (2500, 0.3), (4000, 0.3), (5500, 0.1)))
    for name, hertz in (("rolloff25", 1000), ("rolloff50", 2500), ("rolloff85", 4000)):
        assert found[name][5:-5].median() == pytest.approx(hertz / 1000, abs=0.07), name


def test_balances_compare_their_bands() -> None:
    """Tones of known powers on both sides of each border; of Hammarberg's index the largest on each side counts."""
    found = described(
        tones((800, 1.0), (1300, 0.3), (1800, 0.2), (2300, 0.1), (3700, 0.04), (4300, 0.01))
    )
    expected = {
        "alpha": math.log10(0.3 + 0.2 + 0.1 + 0.04 + 0.01),
        "hammarberg": math.log10(0.1),
        "top": math.log10(0.01 / 1.64),
    }
    for name, value in expected.items():
        # The highest bin of a tone lies up to half a bin beside it: 1.4 dB at most for this window.
        near = 0.15 if name == "hammarberg" else 0.02
        assert found[name][5:-5].median() == pytest.approx(value, abs=near), name


def test_hammarbergs_index_ends_at_5_khz() -> None:
    """Of tones in the middle of a bin each, the one above counts on neither side."""
    found = described(tones((1000, 1.0), (3000, 0.01), (5500, 0.5)))
    assert found["hammarberg"][5:-5].median() == pytest.approx(math.log10(0.01), abs=0.01)


@pytest.mark.parametrize("hertz", [110.0, 160.0, 240.0])
def test_harmonics_that_fall_as_1_over_k_have_their_tilt(hertz: float) -> None:
    found = described(harmonics(hertz))
    for name, k in (("h1-h2", 2), ("h1-h3", 3)):
        assert found[name][8:-8].median() == pytest.approx(2 * math.log10(k), abs=0.05), name
    t = torch.arange(int(0.6 * RATE)) / RATE
    rising = sum(k * torch.sin(2 * math.pi * k * hertz * t) for k in range(1, 4)) * 0.02
    found = described(rising)
    for name, k in (("h1-h2", 2), ("h1-h3", 3)):
        assert found[name][8:-8].median() == pytest.approx(-2 * math.log10(k), abs=0.05), name


@pytest.mark.parametrize("decibels", [5.0, 15.0])
def test_harmonicity_is_the_ratio_of_tone_to_noise(decibels: float) -> None:
    """Of the noise, that below about 3 kHz counts; the highest peak has a little more than its share of it."""
    torch.manual_seed(0)
    tone = tones((200.0, 1.0), seconds=4.0)
    inside = 400 / 1024  # of the bins of the spectrum
    scale = (tone.square().mean() / 10 ** (decibels / 10) / inside).sqrt()
    found = described(tone + scale * torch.randn_like(tone))
    assert found["harmonicity"][5:-5].median() == pytest.approx(decibels / 10, abs=0.2)


def test_noise_has_the_balance_of_its_bands_width() -> None:
    torch.manual_seed(0)
    found = described(0.1 * torch.randn(4 * RATE))
    # The log10 of a sum of 30 bins of noise, some 1.5 of which tell the same, is .01 low on average, and varies by .1.
    expected = math.log10(count(1000, 5000) / count(50, 1000))
    assert found["alpha"].mean() == pytest.approx(expected, abs=0.01 + 4 * 0.1 / math.sqrt(200))
    assert found["centre"].mean() == pytest.approx(4.0, abs=0.03)
    for name in ("slope500", "slope1500", "slope5000"):
        # The level of one bin of noise varies by 5.6 dB, so that a slope over a band of b bins, some 1.5 of which
        # tell the same, varies by √1.5 · 5.6 · √12 / (31 Hz · b^1.5); here it is averaged over some 200 windows.
        bins = {"slope500": 15, "slope1500": 32, "slope5000": 112}[name]
        error = math.sqrt(1.5) * 5.6 * math.sqrt(12) / (0.031 * bins**1.5) / math.sqrt(200) / 10
        assert found[name].mean() == pytest.approx(0, abs=4 * error), name


def test_differences_are_slopes_over_time() -> None:
    """A tone that swells by 40 dB a second: 0.04 units of 10 dB a frame."""
    t = torch.arange(int(0.6 * RATE)) / RATE
    found = described(0.01 * 10 ** (40 * t / 20) * torch.sin(2 * math.pi * 400 * t))
    change = found["change of energy"][8:-8]
    torch.testing.assert_close(change, torch.full_like(change, 0.04), atol=1e-3, rtol=0)
    assert found["change of centre"][8:-8].abs().max() < 1e-3


def test_flux_is_the_distance_of_neighbouring_spectra() -> None:
    assert described(tones((1000.0, 1.0)))["flux"][5:-5].abs().max() < 1e-2
    # From one frame to the next but two, a tone gives way to another: steps of the way between two orthogonal vectors.
    sound = torch.cat([tones((1000.0, 1.0)), tones((3000.0, 1.0))])
    steps = described(sound)["flux"][40:60]
    assert steps.max() < math.sqrt(2)
    assert steps.sum() > math.sqrt(2) - 0.01


def test_the_cepstrum_is_the_cosine_transform_of_mel_levels() -> None:
    """Coefficients 1 to 13 of an orthonormal transform, in units of 10 dB."""
    backbone = AcousticBackbone(noise_floor=100.0)
    (frames,) = backbone.extract([clicks(-3 * FINE / 1000)])
    loud = frames[0, frames[0, :, 0].argmax()]
    power = 10 ** (-3 * HERTZ / 10000)
    levels = 10 * np.log10(power @ backbone.mel.double().numpy())
    np.testing.assert_allclose(loud[1:14], dct(levels, norm="ortho")[1:14] / 10, atol=0.02)
