"""Decoding: channels, rates, stretches, and recordings that cannot be used."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from cleser.speech import AudioError, load_audio


def tone(rate, seconds=0.5, hertz=440.0):
    return np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate).astype("float32") / 2


def test_who_reads_no_recordings_needs_nothing_that_does():
    """Machines for computing seldom have it; features are stored, or waveforms come from elsewhere."""
    code = (
        "import sys; sys.modules |= dict.fromkeys(['soundfile', 'soxr'])\n"  # imports of them fail
        "import cleser.features.extraction, cleser.recipes, cleser.speech, cleser.training.audio"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_samples_come_back_as_written(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(16000), 16000)
    sound = load_audio(path)
    assert sound.dtype == torch.float32
    np.testing.assert_allclose(sound.numpy(), tone(16000), atol=2**-15)


def test_channels_are_averaged(tmp_path):
    stereo = np.stack([tone(16000), -tone(16000)], 1)
    soundfile.write(tmp_path / "a.wav", stereo, 16000)
    assert load_audio(tmp_path / "a.wav").abs().max() < 1e-4


def test_resampling_keeps_length_and_pitch(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(44100), 44100)
    sound = load_audio(tmp_path / "a.wav", 16000)
    assert len(sound) == 8000
    spectrum = torch.fft.rfft(sound).abs()
    assert spectrum.argmax() * 16000 / 8000 == 440


def test_a_stretch_is_cut_at_the_sample(tmp_path):
    whole = tone(16000)
    soundfile.write(tmp_path / "a.wav", whole, 16000, subtype="FLOAT")
    part = load_audio(tmp_path / "a.wav", start=0.1, end=0.25)
    np.testing.assert_array_equal(part.numpy(), whole[1600:4000])
    rest = load_audio(tmp_path / "a.wav", start=0.1, end=float("nan"))
    np.testing.assert_array_equal(rest.numpy(), whole[1600:])


def test_useless_recordings_are_named(tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    nan = np.full(100, np.nan, dtype="float32")
    soundfile.write(tmp_path / "nan.wav", nan, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", tone(16000), 16000)
    soundfile.write(tmp_path / "click.wav", [0.1], 44100)  # no sample at 16 kHz
    for name, kwargs in [
        ("missing.wav", {}),
        ("text.wav", {}),
        ("empty.wav", {}),
        ("nan.wav", {}),
        ("short.wav", {"start": 0.5}),
        ("short.wav", {"start": 0.3, "end": 0.2}),
        ("click.wav", {}),
    ]:
        with pytest.raises(AudioError, match=name):
            load_audio(tmp_path / name, **kwargs)


def test_a_name_may_hold_bytes_that_are_no_text(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(16000), 16000)
    latin = (tmp_path / "a.flac").rename(tmp_path / os.fsdecode(b"caf\xe9.flac"))
    assert len(load_audio(latin)) == len(load_audio(str(latin))) == 8000


def test_a_truncated_recording_is_no_recording(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(16000), 16000)
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(data[: len(data) // 2])
    with pytest.raises(AudioError, match=r"a\.flac"):
        load_audio(tmp_path / "a.flac")
