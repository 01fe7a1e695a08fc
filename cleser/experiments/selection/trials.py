"""Each choice tried on each corpus that is left out, and the choice that the scores make.

Eq. 1 and 2 are those of :mod:`cleser.experiments.selection`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cleser.corpora.audit import LeakageError
from cleser.corpora.protocol import Cast, Protocol
from cleser.evaluation.numbers_as_text import headline
from cleser.evaluation.run_files import RESULTS
from cleser.experiments.experiment import Experiment
from cleser.experiments.methods import METHODS
from cleser.experiments.selection.choice import Choice
from cleser.experiments.selection.corpus_names import names_of
from cleser.experiments.selection.grid import Choices
from cleser.experiments.selection.optuna_search import OptunaSearch
from cleser.experiments.selection.table import Selection
from cleser.progress import track
from cleser.settings import to_plain
from cleser.speech import Backbone, load_backbone
from cleser.training.from_manifest import NothingUsableError


class NoTransferError(ValueError):
    """Settings cannot be chosen by these corpora, as they are; nothing has failed while a trial was learning."""


def select_by_transfer(
    experiment: Experiment,
    config: Any,
    choices: Choices,
    pool: Sequence[str],
    out: Path,
    *,
    seeds: int = 1,
    singly: bool = False,
) -> Selection:
    """Try every choice on every corpus of a pool, Eq. 1; what is finished is not run again.

    Args:
        experiment: The recipe, the protocol's terms, backbone and alignments; its source and target are not used.
        config: The recipe's settings, which the choices change.
        choices: What is tried, see :func:`read_grid`.
        pool: Specs of two or more labelled corpora, none of them the target.
        out: Folder of the trials; ``transfer.csv`` is written there.
        seeds: Trainings of each.
        singly: Recognise each corpus from each other one by itself, and take the mean: for what will be learned from a
            single corpus, since what suits several sources need not suit one.

    Returns:
        The table, and the choice to take.

    Raises:
        NoTransferError: The pool has fewer than two corpora, one of them twice, or one that cannot be recognised from
            the others, as where these lack a class.
        ValueError: A trial has failed, or its folder holds another run.
    """
    if len(pool) < 2:
        raise NoTransferError(
            f"found {len(pool)} labelled corpora to choose settings by ({', '.join(pool) or 'none'}), expected two or "
            "more: transfer validation recognises each from the others"
        )
    if twice := [spec for spec in dict.fromkeys(pool) if pool.count(spec) > 1]:
        raise NoTransferError(
            f"the corpora to choose settings by name {', '.join(twice)} several times, expected each once (--select-on)"
        )
    names = dict(zip(names_of(pool), pool, strict=True))
    # A grid changes its first setting last, so that one backbone serves many trials; one that is trained serves one.
    opened = load_backbone if experiment.tuning.from_audio else lru_cache(1)(load_backbone)
    rows = []
    tried: list[Choice] = []
    number = len(pool) * (len(pool) - 1 if singly else 1)
    with track("selection", len(choices) * number) as advance:
        for suggested in choices:
            choice = suggested if isinstance(suggested, Choice) else Choice(suggested)
            tried.append(choice)
            scores = {}
            for name, left_out in names.items():
                found = []
                for trial, sources in _sources_of(name, names, singly).items():
                    folder = out / choice.folder / trial
                    found.append(
                        _trial(experiment, config, choice, sources, left_out, folder, seeds, opened)
                    )
                    advance(1, f"{choice.name}, {trial}: UAR {found[-1]:.1f} %")
                scores[name] = float(np.mean(found))
            mean = float(np.mean([*scores.values()]))
            if isinstance(choices, OptunaSearch):
                choices.tell(mean)
            rows.append({**choice.changes, **scores, "mean": mean})
    table = pd.DataFrame(rows)
    scored = table[[*names]].to_numpy(float)
    order = table["mean"].sort_values(ascending=False, kind="stable").index
    table = table.loc[order].reset_index(drop=True)
    # Optuna's trials stand in no order that says what is usual.
    ordered = not isinstance(choices, OptunaSearch)
    best = tried[_first_of_the_best(scored) if ordered else order[0]]
    table["taken"] = [tried[i] is best for i in order]
    selection = Selection(table, [tried[i] for i in order], tuple(names), best)
    selection.write(out)
    return selection


def _sources_of(
    left_out: str, names: Mapping[str, str], singly: bool
) -> dict[str, tuple[str, ...]]:
    """What a corpus is recognised from, by the name of the trial: all others at once, or each by itself.

    >>> _sources_of("a", {"a": "x:A", "b": "x:B", "c": "x:C"}, singly=False)
    {'a': ('x:B', 'x:C')}
    >>> _sources_of("a", {"a": "x:A", "b": "x:B", "c": "x:C"}, singly=True)
    {'a-from-b': ('x:B',), 'a-from-c': ('x:C',)}
    """
    others = {name: spec for name, spec in names.items() if name != left_out}
    if not singly:
        return {left_out: tuple(others.values())}
    return {f"{left_out}-from-{name}": (spec,) for name, spec in others.items()}


def _first_of_the_best(scores: NDArray[np.float64]) -> int:
    """Eq. 2 of UARs [choices, corpora].

    >>> _first_of_the_best(np.array([[80.0, 60.0], [81.0, 59.9], [70.0, 50.0]]))
    0
    >>> _first_of_the_best(np.array([[80.0, 60.0], [82.0, 62.1]]))
    1
    """
    short = scores[scores.mean(1).argmax()] - scores
    error = short.std(1, ddof=1) / short.shape[1] ** 0.5
    return int((short.mean(1) <= error).argmax())


def _trial(
    experiment: Experiment,
    config: Any,
    choice: Choice,
    others: tuple[str, ...],
    left_out: str,
    folder: Path,
    seeds: int,
    opened: Callable[[str], Backbone],
) -> float:
    """UAR in per cent of one corpus recognised from the others."""
    changed = choice.config(config)
    backbone = choice.backbone(experiment.backbone)
    prior = experiment.protocol.prior
    if not isinstance(prior, str):  # shares that were given are those of the target alone
        prior = Protocol.prior
    protocol = replace(
        experiment.protocol, prior=prior, source=others, target=(left_out,), auxiliary=(), split="speakers",
        fold="", test=Protocol.test,
    )  # fmt: skip
    trial = replace(
        experiment, config=to_plain(changed), protocol=protocol, seeds=seeds, out=folder,
        backbone=backbone, development=False,
    )  # fmt: skip
    if trial.finished(cast=_cast(protocol, seeds)):
        results = json.loads((folder / RESULTS).read_text())
    else:
        with _no_transfer(ValueError):  # a grid may ask for layers that the model lacks
            model = opened(backbone)
        with _said_of(choice, folder), _no_transfer(LeakageError, NothingUsableError):
            results = METHODS[experiment.recipe].run(trial, changed, model)
    return 100 * float(results[headline(results)]["mean"])


def _cast(protocol: Protocol, seeds: int) -> Cast:
    """Who takes part in a trial, once it is known that each seed has whom to learn from and whom to test."""
    with _no_transfer(ValueError):
        cast = protocol.load()
        for seed in range(seeds):
            cast.parts(seed)
    return cast


@contextmanager
def _said_of(choice: Choice, folder: Path) -> Iterator[None]:
    """Say of an error in training with which settings, of the many that are tried, it came."""
    try:
        yield
    except NoTransferError:
        raise
    except ValueError as error:
        raise ValueError(
            f"the trial of {choice.name} ({folder}) has failed: {error}. A grid without these settings goes on from "
            "the trials that are finished"
        ) from error


@contextmanager
def _no_transfer(*kinds: type[ValueError]) -> Iterator[None]:
    """Errors of some kinds as a `NoTransferError` with the same sentence."""
    try:
        yield
    except kinds as error:
        raise NoTransferError(str(error)) from error
