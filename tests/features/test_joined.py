"""Descriptors beside a pretrained encoder: what each store holds, side by side."""

import numpy as np
import pandas as pd
import pytest
import torch

import cleser
from cleser.cli import main
from cleser.corpora.registry import load
from cleser.experiments.export import export
from cleser.features import Record
from cleser.recipes.logistic import layer_scale
from cleser.speech import load_backbone
from cleser.training.from_manifest import stored_features
from tests.corpora.trees import write_corpus
from tests.speech.tiny_models import save_tiny


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLESER_CACHE", str(tmp_path_factory.mktemp("joined-cache")))
        yield tmp_path_factory.mktemp("joined")


@pytest.fixture(scope="module")
def specs(root):
    return (
        write_corpus(root / "a", "a", language="de", speakers=4, takes=1),
        write_corpus(root / "b", "b", speakers=3, takes=1, seed=1),
    )


@pytest.fixture(scope="module")
def tiny(root):
    return str(save_tiny("wav2vec2", root / "wav2vec2"))


def features(spec, backbone):
    rows = load(spec)
    found = stored_features(rows, load_backbone(backbone), None, title="t", record=Record("none"))
    return rows, found


def test_layers_of_all_views_stand_side_by_side(specs, tiny):
    _, both = features(specs[0], f"acoustic+{tiny}")
    (_, acoustic), (_, encoder) = (features(specs[0], name) for name in ("acoustic", tiny))
    at = torch.tensor([3, 0])
    summaries = both.take(at).summaries
    assert summaries.shape[1:] == both.shape == (2 + 4, 80)
    torch.testing.assert_close(summaries[:, :2], acoustic.take(at).summaries, atol=0, rtol=0)
    torch.testing.assert_close(summaries[:, 2:, :48], encoder.take(at).summaries, atol=0, rtol=0)
    assert not summaries[:, 2:, 48:].any()


def test_a_recording_that_one_view_cannot_use_is_left_out(specs, tiny, root):
    rows = load(specs[0])
    bad = root / "short.wav"
    import soundfile

    soundfile.write(bad, 0.1 * np.ones(5), 16000)  # too short for the encoder's convolutions
    rows.loc[1, "path"] = str(bad)
    found = stored_features(
        rows, load_backbone(f"acoustic+{tiny}"), None, title="t", record=Record("none")
    )
    assert found.rows == [i for i in range(len(rows)) if i != 1]
    assert [p["path"] for p in found.left_out] == [str(bad)]
    assert found.utterances == rows["utterance"].drop(1).tolist()
    assert [len(view) for view in found.views] == [len(found)] * 2


def test_phones_are_refused(specs, tiny):
    with pytest.raises(ValueError, match="together describe whole utterances"):
        stored_features(load(specs[0]), load_backbone(f"acoustic+{tiny}"), None, title="t")


@pytest.mark.parametrize(
    "asked", [["sapa"], ["erm", "--token-view"], ["erm", "--tune.mode", "head"]], ids=" ".join
)
def test_a_recipe_that_wants_phones_is_refused_before_recordings_are_read(
    asked, specs, tiny, tmp_path, monkeypatch, capsys
):
    def read(*_):
        raise AssertionError("recordings are read")

    monkeypatch.setattr("cleser.experiments.experiment.admit", read)
    backbone = ["--backbone", f"acoustic+{tiny}"]
    common = ["--source", specs[0], "--target", specs[1], "--out", str(tmp_path / "run")]
    assert main(["run", *asked, *backbone, *common]) == 2
    assert "sapa: --no-token-view --phoneme-weight 0" in " ".join(capsys.readouterr().err.split())


def test_frames_are_refused(tiny):
    with pytest.raises(ValueError, match="expected one backbone"):
        load_backbone(f"acoustic+{tiny}")(torch.zeros(1, 8000), torch.tensor([8000]))


def test_a_layer_counts_as_the_root_of_its_channels():
    """Shares of the kernel, by definition, on noise of variance one."""
    x = torch.zeros(4000, 2, 64)
    x[:, 0, :4] = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0))
    x[:, 1] = torch.randn(4000, 64, generator=torch.Generator().manual_seed(1))
    scaled = x.flatten(1) * layer_scale(x)
    energy = scaled.square().mean(0).unflatten(0, (2, 64)).sum(1)
    np.testing.assert_allclose(energy[0] / energy[1], (4 / 64) ** 0.5, rtol=0.1)
    np.testing.assert_allclose(energy.sum(), 68, rtol=0.1)  # what c is divided by is the same


@pytest.mark.parametrize("recipe", ["probe", "erm"])
def test_a_run_on_both_predicts_again_what_it_tested(recipe, specs, tiny, root, tmp_path):
    small = ["--no-token-view", "--epochs", "1"] if recipe == "erm" else []
    out = tmp_path / "run"
    common = ["--source", specs[0], "--target", specs[1], "--backbone", f"acoustic+{tiny}"]
    assert main(["run", recipe, *common, *small, "--seeds", "1", "--out", str(out)]) == 0
    tested = pd.read_parquet(out / "predictions.parquet").set_index("utterance")
    export(out, tmp_path / "model")
    for folder in (out, tmp_path / "model"):
        again = cleser.load_model(folder).predict(corpora=[specs[1]]).set_index("utterance")
        columns = [c for c in tested if c.startswith("p_")]
        np.testing.assert_allclose(again.loc[tested.index, columns], tested[columns], atol=1e-6)
