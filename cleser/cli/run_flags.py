"""The flags of ``cleser run`` and ``cleser tune``, and the saved settings that may stand in their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

import tyro
from tyro.conf import OmitArgPrefixes, arg

from cleser.cli.pairs import parse_map
from cleser.corpora.protocol import Protocol
from cleser.recipe_names import with_current_name

if TYPE_CHECKING:
    from cleser.experiments.experiment import Experiment

C = TypeVar("C")
T = TypeVar("T")


@dataclass(frozen=True)
class ProtocolFlags(Protocol):
    """The terms of a protocol as flags, some of which are written in another way on a command line."""

    seed: Annotated[int, arg(name="split-seed")] = Protocol.seed
    map: Annotated[tuple[str, ...], arg(metavar="[FROM=TO [FROM=TO ...]]")] = ()  # type: ignore[assignment]
    prior: Annotated[str, arg(metavar="{uniform,source}|FILE.yaml|SHARES")] = "uniform"

    def __post_init__(self) -> None:
        """Nothing is checked before :meth:`protocol`, whose errors are sentences, unlike those of a flag."""

    @classmethod
    def of(cls, protocol: Protocol) -> ProtocolFlags:
        """The flags that ask for these terms."""
        renamed = tuple(f"{old}={new}" for old, new in protocol.map.items())
        return cls(**{**vars(protocol), "map": renamed, "prior": str(protocol.prior)})

    def protocol(self) -> Protocol:
        """The protocol that the flags describe."""
        read = {"map": parse_map(self.map), "prior": parse_prior(self.prior)}
        return Protocol(**{**vars(self), **read})


@dataclass(frozen=True)
class RunArguments(Generic[C, T]):
    """One recipe under one protocol.

    Attributes:
        out: The run folder. An unfinished run in it is continued.
        terms: The protocol: which corpora train, which are tested, and what may be seen of the target.
        method: Settings of the recipe.
        tune: Whether and how the backbone is trained too.
        seeds: Number of trainings, with seeds 0, 1, ….
        backbone: What turns recordings into frames of features: acoustic, or a model of transformers as
            NAME_OR_PATH,layers=0+6+12,dtype=bfloat16; layers may also be lower, middle or upper, half of them each.
        alignments: Folder of alignments, which say when each phone is spoken, as cleser align writes them.
        workers: Number of processes that decode recordings in advance when training from audio; 0 for none. By default
            one for each spare core, at most four, if a GPU trains, and none otherwise. They do not change any number.
        select: transfer first chooses settings by recognising each labelled corpus from the others; auto does so if
            there are two source corpora or more, and the recipe comes with a grid; none never does. Settings given as
            flags are kept, and only the others are chosen.
        grid: Values to choose from: a YAML file with a list of values for each setting, such as penalty: [3e-4, 1e-3]
            or training.epochs: [15, 30]; or features, which chooses between descriptors beside the model's middle
            layers and the model as given. By default the recipe's own grid.
        select_on: The labelled corpora to choose by; the sources by default. None of them may be the target.
        search: Try all combinations of the grid (grid), some drawn at random (random), or some that Optuna suggests
            from the scores of earlier trials (optuna; pip install cleser[optuna]).
        trials: Number of combinations that are drawn or suggested.
        selection_seeds: Number of trainings of each trial.
        tracker: Show the training and the test's results in TensorBoard (its files are in the run folder) or Weights
            and Biases while they run.
    """

    out: Path
    terms: OmitArgPrefixes[ProtocolFlags]
    method: OmitArgPrefixes[C]
    tune: T
    seeds: int = 3
    backbone: str = "acoustic"
    alignments: Path | None = None
    workers: int | None = None
    select: Literal["auto", "transfer", "none"] = "auto"
    grid: str = ""
    select_on: tuple[str, ...] = ()
    search: Literal["grid", "random", "optuna"] = "grid"
    trials: int = 20
    selection_seeds: int = 1
    tracker: tuple[Literal["tensorboard", "wandb"], ...] = ()

    def experiment(self, recipe: str) -> Experiment:
        """The experiment that the flags ask for."""
        from cleser.experiments.experiment import Experiment
        from cleser.settings import to_plain

        return Experiment(
            recipe,
            to_plain(self.method),
            self.terms.protocol(),
            self.seeds,
            self.out,
            self.backbone,
            self.tune,  # type: ignore[arg-type]
            str(self.alignments) if self.alignments else None,
            workers=self._workers(),
            trackers=self.tracker,
        )

    def _workers(self) -> int:
        if self.workers is not None:
            return self.workers
        if not self.tune.from_audio:  # type: ignore[attr-defined]
            return 0
        from cleser.training.loading import default_workers
        from cleser.training.processes import local_processes

        return default_workers(local_processes())


@dataclass(frozen=True)
class _SavedSettings:
    """What ``config.yaml`` holds, as `Experiment.settings` writes it."""

    backbone: str
    config: dict[str, Any]
    protocol: dict[str, Any]
    recipe: str
    seeds: int
    package: str = ""
    tuning: dict[str, Any] = field(default_factory=dict)
    alignments: str = ""


def parse_prior(prior: str) -> str | dict[str, float]:
    """The name of a prior, or the class shares that a file holds.

    >>> parse_prior("uniform")
    'uniform'
    >>> parse_prior("{neutral: 0.7, anger: 0.3}")
    {'neutral': 0.7, 'anger': 0.3}
    """
    if prior in ("uniform", "source"):
        return prior
    from cleser.settings import check_kind, parse_yaml, read_yaml

    expected = "shares by class, as neutral: 0.7"
    if prior.lstrip().startswith("{"):
        shares = parse_yaml(prior, "--prior", expected)
    else:
        try:
            shares = read_yaml(prior, expected)
        except ValueError as error:
            raise ValueError(
                f"--prior {error}; give uniform, source, shares as '{{neutral: 0.7, anger: 0.3}}', or a file of them"
            ) from error
    for name, share in shares.items():
        check_kind(share, float, f"--prior {prior}: {name}")
    return {str(name): float(share) for name, share in shares.items()}


def given(args: Sequence[str]) -> frozenset[str]:
    """The settings that flags give, whatever their value.

    >>> sorted(given(["--rounds", "0", "--no_match-prior", "--training.epochs=3"]))
    ['match_prior', 'rounds', 'training.epochs']
    """
    flags = (word[2:].split("=")[0] for word in args if word.startswith("--"))
    return frozenset(flag.replace("-", "_").removeprefix("no_") for flag in flags)


def saved_defaults(args: list[str], name: str, kind: type[Any]) -> tuple[Any, list[str]]:
    """Take ``--config FILE`` out of the flags and make its settings their defaults."""
    from cleser.settings import from_plain, read_yaml, restored
    from cleser.speech.backbones.fine_tuning import FineTuning

    words = (word.split("=", 1) if word.startswith("--config=") else [word] for word in args)
    args = [part for word in words for part in word]
    if "--config" not in args:
        return None, args
    at = args.index("--config")
    if at + 1 == len(args):
        raise ValueError("--config expects a file, as runs/de-en/config.yaml")
    path = Path(args[at + 1])
    plain = read_yaml(path, "the settings of a run, as its config.yaml: recipe, protocol, …")
    saved = from_plain(_SavedSettings, plain, str(path))
    recipe = with_current_name(plain)["recipe"]
    if recipe != name:
        raise ValueError(f"{path} holds a {recipe!r} run, expected {name!r}")
    default = RunArguments(
        out=tyro.MISSING,
        terms=ProtocolFlags.of(restored(Protocol, saved.protocol, f"{path}: protocol")),
        method=restored(kind, saved.config, f"{path}: config"),
        seeds=saved.seeds,
        select="none",  # what was chosen is what was saved
        backbone=saved.backbone,
        tune=restored(FineTuning, saved.tuning, f"{path}: tuning"),
        alignments=Path(saved.alignments) if saved.alignments else None,
    )
    return default, args[:at] + args[at + 2 :]
