"""Where a seed's training stands, in one safetensors file that is replaced as a whole."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cleser.files import replacing
from cleser.training.sharding import distribute_like, full_tensor


class Restorable(Protocol):
    """What is trained, and can be put back to where it stood."""

    def weights(self) -> dict[str, Tensor]:
        """Everything that training changes, on the CPU."""
        ...

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Put back what :meth:`weights` gave."""
        ...

    def found(self) -> dict[str, Tensor]:
        """Labels that training has found, on the CPU."""
        ...

    def load_found(self, tensors: dict[str, Tensor]) -> None:
        """Put back what :meth:`found` gave."""
        ...


@dataclass
class Checkpoint:
    """The state of one seed after an epoch.

    Attributes:
        epoch: Epochs finished.
        history: One line of numbers an epoch.
        best: Development (UAR, negative loss) of the best epoch so far.
        weights: The latest weights, of what is trained alone.
        best_weights: Weights of the best epoch.
        slots: The optimiser's state.
        found: Labels that training has found.
    """

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: tuple[float, float] = (-1.0, 0.0)
    weights: dict[str, Tensor] = field(default_factory=dict)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    slots: dict[str, Tensor] = field(default_factory=dict)
    found: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, model: Restorable, optimiser: torch.optim.Optimizer) -> Checkpoint:
        """Read a checkpoint into a model and its optimiser; a fresh one where the file is missing.

        Raises:
            ValueError: The file is cut off or damaged, or its backbone is another one or tuned in another way.
        """
        if not path.exists():
            return cls()
        try:
            with safe_open(path, framework="pt") as file:
                state = json.loads(file.metadata()["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(
                f"{path} is cut off or damaged ({error}), expected what an interrupted run has learned: remove it, and "
                "the same command begins this part of the run anew"
            ) from error

        def part(prefix: str) -> dict[str, Tensor]:
            return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

        model.load_weights(part("model."))
        model.load_found(part("found."))
        _restore_optimiser(optimiser, part("optimiser."))
        best = (float(state["best"][0]), float(state["best"][1]))
        return cls(state["epoch"], state["history"], best, part("model."), part("best."))

    def record(
        self,
        model: Restorable,
        line: dict[str, float],
        optimiser: torch.optim.Optimizer,
        *,
        keep: str = "best",
    ) -> None:
        """Note a finished epoch, and its weights if no epoch did better on development data, or in any case.

        Every process has to, since each may hold but a part.

        Args:
            model: What is trained.
            line: The epoch's numbers. ``dev_uar`` and ``dev_ccc``, as far as they are there, add up to the score by
                which epochs are compared, and ``dev_loss`` decides between those alike in it.
            optimiser: Its state is kept, too.
            keep: ``"best"``, or ``"last"`` to keep the weights of each epoch in place of the best one's.

        Raises:
            KeyError: The numbers lack ``dev_loss``.
        """
        self.epoch += 1
        self.history.append(line)
        self.weights = model.weights()
        self.found = model.found()
        self.slots = {
            f"{number}.{name}": full_tensor(tensor).cpu().clone()
            for number, slots in optimiser.state_dict()["state"].items()
            for name, tensor in slots.items()
        }
        reached = sum(line[name] for name in ("dev_uar", "dev_ccc") if name in line)
        score = (reached, -line["dev_loss"])
        if score > self.best or keep == "last":
            self.best, self.best_weights = score, self.weights

    def save(self, path: Path) -> None:
        """Write the file; a reader sees the old one or the new one, never half."""
        state = {"epoch": self.epoch, "history": self.history, "best": self.best}
        tensors = {f"model.{n}": t for n, t in self.weights.items()}
        tensors |= {f"best.{n}": t.clone() for n, t in self.best_weights.items()}
        tensors |= {f"optimiser.{n}": t for n, t in self.slots.items()}
        tensors |= {f"found.{n}": t.clone() for n, t in self.found.items()}
        with replacing(path) as part:
            save_file(tensors, part, metadata={"state": json.dumps(state)})


def _restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, slot = name.split(".", 1)
        slots.setdefault(int(number), {})[slot] = distribute_like(tensor, parameters[int(number)])
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": slots, "param_groups": groups})
