"""The processes that train together, as ``accelerate launch`` starts them; one where nobody launched."""

from __future__ import annotations

import os

import torch
from accelerate import PartialState


def on_cpu() -> bool:
    """Whether training runs on the processor: accelerate must be told to use the CPU."""
    asked = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true", "yes")
    return asked or not torch.accelerator.is_available()


def processes() -> PartialState:
    """Who takes part, and which of them this one is."""
    return PartialState(cpu=on_cpu())


def leads() -> bool:
    """Whether this process is the one that prints and writes what all have done."""
    return bool(processes().is_main_process)


def local_processes() -> int:
    """How many of the training processes share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", processes().num_processes))
