"""A grid of settings: the values of each, in a YAML file, and the choices that are tried of them."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from itertools import product
from pathlib import Path
from typing import Any, Final, Literal

from cleser.corpora.protocol import Protocol
from cleser.experiments.declared import declared
from cleser.experiments.selection.choice import BACKBONE, Choice
from cleser.experiments.selection.optuna_search import OptunaSearch
from cleser.settings import read_yaml
from cleser.speech.backbones.spec import ACOUSTIC, BESIDE, BackboneSpec

GRIDS: Final = Path(__file__).parents[2] / "recipes" / "configs" / "grids"
_GIVEN: Final = "{backbone}"  # in a grid: the backbone of the run
Search = Literal["grid", "random", "optuna"]
Choices = list[Choice] | OptunaSearch


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
        raise ValueError(
            f"found no grid {path}, expected --grid with a YAML file of values to try, or one of {known}"
        )
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
    fitting = [name for name in filled if _sensible(BackboneSpec.parse(name))]
    return fitting or [given]  # whoever opens it says what is wrong with it


def _sensible(spec: BackboneSpec) -> bool:
    if spec.source == ACOUSTIC:
        return not spec.settings and not spec.with_descriptors
    return not spec.source.startswith(BESIDE) and spec.count("layers") < 2
