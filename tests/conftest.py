"""Where the real corpora lie, for the tests that need them."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def corpora_root() -> Path:
    beside = Path(__file__).parents[2] / "shared" / "corpora"
    root = Path(os.environ.get("CLESER_CORPORA", beside))
    if not root.is_dir():
        pytest.skip("no real corpora here; CLESER_CORPORA may name their folder")
    return root
