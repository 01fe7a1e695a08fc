"""Trees of tiny recordings in the layouts of the corpora."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write recordings of 0.1 s at these paths below a folder, and return the folder."""

    def write(*names: str, root: Path = tmp_path / "corpus", rate: int = 16_000) -> Path:
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(len(name)).normal(0, 0.1, rate // 10)
            soundfile.write(path, noise, rate)
        return root

    return write
