"""The training loop: what an epoch's randomness depends on."""

import random
import subprocess
import sys

import pytest
import torch

from cleser.models import ModelConfig
from cleser.recipes import ERM, ERMConfig
from cleser.speech.backbones.fine_tuning import FineTuning
from cleser.training.loop import TrainingConfig, train
from cleser.training.recipe import Task
from tests.recipes.test_steps import CHANNELS, LAYERS, NAMES, dataset

CONFIG = ERMConfig(ModelConfig(dim=8), TrainingConfig(epochs=3, batch_size=8, keep="last"))


class Drawing(ERM):
    """Draws something in the hook before each epoch, as a user's recipe may."""

    def begin_epoch(self, epoch, **_datasets):
        self.drawn[epoch] = (float(torch.rand(())), random.random())


def trained(checkpoint, drawn, on_epoch=lambda _: None):
    torch.manual_seed(0)
    recipe = Drawing(CONFIG, Task(LAYERS, CHANNELS, NAMES, "concat"))
    recipe.drawn = drawn
    source = dataset(0, ["de", "fr"])
    train(recipe, CONFIG.training, source=source, dev=source, target=None, seed=3,
          checkpoint=checkpoint, on_epoch=on_epoch)  # fmt: skip
    return recipe.state_dict()


def test_a_resumed_epoch_draws_what_it_would_have_drawn(tmp_path):
    """In hooks, too, and by Python as by torch."""
    uninterrupted, drawn = {}, {}
    expected = trained(tmp_path / "a", uninterrupted)

    def interrupted(history):
        if len(history) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "b", drawn, interrupted)
    assert sorted(drawn) == [0, 1]
    random.seed(9)
    found = trained(tmp_path / "b", drawn)
    assert drawn == uninterrupted
    assert len({*map(str, drawn.values())}) == 3
    for name, weight in expected.items():
        assert torch.equal(found[name], weight), name


def test_a_checkpoint_that_is_cut_off_is_named_and_stays(tmp_path):
    file = tmp_path / "seed0.safetensors"
    trained(file, {})
    part = file.read_bytes()[:-10]
    file.write_bytes(part)
    with pytest.raises(ValueError, match=rf"^{file} is cut off or damaged .*: remove it, and"):
        trained(file, {})
    assert file.read_bytes() == part


def test_a_training_that_diverges_says_what_to_change(tmp_path):
    class Diverging(ERM):
        def step(self, source, target):
            terms = super().step(source, target)
            return {**terms, "loss": terms["loss"] / 0}

    recipe = Diverging(CONFIG, Task(LAYERS, CHANNELS, NAMES, "concat"))
    source = dataset(0, ["de", "fr"])
    common = {"source": source, "dev": source, "target": None, "seed": 3}
    for tuning, said in ((FineTuning(), "$"), (FineTuning("head"), r" or --tune\.learning-rate")):
        with pytest.raises(
            ValueError, match=rf"seed 3, epoch 0: .* --learning-rate \(it is 0\.001\){said}"
        ):
            train(recipe, CONFIG.training, checkpoint=tmp_path / "a", tuning=tuning, **common)


def test_who_trains_alone_needs_nothing_that_spreads_weights():
    """It takes half a second to import, and a command that trains nothing would pay for it, too."""
    code = (
        "import sys; import cleser.training.loop; "
        "sys.exit(any(m.startswith(('torch.distributed.fsdp', 'torch.distributed.tensor')) for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
