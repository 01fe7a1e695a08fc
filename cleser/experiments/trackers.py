"""What TensorBoard or Weights & Biases show of a run while it trains, through the trackers of accelerate.

``metrics.jsonl`` and ``results.json`` hold the same numbers, and no tracker is needed for a result: which of them
looked on is no setting of the run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

TrackerName = Literal["tensorboard", "wandb"]
FOLDER: Final = "tensorboard"  # within a run folder
_NAMES: Final = ("seed", "member", "epoch")


class Trackers:
    """Hands the numbers of a run on as they come.

    Loss terms and development scores of an epoch are called ``seed0/train_loss``, ``seed0/dev_uar`` and so on; what the
    test has found is ``test/uar``, with the ends of its interval, at the end. TensorBoard's files are in
    ``tensorboard`` within the run folder; Weights & Biases have a run in the project ``cleser``, and their files stay
    in the run folder (``WANDB_MODE=offline`` for no upload).

    Args:
        names: Names of the trackers.
        folder: The run folder.
        settings: What ``config.yaml`` holds.

    Raises:
        ImportError: A package is missing.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     trackers = Trackers((), Path(folder), {})  # ("tensorboard",) would write below the folder
    ...     trackers.epochs([{"seed": 0, "epoch": 0, "train_loss": 1.2, "dev_uar": 0.5}])
    ...     trackers.finish({"uar": {"mean": 0.5, "ci95": [0.4, 0.6]}})
    """

    def __init__(
        self, names: tuple[TrackerName, ...], folder: Path, settings: dict[str, Any]
    ) -> None:
        check_trackers(names)
        self._names, self._folder, self._settings = names, folder, settings
        self._open: list[Any] = []
        self._seen = 0

    def epochs(self, history: list[dict[str, float]]) -> None:
        """Log the epochs that were not there the last time.

        Args:
            history: All lines of ``metrics.jsonl`` so far.
        """
        for line in history[self._seen :]:
            whose = f"seed{line['seed']:.0f}"
            if "member" in line:
                whose += f"-member{line['member']:.0f}"
            scores = {name: value for name, value in line.items() if name not in _NAMES}
            self._log({f"{whose}/{name}": value for name, value in scores.items()}, line["epoch"])
        self._seen = len(history)

    def finish(self, results: dict[str, Any]) -> None:
        """Log what the test has found, and close.

        Args:
            results: What ``results.json`` holds.
        """
        found: dict[str, float] = {}
        for name, entry in results.items():
            if isinstance(entry, dict) and "mean" in entry:
                found[f"test/{name}"] = entry["mean"]
                for end, value in zip(("low", "high"), entry.get("ci95", ()), strict=False):
                    if value is not None:
                        found[f"test/{name}_{end}"] = value
        self._log(found, 0)
        for tracker in self._open:
            tracker.finish()
        self._open = []

    def _log(self, values: dict[str, float], epoch: float) -> None:
        if self._names and not self._open:  # a run that fails on its inputs leaves nothing behind
            self._open = [_start(name, self._folder, self._settings) for name in self._names]
        for tracker in self._open:
            # Seeds begin anew at epoch 0, and wandb's steps may not go back.
            tracker.log(values, step=int(epoch) if tracker.name == "tensorboard" else None)


def check_trackers(names: tuple[TrackerName, ...]) -> None:
    """Raise an ImportError that says what to install where the package of a tracker is missing."""
    if not names:  # accelerate takes a while to import
        return
    from accelerate.utils import is_tensorboard_available, is_wandb_available  # noqa: PLC0415

    there = {"tensorboard": is_tensorboard_available, "wandb": is_wandb_available}
    for name in names:
        if not there[name]():
            raise ImportError(f"--tracker {name} needs the package {name}: pip install {name}")


def _start(name: TrackerName, folder: Path, settings: dict[str, Any]) -> Any:
    from accelerate import tracking  # noqa: PLC0415

    if name == "tensorboard":
        tracker: Any = tracking.TensorBoardTracker(FOLDER, folder)
    else:
        tracker = tracking.WandBTracker("cleser", name=folder.name, dir=str(folder))
    tracker.start()
    if name == "wandb":
        tracker.store_init_configuration(settings)
    return tracker
