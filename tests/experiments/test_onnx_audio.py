"""Recordings in an ONNX model: the graph's own front end against the backbones, and a whole run of Whisper."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

import cleser
from cleser.anchors.pooling import uniform_bounds
from cleser.cli import main
from cleser.corpora.protocol import Protocol
from cleser.experiments.experiment import Experiment
from cleser.experiments.export.onnx_audio import RecordingFeatures
from cleser.experiments.export.onnx_model import RecordingClassifier, outputs_of
from cleser.experiments.transformers_model import CleserForAudioClassification
from cleser.recipes import METHODS
from cleser.settings import to_plain
from cleser.speech import load_audio, load_backbone
from tests.corpora.trees import write_corpus
from tests.speech.tiny_models import FAMILIES, save_tiny


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_those_of_the_backbone(family, tmp_path):
    """Each recording by itself through the backbone, its frames averaged stretch by stretch."""
    backbone = load_backbone(str(save_tiny(family, tmp_path)))
    torch.manual_seed(0)
    waveforms = [0.1 * torch.randn(n) for n in (16_000, 1_000, 9_001, 401)]
    lengths = torch.tensor([len(wave) for wave in waveforms])
    padded = pad_sequence(waveforms, batch_first=True, padding_value=0.3)
    with torch.no_grad():
        summaries, tokens, counts = RecordingFeatures(backbone, tokens=True).eval()(padded, lengths)
    assert len(tokens) == counts.sum()  # the last count is of what is no token
    assert len(counts) == len(summaries) == len(waveforms) + 1
    own = tokens.split(counts.tolist())
    for i, wave in enumerate(waveforms):
        (frames,) = backbone.extract([wave])  # [L, T, D]
        bounds = uniform_bounds(frames.shape[1], round(0.1 * backbone.frame_rate))
        stretches = [(0, frames.shape[1]), *bounds.tolist()]
        expected = [
            torch.cat([part.mean(1), part.std(1, correction=0)], 1)
            for part in (frames[:, begin:end] for begin, end in stretches)
        ]
        torch.testing.assert_close(summaries[i], expected[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(own[i], torch.stack(expected[1:]), atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLESER_CACHE", str(root / "cache"))
        specs = (write_corpus(root / "a", "a", speakers=3), write_corpus(root / "b", "b", seed=1))
        small = save_tiny("whisper", root / "whisper", encoder_layers=1)
        config = METHODS["probe"].config()
        protocol = Protocol([specs[0]], [specs[1]])
        experiment = Experiment("probe", to_plain(config), protocol, 1, root / "run", str(small))
        METHODS["probe"].run(experiment, config, load_backbone(str(small)))
        yield root / "run"


@pytest.mark.parametrize("family", ["whisper", "wavlm"])
def test_a_length_that_cannot_be_has_no_probabilities(family, run, tmp_path):
    """And takes nothing from the others; the limits are in the file's metadata."""
    opened = cleser.load_model(run).run
    backbone = opened.backbone
    if family != "whisper":
        backbone = load_backbone(str(save_tiny(family, tmp_path, num_hidden_layers=1)))
    model = RecordingClassifier(opened._replace(backbone=backbone)).eval()
    expected = {"shortest": str(backbone.shortest), "longest": str(backbone.longest)}
    assert model.limits == {n: v for n, v in expected.items() if v != "None"}
    torch.manual_seed(0)
    longest = backbone.longest or 20_000
    waveforms = 0.1 * torch.randn(6, longest)
    lengths = torch.tensor([backbone.shortest - 1, backbone.shortest, 0, longest, longest + 1, -5])
    with torch.no_grad():
        (found,) = model(waveforms, lengths)
        assert found.isfinite().all(1).tolist() == [False, True, False, True, False, False]
        assert found.isnan().all(1).tolist() == [True, False, True, False, True, True]
        (own,) = model(waveforms[[1, 3]], lengths[[1, 3]])
    torch.testing.assert_close(found[[1, 3]], own, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_run_of_whisper_takes_recordings(run, tmp_path, capsys):
    """Of other lengths and numbers than the model was made with, alone or padded, with what it is padded with."""
    out = tmp_path / "model"
    assert main(["export", str(run), "--out", str(out), "--onnx", "--from", "audio"]) == 0
    assert "recordings.onnx" in capsys.readouterr().out
    assert "`recordings.onnx` takes recordings and" in (out / "README.md").read_text()
    recordings = sorted((run.parent / "b").glob("*.wav"))[:4]
    waveforms = [load_audio(p)[: 16_000 - 3_111 * i] for i, p in enumerate(recordings)]
    network = CleserForAudioClassification.from_pretrained(out)
    expected = torch.cat([network(wave[None]).logits.softmax(-1) for wave in waveforms])
    assert expected.std(0).max() > 1e-2
    for some in ([0, 1, 2, 3], [2]):
        inputs = {
            "waveforms": pad_sequence([waveforms[i] for i in some], True, 0.5),
            "lengths": torch.tensor([len(waveforms[i]) for i in some]),
        }
        found = outputs_of(out / "recordings.onnx", inputs)["probabilities"]
        torch.testing.assert_close(found, expected[some], atol=1e-4, rtol=0)
    lengths = torch.tensor([0, len(waveforms[2])])
    inputs = {"waveforms": waveforms[2].expand(2, -1).contiguous(), "lengths": lengths}
    found = outputs_of(out / "recordings.onnx", inputs)["probabilities"]
    assert found[0].isnan().all()
    torch.testing.assert_close(found[1], expected[2], atol=1e-4, rtol=0)
    session = onnxruntime.InferenceSession(out / "recordings.onnx")
    said = session.get_modelmeta().custom_metadata_map
    assert (said["shortest"], said["longest"]) == ("1", "32000")
    # As cleser predict does, but for its half precision.
    whole = [load_audio(path) for path in recordings]
    found = outputs_of(
        out / "recordings.onnx",
        {"waveforms": pad_sequence(whole, True), "lengths": torch.tensor([*map(len, whole)])},
    )["probabilities"]
    alone = cleser.load_model(run).predict(recordings, alone=True).filter(like="p_")
    np.testing.assert_allclose(found, alone, atol=5e-3)


def test_a_backbone_that_no_graph_can_hold_is_said(run, capsys, tmp_path):
    opened = cleser.load_model(run).run._replace(backbone=load_backbone("acoustic"))
    with pytest.raises(ValueError, match=r"acoustic.* cannot be put into an ONNX model"):
        RecordingClassifier(opened)
    assert main(["export", str(run), "--out", str(tmp_path / "m"), "--from", "audio"]) == 2
    assert "expected --onnx beside it" in capsys.readouterr().err
