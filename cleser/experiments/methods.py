"""Recipes by name. Each recipe registers as an entry point of the group ``cleser.recipes``.

A package of yours adds a recipe without touching this one::

    [project.entry-points."cleser.recipes"]
    mine = "my_package.mine:recipe"

where ``recipe`` is a :class:`Method`; :func:`cleser.experiments.neural.network` makes one from a config and a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cleser import plugins
from cleser.recipe_names import new_name
from cleser.suggestions import did_you_mean

if TYPE_CHECKING:  # a shell that completes a recipe's name cannot wait for torch
    from cleser.experiments.fitted import Fitted

GROUP: Final = "cleser.recipes"


class Method(NamedTuple):
    """A recipe as the command line knows it.

    Attributes:
        config: The class of its settings.
        run: Function that runs an experiment with such settings.
        build: Function that makes the network for a task; None if the recipe is not a network.
        restore: Function that makes a fitted method from its tensors, as ``Classical.restore`` does; None for networks.
        tasks: Tasks that it can learn, see :class:`cleser.corpora.protocol.Protocol`.

    >>> from cleser.recipes import METHODS
    >>> erm = METHODS["erm"]
    >>> erm.config.__name__, erm.tasks, erm.restore is None
    ('ERMConfig', ('emotion', 'avd', 'both'), True)
    """

    config: type[Any]
    run: Callable[..., dict[str, Any]]
    build: Callable[..., Any] | None
    restore: Callable[..., Fitted] | None = None
    tasks: tuple[str, ...] = ("emotion",)


class Methods(Mapping[str, Method]):
    """All installed recipes by name; a recipe is imported when it is first used."""

    def __getitem__(self, name: str) -> Method:
        method = plugins.load(_registered()[name], "recipe")
        if not isinstance(method, Method):
            raise plugins.PluginError(
                f"the recipe {_registered()[name].value} is {method!r}, expected a Method, as network() makes one"
            )
        return method

    def __contains__(self, name: object) -> bool:
        return name in _registered()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(_registered()))

    def __len__(self) -> int:
        return len(_registered())


METHODS: Final = Methods()


def package_of(name: str) -> str | None:
    """The package that brings a recipe; None for cleser's own, and for what nobody has registered.

    >>> package_of("erm")
    """
    point = _registered().get(name)
    return None if point is None else plugins.package_of(point)


def unknown_recipe(name: str, package: str | None = None) -> str:
    """The error message for a recipe that is not installed.

    Args:
        name: Name of the recipe.
        package: Package that is known to bring it, if any.
    """
    if package is not None:
        return (
            f"the recipe {name!r} is not installed: install the package {package!r} that brings it"
        )
    near = new_name(name) or did_you_mean(name, METHODS)
    return f"there is no recipe {name!r}, expected one of {', '.join(METHODS)}{near}"


def _registered() -> dict[str, EntryPoint]:
    return plugins.registered(GROUP, "recipe")


def _tasks(name: str) -> tuple[str, ...]:
    """Tasks of a recipe; none of one that cannot be imported, which is not what somebody asks about."""
    try:
        return METHODS[name].tasks
    except plugins.PluginError:
        return ()


def check_task(name: str, task: str) -> None:
    """Refuse a task that a recipe cannot learn, before any work.

    >>> check_task("sapa", "avd")
    Traceback (most recent call last):
    ValueError: sapa learns emotions alone: --task avd needs one of ['erm', 'probe']
    """
    if task not in METHODS[name].tasks:
        able = [other for other in METHODS if task in _tasks(other)]
        known = METHODS[name].tasks
        said = "emotions alone" if known == ("emotion",) else f"--task {' and '.join(known)} alone"
        raise ValueError(f"{name} learns {said}: --task {task} needs one of {able}")
