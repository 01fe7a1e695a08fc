"""``model.safetensors``: what every seed has fitted, and what it takes to use that on other recordings.

What each seed has fitted is below ``seed0.`` and so on, the statistics of the source's features below ``reference.``.
Where there are some, ``one_sided.`` and ``sentences.`` hold what decides how a target's features are normalised and
whether sentences' means are taken off. The metadata ``task`` says what the tensors are about: the features' shape,
the names behind integers, the prior.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cleser.evaluation.run_files import MODEL
from cleser.experiments.data import Data
from cleser.files import replacing


def write_model(out: Path, fitted: Sequence[dict[str, Tensor]], data: Data) -> None:
    """Write the model of a run.

    Args:
        out: The run folder.
        fitted: Tensors that have to be kept of each seed, by name.
        data: The datasets that were learned from.
    """
    task = {
        "layers": data.shape[0],
        "channels": data.shape[1],
        "mix": data.backbone.mix,
        "vocabulary": asdict(data.vocabulary),
        "prior": data.prior,
    }
    tensors = {of_seed(n) + name: t for n, kept in enumerate(fitted) for name, t in kept.items()}
    tensors |= {f"reference.{n}": t.contiguous() for n, t in data.moments._asdict().items()}
    if data.one_sided is not None:
        tensors |= {f"one_sided.{n}": t for n, t in data.one_sided.tensors().items()}
    if data.sentences is not None:
        tensors |= {f"sentences.{n}": t for n, t in data.sentences.tensors().items()}
    with replacing(out / MODEL) as part:
        save_file(tensors, part, metadata={"task": json.dumps(task)})


def of_seed(number: int) -> str:
    """Prefix of the names of a seed's tensors."""
    return f"seed{number}."


def read_task(path: Path) -> dict[str, Any]:
    """The metadata ``task`` of a model, which says what its tensors are about."""
    with _opened(path) as file:
        known = file.metadata() or {}
    if "task" not in known:
        raise ValueError(
            f"{path} does not say what its weights are, expected what a run or cleser export wrote; a model of "
            "transformers goes to --backbone"
        )
    task: dict[str, Any] = json.loads(known["task"])
    return task


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a model by name."""
    with _opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(
            f"{path} is cut off or damaged ({error}), expected the networks of a finished run: copy or fetch the "
            "folder anew"
        ) from error
