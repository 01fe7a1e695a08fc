"""The graph is the same over any number of threads, and over two gloo ranks with unequal shares of the items."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits
from torch import distributed, multiprocessing

from cleser.graphs import cosine_knn
from cleser.graphs.neighbours.cosine_knn import merge_ranks, unit_rows
from cleser.graphs.neighbours.device_search import search_on_device
from cleser.relations import differ, same
from tests.graphs.cases import crowded, edges, random_labels, stored

SHARES = [1100, 1700]
RELATIONS = {"free": None, "constrained": same("emotion") & differ("language")}


def items():
    generator = np.random.default_rng(5)
    x = crowded(generator, sum(SHARES), 16, 0.05)
    return x, random_labels(generator, len(x))


def work(rank, folder):
    torch.set_num_threads(1)
    meet = f"file://{folder}/meet"
    distributed.init_process_group("gloo", init_method=meet, rank=rank, world_size=2)
    x, labels = items()
    start = sum(SHARES[:rank])
    mine = slice(start, start + SHARES[rank])
    share = {name: values[mine] for name, values in labels.items()}
    for name, where in RELATIONS.items():
        graph = cosine_knn(x[mine], 9, where=where, labels=share, all_ranks=True)
        np.savez(
            f"{folder}/{name}-{rank}",
            **{a: getattr(graph, a) for a in ("data", "indices", "indptr")},
        )
        found = search_on_device(unit_rows(x), where, labels, 9, share=(rank, 2))
        torch.save(merge_ranks(found), f"{folder}/{name}-device-{rank}.pt")
    distributed.destroy_process_group()
    # All is written; at a usual exit a thread of theirs that is still alive may abort the process.
    os._exit(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(work, (folder,), nprocs=2)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("name", RELATIONS)
def test_two_ranks_get_the_graph_of_one_process(name, rank, folder):
    x, labels = items()
    graph = cosine_knn(x, 9, where=RELATIONS[name], labels=labels)
    with np.load(folder / f"{name}-{rank}.npz") as found:
        for part in ("data", "indices", "indptr"):
            assert (found[part] == getattr(graph, part)).all()
    assert edges(torch.load(folder / f"{name}-device-{rank}.pt")) == stored(graph)


@pytest.mark.parametrize("name", RELATIONS)
def test_any_number_of_threads_gives_the_same_graph(name):
    x, labels = items()
    before = torch.get_num_threads()
    graphs = []
    for threads in (1, 2, 4):
        with threadpool_limits(threads, user_api="openmp"):  # undone, as torch's own is not
            assert torch.get_num_threads() == threads
            graphs.append(cosine_knn(x, 9, where=RELATIONS[name], labels=labels))
            assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == before
    assert graphs[0].nnz > 0
    for graph in graphs[1:]:
        for part in ("data", "indices", "indptr"):
            assert (getattr(graph, part) == getattr(graphs[0], part)).all()


LEFT_ALONE = """
import ctypes, pathlib, torch
from cleser.graphs import cosine_knn
library = ctypes.CDLL(str(next(pathlib.Path(torch.__file__).parent.glob("lib/libtorch_cpu.*"))))
mkl = getattr(library, "mkl_serv_get_dynamic", lambda: None)
state = lambda: (torch.get_num_threads(), mkl())
before = state()
cosine_knn(torch.randn(3000, 16), 5)
assert state() == before, (before, state())
"""


def test_a_search_leaves_the_threads_of_the_process_as_they_were():
    done = subprocess.run(
        [sys.executable, "-c", LEFT_ALONE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
