"""``accelerate launch`` with two processes gives every process the graph that one process finds."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cleser.graphs import cosine_knn
from cleser.relations import differ, same

SCRIPT = """
import sys
import numpy as np
from accelerate import PartialState
from cleser.graphs import cosine_knn
from cleser.relations import differ, same

state = PartialState(cpu=True)
assert state.num_processes == 2
with np.load(sys.argv[1] + "/items.npz") as items:
    mine = {name: np.array_split(items[name], [900])[state.process_index] for name in items}
where = same("emotion") & differ("language")
graph = cosine_knn(mine.pop("x"), 7, where=where, labels=mine, all_ranks=True)
np.savez(f"{sys.argv[1]}/{state.process_index}", data=graph.data, indices=graph.indices, indptr=graph.indptr)
state.destroy_process_group()
"""


@pytest.mark.slow
def test_two_launched_processes_get_the_graph_of_one(tmp_path):
    rng = np.random.default_rng(0)
    labels = {"emotion": rng.integers(-1, 4, 2500), "language": rng.integers(-1, 3, 2500)}
    x = rng.standard_normal((2500, 24)).astype(np.float32)
    np.savez(tmp_path / "items", x=x, **labels)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # --multi_gpu only means one process for each share: without it, accelerate starts a single one on CPUs
    command = [
        sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--multi_gpu", "--num_processes", "2",
        "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--main_process_port", str(port), str(script), str(tmp_path),
    ]  # fmt: skip
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    graph = cosine_knn(x, 7, where=same("emotion") & differ("language"), labels=labels)
    assert graph.nnz > 0
    for rank in (0, 1):
        with np.load(tmp_path / f"{rank}.npz") as found:
            for part in ("data", "indices", "indptr"):
                assert np.array_equal(found[part], getattr(graph, part)), (rank, part)
