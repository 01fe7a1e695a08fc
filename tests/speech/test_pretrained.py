import itertools
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cleser.speech import TransformersBackbone, load_backbone
from cleser.speech.backbones import convolutions
from cleser.speech.backbones.convolutions import convolve_batch, convolve_rows
from cleser.speech.backbones.open import located
from cleser.speech.backbones.pretrained import _unusual
from tests.speech.tiny_models import FAMILIES, save_tiny

WAVES = [name for name in FAMILIES if name != "whisper"]
LENGTHS = (9000, 4321, 16000, 700, 12345)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: save_tiny(name, root / name) for name in FAMILIES}


def recordings(*lengths: int, seed: int = 1) -> list[torch.Tensor]:
    """Noise of different loudness and offset, so that statistics over a batch would show."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(n, generator=generator) * 0.05 * (i + 1) + 0.02 * i
        for i, n in enumerate(lengths)
    ]


def published(folder: Path, waveform: torch.Tensor, **inputs: object) -> tuple[torch.Tensor, ...]:
    """What transformers itself gives for one recording: all layers, the last as the encoder leaves it."""
    from transformers import AutoFeatureExtractor, AutoModel

    model = AutoModel.from_pretrained(folder).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    features = extractor(waveform.numpy(), sampling_rate=16000, return_tensors="pt")
    values = features[extractor.model_input_names[0]]
    model = getattr(model, "get_encoder", lambda: model)() if "mel" in str(model.config) else model
    with torch.no_grad():
        output = model(values, output_hidden_states=True)
    return (*output.hidden_states[:-1], output.last_hidden_state)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_recording_has_the_same_frames_alone_and_in_any_batch(
    family: str, folders: dict[str, Path]
) -> None:
    backbone = TransformersBackbone(folders[family])
    waveforms = recordings(*LENGTHS)
    alone = [backbone.extract([w])[0] for w in waveforms]
    for together, reference in zip(backbone.extract(waveforms), alone, strict=True):
        assert together.shape == reference.shape
        torch.testing.assert_close(together, reference, rtol=1e-4, atol=1e-4)
    assert backbone.n_layers == 4 and alone[0].shape[0] == 4
    # Frames that differ, not a constant that any batch gives.
    assert alone[0].std(1).median() > 1e-1


@pytest.mark.parametrize("family", WAVES)
def test_a_recording_has_the_frames_that_transformers_gives(
    family: str, folders: dict[str, Path]
) -> None:
    waveform = recordings(11111)[0] + 0.3
    ours = TransformersBackbone(folders[family]).extract([waveform])[0]
    theirs = torch.cat(published(folders[family], waveform))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_whisper_gives_on_a_full_window_what_transformers_gives(folders: dict[str, Path]) -> None:
    waveform = recordings(2 * 16000)[0]
    backbone = TransformersBackbone(folders["whisper"])
    theirs = torch.cat(published(folders["whisper"], waveform))
    # The logarithm of quiet bands makes much of how their spectrum is rounded; ours is of float32, theirs is not.
    torch.testing.assert_close(backbone.extract([waveform])[0], theirs, rtol=1e-3, atol=1e-3)


def test_whisper_counts_no_silence_that_nobody_recorded(folders: dict[str, Path]) -> None:
    backbone = TransformersBackbone(folders["whisper"])
    frames = backbone.extract(recordings(16000, 8000, 161, 1))
    assert [f.shape[1] for f in frames] == [50, 25, 1, 1]
    with pytest.raises(
        ValueError, match=r"waveforms\[1\] has 32001 samples, expected .* at most 32000"
    ):
        backbone.extract(recordings(100, 32001))


def test_published_models_fail_the_test_above(folders: dict[str, Path]) -> None:
    """Guards the guard: without masking, a group-norm model's frames depend on their neighbours."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folders["wav2vec2"]).eval()
    short, long = recordings(6000, 16000)
    with torch.no_grad():
        alone = model(short[None]).last_hidden_state[0]
        padded = torch.stack([torch.nn.functional.pad(short, (0, 10000)), long])
        together = model(padded).last_hidden_state[0, : len(alone)]
    assert (alone - together).abs().max() > 1e-2


@pytest.mark.parametrize("family", ["wav2vec2", "xls-r", "wavlm", "whisper"])
def test_layers_asked_for_are_those_of_all_and_no_block_above_them_is_kept(
    family: str, folders: dict[str, Path]
) -> None:
    waveforms = recordings(5000, 8000)
    whole = TransformersBackbone(folders[family]).extract(waveforms)
    for layers in ([2, 0], [-2], [3], [0]):
        backbone = TransformersBackbone(folders[family], layers=layers)
        for some, every in zip(backbone.extract(waveforms), whole, strict=True):
            torch.testing.assert_close(some, every[layers], rtol=1e-5, atol=1e-5)
        highest = max(backbone.layers)
        assert len(backbone.encoder.blocks) == highest


@pytest.mark.parametrize("family", ["wav2vec2", "xls-r", "data2vec-audio", "wavlm-large"])
def test_gradients_of_one_recording_are_those_of_transformers(
    family: str, folders: dict[str, Path]
) -> None:
    from transformers import AutoModel

    waveform = recordings(4000)[0]
    backbone = TransformersBackbone(folders[family])
    normalised = (waveform - waveform.mean()) / waveform.std(correction=0)
    theirs = AutoModel.from_pretrained(folders[family]).eval()
    weight = torch.randn(24, generator=torch.Generator().manual_seed(3))
    (theirs(normalised[None]).last_hidden_state @ weight).tanh().sum().backward()
    frames = backbone(waveform[None], torch.tensor([4000]))
    (frames.hidden_states[-1] @ weight).tanh().sum().backward()
    reference = {n: p.grad for n, p in theirs.named_parameters() if p.grad is not None}
    gradients = {
        n: p.grad for n, p in backbone.encoder.model.named_parameters() if p.grad is not None
    }
    assert gradients.keys() == reference.keys() and len(reference) > 20
    for name, gradient in gradients.items():
        assert (gradient - reference[name]).norm() <= 1e-4 * reference[name].norm() + 1e-4, name


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_gets_no_gradient_and_gives_none(family: str, folders: dict[str, Path]) -> None:
    backbone = TransformersBackbone(folders[family])
    waveforms = torch.nn.utils.rnn.pad_sequence(recordings(3000, 9000), batch_first=True)
    waveforms.requires_grad_()
    frames = backbone(waveforms, torch.tensor([3000, 9000]))
    (frames.hidden_states[:, 0] * frames.mask[0][:, None]).sum().backward()
    assert waveforms.grad is not None
    assert waveforms.grad[0, :3000].abs().max() > 0
    assert waveforms.grad[0, 3000:].abs().max() == 0 and waveforms.grad[1].abs().max() == 0


@pytest.mark.parametrize("family", ["wav2vec2", "hubert-large"])
def test_a_gpus_way_of_convolving_gives_the_same_frames(
    family: str, folders: dict[str, Path]
) -> None:
    encoder = TransformersBackbone(folders[family]).encoder
    layers = list(encoder.model.feature_extractor.conv_layers)
    waveforms = torch.nn.utils.rnn.pad_sequence(recordings(3000, 700, 2999), batch_first=True)
    lengths = torch.tensor([3000, 700, 2999])
    together, single = (way(layers, waveforms, lengths) for way in (convolve_batch, convolve_rows))
    for i, count in enumerate(encoder.count(lengths).tolist()):
        torch.testing.assert_close(together[i, :count], single[i, :count], rtol=1e-4, atol=1e-5)
        assert not single[i, count:].any()


@pytest.mark.parametrize("family", ["wav2vec2", "hubert-large"])
@pytest.mark.parametrize("learns", [False, True])
def test_windows_that_overlap_are_convolved_as_torch_does(
    family: str, learns: bool, tmp_path: Path
) -> None:
    """Published kernels, of which neighbours share taps, over more than one piece; and their gradients."""
    published = {"conv_kernel": (10, 3, 3, 3, 2), "conv_stride": (5, 2, 2, 2, 2)}
    wider = {"conv_dim": (4,) * 5, "num_feat_extract_layers": 5, **published}
    backbone = TransformersBackbone(save_tiny(family, tmp_path, **wider))
    layers = list(backbone.encoder.model.feature_extractor.conv_layers)
    waveform = recordings(30_000)[0][None]
    lengths = torch.tensor([30_000])
    weights = [layer.conv.weight for layer in layers]
    with torch.set_grad_enabled(learns):
        rows = convolve_rows(layers, waveform, lengths)
        batch = convolve_batch(layers, waveform, lengths)
    # Group norms and gradients add up the first layer's frames, and a sum of n is off by n·eps of its terms at most.
    error = 30_000 / 5 * torch.finfo(torch.float32).eps
    torch.testing.assert_close(rows, batch, rtol=error, atol=error)
    if learns:
        ours, torchs = (torch.autograd.grad(y.square().mean(), weights) for y in (rows, batch))
        for found, expected in zip(ours, torchs, strict=True):
            largest = float(expected.abs().max())
            torch.testing.assert_close(found, expected, rtol=error, atol=error * largest)


def test_frames_outlive_the_next_recordings(folders: dict[str, Path]) -> None:
    """Layers write over memory of their own, never over what was handed out."""
    backbone = TransformersBackbone(folders["wav2vec2"])
    first, second = recordings(9000, 9000)
    kept = backbone.extract([first])[0]
    as_it_was = kept.clone()
    assert not torch.equal(backbone.extract([second])[0], as_it_was)
    assert torch.equal(kept, as_it_was)


def test_a_frame_is_made_of_the_samples_that_its_time_says(folders: dict[str, Path]) -> None:
    encoder = TransformersBackbone(folders["xls-r"]).encoder
    waveform = recordings(2000)[0].requires_grad_()
    frames = encoder.model.feature_extractor(waveform[None])[0].T
    assert len(frames) == encoder.count(torch.tensor(2000))
    for t in (0, 7, len(frames) - 1):
        (gradient,) = torch.autograd.grad(frames[t].square().sum(), waveform, retain_graph=True)
        touched = gradient.nonzero().flatten()
        begin = t * encoder.stride
        assert (touched.min(), touched.max()) == (begin, begin + encoder.receptive_field - 1)
        assert encoder.first_centre + begin == (touched.min() + touched.max() + 1) / 2


def test_whispers_frames_are_made_of_the_samples_that_their_time_says(
    folders: dict[str, Path],
) -> None:
    backbone = TransformersBackbone(folders["whisper"], layers=[0])
    waveform = recordings(9000)[0].requires_grad_()
    hidden = backbone(waveform[None], torch.tensor([9000])).hidden_states[0, 0]
    for t in (5, 11):
        (gradient,) = torch.autograd.grad(hidden[t].square().sum(), waveform, retain_graph=True)
        touched = gradient.nonzero().flatten()
        centre = t * backbone.rate / backbone.frame_rate
        half = backbone.receptive_field * backbone.rate / 2
        assert centre - half <= touched.min() and touched.max() <= centre + half
        assert touched.max() - touched.min() > 2 * half - 8  # the window is zero at its edges


def test_published_sizes_have_the_frames_that_papers_say() -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    from cleser.speech.backbones.wave_encoder import WaveEncoder

    config = Wav2Vec2Config(conv_dim=(2,) * 7, hidden_size=8, num_hidden_layers=0, num_attention_heads=1,
                            num_conv_pos_embedding_groups=1, num_conv_pos_embeddings=2)  # fmt: skip
    encoder = WaveEncoder(Wav2Vec2Model(config), normalise=True)
    assert (encoder.stride, encoder.receptive_field, encoder.first_centre) == (320, 400, 200)
    samples = torch.tensor([400, 719, 720, 16000, 48000])
    assert encoder.count(samples).tolist() == [1, 1, 2, 49, 149]


def test_normalisation_is_the_processors(folders: dict[str, Path], tmp_path: Path) -> None:
    from transformers import Wav2Vec2FeatureExtractor

    quiet, loud = recordings(5000)[0], recordings(5000)[0] * 7 + 0.5
    normalising = TransformersBackbone(folders["xls-r"])
    torch.testing.assert_close(
        normalising.extract([quiet]), normalising.extract([loud]), rtol=1e-3, atol=1e-3
    )
    plain = save_tiny("xls-r", tmp_path / "plain", processor=False)
    Wav2Vec2FeatureExtractor(do_normalize=False, sampling_rate=8000).save_pretrained(plain)
    backbone = TransformersBackbone(plain)
    assert backbone.rate == 8000 and backbone.frame_rate == 200
    assert not torch.allclose(backbone.extract([quiet])[0], backbone.extract([loud])[0], atol=1e-2)
    bare = TransformersBackbone(save_tiny("wavlm", tmp_path / "bare", processor=False))
    assert bare.rate == 16000 and bare.encoder.normalise  # the documented default


def test_training_mode_adds_dropout_alone(folders: dict[str, Path]) -> None:
    """SpecAugment and layer drop would draw from generators that no seed of ours governs."""
    backbone = TransformersBackbone(folders["wav2vec2"]).train()
    for module in backbone.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "dropout_prob"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    waveform, length = recordings(9000)[0][None], torch.tensor([9000])
    with torch.no_grad():
        trained = backbone(waveform, length).hidden_states
        evaluated = backbone.eval()(waveform, length).hidden_states
    torch.testing.assert_close(trained, evaluated)
    assert (state == np.random.get_state()[1]).all()  # noqa: NPY002


def test_the_name_changes_whenever_the_numbers_would(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other tests guard that the numbers are transformers'; where they are not to be, VERSION is raised."""
    backbone = TransformersBackbone(folders["hubert"])
    name = backbone.name
    with monkeypatch.context() as patched:
        patched.setattr("cleser.speech.backbones.pretrained.VERSION", 2)
        assert backbone.name != name
    assert TransformersBackbone(folders["hubert"]).name == name
    other = save_tiny("hubert", tmp_path / "hubert", seed=1)
    variants = [
        TransformersBackbone(folders["hubert"], layers=[0, 1]).name,
        TransformersBackbone(folders["hubert"], dtype=torch.bfloat16).name,
        TransformersBackbone(other).name,
    ]
    with torch.no_grad():
        next(backbone.encoder.blocks[0].parameters()).add_(0.01)
    names = [name, backbone.name, *variants]
    assert all(a != b for a, b in itertools.combinations(names, 2))


@pytest.mark.parametrize(
    ("family", "file", "name", "value"),
    [
        ("hubert", "config.json", "num_attention_heads", 4),
        ("hubert", "config.json", "layer_norm_eps", 1e-3),
        ("hubert", "config.json", "hidden_act", "relu"),
        ("hubert", "config.json", "feat_extract_activation", "relu"),
        ("hubert", "config.json", "conv_stride", [5, 4, 3]),
        ("hubert", "config.json", "do_stable_layer_norm", True),
        ("wavlm", "config.json", "max_bucket_distance", 16),
        ("whisper", "config.json", "encoder_attention_heads", 4),
        ("whisper", "config.json", "activation_function", "relu"),
        ("whisper", "preprocessor_config.json", "hop_length", 320),
        ("whisper", "preprocessor_config.json", "n_fft", 512),
    ],
)
def test_settings_that_the_weights_do_not_show_are_in_the_name(
    family: str, file: str, name: str, value: object, folders: dict[str, Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folders[family], tmp_path / folders[family].name))
    found = json.loads((copy / file).read_text())
    assert found.get(name) != value
    (copy / file).write_text(json.dumps({**found, name: value}))
    assert TransformersBackbone(copy).name != TransformersBackbone(folders[family]).name


def test_published_models_are_called_as_before_their_settings_counted() -> None:
    """Or all that was ever extracted with them would be extracted anew."""
    import transformers

    large = {"hidden_size": 1024, "num_attention_heads": 16}
    stable = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
    one_billion = {"hidden_size": 1280, "num_attention_heads": 16, **stable}
    published = [
        *(("Wav2Vec2", x) for x in ({}, large, large | stable, one_billion, {**one_billion, "hidden_size": 1920})),
        *((kind, x) for kind in ("Hubert", "WavLM", "UniSpeech", "UniSpeechSat") for x in ({}, large | stable)),
        ("Hubert", one_billion),
        *(("Data2VecAudio", x) for x in ({}, large)),
        *(("Whisper", {"d_model": 64 * heads, "encoder_attention_heads": heads}) for heads in (6, 8, 12, 16, 20)),
    ]  # fmt: skip
    for kind, own in published:
        config = getattr(transformers, f"{kind}Config")(**own)
        whisper = kind == "Whisper"
        extractor = (
            transformers.WhisperFeatureExtractor
            if whisper
            else transformers.Wav2Vec2FeatureExtractor
        )
        assert _unusual(config, extractor()) == {}, (kind, own)


def test_some_layers_know_what_all_of_them_are_called(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    for family in ("hubert", "whisper"):
        all_layers = TransformersBackbone(folders[family])
        some = TransformersBackbone(folders[family], layers=[1, 0])
        assert some.whole == all_layers.whole == (all_layers.name, (0, 1, 2, 3))
        assert some.name != all_layers.name
        other = save_tiny(family, tmp_path / family, seed=1)
        assert TransformersBackbone(other, layers=[1, 0]).whole != some.whole
        with torch.no_grad():
            next(some.encoder.blocks[0].parameters()).add_(0.01)
        assert some.whole[0] != all_layers.name  # what it computes is no longer theirs


@pytest.mark.native
def test_half_precision_stays_near(folders: dict[str, Path]) -> None:
    waveforms = recordings(5000, 9000)
    for family in ("wav2vec2", "whisper"):
        full = TransformersBackbone(folders[family]).extract(waveforms)
        half = TransformersBackbone(folders[family], dtype=torch.bfloat16).extract(waveforms)
        for a, b in zip(full, half, strict=True):
            assert b.dtype == torch.bfloat16
            assert (a - b.float()).norm() < 0.05 * a.norm()


def test_statistics_of_filters_are_taken_in_single_precision(folders: dict[str, Path]) -> None:
    """Their variance is a sum that cancels where a recording lacks their frequencies, as telephone speech does."""
    layer = TransformersBackbone(folders["wav2vec2"]).encoder.model.feature_extractor.conv_layers[0]
    differences = torch.tensor([1.0, -4.0, 6.0, -4.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    low = torch.sin(2 * torch.pi * 300 * torch.arange(16_000) / 16_000)
    waveforms, lengths = torch.stack([low, low.roll(5)]), torch.tensor([16_000, 12_000])
    with torch.no_grad():
        for i, channel in enumerate(layer.conv.weight):
            channel[0] = 10 * differences.roll(i % 6)
        for rows in (1, 2):
            full = convolutions._group_norm(layer, waveforms[:rows], lengths[:rows])
            with torch.autocast("cpu", torch.bfloat16):
                half = convolutions._group_norm(layer, waveforms[:rows], lengths[:rows])
            for one, other in zip(full, half, strict=True):
                assert one.isfinite().all()
                assert torch.equal(one, other)


def test_half_of_the_layers_has_a_name_for_any_depth(folders: dict[str, Path]) -> None:
    halves = {"lower": (0, 1), "middle": (1, 2), "upper": (2, 3), "all": (0, 1, 2, 3)}
    for name, layers in halves.items():
        assert TransformersBackbone(folders["hubert"], layers=name).layers == layers
        assert load_backbone(f"{folders['hubert']},layers={name}").layers == layers
    with pytest.raises(ValueError, match=r"'half', expected 'all', 'lower', 'middle', 'upper' or"):
        TransformersBackbone(folders["hubert"], layers="half")


def test_a_spec_says_layers_type_and_revision(folders: dict[str, Path]) -> None:
    backbone = load_backbone(f"{folders['wavlm']},layers=0+2,dtype=bfloat16")
    assert isinstance(backbone, TransformersBackbone)
    assert backbone.layers == (0, 2) and next(backbone.parameters()).dtype == torch.bfloat16
    for spec, message in {
        "acustic": "expected 'acoustic', a folder",
        "acoustic,layers=middle": "expected 'acoustic' alone",
        f"{folders['wavlm']},layers=one": "expected numbers like 0",
        f"{folders['wavlm']},layers=9": "different numbers from 0 to 3",
        f"{folders['wavlm']},layers=1,layers=middle": "has the setting layers twice",
        f"{folders['wavlm']},dtype=int4": "dtype is 'int4'",
        f"{folders['wavlm']},device=cuda": "has the setting 'device=cuda'",
    }.items():
        with pytest.raises(ValueError, match=message):
            load_backbone(spec)


def test_a_folders_name_may_hold_commas(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(folders["wavlm"], tmp_path / "my model, layers=1"))
    for spec, layers in ((str(copy), (0, 1, 2, 3)), (f"{copy},layers=0+2", (0, 2))):
        assert load_backbone(spec).source == str(copy)
        assert load_backbone(spec).layers == layers
        assert load_backbone(f"acoustic+{spec}").views[1].layers == layers
        monkeypatch.chdir(tmp_path)
        assert located(spec.removeprefix(f"{tmp_path}/")) == spec


def test_a_spectrogram_of_other_bands_than_the_models_is_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    other = shutil.copytree(folders["whisper"], tmp_path / "other")
    file = other / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "feature_size": 128}))
    with pytest.raises(
        ValueError,
        match=r"other: the model hears 20 mel bands .*config\.json.* gives 128 .*preproc",
    ):
        TransformersBackbone(other)


def test_what_cannot_be_loaded_is_said_plainly(folders: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import BertConfig

    BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(
        ValueError, match="is of type 'bert', expected one of data2vec-audio, hubert"
    ):
        TransformersBackbone(tmp_path / "bert")
    with pytest.raises(ValueError, match="cannot be loaded"):
        TransformersBackbone(tmp_path)
    broken = save_tiny("xls-r", tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    del weights["encoder.layers.1.feed_forward.output_dense.weight"]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    logging.disable(logging.WARNING)
    with pytest.raises(
        ValueError, match=r"lacks 1 weights, .*layers.1.feed_forward.output_dense.weight"
    ):
        TransformersBackbone(broken)
    logging.disable(logging.NOTSET)
    with pytest.raises(ValueError, match=r"waveforms\[1\] has 30 samples, expected at least 40"):
        TransformersBackbone(folders["xls-r"]).extract(recordings(500, 30))
