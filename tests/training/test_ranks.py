"""Two gloo processes, each with half of every batch, train as one process does."""

import json
import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback

import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from cleser.corpora.protocol import Protocol
from cleser.experiments.experiment import Experiment, run_experiment
from cleser.experiments.neural import fit_recipe
from cleser.losses import CrossLingualSupCon, RelationalTripletLoss
from cleser.models import ModelConfig
from cleser.recipes import ERM, ERMConfig
from cleser.relations import differ, same
from cleser.settings import to_plain
from cleser.speech import load_backbone
from cleser.speech.backbones.fine_tuning import FineTuning
from cleser.training.loop import TrainingConfig
from cleser.training.sharding import shard
from tests.corpora.trees import write_corpus
from tests.speech.tiny_models import save_tiny

# Batches of nine: shares of five and four, and a rest of six or seven. Two processes leave out a rest of one.
STILL = ModelConfig(dim=8, token_view=True, input_dropout=0.0, token_dropout=0.0, dropout=0.0)
CONFIG = ERMConfig(STILL, TrainingConfig(epochs=2, batch_size=9, learning_rate=3e-3))
SILENT = {
    "hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0, "final_dropout": 0.0,
}  # fmt: skip
ROADS = {
    "features": FineTuning(),
    "lora": FineTuning("lora", adapters=4, learning_rate=1e-3, crop=0.4),
    "full": FineTuning("full", learning_rate=1e-3, accumulate=2, checkpointing=True),
    "sharded": FineTuning("full", learning_rate=1e-3, accumulate=2, checkpointing=True, shard=True),
    "sharded-lora": FineTuning("lora", adapters=4, learning_rate=1e-3, crop=0.4, shard=True),
}


# What one process does on each road; spread weights and workers that decode make no difference to it.
ALONE = {road: road.removeprefix("sharded-").replace("sharded", "full") for road in ROADS}


class Contrastive(ERM):
    """Cross-entropy with losses between utterances of all processes, and the target's in them."""

    def __init__(self, config, task):
        super().__init__(config, task)
        self.sees_target = True
        self.contrast = CrossLingualSupCon()
        self.triplet = RelationalTripletLoss(same("emotion"), differ("emotion"))

    def begin_epoch(self, epoch, **_datasets):
        print("epoch", epoch, flush=True)
        if os.environ.get("KILLED_IN_EPOCH") == str(epoch):
            time.sleep(2 * int(os.environ["RANK"]))  # what it said last is heard, and written down
            os.kill(os.getpid(), signal.SIGKILL)

    def embed(self, batch):
        if not self.training:
            print("recognised", len(batch.summaries), flush=True)
        return super().embed(batch)

    def step(self, source, target):
        embedded = self.embed(source)
        entropy = nn.functional.cross_entropy(
            embedded.logits, source.labels["emotion"], reduction="none"
        )
        both = torch.cat([embedded.utterances, self.embed(target).utterances])
        labels = {n: torch.cat([v, target.labels[n]]) for n, v in source.labels.items()}
        loss = (entropy * source.weight).mean()
        loss = loss + self.contrast(both, labels) + self.triplet(both, labels)
        return {"loss": loss}


def check_shares(folder):
    """Each of two processes holds half of a sharded backbone, to what cannot be halved."""
    backbone = load_backbone(str(folder / "model"))
    weights = sum(p.numel() for p in backbone.parameters())
    learner = nn.ModuleList([backbone, nn.Linear(2, 2)])
    shard(learner, backbone, torch.device("cpu"), 2)
    held = sum(p.to_local().numel() for p in backbone.parameters())
    assert abs(held / weights - 0.5) < 0.02, (held, weights)
    ignored = learner._ddp_params_and_buffers_to_ignore
    assert set(ignored) == {n for n, _ in learner.named_parameters() if n.startswith("0.")}


def experiment(folder, road, out):
    specs = json.loads((folder / "specs.json").read_text())
    protocol = Protocol([specs[0]], [specs[1]], dev=0.34)
    backbone = "acoustic" if road == "features" else str(folder / "model")
    # Each of two processes has its own recordings decoded by another one.
    workers = int(road == "lora" and "RANK" in os.environ)
    made = Experiment(
        "erm", to_plain(CONFIG), protocol, 1, out, backbone, ROADS[road], workers=workers
    )

    def fit(fold):
        return fit_recipe(lambda task: Contrastive(CONFIG, task), CONFIG.training, fold)

    run_experiment(made, CONFIG, fit, load_backbone(backbone))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("ranks")
    specs = (
        write_corpus(root / "a", "a", language="de", speakers=3, takes=2),
        write_corpus(root / "b", "b", speakers=3, seed=1),
    )
    # One recording less: the numbers of the batches are odd.
    table = pd.read_csv(root / "a" / "manifest.csv")
    table.iloc[1:].to_csv(root / "a" / "manifest.csv", index=False)
    (root / "specs.json").write_text(json.dumps(specs))
    save_tiny("wav2vec2", root / "model", **SILENT)
    return root


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def work(rank, ranks, port, folder, name, roads, environment):
    """These roads in one of some processes, as ``accelerate launch`` starts them."""
    os.environ |= {"CLESER_CACHE": str(folder / "cache"), "ACCELERATE_USE_CPU": "true"}
    os.environ |= environment
    if ranks > 1:
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
    torch.set_num_threads(1)
    with (folder / f"{name}-{rank}.txt").open("w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
        sys.stdout = sys.stderr = said
        try:
            for road in roads:
                print("road", road, flush=True)
                experiment(folder, road, folder / name / road)
            if ranks > 1 and "shares" in environment:
                check_shares(folder)
        except BaseException:
            traceback.print_exc()
            said.flush()
            os._exit(1)
        said.flush()
        os._exit(0)  # all is written; at a usual exit a thread of gloo's may abort the process


# Processes come from one that has imported everything, once for all of them.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [__name__, "transformers.models.wav2vec2.modeling_wav2vec2", "sklearn.metrics"]
)


def launch(folder, ranks, name, roads, *, status=0, **environment):
    """Run these roads in each process; gives the lines that each printed."""
    port = free_port()
    started = [
        PROCESSES.Process(target=work, args=(rank, ranks, port, folder, name, roads, environment))
        for rank in range(ranks)
    ]
    for process in started:
        process.start()
    lines = []
    for rank, process in enumerate(started):
        process.join(600)  # they take seconds on an idle machine
        said = (folder / f"{name}-{rank}.txt").read_text()
        assert process.exitcode == status, said[-3000:]
        lines.append(said.splitlines())
    return lines


def epochs(lines):
    return [int(line.split()[1]) for line in lines if line.startswith("epoch ")]


def recognised(lines):
    """How many utterances a process has recognised on each road."""
    counts = {}
    for line in lines:
        if line.startswith("road "):
            road = line.split()[1]
        elif line.startswith("recognised "):
            counts[road] = counts.get(road, 0) + int(line.split()[1])
    return counts


@pytest.fixture(scope="module")
def both(folder):
    launch(folder, 1, "one", [*dict.fromkeys(ALONE.values())])
    said = launch(folder, 2, "two", [*ROADS], shares="checked")
    return folder / "one", folder / "two", [recognised(lines) for lines in said]


@pytest.mark.slow
@pytest.mark.parametrize("road", ROADS)
def test_two_processes_train_as_one(both, road):
    """Weights after training, losses on the way, and predictions."""
    one, two = both[0] / ALONE[road], both[1] / road
    weights, others = (load_file(f / "model.safetensors") for f in (one, two))
    assert weights.keys() == others.keys()
    for name, tensor in weights.items():
        torch.testing.assert_close(others[name], tensor, atol=2e-4, rtol=2e-3, msg=name)
    found, expected = (pd.read_parquet(f / "predictions.parquet") for f in (two, one))
    shares = [n for n in expected.columns if n.startswith("p_")]
    pd.testing.assert_frame_equal(found[shares], expected[shares], atol=1e-3, rtol=1e-2)
    found, expected = (pd.read_json(f / "metrics.jsonl", lines=True) for f in (two, one))
    pd.testing.assert_frame_equal(found, expected, atol=1e-3, rtol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("road", ROADS)
def test_two_processes_write_one_run(both, road):
    one, two = both[0] / ALONE[road], both[1] / road
    assert {p.name for p in one.iterdir()} == {p.name for p in two.iterdir()}


@pytest.mark.slow
def test_each_process_encodes_its_share_of_the_recordings(both):
    """But all of them where a block takes all processes; stored features are read by each."""
    first, second = both[2]
    every = first["sharded"]
    assert first["features"] == second["features"] == second["sharded"] == every
    for road in ("lora", "full"):
        assert first[road] + second[road] == every
        assert 0 < first[road] <= second[road] < 0.6 * every


@pytest.mark.slow
@pytest.mark.parametrize("road", ["sharded", "sharded-lora"])
def test_a_sharded_run_that_was_killed_goes_on_to_the_same_weights(both, folder, road):
    """Weights, and the optimiser's state in parts on both processes, come back from the file of the first epoch."""
    begun = launch(folder, 2, "killed", [road], status=-signal.SIGKILL, KILLED_IN_EPOCH="1")
    run, uninterrupted = folder / "killed" / road, both[1] / road
    assert [*map(epochs, begun)] == [[0, 1], [0, 1]] and not (run / "results.json").exists()
    with safe_open(run / "checkpoints" / "seed0.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["state"])["epoch"] == 1
        assert any(name.startswith("optimiser.") for name in file.keys())  # noqa: SIM118
    assert [*map(epochs, launch(folder, 2, "killed", [road]))] == [[1], [1]]
    weights, expected = (load_file(f / "model.safetensors") for f in (run, uninterrupted))
    assert weights.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, atol=1e-6, rtol=1e-5, msg=name)
    lines = [pd.read_json(f / "metrics.jsonl", lines=True) for f in (run, uninterrupted)]
    pd.testing.assert_frame_equal(*lines, atol=1e-6, rtol=1e-5)
