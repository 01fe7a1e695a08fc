"""The batch samplers in the loops that people have: every epoch is whole, every rank has its share."""

import copy
import json
import os
import pickle
import re
import time
import warnings
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import DataLoaderConfiguration
from torch import distributed, multiprocessing, nn
from torch.utils.data import DataLoader, Dataset

from cleser.anchors import AnchorBatchSampler, HierarchicalBatchSampler
from cleser.relations import differ, same

SIZE = 96


class Numbers(Dataset):
    """Item i is i: a batch says which items it holds."""

    def __len__(self):
        return SIZE

    def __getitem__(self, item):
        return item


def labels():
    rng = np.random.default_rng(0)
    return {"language": rng.integers(0, 3, SIZE), "emotion": rng.integers(0, 3, SIZE)}


def hierarchical(**arguments):
    grid = {"language": 3, "emotion": 2}
    return HierarchicalBatchSampler(labels(), grid, samples=2, **arguments)  # 8 batches


def anchored(**arguments):
    positive, negative = same("emotion") & differ("language"), differ("emotion")
    return AnchorBatchSampler(labels(), positive, negative, batch_size=12, **arguments)


MAKERS = {"hierarchical": hierarchical, "anchored": anchored}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


def epochs(make, number):
    """The batches of the first epochs, each by a sampler of its own that was told which it is."""
    samplers = [make() for _ in range(number)]
    for epoch, sampler in enumerate(samplers):
        sampler.set_epoch(epoch)
    return [list(sampler) for sampler in samplers]


def chained(lists):
    return list(chain.from_iterable(lists))


def plain(batches):
    return [batch.tolist() for batch in batches]


LOADERS = {
    "no workers": {},
    "two workers": {"num_workers": 2},
    "persistent": {"num_workers": 2, "persistent_workers": True},
}


@pytest.mark.parametrize("workers", LOADERS)
def test_every_iteration_of_a_loader_is_the_next_epoch(make, workers):
    loader = DataLoader(Numbers(), batch_sampler=make(), **LOADERS[workers])
    assert [plain(loader) for _ in range(3)] == epochs(make, 3)


@pytest.mark.parametrize("workers", LOADERS)
def test_a_loop_that_stops_at_the_length_empties_no_epoch(make, workers):
    sampler = make()
    loader = DataLoader(Numbers(), batch_sampler=sampler, **LOADERS[workers])
    found = []
    for _ in range(4):
        length = len(loader)
        batches = iter(loader)
        found.append([next(batches).tolist() for _ in range(length)])
        assert sampler.epoch == len(found)  # nothing is left of it: the next batch is of the next
    assert found == epochs(make, 4)


def test_a_look_at_the_first_batch_takes_nothing_from_the_epochs_after_it(make):
    sampler = make()
    loader = DataLoader(Numbers(), batch_sampler=sampler)
    first = next(iter(loader)).tolist()
    zeroth, one = epochs(make, 2)
    assert first == zeroth[0]
    assert plain(loader) == one
    sampler.set_epoch(0)
    assert plain(loader) == zeroth


def test_an_iterator_that_gives_no_batch_begins_no_epoch(make):
    sampler = make()
    for _ in range(3):
        iter(sampler)  # as a DataLoader with workers does twice
    assert list(sampler) == epochs(make, 1)[0]


def test_an_epoch_broken_off_is_followed_by_a_whole_one(make):
    sampler = make()
    whole = epochs(make, 3)
    assert list(islice(sampler, 3)) == whole[0][:3]
    assert (sampler.epoch, sampler.batches_done) == (0, 3)
    assert list(sampler) == whole[1]
    iterators = iter(sampler), iter(make())
    assert [next(i) for i in iterators] == [whole[2][0], whole[0][0]]


def test_an_iterator_left_behind_does_not_move_the_place(make):
    sampler = make()
    old, new = iter(sampler), iter(sampler)
    next(old)
    next(new)
    for _ in range(3):
        next(old)
    assert (sampler.epoch, sampler.batches_done) == (1, 1)


def test_set_epoch_repeats_an_epoch_and_leaves_a_running_one_alone(make):
    sampler = make()
    whole = epochs(make, 2)
    assert list(sampler) == whole[0]
    sampler.set_epoch(0)
    assert (sampler.epoch, list(sampler)) == (0, whole[0])
    batches = iter(sampler)
    next(batches)
    sampler.set_epoch(1)  # Lightning says so once its first iterator has begun
    next(batches)
    assert (sampler.epoch, sampler.batches_done) == (1, 2)
    sampler.set_epoch(7)
    assert (sampler.epoch, sampler.batches_done) == (7, 0)


def test_numbers_of_numpy_make_the_state_of_plain_ones(make):
    sampler, other = make(seed=np.int64(3)), make(seed=3)
    sampler.set_epoch(np.int64(2))
    next(iter(sampler))
    state = json.loads(json.dumps(sampler.state_dict(batches_done=np.int64(1))))
    other.load_state_dict(state)
    assert (other.epoch, other.batches_done) == (2, 1)
    a = HierarchicalBatchSampler(
        labels(), {"language": np.int64(3)}, np.int64(2), batches=np.int64(4)
    )
    b = HierarchicalBatchSampler(labels(), {"language": 3}, 2, batches=4)
    assert a.state_dict() == b.state_dict()
    with pytest.raises(TypeError):
        sampler.set_epoch(1.5)


def test_a_state_at_the_end_of_an_epoch_begins_the_next(make):
    sampler, other = make(), make()
    first = list(sampler)
    other.load_state_dict(sampler.state_dict())
    assert (other.epoch, other.batches_done) == (1, 0)
    other.load_state_dict(make().state_dict() | {"batches_done": len(first)})
    assert list(other) == epochs(make, 2)[1]


def test_leaving_a_loaded_place_is_said(make):
    state = make().state_dict() | {"epoch": 2, "batches_done": 3}
    sampler = make()
    sampler.load_state_dict(state)
    with pytest.warns(UserWarning, match=r"leaves epoch 2, where 3 batches were done"):
        sampler.set_epoch(0)
    sampler.load_state_dict(state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler.set_epoch(2)
    assert list(sampler) == epochs(make, 3)[2][3:]


def test_samplers_survive_pickle_and_copy_where_they_stand(make):
    sampler = make()
    batches = iter(sampler)
    next(batches)
    for other in (pickle.loads(pickle.dumps(sampler)), copy.deepcopy(sampler)):
        assert other.state_dict() == sampler.state_dict()
        assert list(other) == epochs(make, 2)[1]
    assert list(pickle.loads(pickle.dumps(batches))) == epochs(make, 1)[0][1:]


@pytest.mark.parametrize("workers", LOADERS)
def test_a_counted_loader_resumes_after_the_batches_received(make, workers):
    arguments = LOADERS[workers]
    whole = chained(epochs(make, 2))
    sampler = make()
    loader = DataLoader(Numbers(), batch_sampler=sampler, **arguments)
    seen = []
    for _ in range(2):
        for batch in sampler.counted(loader):
            seen.append(batch.tolist())
            other = make()
            other.load_state_dict(json.loads(json.dumps(sampler.state_dict())))
            assert next(iter(other), None) in (whole + epochs(make, 3)[2])[len(seen) :][:1]
    assert seen == whole
    # Resumed twice in one epoch.
    state = make().state_dict() | {"batches_done": 2}
    for stop in (2, 4):
        resumed = make()
        resumed.load_state_dict(state)
        loader = DataLoader(Numbers(), batch_sampler=resumed, **arguments)
        received = plain(islice(resumed.counted(loader), 2))
        assert received == whole[stop : stop + 2]
        state = resumed.state_dict()


def test_counting_wants_the_samplers_own_loader(make):
    with pytest.raises(ValueError, match="another batch sampler"):
        next(make().counted(DataLoader(Numbers(), batch_sampler=make())))


@pytest.mark.filterwarnings("ignore:'set_vital'")
@pytest.mark.parametrize("workers", LOADERS)
def test_torchdata_resumes_within_and_between_epochs(make, workers):
    stateful = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader

    def loader():
        return stateful(Numbers(), batch_sampler=make(), **LOADERS[workers])

    whole = epochs(make, 3)
    first = loader()
    assert [plain(first), plain(first)] == whole[:2]
    lengths = len(whole[0]), len(whole[1])
    for epoch, done in ((0, 1), (0, 5), (0, lengths[0]), (1, 3), (1, lengths[1])):
        first = loader()
        for _ in range(epoch):
            list(first)
        batches = iter(first)
        for _ in range(done):
            next(batches)
        if done == lengths[epoch]:
            assert next(batches, None) is None
        second = loader()
        second.load_state_dict(pickle.loads(pickle.dumps(first.state_dict())))
        expected = whole[epoch][done:] or whole[epoch + 1]
        following = epoch + 1 if done < lengths[epoch] else epoch + 2
        assert plain(second) == expected
        if following < 3:
            assert plain(second) == whole[following]


def lightning_module():
    lightning = pytest.importorskip("pytorch_lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer, self.seen = nn.Linear(1, 1), []

        def training_step(self, batch, _):
            self.seen.append((self.current_epoch, batch.tolist()))
            return self.layer(batch[:, None].float()).mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-6)

    return lightning, Module()


def trainer(lightning, folder, **arguments):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return lightning.Trainer(accelerator="cpu", default_root_dir=folder, **quiet, **arguments)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", LOADERS)
def test_lightning_trains_on_every_batch_of_every_epoch(make, workers, tmp_path):
    lightning, module = lightning_module()
    loader = DataLoader(Numbers(), batch_sampler=make(), **LOADERS[workers])
    trainer(lightning, tmp_path, max_epochs=3, devices=1, enable_checkpointing=False).fit(
        module, loader
    )
    for number, batches in enumerate(epochs(make, 3)):
        found = [batch for epoch, batch in module.seen if epoch == number]
        # Lightning asks for the length once; epochs of anchors differ by a batch or so.
        assert found == batches[: len(epochs(make, 1)[0])]


@pytest.mark.filterwarnings("ignore")
def test_lightning_resumes_at_its_epoch(tmp_path):
    lightning, module = lightning_module()
    first = trainer(lightning, tmp_path, max_epochs=2, devices=1)
    first.fit(module, DataLoader(Numbers(), batch_sampler=hierarchical()))
    first.save_checkpoint(tmp_path / "two.ckpt")
    lightning, resumed = lightning_module()
    trainer(lightning, tmp_path, max_epochs=4, devices=1).fit(
        resumed,
        DataLoader(Numbers(), batch_sampler=hierarchical()),
        ckpt_path=tmp_path / "two.ckpt",
        weights_only=False,
    )
    assert [batch for _, batch in resumed.seen] == chained(epochs(hierarchical, 4)[2:])


def test_accelerate_trains_on_every_batch_of_every_epoch(make):
    accelerator = Accelerator(cpu=True)
    loader = accelerator.prepare(DataLoader(Numbers(), batch_sampler=make()))
    assert [plain(loader) for _ in range(3)] == epochs(make, 3)


def test_accelerate_resumes_with_a_counted_loader(make):
    whole = epochs(make, 2)
    sampler = make()
    loader = Accelerator(cpu=True).prepare(DataLoader(Numbers(), batch_sampler=sampler))
    list(loader)
    received = plain(islice(sampler.counted(loader), 3))
    resumed = make()
    resumed.load_state_dict(sampler.state_dict())
    loader = Accelerator(cpu=True).prepare(DataLoader(Numbers(), batch_sampler=resumed))
    loader.set_epoch(resumed.epoch)
    assert received + plain(resumed.counted(loader)) == whole[1]


@pytest.mark.filterwarnings("ignore")
def test_the_snippets_of_the_documentation_run(tmp_path, monkeypatch):
    pytest.importorskip("torchdata")
    lightning, module = lightning_module()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lightning.Trainer, "__init__", quiet(lightning.Trainer.__init__))
    page = Path(__file__).parents[2] / "docs" / "loops.rst"
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", page.read_text())
    steps, model = [], nn.Linear(1, 1)
    names = {
        "dataset": Numbers(), "labels": labels(), "model": model, "lightning_module": module,
        "optimizer": torch.optim.SGD(model.parameters()), "checkpoint": dict, "train_step": steps.append,
    }  # fmt: skip
    for block in blocks:
        exec(re.sub("^   ", "", block, flags=re.MULTILINE), names)
    whole = epochs(hierarchical, 9)
    seen = [[int(i) for i in batch] for batch in steps]
    # Epochs 0 to 2 by hand, 3 to 5 by workers, the next by torchdata, two by Lightning, which says which, the rest.
    assert seen == chained(whole[:7] + whole[2:9])
    assert [batch for _, batch in module.seen] == chained(whole[:2])


def quiet(init):
    """Lightning without its bars, logs and checkpoints."""

    def wrapped(self, **arguments):
        return init(
            self, accelerator="cpu", logger=False, enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False, **arguments,
        )  # fmt: skip

    return wrapped


# Two processes ----------------------------------------------------------------------------------------------------


def work(rank, folder):
    """The samplers of one of two processes, which are built before the processes know of each other."""
    torch.set_num_threads(1)
    found = {}
    built = {name: [make() for _ in range(4)] for name, make in MAKERS.items()}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    # accelerate wants them, and opens none.
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    # A free port may be somebody else's by the time that it is opened.
    meet = f"file://{folder}/meet"
    distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=2)
    for name, (own, accelerated, refused, trained) in built.items():
        found[name, "sampler"] = [list(own) for _ in range(2)]
        found[name, "accelerate"] = with_accelerate(accelerated)
        found[name, "prepared"] = with_accelerate_sharding(MAKERS[name](rank=0, world_size=1))
        found[name, "refused"] = refusals(refused, folder)
        found[name, "lightning"] = with_lightning(trained, folder)
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()
    os._exit(0)  # all is written; at a usual exit a thread of theirs may abort the process


def with_accelerate(sampler):
    """The loader is put on the device, and the sampler shares out its batches."""
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    loader = prepare_data_loader(
        DataLoader(Numbers(), batch_sampler=sampler),
        accelerator.device,
        num_processes=1,
        process_index=0,
        put_on_device=True,
    )
    return [plain(loader) for _ in range(2)]


def with_accelerate_sharding(sampler):
    """Accelerate deals out whole batches."""
    settings = DataLoaderConfiguration(even_batches=False)
    accelerator = Accelerator(cpu=True, dataloader_config=settings)
    loader = accelerator.prepare(DataLoader(Numbers(), batch_sampler=sampler))
    return [plain(loader) for _ in range(2)]


def refusals(sampler, folder):
    """What loops say that would share out the batches once more."""
    loader, said = DataLoader(Numbers(), batch_sampler=sampler), []
    with pytest.raises(ValueError, match="sharded twice") as refused:
        Accelerator(cpu=True).prepare(loader)
    said.append(str(refused.value))
    lightning, module = lightning_module()
    with pytest.raises((TypeError, ValueError), match="use_distributed_sampler=False") as refused:
        two_processes(lightning, folder, use_distributed_sampler=True).fit(module, loader)
    return [*said, str(refused.value)]


def with_lightning(sampler, folder):
    lightning, module = lightning_module()
    loader = DataLoader(Numbers(), batch_sampler=sampler)
    two_processes(lightning, folder, use_distributed_sampler=False).fit(module, loader)
    return [[b for epoch, b in module.seen if epoch == number] for number in range(2)]


def two_processes(lightning, folder, **arguments):
    """A trainer in a process that was started from outside, as by a launcher."""
    from pytorch_lightning.plugins.environments import LightningEnvironment

    class Started(LightningEnvironment):
        creates_processes_externally = True

    environment = Started()
    environment.set_world_size(2)
    environment.set_global_rank(int(os.environ["RANK"]))
    return trainer(
        lightning, folder, max_epochs=2, devices=2, strategy="ddp", plugins=[environment],
        enable_checkpointing=False, **arguments,
    )  # fmt: skip


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    pytest.importorskip("pytorch_lightning")
    folder = tmp_path_factory.mktemp("ranks")
    processes, until = (
        multiprocessing.spawn(work, (folder,), nprocs=2, join=False),
        time.time() + 400,
    )
    while not processes.join(timeout=5):
        assert time.time() < until, "the two processes wait for each other"
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["sampler", "accelerate", "lightning"])
def test_two_processes_share_every_batch(make, loop, two_ranks):
    name = make.__name__
    shares = zip(*(found[name, loop] for found in two_ranks), epochs(make, 2), strict=True)
    length = len(epochs(make, 1)[0]) if loop == "lightning" else None
    for first, second, whole in shares:
        assert first == [batch[::2] for batch in whole[:length]]
        assert second == [batch[1::2] for batch in whole[:length]]


@pytest.mark.slow
def test_two_processes_may_be_dealt_whole_batches(make, two_ranks):
    name = make.__name__
    for rank, found in enumerate(two_ranks):
        assert found[name, "prepared"] == [whole[rank::2] for whole in epochs(make, 2)]


@pytest.mark.slow
def test_two_processes_are_not_sharded_twice(make, two_ranks):
    for found in two_ranks:
        by_accelerate, by_lightning = found[make.__name__, "refused"]
        assert "accelerator.prepare" in by_accelerate
        assert "use_distributed_sampler=False" in by_lightning
