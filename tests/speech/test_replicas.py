"""Encoders side by side: the same weights, every item once and in order, nothing left changed."""

import threading

import pytest
import torch

from cleser.speech import load_backbone
from cleser.speech.backbones.replicas import ReplicaPool
from tests.speech.tiny_models import save_tiny


@pytest.fixture
def backbone(tmp_path):
    return load_backbone(str(save_tiny("whisper", tmp_path / "tiny")))


@pytest.mark.parametrize("workers", [1, 3])
def test_every_item_is_worked_on_once_and_in_order(backbone, workers):
    waiting = threading.Barrier(workers)  # broken unless as many work at the same time
    weight = next(backbone.parameters())
    seen, threads = [], torch.get_num_threads()

    def work(item, own):
        waiting.wait(timeout=30)
        seen.append(item)
        assert next(own.parameters()) is weight
        assert not torch.is_grad_enabled()
        return item, threading.get_ident(), id(own)

    with ReplicaPool(backbone, workers) as replicas:
        found = replicas.map(work, list(range(2 * workers)))
    assert [item for item, *_ in found] == list(range(2 * workers))
    assert sorted(seen) == list(range(2 * workers))
    assert len({thread for _, thread, _ in found}) == len({own for *_, own in found}) == workers
    assert (threading.get_ident() in {thread for _, thread, _ in found}) == (workers == 1)
    assert torch.get_num_threads() == threads


def test_what_goes_wrong_is_said(backbone):
    def work(item, own):
        raise ValueError(f"item {item}")

    with ReplicaPool(backbone, 2) as replicas, pytest.raises(ValueError, match="item 0"):
        replicas.map(work, [0, 1])
