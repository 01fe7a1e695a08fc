"""What a bench runs: directions between corpora, and the recipes that are run in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from cleser.corpora.protocol import Protocol
from cleser.experiments.methods import METHODS, unknown_recipe
from cleser.models.emotion import ModelConfig
from cleser.settings import check_kinds, from_plain, read_yaml
from cleser.speech.backbones.fine_tuning import FineTuning
from cleser.training.loop import TrainingConfig

CONFIGS = Path(__file__).parents[2] / "recipes" / "configs"


@dataclass(frozen=True)
class Direction:
    """Source and target corpora, by name.

    Attributes:
        source: Learned from.
        target: Recognised.
        auxiliary: Further labelled corpora, for recipes that use them.
        map: Emotions to rename, as ``{"calm": "neutral"}``.
        training: How networks are trained on this source, fields of :class:`cleser.training.loop.TrainingConfig`.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    auxiliary: tuple[str, ...] = ()
    map: dict[str, str] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the folder for its runs."""
        return f"{'+'.join(self.source)}-to-{'+'.join(self.target)}"


@dataclass(frozen=True)
class Matrix:
    """What a bench runs.

    Attributes:
        directions: The columns.
        recipes: The rows, names of :data:`cleser.experiments.variants.VARIANTS`, or of recipes of other packages.
        seeds: Trainings of each cell.
        backbone: What turns recordings into frames.
        terms: Further fields of the protocol, as ``{"split": "official"}``.
        model: How networks are shaped, fields of :class:`cleser.models.ModelConfig`.
        settings: Fields of recipes' configs by recipe, as ``{"sapa": {"conditioned": False}}``; what a row changes
            itself stays.
        tuning: Whether and how the backbone is trained, fields of
            :class:`cleser.speech.backbones.fine_tuning.FineTuning`.
        corpora: Specs by name, of those that need not be given, as the synthetic ones.
        backbones: Backbones by the language of a direction's source, as ``{"en": "facebook/wav2vec2-base-960h"}``, in
            place of ``backbone``, which serves the other languages.
    """

    directions: tuple[Direction, ...]
    recipes: tuple[str, ...]
    seeds: int = 5
    backbone: str = "acoustic"
    terms: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    tuning: dict[str, Any] = field(default_factory=dict)
    corpora: dict[str, str] = field(default_factory=dict)
    backbones: dict[str, str] = field(default_factory=dict)


def load_matrix(name: str | Path) -> Matrix:
    """A matrix from a YAML file, or by the name of one that comes with the package.

    Raises:
        ValueError: There is none, or a field or recipe is unknown, missing or of another kind.
    """
    path = Path(name) if Path(name).suffix else CONFIGS / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.yaml")))
        raise ValueError(f"found no matrix {name}, expected a YAML file or one of {known}")
    plain = read_yaml(path)
    columns = plain.pop("directions", None)
    if not isinstance(columns, list) or not columns:
        raise ValueError(
            f"{path} has no list of directions, expected one, as [{{source: [a], target: [b]}}]"
        )
    for number, column in enumerate(columns, 1):
        check_kinds(Direction, column, f"{path}: direction {number}")
    directions = tuple(from_plain(Direction, _tupled(column)) for column in columns)
    for direction in directions:
        check_kinds(TrainingConfig, direction.training, f"{path}: {direction.name}")
    check_kinds(Matrix, {**plain, "directions": directions}, str(path))
    if not plain["recipes"]:
        raise ValueError(f"{path}: recipes is empty, expected at least one, as [erm]")
    _check_parts(plain, path)
    return from_plain(Matrix, {**_tupled(plain), "directions": directions}, str(path))


def _check_parts(plain: dict[str, Any], path: Path) -> None:
    """Fields of a matrix that are settings of other things."""
    check_kinds(ModelConfig, plain.get("model", {}), f"{path}: model")
    check_kinds(FineTuning, plain.get("tuning", {}), f"{path}: tuning")
    terms = plain.get("terms", {})
    if own := sorted(set(terms) & {f.name for f in fields(Direction)}):
        raise ValueError(f"{path}: terms holds {own}, which each direction says for itself")
    check_kinds(Protocol, {**terms, "source": [], "target": []}, f"{path}: terms")
    for recipe, settings in plain.get("settings", {}).items():
        if recipe not in METHODS:
            raise ValueError(f"{path}: settings: {unknown_recipe(recipe)}")
        check_kinds(METHODS[recipe].config, settings, f"{path}: settings: {recipe}")


def all_pairs(names: Sequence[str], recipes: Sequence[str], **settings: Any) -> Matrix:
    """Every corpus to every other, the remaining ones auxiliary."""
    directions = tuple(
        Direction((source,), (target,), tuple(n for n in names if n not in (source, target)))
        for target in names
        for source in names
        if source != target
    )
    return Matrix(directions, tuple(recipes), **settings)


def _tupled(plain: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
