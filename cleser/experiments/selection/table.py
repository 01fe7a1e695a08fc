"""What transfer validation found: the table of all choices, ``transfer.csv``, and the one to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from cleser.evaluation.run_files import SELECTION, TRIALS
from cleser.experiments.experiment import Experiment
from cleser.experiments.run_folder import RunFolderError
from cleser.experiments.selection.choice import BACKBONE, Choice
from cleser.experiments.selection.grid import Choices
from cleser.experiments.selection.optuna_search import OptunaSearch
from cleser.files import write_text
from cleser.settings import to_plain


@dataclass(frozen=True)
class Selection:
    """What transfer validation found.

    Attributes:
        table: A row for each choice, best first: its settings, the UAR of each left-out corpus, their mean, and
            whether it is ``taken``, which is true of one.
        ranked: The choices in that order.
        pool: Names of the corpora.
        best: The choice to take, Eq. 2 of :mod:`cleser.experiments.selection`.
    """

    table: pd.DataFrame
    ranked: list[Choice]
    pool: tuple[str, ...]
    best: Choice

    def apply(self, experiment: Experiment, config: Any) -> tuple[Experiment, Any]:
        """The experiment and its config with what was chosen."""
        chosen = self.best.config(config)
        changed = replace(
            experiment,
            config=to_plain(chosen),
            backbone=self.best.backbone(experiment.backbone),
            notes=(*experiment.notes, self.said),
        )
        return changed, chosen

    def write(self, folder: Path) -> None:
        """Put the table into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / TRIALS, self.table.to_csv(index=False))

    @property
    def shown(self) -> str:
        """The table as text, scores with one digit after the point."""
        scores = dict.fromkeys((*self.pool, "mean"), 1)
        taken = self.table["taken"].map({True: "yes", False: ""})
        return self.table.round(scores).assign(taken=taken).to_string(index=False)

    @property
    def said(self) -> str:
        """In a sentence."""
        usual = " (the first that is no worse than the best beyond the standard error)"
        return (
            f"settings chosen among {len(self.table)} by transfer validation between {', '.join(self.pool)}: "
            f"{self.best.name}{'' if self.best == self.ranked[0] else usual}"
        )


def chosen_already(experiment: Experiment, choices: Choices) -> bool:
    """Whether the run folder holds this run, finished, with settings that were chosen among these choices.

    Raises:
        RunFolderError: The folder holds another run, or one whose settings were chosen among others.
    """
    if isinstance(choices, OptunaSearch):
        names, listed = [*choices.values], None  # which of their values it tried, it alone knows
    else:
        names = [*choices[0].changes]
        listed = pd.DataFrame([choice.changes for choice in choices]).to_csv(index=False)
    chosen = [name if name == BACKBONE else f"config.{name}" for name in names]
    table = experiment.out / SELECTION / TRIALS
    if not experiment.finished(chosen=chosen) or not table.exists():
        return False
    if listed is not None and _tried(table, names) != _tried(StringIO(listed), names):
        raise RunFolderError(
            f"{experiment.out} holds a run whose settings were chosen among others ({table}); choose another folder or "
            "remove it"
        )
    return True


def _tried(table: Path | StringIO, names: Sequence[str]) -> tuple[int, list[tuple[str, ...]]]:
    """The values of a table's rows as text, without backbones, which may be named in several ways."""
    rows = pd.read_csv(table, dtype=str, keep_default_na=False)
    columns = [name for name in names if name != BACKBONE and name in rows]
    return len(rows), sorted(rows[columns].itertuples(index=False, name=None))
