"""What not every machine has: the real corpora, a CUDA device."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from cleser.precision import float32_products

# No example fails for being slow: how fast a busy machine is says nothing of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


@pytest.fixture(scope="session")
def corpora_root() -> Path:
    beside = Path(__file__).parents[2] / "shared" / "corpora"
    root = Path(os.environ.get("CLESER_CORPORA") or beside)
    if not root.is_dir():
        pytest.skip("no real corpora here; CLESER_CORPORA may name their folder")
    return root


@pytest.fixture
def full_float32() -> Iterator[None]:
    """Convolutions on a GPU without TensorFloat-32, which is their default there."""
    with float32_products():
        yield
