"""Numbers that no method can work with are refused by name, before anything is read or written."""

import math

import pytest

from cleser.cli import main
from cleser.models import ModelConfig
from cleser.recipes import METHODS
from cleser.recipes.layer_anchoring import LayerAnchoringConfig
from cleser.recipes.sapa import SAPAConfig
from cleser.recipes.zero_shot import ZeroShotConfig
from cleser.training.loop import TrainingConfig
from tests.corpora.trees import write_corpus


@pytest.mark.parametrize(
    ("kind", "name", "value", "said"),
    [
        (TrainingConfig, "epochs", 0, "1 or more"),
        (TrainingConfig, "batch_size", 0, "1 or more"),
        (TrainingConfig, "learning_rate", 0.0, "more than 0"),
        (TrainingConfig, "learning_rate", math.nan, "more than 0"),
        (TrainingConfig, "warmup", 1.5, "1 or less"),
        (METHODS["erm"].config, "label_smoothing", 2.0, "1 or less"),
        (METHODS["probe"].config, "penalty", 0.0, "more than 0"),
        (METHODS["probe"].config, "rounds", -1, "0 or more"),
        (METHODS["classical"].config, "most", 0, "1 or more"),
        (METHODS["classical"].config, "c", 0.0, "more than 0"),
        (SAPAConfig, "target_weight", -1.0, "0 or more"),
        (SAPAConfig, "label_smoothing", -0.1, "0 or more"),
        (LayerAnchoringConfig, "weight", -1.0, "0 or more"),
        (ZeroShotConfig, "temperature", 0.0, "more than 0"),
        (METHODS["coral"].config, "label_smoothing", 2.0, "1 or less"),
        (SAPAConfig, "bank", 1.0, "less than 1"),
        (ModelConfig, "dim", 0, "1 or more"),
        (ModelConfig, "dropout", 1.0, "less than 1"),
        (ModelConfig, "input_dropout", -0.1, "0 or more"),
        (ModelConfig, "community_dropout", 1.5, "1 or less"),
    ],
)
def test_what_is_out_of_range_is_named(kind, name, value, said):
    with pytest.raises(ValueError, match=f"{name} is .*, expected {said}"):
        kind(**{name: value})
    kind()  # as it is by default


def test_heads_share_the_channels():
    with pytest.raises(
        ValueError, match="dim is 128, expected a multiple of the attention heads, 3"
    ):
        ModelConfig(heads=3, depth=1, token_view=True)


def test_the_command_says_so_in_a_line_and_leaves_no_folder(tmp_path, capsys):
    spec = write_corpus(tmp_path / "a", "a")
    words = ["--source", spec, "--target", spec, "--out", str(tmp_path / "run"), "--epochs", "0"]
    with pytest.raises(SystemExit) as left:
        raise SystemExit(main(["run", "erm", *words]))
    assert left.value.code == 2
    assert "epochs is 0, expected 1 or more" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()
