"""On another device each recipe trains, refreshes, finishes and recognises as on the processor."""

from dataclasses import replace

import pytest
import torch

from cleser.models import ModelConfig
from cleser.recipes import METHODS
from cleser.training.loop import TrainingConfig
from cleser.training.recipe import Task
from cleser.training.recognition import predict
from tests.elsewhere import DEVICE, Elsewhere
from tests.recipes.test_steps import CHANNELS, DIM, LAYERS, NAMES, dataset

STILL = ModelConfig(
    dim=DIM, token_view=True, input_dropout=0.0, token_dropout=0.0, dropout=0.0, community_dropout=0.0
)  # fmt: skip
CHANGES = {
    "erm": [{}, {"match_prior": True}, {"targets": "soft", "label_smoothing": 0.0}, {"test_time": "tent"}],
    "coral": [{}],
    "dann": [{"match_prior": True}],
    "layer-anchoring": [{"units": "utterance"}, {"units": "vowel", "distance": "coral_debiased"}],
    "zero-shot": [{}],
    "sapa": [{}, {"bank": 0.0, "conditioned": False}, {"communities": 0}],
}  # fmt: skip
CASES = [(name, number) for name, changes in CHANGES.items() for number in range(len(changes))]


def trained(name, number, device):
    """A step's loss and gradients after all has been found anew, and what is recognised in the end."""
    torch.manual_seed(0)
    config = replace(
        METHODS[name].config(), model=STILL, training=TrainingConfig(epochs=2), **CHANGES[name][number]
    )  # fmt: skip
    prior = (0.5, 0.3, 0.2)
    recipe = METHODS[name].build(config, Task(LAYERS, CHANNELS, NAMES, "concat", prior)).to(device)
    source, target = dataset(5, ["de", "fr"], speakers=8), dataset(6, ["zz"], speakers=6)
    if config.targets == "soft":
        source.labels["votes"] = torch.rand(len(source), 3)
    seen = target if recipe.sees_target else None
    for epoch in range(2):
        recipe.begin_epoch(epoch, source=source, dev=source, target=seen)
    recipe.train()
    ours = source.labelled(recipe.found.source).batch(torch.arange(24)).to(device)
    theirs = None
    if seen is not None:
        theirs = target.labelled(recipe.found.target).batch(torch.arange(24)).to(device)
    loss = recipe.step(ours, theirs)["loss"]
    loss.backward()
    gradients = {n: p.grad.cpu() for n, p in recipe.named_parameters() if p.grad is not None}
    recipe.eval()
    scores = recipe.dev_scores(source)
    recipe.finish(seen)
    return loss.detach().cpu(), gradients, scores, predict(recipe, target)[0].cpu()


@pytest.mark.parametrize(("name", "number"), CASES)
def test_nothing_is_left_on_the_processor(name, number):
    expected = trained(name, number, torch.device("cpu"))
    with Elsewhere():
        found = trained(name, number, DEVICE)
    assert float(expected[0]) > 0
    torch.testing.assert_close(found, expected)


@pytest.mark.cuda
@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_gpu_trains_as_the_processor(name, number):
    expected, found = (trained(name, number, torch.device(d)) for d in ("cpu", "cuda"))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_what_mixes_devices_fails_there():
    """As on a GPU: numbers may be mixed, and positions; vectors not."""
    with Elsewhere():
        away, near = torch.arange(3.0, device=DEVICE), torch.arange(3.0)
        assert away.device == DEVICE
        assert (away + 1 + torch.tensor(2.0)).tolist() == [3, 4, 5]
        assert away[torch.tensor([2, 0])].tolist() == [2, 0]
        assert torch.equal(away.cpu(), near)
        assert bool((away > 1).any())
        for wrong in (lambda: away + near, lambda: near.masked_scatter(near > 1, away)):
            with pytest.raises(RuntimeError, match="found tensors on two devices"):
                wrong()
        with pytest.raises(TypeError, match=r"use Tensor\.cpu\(\) first"):
            away.numpy()
    assert torch.zeros(2, device=DEVICE).is_meta
