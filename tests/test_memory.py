"""What a process frees is kept for what it asks for next."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

STEPS = """
import ctypes, resource, sys
import torch
from cleser.memory import keep_freed

ctypes.CDLL(None).mallopt(-1, 4096)  # what is free beyond a page at the end goes back, as it may by default
if sys.argv[1] == "kept":
    keep_freed()

def step():
    for _ in range(2):  # two gradients and their sum, all freed at the end, as those of a step are
        a, b = torch.ones(1 << 20), torch.ones(1 << 20)
        a + b

for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 20)
"""


def faults(how: str, **environment: str) -> int:
    """Pages that the system has cleared for a step that takes 3,072 pages of 4 kB twice."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", STEPS, how], env=own | environment, check=True, capture_output=True, text=True
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="glibc alone"
)
def test_steps_reuse_the_memory_that_they_free() -> None:
    assert faults("as it is") > 1000
    assert faults("kept") < 100
    assert faults("kept", MALLOC_TRIM_THRESHOLD_="4096") > 1000  # who chose otherwise is left alone
