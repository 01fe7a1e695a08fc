"""Two gloo ranks with unequal shares of a batch give the loss and the gradients of one process."""

import os
import time
from datetime import timedelta
from functools import partial
from importlib.util import find_spec

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from cleser import ranks
from cleser.losses import (
    CoralLoss,
    CrossLingualSupCon,
    DualSpaceTriplet,
    FocalLoss,
    LayerAnchorLoss,
    MmdLoss,
    MultiLabelSupCon,
    RelationalTripletLoss,
    SpeakerAdversary,
    blockwise,
    coral,
    mmd,
)
from cleser.relations import differ, same
from tests.losses.cases import random_batch

POSITIVE, NEGATIVE = same("emotion") & differ("language"), differ("emotion")
SHARES = [13, 19]


class Model(nn.Module):
    """An encoder with a loss of its output, as one module for DistributedDataParallel."""

    def __init__(self, loss):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 6)).double()
        self.loss = loss

    def forward(self, x, labels):
        return self.loss(self.encoder(x), labels)


class AgainstReference(nn.Module):
    """Some items against the others, both with gradient."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, x, labels):
        first, second = labels["role"] == 0, labels["role"] == 1
        return self.loss(
            x[first], {n: v[first] for n, v in labels.items()},
            x[second], {n: v[second] for n, v in labels.items()},
        )  # fmt: skip


class Sides(nn.Module):
    """Language 0 against the others, for the losses of two sides."""

    def __init__(self, loss, layers=False):
        super().__init__()
        self.loss, self.layers = loss, layers

    def forward(self, x, labels):
        source, target = x[labels["language"] == 0], x[labels["language"] > 0]
        if self.layers:
            source, target = torch.stack([source, 2 * source]), torch.stack([target, target**2])
        return self.loss(source, target)


class Speakers(nn.Module):
    def __init__(self, dim=6, **arguments):
        super().__init__()
        torch.manual_seed(1)
        self.adversary = SpeakerAdversary(dim, 3, dropout=0.0, **arguments).double()

    def forward(self, x, labels):
        return self.adversary(x, labels["community"] - (labels["emotion"] < 1).long()).double()


class Focal(nn.Module):
    """The output as the logits of six classes, of which four occur."""

    def __init__(self):
        super().__init__()
        self.loss = FocalLoss(class_weights=torch.tensor([1.0, 0.5, 2.0, 3.0, 1.0, 1.0]))

    def forward(self, x, labels):
        return self.loss(x, labels["emotion"])


class LabelSets(nn.Module):
    """An emotion and a language are two labels of an item."""

    def __init__(self):
        super().__init__()
        self.loss = MultiLabelSupCon()

    def forward(self, x, labels):
        sets = [labels[name][:, None] == torch.arange(4) for name in ("emotion", "language")]
        return self.loss(x, torch.cat(sets, 1))


LOSSES = {
    **{
        f"triplet-{mining}": lambda mining=mining: RelationalTripletLoss(
            POSITIVE, NEGATIVE, mining=mining
        )
        for mining in ("all", "hard", "semihard", "soft")
    },
    "supcon": CrossLingualSupCon,
    "supcon-reference": lambda: AgainstReference(CrossLingualSupCon()),
    "triplet-reference": lambda: AgainstReference(RelationalTripletLoss(POSITIVE, NEGATIVE)),
    "coral": lambda: Sides(CoralLoss()),
    "coral-function": lambda: Sides(coral),
    "mmd": lambda: Sides(MmdLoss()),
    "mmd-function": lambda: Sides(mmd),
    "focal": Focal,
    "label sets": LabelSets,
    "layers": lambda: Sides(LayerAnchorLoss([0, 1]), layers=True),
    "speakers": Speakers,
}


OWN = {
    "supcon": lambda: CrossLingualSupCon(all_ranks=False),
    "mmd": lambda: Sides(MmdLoss(all_ranks=False)),
    "coral": lambda: Sides(partial(coral, all_ranks=False)),
    "dual space": lambda: DualSpaceTriplet(phoneme_weight=0, all_ranks=False),
    "speakers": lambda: Speakers(dim=16, all_ranks=False),
}


def batch():
    x, labels = random_batch(sum(SHARES), dtype=torch.float64)
    return x, labels | {"role": torch.arange(len(x)) % 3 % 2}


def share(rank):
    x, labels = batch()
    if rank is None:
        return x, labels
    start = sum(SHARES[:rank])
    mine = slice(start, start + SHARES[rank])
    return x[mine], {n: v[mine] for n, v in labels.items()}


def train_once(model, x, labels, rank):
    wrapped = model if rank is None else DistributedDataParallel(model)
    loss = wrapped(x, labels)
    loss.backward()
    return float(loss.detach()), [p.grad.clone() for p in model.parameters()]


def work(rank, folder, small_blocks):
    torch.set_num_threads(1)
    # A free port may be somebody else's by the time that it is opened.
    meet = f"file://{folder}/meet"
    distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=2)
    if small_blocks:
        blockwise.BLOCK = 100
    results = {name: train_once(Model(make()), *share(rank), rank) for name, make in LOSSES.items()}
    if find_spec("pytorch_metric_learning"):
        results["pml"] = pml_wrappers(rank)
    results["own"] = {name: float(make()(*share(rank)).detach()) for name, make in OWN.items()}
    ranks.PATIENCE = timedelta(seconds=2)
    if rank == 0:
        with pytest.raises(
            RuntimeError, match=r"rank 0 of 2 waited . s in a loss.*all_ranks=False"
        ):
            CrossLingualSupCon()(*share(rank))
    else:
        time.sleep(3)
    torch.save(results, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()
    # All is written; at a usual exit a thread of theirs that is still alive may abort the process.
    os._exit(0)


def pml_wrappers(rank):
    """Their distributed wrappers around their loss and our miner."""
    from pytorch_metric_learning import losses
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.distributed import (
        DistributedLossWrapper,
        DistributedMinerWrapper,
    )

    from cleser.losses import RelationMiner

    x, labels = batch()
    # Their gathering wants equal shares.
    mine = slice(None) if rank is None else slice(16 * rank, 16 * rank + 16)
    x, labels = x[mine].clone().requires_grad_(), {n: v[mine] for n, v in labels.items()}
    miner = RelationMiner(POSITIVE, NEGATIVE)
    loss = losses.TripletMarginLoss(margin=0.2, distance=CosineSimilarity())
    if rank is not None:
        loss, wrapped = DistributedLossWrapper(loss), DistributedMinerWrapper(miner)
    else:
        wrapped = miner
    code = miner.encode(labels)
    value = loss(x, code, wrapped(x, code))
    value.backward()
    return float(value.detach()), [x.grad]


@pytest.fixture(scope="module", params=[False, True], ids=["at once", "block by block"])
def two_ranks(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(work, (folder, request.param), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_two_ranks_are_one_big_batch(name, two_ranks):
    x, labels = share(None)
    loss, gradients = train_once(Model(LOSSES[name]()), x, labels, None)
    assert loss > 0
    for found, found_gradients in (results[name] for results in two_ranks):
        # Adversaries add up their items in float32, and a sum of n is off by n·eps at most.
        error = len(x) * torch.finfo(torch.float32).eps
        assert found == pytest.approx(loss, rel=error)
        # Some are zero but for rounding, as a bias' where only covariances count.
        largest = max(float(g.abs().max()) for g in gradients)
        for a, b in zip(found_gradients, gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=error, atol=error * largest)


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_a_rank_may_keep_to_its_own_items(name, two_ranks):
    """`share` outside any group is what a rank alone would see."""
    for rank, results in enumerate(two_ranks):
        assert results["own"][name] == pytest.approx(
            float(OWN[name]()(*share(rank)).detach()), rel=1e-6
        )
    assert two_ranks[0]["own"][name] != two_ranks[1]["own"][name]


@pytest.mark.slow
def test_miner_works_in_their_distributed_wrappers(two_ranks):
    pytest.importorskip("pytorch_metric_learning")
    loss, (gradient,) = pml_wrappers(None)
    for rank, results in enumerate(two_ranks):
        found, (own,) = results["pml"]
        assert found == pytest.approx(2 * loss)  # they multiply by the number of ranks
        torch.testing.assert_close(own, 2 * gradient[16 * rank : 16 * rank + 16])
