"""Two gloo processes, each with half of every batch, train as one process does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

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
STILL = ModelConfig(dim=8, input_dropout=0.0, token_dropout=0.0, dropout=0.0)
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
    workers = int(road == "lora")  # each process has its own recordings decoded by another one
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


def launch(folder, ranks, name, *, roads=tuple(ROADS), shares=True, status=0, **environment):
    """These roads in each process, as ``accelerate launch`` starts them; gives the epochs that each began."""
    script = f"""
import os, torch
from pathlib import Path
from tests.training.test_ranks import *
torch.set_num_threads(1)
folder = Path({str(folder)!r})
for road in {tuple(roads)!r}:
    experiment(folder, road, folder / {name!r} / road)
if torch.distributed.is_initialized():
    if {shares}:
        check_shares(folder)
    torch.distributed.destroy_process_group()
os._exit(0)  # all is written; at a usual exit a thread of gloo's may abort the process
"""
    port = free_port()
    processes = []
    for rank in range(ranks):
        env = {**os.environ, "CLESER_CACHE": str(folder / "cache"), "ACCELERATE_USE_CPU": "true"}
        env |= environment
        if ranks > 1:
            env |= {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks),
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
    epochs = []
    for process in processes:
        said, errors = process.communicate(timeout=600)  # a minute on an idle machine
        assert process.returncode == status, errors[-3000:]
        epochs.append([int(line[6:]) for line in said.splitlines() if line.startswith("epoch ")])
    return epochs


@pytest.fixture(scope="module")
def both(folder):
    launch(folder, 1, "one")
    launch(folder, 2, "two")
    return folder / "one", folder / "two"


@pytest.mark.slow
@pytest.mark.parametrize("road", ROADS)
def test_two_processes_train_as_one(both, road):
    """Weights after training, losses on the way, and predictions."""
    one, two = (side / road for side in both)
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
def test_two_processes_write_one_run(both):
    one, two = both
    for road in ROADS:
        assert {p.name for p in (one / road).iterdir()} == {p.name for p in (two / road).iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("road", ["sharded", "sharded-lora"])
def test_a_sharded_run_that_was_killed_goes_on_to_the_same_weights(both, folder, road):
    """Weights, and the optimiser's state in parts on both processes, come back from the file of the first epoch."""
    begun = launch(folder, 2, "killed", roads=[road], status=-signal.SIGKILL, KILLED_IN_EPOCH="1")
    run, uninterrupted = folder / "killed" / road, both[1] / road
    assert begun == [[0, 1], [0, 1]] and not (run / "results.json").exists()
    with safe_open(run / "checkpoints" / "seed0.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["state"])["epoch"] == 1
        assert any(name.startswith("optimiser.") for name in file.keys())  # noqa: SIM118
    assert launch(folder, 2, "killed", roads=[road], shares=False) == [[1], [1]]
    weights, expected = (load_file(f / "model.safetensors") for f in (run, uninterrupted))
    assert weights.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, atol=1e-6, rtol=1e-5, msg=name)
    lines = [pd.read_json(f / "metrics.jsonl", lines=True) for f in (run, uninterrupted)]
    pd.testing.assert_frame_equal(*lines, atol=1e-6, rtol=1e-5)
