"""Speaker encoders: the same alone and among others, and vectors that tell voices apart."""

import json

import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from cleser.speech import (
    AcousticSpeakerEncoder,
    ResemblyzerEncoder,
    TransformersSpeakerEncoder,
    load_speaker_encoder,
)

RATE = 16000


def vowel(pitch, formants, seconds, seed):
    """A pulse train through resonances, with some noise: a voice, by a source and a filter."""
    rng = np.random.default_rng(seed)
    n = int(seconds * RATE)
    contour = pitch * (1 + 0.05 * np.sin(2 * np.pi * 3 * np.arange(n) / RATE + rng.uniform(0, 6)))
    source = np.diff(np.floor(np.cumsum(contour / RATE)), prepend=0.0)
    sound = source + 0.005 * rng.standard_normal(n)
    for centre in formants:
        radius = np.exp(-np.pi * 90 / RATE)
        sound = lfilter(
            [1.0], [1, -2 * radius * np.cos(2 * np.pi * centre / RATE), radius**2], sound
        )
    return torch.from_numpy((0.3 * sound / np.abs(sound).max()).astype(np.float32))


@pytest.fixture(scope="module")
def sounds():
    """Two voices, three recordings each."""
    low = [vowel(110, (600, 1100, 2400), 1.5 + 0.3 * i, i) for i in range(3)]
    high = [vowel(230, (850, 1900, 3100), 1.4 + 0.3 * i, i + 9) for i in range(3)]
    return low + high


def test_a_model_that_counts_its_batches_has_a_name(tmp_path):
    """As one of Conformers, whose normalisation keeps a number without a dimension."""
    from transformers import Wav2Vec2ConformerConfig, Wav2Vec2ConformerForXVector

    config = Wav2Vec2ConformerConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        conv_dim=(8, 8), conv_kernel=(10, 8), conv_stride=(5, 8), num_feat_extract_layers=2,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4, conv_depthwise_kernel_size=3,
        tdnn_dim=(12, 12), tdnn_kernel=(5, 1), tdnn_dilation=(1, 1), xvector_output_dim=10,
    )  # fmt: skip
    names = set()
    for seed in range(2):
        torch.manual_seed(seed)
        Wav2Vec2ConformerForXVector(config).save_pretrained(tmp_path)
        names.add(TransformersSpeakerEncoder(str(tmp_path)).name)
    assert len(names) == 2


@pytest.fixture(scope="module")
def xvector(tmp_path_factory):
    """A tiny model with random weights, saved as a pretrained one would be."""
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("wavlm-sv")
    config = WavLMConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        conv_dim=(8, 8, 8), conv_kernel=(10, 8, 4), conv_stride=(5, 8, 8),
        num_feat_extract_layers=3, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
        tdnn_dim=(12, 12, 12), tdnn_kernel=(5, 3, 1), tdnn_dilation=(1, 2, 1), xvector_output_dim=10,
    )  # fmt: skip
    WavLMForXVector(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(sampling_rate=RATE, do_normalize=True).save_pretrained(folder)
    return folder


def encoders(xvector):
    pytest.importorskip("resemblyzer")
    return [
        AcousticSpeakerEncoder(),
        ResemblyzerEncoder(),
        TransformersSpeakerEncoder(xvector),
    ]


def test_shapes_and_names(sounds, xvector):
    made = encoders(xvector)
    for encoder in made:
        found = encoder.embed(sounds)
        assert found.shape == (6, encoder.dim)
        assert found.dtype == torch.float32
        assert found.isfinite().all()
        assert encoder.embed([]).shape == (0, encoder.dim)
    assert [encoder.dim for encoder in made] == [160, 256, 10]
    assert len({encoder.name for encoder in made}) == 3


def test_a_recording_has_one_vector_alone_and_among_others(sounds, xvector):
    for encoder in encoders(xvector):
        together = encoder.embed(sounds)
        for i in (0, 4):
            torch.testing.assert_close(
                encoder.embed([sounds[i]])[0], together[i], atol=2e-4, rtol=2e-4
            )


def test_voices_are_told_apart(sounds, xvector):
    for encoder in encoders(xvector)[:2]:  # the third has random weights
        x = encoder.embed(sounds)
        x = (x - x.mean(0)) / x.std(0).clamp_min(1e-6)
        x = torch.nn.functional.normalize(x, dim=1)
        cosine = x @ x.T
        own = torch.block_diag(torch.ones(3, 3), torch.ones(3, 3)).bool()
        off = ~torch.eye(6, dtype=torch.bool)
        assert cosine[own & off].min() > cosine[~own].max()


def test_the_x_vector_is_that_of_transformers(sounds, xvector):
    from transformers import AutoFeatureExtractor, AutoModelForAudioXVector

    model = AutoModelForAudioXVector.from_pretrained(xvector).eval()
    extractor = AutoFeatureExtractor.from_pretrained(xvector)
    given = extractor(sounds[0].numpy(), sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        expected = model(**given).embeddings[0]
    found = TransformersSpeakerEncoder(xvector).embed([sounds[0]])[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_d_vector_is_that_of_resemblyzer(sounds):
    resemblyzer = pytest.importorskip("resemblyzer")
    network = resemblyzer.VoiceEncoder("cpu", verbose=False)
    expected = network.embed_utterance(resemblyzer.preprocess_wav(sounds[0].numpy()))
    found = ResemblyzerEncoder().embed([sounds[0]])[0]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
    assert float(found.norm()) == pytest.approx(1, abs=1e-5)


def test_the_acoustic_vector_is_mean_and_spread_of_frames(sounds):
    from cleser.speech import AcousticBackbone

    (frames,) = AcousticBackbone().extract([sounds[2]])
    found = AcousticSpeakerEncoder().embed([sounds[2]])[0]
    flat = frames.transpose(0, 1).flatten(1)
    torch.testing.assert_close(found[:80], flat.mean(0))
    torch.testing.assert_close(found[80:], flat.std(0, correction=0))


def test_short_recordings_have_vectors_too(sounds, xvector):
    for encoder in encoders(xvector):
        assert encoder.embed([sounds[0][:800]]).isfinite().all()
    shortest = TransformersSpeakerEncoder(xvector)._shortest
    TransformersSpeakerEncoder(xvector)._model(sounds[0][None, :shortest])
    with pytest.raises(RuntimeError):
        TransformersSpeakerEncoder(xvector)._model(sounds[0][None, : shortest - 400])


def test_silence_is_refused(xvector):
    for encoder in encoders(xvector)[1:]:
        with pytest.raises(ValueError, match=r"waveforms\[1\] holds no speech"):
            encoder.embed([torch.randn(RATE), torch.zeros(RATE)])


def test_bad_waveforms_are_refused(xvector):
    encoder = TransformersSpeakerEncoder(xvector)
    with pytest.raises(ValueError, match=r"waveforms\[0\] has shape \[0\]"):
        encoder.embed([torch.empty(0)])
    with pytest.raises(ValueError, match=r"waveforms\[1\] holds samples that are NaN"):
        encoder.embed([torch.randn(RATE), torch.full((RATE,), float("nan"))])


def test_names_load(xvector):
    assert isinstance(load_speaker_encoder("acoustic"), AcousticSpeakerEncoder)
    loaded = load_speaker_encoder(str(xvector))
    assert isinstance(loaded, TransformersSpeakerEncoder)
    assert loaded.name == TransformersSpeakerEncoder(xvector).name
    with pytest.raises(ValueError, match="nowhere cannot be loaded as a speaker encoder"):
        load_speaker_encoder(str(xvector / "nowhere"))


def test_a_model_without_the_head_is_refused(xvector, tmp_path):
    from transformers import AutoModelForAudioXVector

    model = AutoModelForAudioXVector.from_pretrained(xvector)
    model.wavlm.save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match=r"lacks \d+ weights, .* expected all of a speaker encoder"
    ):
        TransformersSpeakerEncoder(tmp_path)


def test_a_folder_may_lack_its_processor(xvector, sounds, tmp_path):
    from transformers import AutoModelForAudioXVector

    AutoModelForAudioXVector.from_pretrained(xvector).save_pretrained(tmp_path)
    bare = TransformersSpeakerEncoder(tmp_path)
    assert bare.rate == RATE
    torch.testing.assert_close(
        bare.embed(sounds[:1]), TransformersSpeakerEncoder(xvector).embed(sounds[:1])
    )


def test_other_weights_have_another_name(xvector, tmp_path):
    from transformers import AutoModelForAudioXVector

    model = AutoModelForAudioXVector.from_pretrained(xvector)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "wavlm"
    assert TransformersSpeakerEncoder(tmp_path).name != TransformersSpeakerEncoder(xvector).name
