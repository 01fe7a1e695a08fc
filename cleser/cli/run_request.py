"""What a command line of ``cleser run`` or ``cleser tune`` asks for, and which of its settings are to be chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleser.cli.console import console
from cleser.cli.idle import refuse_idle
from cleser.cli.run_flags import RunArguments

if TYPE_CHECKING:
    from cleser.experiments.experiment import Experiment
    from cleser.experiments.selection import Choices, Selection


@dataclass(frozen=True)
class RunRequest:
    """One recipe under one protocol, as a command line asks for it.

    Attributes:
        experiment: The recipe under the terms.
        config: The recipe's settings.
        arguments: All flags.
        given: Names of the settings that flags give, whatever their value.
    """

    experiment: Experiment
    config: Any
    arguments: RunArguments[Any, Any]
    given: frozenset[str]

    @property
    def asks_to_choose(self) -> bool:
        """Whether the flags ask for settings to be chosen by transfer."""
        return self.arguments.select == "transfer" or bool(self.arguments.grid)

    @property
    def chooses(self) -> bool:
        """Whether settings are chosen: it is asked for, or nothing forbids it and something is left to choose."""
        return self.asks_to_choose or (
            self.arguments.select == "auto" and self._can_choose() and self.leaves_a_choice()
        )

    def _can_choose(self) -> bool:
        """Whether there are corpora of which each can be recognised from the others, the target not among them."""
        return len(self._pool) > 1 and not set(self._pool) & set(self.experiment.protocol.target)

    def leaves_a_choice(self) -> bool:
        """Whether the recipe has a grid of its own, of which flags leave more than one combination."""
        from cleser.experiments.selection import GRIDS, read_grid

        recipe = self.experiment.recipe
        if "config" in self.given or not (GRIDS / f"{recipe}.yaml").exists():
            return False
        left = read_grid(
            recipe, self.config, self.experiment.backbone,
            given=self._kept, protocol=self.experiment.protocol,
        )  # fmt: skip
        return len(left) > 1

    @property
    def details(self) -> dict[str, bool]:
        """The flags that say how settings are chosen, and whether each was given."""
        asked, usual = self.arguments, RunArguments
        return {
            "--select-on": bool(asked.select_on),
            "--search": asked.search != usual.search,
            "--trials": asked.trials != usual.trials,
            "--selection-seeds": asked.selection_seeds != usual.selection_seeds,
        }

    @property
    def _kept(self) -> set[str]:
        """Settings that flags give for good; a backbone that is given stands for those of a grid."""
        return {*self.given} - {"backbone"}

    @property
    def _pool(self) -> tuple[str, ...]:
        """The corpora to choose by."""
        return self.arguments.select_on or self.experiment.protocol.source

    def choices(self) -> Choices:
        """The settings to try: a grid that was asked for, or what flags and protocol leave of the recipe's own.

        Raises:
            ValueError: A flag gives a setting that the grid asked for is to choose.
        """
        from cleser.experiments.selection import grid_values, read_grid

        asked = self.arguments.grid
        if asked and (twice := self._kept & grid_values(asked).keys()):
            raise ValueError(
                f"--grid {asked} has values of {', '.join(sorted(twice))}, which flags give as well, expected one of "
                "both"
            )
        return read_grid(
            asked or self.experiment.recipe, self.config, self.experiment.backbone,
            search=self.arguments.search, trials=self.arguments.trials, given=self._kept,
            protocol=None if asked else self.experiment.protocol,
        )  # fmt: skip

    def select(self, choices: Choices, out: Path) -> Selection:
        """Choose settings by transfer validation, and show what was found.

        Args:
            choices: The settings to try.
            out: Folder of the trials.

        Raises:
            NoTransferError: The corpora do not allow it.
            ValueError: The target is among them, the run itself would be refused, or a trial has failed.
        """
        from cleser.experiments.selection import select_by_transfer
        from cleser.training.processes import leads

        if self.arguments.search == "grid":
            refuse_idle({"--trials": self.details["--trials"]}, "--search random or optuna")
        protocol = self.experiment.protocol
        if shared := set(self._pool) & set(protocol.target):
            raise ValueError(
                f"select-on holds the target {', '.join(sorted(shared))}, expected other labelled corpora"
            )
        _check_first(self.experiment)
        found = select_by_transfer(
            self.experiment, self.config, choices, self._pool, out,
            seeds=self.arguments.selection_seeds, singly=len(protocol.source) == 1,
        )  # fmt: skip
        if leads():
            console.print(found.shown, highlight=False, soft_wrap=True)
        return found

    def noted(self, note: str) -> Experiment:
        """The experiment with one more sentence for a reader of its results."""
        return replace(self.experiment, notes=(*self.experiment.notes, note))


def _check_first(experiment: Experiment) -> None:
    """Refuse what the run itself would refuse before settings are chosen for it, which may take hours."""
    from cleser.evaluation.run_files import RESULTS
    from cleser.experiments.experiment import admit

    if not (experiment.out / RESULTS).exists():
        admit(experiment)
