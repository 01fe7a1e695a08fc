"""The acoustic backbone: shapes, invariances, and what it is blind to on purpose."""

import pytest
import torch

from cleser.speech import AcousticBackbone, AcousticSpeakerEncoder
from cleser.speech.backbones.acoustic import VERSION
from tests.speech.test_pitch import harmonics


@pytest.fixture(scope="module")
def backbone():
    return AcousticBackbone()


def speech(seconds=0.8, hertz=150.0):
    torch.manual_seed(0)
    voiced = harmonics(hertz, seconds)
    return voiced + 1e-3 * torch.randn_like(voiced)


def test_shapes_are_those_promised(backbone):
    frames = backbone(torch.stack([speech(), speech()]), torch.tensor([12800, 8000]))
    layers, batch, time, dim = frames.hidden_states.shape
    assert (layers, batch, dim) == (backbone.n_layers, 2, backbone.dim)
    assert frames.lengths.tolist() == [81, 51]
    assert frames.mask.shape == (2, time)
    assert not frames.mask[1, 51:].any()


def test_a_batch_equals_one_by_one(backbone):
    sounds = [speech(0.5), speech(1.1, 220), speech(0.03, 300), speech(0.8, 90)]
    together = backbone.extract(sounds)
    for sound, frames in zip(sounds, together, strict=True):
        (alone,) = backbone.extract([sound])
        assert alone.shape == frames.shape
        torch.testing.assert_close(alone, frames, atol=1e-4, rtol=1e-4)


def test_silence_is_dropped(backbone):
    sound = speech(0.5)
    padded = torch.cat([torch.zeros(16000), sound, torch.zeros(16000)])
    (plain,), (framed,) = backbone.extract([sound]), backbone.extract([padded])
    assert abs(plain.shape[1] - framed.shape[1]) <= 4


def test_frames_are_silent_from_35_decibels_below_the_loud_ones_on(backbone):
    """What 30 dB less has is kept, what 40 dB less has is masked out, though the floor of numbers lies at 50."""
    loud = harmonics(150.0, 1.0)
    levels = [10 ** (-decibels / 20) * loud for decibels in (0, 30, 40)]
    sound = torch.cat(levels)[None]
    mask = backbone(sound, torch.tensor([sound.shape[1]])).mask[0]
    inside = [mask[100 * k + 5 : 100 * k + 95] for k in range(3)]
    assert inside[0].all() and inside[1].all() and not inside[2].any()


def test_noise_below_the_floor_changes_little(backbone):
    """What a quiet room adds must not look like another voice."""
    torch.manual_seed(1)
    sound = harmonics(150.0, 0.8)
    noisy = sound + 1e-5 * torch.randn_like(sound)
    (clean,), (other,) = backbone.extract([sound]), backbone.extract([noisy])
    assert (clean[0] - other[0]).abs().mean() < 0.02


def test_level_moves_energies_and_nothing_else(backbone):
    (soft,), (loud,) = backbone.extract([speech() / 10]), backbone.extract([speech()])
    energy = loud[0, :, 0] - soft[0, :, 0]
    torch.testing.assert_close(energy, torch.full_like(energy, 2.0), atol=2e-3, rtol=0)
    torch.testing.assert_close(loud[0, :, 1:], soft[0, :, 1:], atol=2e-3, rtol=1e-3)


def test_pitch_channel_follows_pitch(backbone):
    low, high = backbone.extract([speech(0.8, 110), speech(0.8, 220)])
    assert high[1, :, 0].median() - low[1, :, 0].median() == pytest.approx(12, abs=0.2)


@pytest.mark.parametrize("samples", [1, 100, 400])
def test_a_click_is_no_error(backbone, samples):
    (frames,) = backbone.extract([torch.ones(samples) * 0.1])
    assert torch.isfinite(frames).all()


def test_digital_silence_is_no_speech(backbone):
    """Nothing of it is louder than the rest; what is recorded, however quietly, is as it was."""
    found = backbone(torch.zeros(1, 8000), torch.tensor([8000]))
    assert not found.mask.any() and torch.isfinite(found.hidden_states).all()
    quiet = 1e-6 * torch.randn(8000)
    (frames,) = backbone.extract([quiet])
    assert frames.shape[1] == 51
    assert AcousticSpeakerEncoder().embed_each([torch.zeros(8000), quiet])[0] is None


def test_bad_waveforms_are_named(backbone):
    with pytest.raises(ValueError, match=r"waveforms\[1\].*\[2, 3\]"):
        backbone.extract([torch.zeros(10), torch.zeros(2, 3)])
    with pytest.raises(ValueError, match=r"waveforms\[0\]"):
        backbone.extract([torch.zeros(0)])
    assert backbone.extract([]) == []


@pytest.mark.cuda
def test_a_gpu_hears_what_the_processor_hears(backbone):
    """Recordings and lengths may be on the host. Rounding may turn a decision about pitch here and there."""
    sounds = [speech(0.5), speech(1.1, 220), speech(0.8, 90)]
    on_gpu = AcousticBackbone().cuda()
    for expected, found in zip(backbone.extract(sounds), on_gpu.extract(sounds), strict=True):
        assert found.device.type == "cuda"
        assert abs(found.shape[1] - expected.shape[1]) <= 1
        if found.shape == expected.shape:
            assert ((found.cpu() - expected).abs() < 1e-2).float().mean() > 0.98


# Of the frames of a glide whose loudness sways: the root mean square of each channel, by version.
# fmt: off
NUMBERS = {
    1: (
        [
         3.38, 8.6, 2.37, 1.32, 0.661, 0.762, 0.833, 0.876, 0.571, 0.342,
         0.561, 0.798, 0.561, 0.379, 0.25, 0.0928, 0.0818, 0.0689, 0.0516, 0.0463,
         0.0552, 0.0342, 0.0414, 0.0408, 0.0444, 0.0377, 0.0346, 0.0546, 0.0257, 0.0183,
         0.0191, 0.0143, 0.0107, 0.0146, 0.00874, 0.0103, 0.0107, 0.0103, 0.0091, 0.00974,
        ],
        [
         32.9, 2.71, 1, 0.603, 0.953, 3.38, 0.352, 0.41, 7.24, 2.33,
         0.181, 0.203, 0.559, 1.33, 3.93, 2.91, 3.91, 1.55, 0.158, 0.0722,
         0.0572, 0.157, 0, 0.00386, 0.00725, 0.0913, 0.00614, 0.0274, 0.318, 0.0342,
         0.00254, 0.00244, 0.00578, 0.0149, 0.126, 0.092, 0.299, 0.121, 0.0107, 0.0204,
        ],
    ),
}
# fmt: on


def test_other_numbers_have_another_version(backbone):
    """Stores keep features by the version: numbers that change under an old one would be mixed with old ones.

    Where a change is meant, raise VERSION and write its numbers down here.
    """
    t = torch.arange(24_000) / 16_000
    phase = 2 * torch.pi * (140 * t + 30 * t * t)
    loudness = 0.3 + 0.2 * torch.sin(2 * torch.pi * 3 * t)
    glide = loudness * sum(torch.sin(k * phase) / k for k in range(1, 9))
    frames = backbone.extract([glide + 0.01 * torch.sin(7000 * t * t)])[0]
    found = frames.square().mean(1).sqrt()
    torch.testing.assert_close(found, torch.tensor(NUMBERS[VERSION]), rtol=0.01, atol=2e-3)
    assert backbone.name == f"acoustic-v{VERSION}-floor50-silence35"
