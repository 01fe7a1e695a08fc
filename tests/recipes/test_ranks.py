"""A step of each recipe on two processes, each with its share of both sides, has the gradients of one process."""

import os
from dataclasses import replace

import pytest
import torch
from torch import distributed, multiprocessing

from cleser.losses import LayerAnchorLoss
from cleser.models import Batch
from cleser.ranks import world
from tests.recipes.test_steps import batch, build, sapa_sides

# Sums in another order, of which some are kept in float32.
CLOSE = {"rtol": 1e-5, "atol": 1e-7}


def sides(trusted=range(12)):
    """Source and target; only some of the target's utterances are believed to be anything."""
    source, target = sapa_sides()
    unknown = [i for i in range(12) if i not in trusted]
    for name in ("emotion", "community"):
        target.labels[name][unknown] = -1
    return source, target


STEPS = {
    "erm": sides,
    "coral": sides,
    "dann": sides,
    "layer-anchoring": sides,
    "zero-shot": lambda: (batch(1, languages=(0, 1)), None),
    "sapa": lambda: sides(range(0, 12, 3)),
    # Of those that only one process has; and of none.
    "sapa, one process": lambda: sides(range(0, 12, 2)),
    "sapa, nobody": lambda: sides([]),
}


def share(whole: Batch | None, rank: int | None) -> Batch | None:
    """Every other utterance, weighted as the training loop does."""
    if whole is None or rank is None:
        return whole
    at = torch.arange(len(whole))[rank::2]
    length = whole.offsets.diff()
    of_token = torch.arange(len(whole)).repeat_interleave(length)
    kept = torch.isin(of_token, at)
    return replace(
        whole,
        tokens=whole.tokens[kept],
        offsets=torch.nn.functional.pad(length[at].cumsum(0), (1, 0)),
        summaries=whole.summaries[at],
        labels={name: values[at] for name, values in whole.labels.items()},
        phonemes=whole.phonemes[kept],
        weight=whole.weight[at] * len(at) * 2 / len(whole),
    )


def gradients(name: str, rank: int | None) -> dict[str, torch.Tensor]:
    """Of all weights, averaged over the processes."""
    recipe = build(name.split(",", maxsplit=1)[0])
    if name == "layer-anchoring":
        recipe.anchors = LayerAnchorLoss([0, 1])
    if name.startswith("sapa"):
        recipe.uses_communities.fill_(False)
    for _ in range(2):  # the second time with prototypes of the first
        recipe.zero_grad()
        recipe.step(*(share(side, rank) for side in STEPS[name]()))["loss"].backward()
    found = {}
    for parameter, values in recipe.named_parameters():
        gradient = torch.zeros_like(values) if values.grad is None else values.grad
        if rank is not None:
            distributed.all_reduce(gradient)
        found[parameter] = gradient / world()
    return found


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    torch.save({name: gradients(name, rank) for name in STEPS}, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()
    os._exit(0)  # all is written; at a usual exit a thread of gloo's may abort the process


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(work, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_two_processes_learn_as_one(name, two_processes):
    expected = gradients(name, None)
    assert any(values.abs().max() > 1e-3 for values in expected.values())
    for found in two_processes:
        for parameter, values in expected.items():
            torch.testing.assert_close(found[name][parameter], values, **CLOSE, msg=parameter)
