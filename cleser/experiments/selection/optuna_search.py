"""A search in which Optuna suggests each setting from the scores of earlier trials (T. Akiba et al., KDD 2019).

The sampler, a tree-structured Parzen estimator, prefers values of the grid that are close to those of good trials.
Settings that are suggested twice are run once. With the same seed and the same scores the suggestions are the same, so
that an interrupted search can continue.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class OptunaSearch:
    """Suggests combinations of a grid's values.

    Args:
        values: The values to choose from, by setting, in any order. Numbers count as ordered, all else does not.
        trials: How many suggestions are asked for; those that were tried before count too.
        seed: Seed of the sampler.

    Raises:
        ImportError: optuna is not installed.

    >>> search = OptunaSearch({"c": [1, 2, 3]}, trials=2)
    >>> for changes in search:
    ...     search.tell(float(changes["c"]))
    """

    def __init__(self, values: Mapping[str, Sequence[Any]], trials: int, seed: int = 0) -> None:
        try:
            import optuna  # noqa: PLC0415
        except ImportError as error:
            raise ImportError(f"{error}: install it with pip install 'cleser[optuna]'") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.values = {name: list(of) for name, of in values.items()}
        self.trials = trials
        self.study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed)
        )
        self._trial: Any = None
        self._scores: dict[str, float] = {}

    def __len__(self) -> int:
        return min(self.trials, self._combinations)

    @property
    def _combinations(self) -> int:
        count = 1
        for of in self.values.values():
            count *= len(of)
        return count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Changes to try next; the score of each has to be told before the next is asked for."""
        for _ in range(self.trials):
            self._trial = self.study.ask()
            changes = {name: of[self._place(name, of)] for name, of in self.values.items()}
            known = self._scores.get(_key(changes))
            if known is not None:
                self.study.tell(self._trial, known)
                continue
            self._asked = _key(changes)
            yield changes

    def tell(self, score: float) -> None:
        """The score of what was suggested last."""
        self._scores[self._asked] = score
        self.study.tell(self._trial, score)

    def _place(self, name: str, of: Sequence[Any]) -> int:
        """Which of the values is suggested: by rank where they are ordered, since near ranks have near values."""
        if not all(map(_is_number, of)):
            return int(self._trial.suggest_categorical(name, list(range(len(of)))))
        ranked = sorted(range(len(of)), key=lambda place: float(of[place]))
        return ranked[int(self._trial.suggest_int(name, 0, len(of) - 1))]


def _is_number(value: Any) -> bool:
    """Whether a value is a number, also one that YAML reads as text, as 3e-4 without its point.

    >>> [_is_number(value) for value in (1, 0.5, "3e-4", "speaker", True, None)]
    [True, True, True, False, False, False]
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def _key(changes: Mapping[str, Any]) -> str:
    return json.dumps(changes, sort_keys=True)
