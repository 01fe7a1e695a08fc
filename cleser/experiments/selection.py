r"""Transfer validation: settings chosen by recognising each labelled corpus from the others.

Scores on development speakers of the training corpora say little about a language that the network has not seen. But
without any label of the target one can measure whether settings transfer between the labelled corpora: each of them is
left out in turn and recognised from the others (or, for what will be learned from a single corpus, from each of them by
itself, with the mean as its score),

.. math:: s(\theta) = \frac{1}{|\mathcal{C}|} \sum_{c \in \mathcal{C}}
          \mathrm{UAR}_c\big(\mathrm{fit}_\theta(\mathcal{C} \setminus c)\big) \qquad (1)

The left-out corpus takes the role of the target: the protocol decides how its audio is used, and its labels serve
only for the score. I. Gulrajani, D. Lopez-Paz, *In Search of Lost Domain Generalization*, ICLR 2021, call
this leave-one-domain-out cross-validation. With two or three corpora, scores of similar settings differ mostly by
chance. The best score is therefore not always taken. The grid begins with the usual settings, and the choice is the
first setting in its order that is below the greatest s by no more than the standard error of the difference,

.. math:: \theta^* = \min \Big\{ \theta : \bar d_\theta \le \frac{\mathrm{sd}(d_\theta)}{\sqrt{|\mathcal{C}|}} \Big\},
          \qquad d_{\theta c} = \mathrm{UAR}_c(\arg\max s) - \mathrm{UAR}_c(\theta) \qquad (2)

In the same way L. Breiman, J. Friedman, R. Olshen, C. Stone, *Classification and Regression Trees*, 1984, choose the
simplest tree.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from io import StringIO
from itertools import product
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cleser.corpora.protocol import Protocol
from cleser.evaluation.tables import headline
from cleser.experiments.declared import declared
from cleser.experiments.experiment import Experiment
from cleser.experiments.methods import METHODS
from cleser.experiments.optuna_search import OptunaSearch
from cleser.experiments.run_folder import SELECTION, RunFolderError
from cleser.files import write_text
from cleser.progress import track
from cleser.settings import from_plain, read_yaml, to_plain
from cleser.speech import Backbone, load_backbone
from cleser.suggestions import did_you_mean

GRIDS: Final = Path(__file__).parents[1] / "recipes" / "configs" / "grids"
BACKBONE: Final = "backbone"
TABLE: Final = "transfer.csv"  # in the folder of a selection
_GIVEN: Final = "{backbone}"  # in a grid: the backbone of the run


@dataclass(frozen=True)
class Choice:
    """Settings to try: fields of a recipe's config by name; nested fields as ``training.epochs``.

    Attributes:
        changes: Values by name; ``backbone`` is that of the experiment.
    """

    changes: dict[str, Any]

    @property
    def name(self) -> str:
        """For a reader."""
        said = ", ".join(f"{k}={_short(v)}" for k, v in self.changes.items())
        return said or "as given"

    @property
    def folder(self) -> str:
        """Name of a folder on disk, the same for the same changes."""
        plain = json.dumps(self.changes, sort_keys=True)
        return hashlib.sha256(plain.encode()).hexdigest()[:12]

    def config(self, config: Any) -> Any:
        """A config with the changes."""
        for name, value in self.changes.items():
            if name != BACKBONE:
                config = _changed(config, name.split("."), value, name)
        return config

    def backbone(self, given: str) -> str:
        """The backbone that is used where another is given."""
        return str(self.changes.get(BACKBONE, given))


Search = Literal["grid", "random", "optuna"]
Choices = list[Choice] | OptunaSearch


@dataclass(frozen=True)
class Selection:
    """What transfer validation found.

    Attributes:
        table: A row for each choice, best first: its settings, the UAR of each left-out corpus, their mean, and
            whether it is ``taken``, which is true of one.
        ranked: The choices in that order.
        pool: Names of the corpora.
        best: The choice to take, Eq. 2.
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
        write_text(folder / TABLE, self.table.to_csv(index=False))

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


def read_grid(
    path: str | Path,
    config: Any,
    backbone: str,
    *,
    search: Search = "grid",
    trials: int = 20,
    seed: int = 0,
    given: Collection[str] = (),
    protocol: Protocol | None = None,
) -> Choices:
    """The choices of a grid: combinations of the values of each setting.

    Args:
        path: A YAML file with a list of values by setting, or the name of one that comes with the package.
        config: The recipe's settings, which the choices change.
        backbone: Stands for ``{backbone}``.
        search: Whether all combinations are tried, ``trials`` of them drawn without repetition, or as many suggested by
            Optuna, each by the scores of those before.
        trials: How many are drawn or suggested.
        seed: Seed of the draw.
        given: Settings that are not tried, since somebody has given them: the choices leave them as they are.
        protocol: Leave out values with which the recipe could not learn under it, such as self-training on a target
            that may not be heard; by default all values are tried.

    Raises:
        ValueError: There is no grid, it names a setting that the recipe lacks, or trials are fewer than one.
        ImportError: Optuna is asked for and not installed.
    """
    if trials < 1:
        raise ValueError(f"trials is {trials}, expected 1 or more")
    plain = {name: values for name, values in grid_values(path).items() if name not in given}
    if BACKBONE in plain:
        plain[BACKBONE] = _backbones(plain[BACKBONE], backbone)
    if protocol is not None:
        plain = _allowed(plain, config, protocol)
    combinations = [dict(zip(plain, v, strict=True)) for v in product(*plain.values())]
    choices = [Choice(changes) for changes in combinations]
    for choice in choices:
        choice.config(config)
    if search == "optuna":
        return OptunaSearch(plain, trials, seed)
    if search == "random" and trials < len(choices):
        drawn = sorted(random.Random(seed).sample(range(len(choices)), trials))
        choices = [choices[i] for i in drawn]
    return choices


def grid_values(path: str | Path) -> dict[str, list[Any]]:
    """The values of each setting of a grid, as the file has them.

    >>> sorted(grid_values("probe"))
    ['backbone', 'match_prior', 'rounds']
    """
    file = Path(path) if Path(path).suffix else GRIDS / f"{path}.yaml"
    if not file.exists():
        known = ", ".join(sorted(p.stem for p in GRIDS.glob("*.yaml")))
        raise ValueError(f"found no grid {path}, expected a YAML file or one of {known}")
    plain = read_yaml(file)
    for name, values in plain.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"{file}: {name} is {values!r}, expected a list of values to try")
    return plain


def _allowed(
    plain: Mapping[str, list[Any]], config: Any, protocol: Protocol
) -> dict[str, list[Any]]:
    """The values of each setting that a protocol leaves room for; what is given itself is always among them.

    Pseudo-labels and priors need classes, and a target that may be heard before the test.
    """
    if protocol.classes and protocol.target_access != "nothing":
        return dict(plain)

    def usable(name: str, value: Any) -> bool:
        changed = Choice({name: value}).config(config)
        said = declared(changed)
        return changed == config or not (said.adapts or said.match_prior)

    left = {name: [v for v in values if usable(name, v)] for name, values in plain.items()}
    return {name: values for name, values in left.items() if values}


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
    table = experiment.out / SELECTION / TABLE
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


def _backbones(asked: list[Any], given: str) -> list[str]:
    """The backbones that a grid asks for where one is given.

    Descriptors beside descriptors are nothing new, descriptors have no layers to choose among, and of layers that the
    given backbone names itself none are left out.

    >>> grid = ["acoustic+{backbone},layers=middle", "acoustic+{backbone}", "{backbone}"]
    >>> _backbones(grid, "model")
    ['acoustic+model,layers=middle', 'acoustic+model', 'model']
    >>> _backbones(grid, "model,layers=3")
    ['acoustic+model,layers=3', 'model,layers=3']
    >>> _backbones(grid, "acoustic"), _backbones(grid, "acoustic+model"), _backbones(grid, "acoustic,layers=3")
    (['acoustic'], ['acoustic+model'], ['acoustic,layers=3'])
    """
    filled = dict.fromkeys(str(value).replace(_GIVEN, given) for value in asked)
    fitting = [
        name
        for name in filled
        if "acoustic+acoustic" not in name
        and not name.startswith("acoustic,")
        and name.count(",layers=") < 2
    ]
    return fitting or [given]  # whoever opens it says what is wrong with it


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
        ValueError: The pool has fewer than two corpora, or one of them twice.
    """
    if len(pool) < 2:
        raise ValueError(
            f"found {len(pool)} labelled corpora to choose settings by ({', '.join(pool) or 'none'}), expected two or "
            "more: transfer validation recognises each from the others"
        )
    if twice := [spec for spec in dict.fromkeys(pool) if pool.count(spec) > 1]:
        raise ValueError(
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
    if trial.finished():
        results = json.loads((folder / "results.json").read_text())
    else:
        results = METHODS[experiment.recipe].run(trial, changed, opened(backbone))
    return 100 * float(results[headline(results)]["mean"])


def names_of(pool: Sequence[str]) -> list[str]:
    """What stands before the colon of each spec, of a table its name; where these are alike both, or else all of it.

    >>> names_of(["emodb:A", "manifest:lists/mine.csv?language=de", "manifest:yours.csv"])
    ['emodb', 'mine', 'yours']
    >>> names_of(["emodb:A", "emodb:B"])
    ['emodb-A', 'emodb-B']
    >>> names_of(["manifest:a/list.csv", "manifest:b/list.csv"])
    ['manifest-a-list.csv', 'manifest-b-list.csv']
    """
    own = [own_name(spec) for spec in pool]
    short = [
        name.removeprefix("manifest-") if spec.startswith("manifest:") else spec.split(":", 1)[0]
        for name, spec in zip(own, pool, strict=True)
    ]
    whole = [re.sub(r"[^\w.-]+", "-", spec) for spec in pool]
    found = []
    for names in zip(short, own, whole, strict=True):
        among = zip(names, (short, own), strict=False)
        found.append(next((name for name, all_ in among if all_.count(name) == 1), names[-1]))
    return found


def own_name(spec: str) -> str:
    """A corpus' reader, and the name of its table or folder.

    >>> own_name("manifest:lists/mine.csv?language=de")
    'manifest-mine'
    """
    name, _, argument = spec.partition(":")
    return re.sub(r"[^\w.-]+", "-", f"{name}-{Path(argument.partition('?')[0]).stem}")


def _changed(config: Any, path: list[str], value: Any, whole: str) -> Any:
    """A config with one field changed, in it or in one of those nested in it."""
    known = [f.name for f in fields(config)]
    name, *rest = path
    if name not in known:
        near = did_you_mean(name, known)
        raise ValueError(
            f"{whole} is no setting of {type(config).__name__}{near}; known: {', '.join(known)}"
        )
    inner = getattr(config, name)
    if rest:
        return replace(config, **{name: _changed(inner, rest, value, whole)})
    if is_dataclass(inner) and isinstance(value, Mapping):
        value = from_plain(type(inner), dict(value), whole)
    if isinstance(inner, float) and isinstance(value, str):
        value = _number(value, whole)
    return replace(config, **{name: value})


def _number(text: str, whole: str) -> float:
    """A number that YAML takes for text, as 3e-4, which lacks its point."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{whole} is {text!r}, expected a number") from None


def _short(value: Any) -> str:
    text = str(value)
    return text.rsplit("/", 1)[-1] if "/" in text and "+" not in text else text
