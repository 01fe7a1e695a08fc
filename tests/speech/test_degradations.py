"""Degradations, measured in what they produce: SNR, spectrum, reverberation time, level, determinism."""

import numpy as np
import pytest
import soundfile

from cleser.speech.degradations import (
    CODECS,
    NOISES,
    add_noise,
    change_speed,
    encode,
    impulse_response,
    reverberate,
)

RATE = 16000


def speech(seconds=2.0, rate=RATE):
    """A vowel-like sound with pauses."""
    t = np.arange(round(seconds * rate)) / rate
    voice = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 12))
    return (0.1 * voice * (np.sin(2 * np.pi * 1.5 * t) > -0.3)).astype(np.float32)


def level(x):
    return 10 * np.log10(np.mean(np.square(np.asarray(x, dtype=np.float64))))


@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("snr", [20, 0, -5])
def test_noise_has_the_ratio_that_was_asked_for(kind, snr):
    x = speech()
    noise = add_noise(x, kind, snr, np.random.default_rng(0)).astype(np.float64) - x
    assert level(x) - level(noise) == pytest.approx(snr, abs=1e-3)
    assert abs(noise.mean()) < 1e-6


def slope(noise):
    """dB an octave from 100 Hz to 6 kHz, by least squares over bands of an octave."""
    power = np.abs(np.fft.rfft(noise)) ** 2
    hz = np.fft.rfftfreq(len(noise), 1 / RATE)
    edges = 100 * 2.0 ** np.arange(7)
    density = [power[(hz >= a) & (hz < 2 * a)].mean() for a in edges[:-1]]
    return np.polyfit(np.arange(6), 10 * np.log10(density), 1)[0]


def test_noises_have_their_spectra():
    """White is flat, pink falls by 3 dB an octave, that of speech is speech's own."""
    x = speech(8)
    noises = {
        k: add_noise(x, k, 0, np.random.default_rng(1)).astype(np.float64) - x for k in NOISES
    }
    assert slope(noises["white"]) == pytest.approx(0, abs=0.3)
    assert slope(noises["pink"]) == pytest.approx(-3.01, abs=0.3)
    own, other = (np.abs(np.fft.rfft(n)) for n in (x, noises["speech"]))
    assert np.corrcoef(own[1:], other[1:])[0, 1] > 0.999
    pauses = np.square(noises["speech"][x == 0]).mean()
    assert pauses > 0.5 * np.square(noises["speech"]).mean()  # there is noise where speech pauses


@pytest.mark.parametrize("rt60", [0.3, 1.0])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_the_reverberation_time_is_that_of_schroeders_integration(rt60, rate):
    """Energy still to come, from −5 to −35 dB, extrapolated to 60 dB (ISO 3382)."""
    h = impulse_response(rt60, rate, np.random.default_rng(0))
    left = 10 * np.log10(np.cumsum(h[::-1] ** 2)[::-1])
    inside = (left <= -5) & (left >= -35)
    t = np.arange(len(h))[inside] / rate
    fall = np.polyfit(t, left[inside], 1)[0]
    assert -60 / fall == pytest.approx(rt60, rel=0.05)
    assert (h**2).sum() == pytest.approx(1)


def test_a_room_keeps_length_and_level_and_fills_the_pauses():
    x = speech()
    found = reverberate(x, RATE, 0.6, np.random.default_rng(0))
    assert found.shape == x.shape
    assert level(found) == pytest.approx(level(x), abs=1e-3)
    pause = x == 0
    assert np.square(found[pause]).mean() > 1e-3 * np.square(found).mean()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("rate", [16000, 22050])
def test_codecs_keep_length_level_and_most_of_the_sound(codec, rate):
    x = speech(rate=rate)
    container, subtype, at = CODECS[codec]
    if not soundfile.check_format(container, subtype):
        pytest.skip(f"this libsndfile cannot encode {codec}")
    found = encode(x, rate, codec)
    assert found.shape == x.shape
    assert level(found) == pytest.approx(level(x), abs=1)
    lag = np.argmax(np.correlate(found[4000:8000], x[4000:8000], "full")) - 3999
    assert abs(lag) <= rate // 100  # ten milliseconds
    assert not np.array_equal(found, x)
    if at == 8000:
        hiss = add_noise(x, "white", 0, np.random.default_rng(0))
        power = np.abs(np.fft.rfft(encode(hiss, rate, codec))) ** 2
        above = np.fft.rfftfreq(len(x), 1 / rate) > 4200
        assert power[above].sum() < 1e-4 * power.sum()


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_speed_changes_length_and_pitch(factor):
    tone = np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE).astype(np.float32)
    found = change_speed(tone, RATE, factor)
    assert len(found) == pytest.approx(RATE / factor, abs=1)
    peak = np.argmax(np.abs(np.fft.rfft(found))) * RATE / len(found)
    assert peak == pytest.approx(200 * factor, abs=2)
    assert level(found) == pytest.approx(level(tone), abs=0.1)


@pytest.mark.parametrize(
    "degrade",
    [
        lambda x, rng: add_noise(x, "pink", 5, rng),
        lambda x, rng: add_noise(x, "speech", 5, rng),
        lambda x, rng: reverberate(x, RATE, 0.5, rng),
    ],
)
def test_a_seed_decides_all(degrade):
    x = speech(0.5)
    one, same, other = (degrade(x, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one.dtype == np.float32


def test_silence_stays_silence_and_nonsense_is_refused():
    silence, rng = np.zeros(1000, np.float32), np.random.default_rng(0)
    for kind in NOISES:
        np.testing.assert_array_equal(add_noise(silence, kind, 0, rng), silence)
    np.testing.assert_array_equal(reverberate(silence, RATE, 0.3, rng), silence)
    with pytest.raises(ValueError, match="kind is 'brown'"):
        add_noise(silence, "brown", 0, rng)
    with pytest.raises(ValueError, match="codec is 'aac'"):
        encode(silence, RATE, "aac")
    for wrong in (0, -1, np.nan):
        with pytest.raises(ValueError, match="expected more than 0"):
            reverberate(silence, RATE, wrong, rng)
        with pytest.raises(ValueError, match="expected more than 0"):
            change_speed(silence, RATE, wrong)
