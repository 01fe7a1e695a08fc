"""``cleser run``: train and test a recipe."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

import tyro
from tyro.conf import OmitArgPrefixes, arg

from cleser.cli.console import console
from cleser.cli.idle import refuse_idle
from cleser.cli.lists import list_flags, merged
from cleser.cli.pairs import parse_map
from cleser.corpora.protocol import Protocol
from cleser.recipe_names import with_current_name

if TYPE_CHECKING:
    from cleser.experiments.experiment import Experiment
    from cleser.experiments.selection import Choices, Selection

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
                f"--prior {error}; give uniform, source or a file of shares"
            ) from error
    for name, share in shares.items():
        check_kind(share, float, f"--prior {prior}: {name}")
    return {str(name): float(share) for name, share in shares.items()}


def run(args: list[str]) -> None:
    """Train and test a recipe: cleser run RECIPE --source … --target … --out DIR."""
    from cleser.evaluation import Run
    from cleser.evaluation.run_files import SELECTION
    from cleser.experiments.selection import NoTransferError, chosen_already
    from cleser.progress import console as say

    found = asked_for("run", args)
    if found is None:
        return
    experiment, config, arguments = found
    if arguments.grid and arguments.select == "none":
        raise ValueError(
            f"--grid {arguments.grid} says what to choose among, but --select is none, expected auto or transfer"
        )
    by_hand = given(args[1:])
    asked = arguments.select == "transfer" or bool(arguments.grid)
    detailed = {
        "--select-on": arguments.select_on,
        "--search": arguments.search != RunArguments.search,
        "--trials": arguments.trials != RunArguments.trials,
        "--selection-seeds": arguments.selection_seeds != RunArguments.selection_seeds,
    }
    if not asked and not (
        arguments.select == "auto" and selects_unasked(experiment, config, arguments, by_hand)
    ):
        refuse_idle(detailed, "--select transfer")
        if arguments.select == "auto" and leaves_a_choice(experiment, config, by_hand):
            note = (
                "settings are the usual ones: to choose them by transfer takes two source corpora or more, or other "
                f"labelled ones (--select-on); docs/recipes/{experiment.recipe} says which are best from one"
            )
            experiment = replace(experiment, notes=(*experiment.notes, note))
        run_experiment(experiment, config)
        return
    choices = choices_of(experiment, config, arguments, by_hand)
    if chosen_already(experiment, choices):
        say.print(f"{experiment.out} is finished; nothing to do")
        show_run(experiment, Run(experiment.out).results)
        return
    try:
        selection = select(experiment, config, choices, arguments, arguments.out / SELECTION)
    except NoTransferError as error:  # and no other: what fails after hours would be lost in a note
        if asked or any(detailed.values()):
            raise
        note = f"settings are not chosen by transfer but as given: {error}"
        experiment = replace(experiment, notes=(*experiment.notes, note))
    else:
        experiment, config = selection.apply(experiment, config)
    run_experiment(experiment, config)


def tune(args: list[str]) -> None:
    """Choose settings by transfer between labelled corpora: cleser tune RECIPE --source … --target … --out DIR."""
    from cleser.files import write_text
    from cleser.settings import as_yaml

    found = asked_for("tune", args)
    if found is None:
        return
    experiment, config, arguments = found
    choices = choices_of(experiment, config, arguments, given(args[1:]))
    selection = select(experiment, config, choices, arguments, arguments.out)
    chosen, _ = selection.apply(experiment, config)
    path = arguments.out / "config.yaml"
    write_text(path, as_yaml(chosen.settings()))
    console.print(
        f"now: cleser run {experiment.recipe} --config {path} --out {arguments.out / 'run'}"
    )


def asked_for(command: str, args: list[str]) -> tuple[Experiment, Any, Any] | None:
    """The experiment, its recipe's config and all flags of a command line; None where only help was wanted."""
    from cleser.cli import show_usage
    from cleser.experiments.methods import METHODS, unknown_recipe
    from cleser.experiments.trackers import check_trackers
    from cleser.files import check_writable
    from cleser.speech.backbones.fine_tuning import FineTuning

    if not args or args[0] in ("--help", "-h"):
        names = [f"{command} {name}" for name in METHODS]
        show_usage(names, lambda name: METHODS[name.split()[1]].run)
        return None
    if args[0] not in METHODS:
        raise ValueError(unknown_recipe(args[0]))
    name, *rest = args
    method = METHODS[name]
    flags = list_flags(RunArguments) | list_flags(ProtocolFlags) | list_flags(method.config)
    default, rest = _saved(
        merged(rest, flags | list_flags(FineTuning, "tune.")), name, method.config
    )
    arguments = tyro.cli(
        RunArguments[method.config, FineTuning],  # type: ignore[name-defined]
        args=rest,
        prog=f"cleser {command} {name}",
        description=_summary(method.run) + "\n--config FILE runs a saved config.yaml again.",
        **({"default": default} if default else {}),
    )
    check_writable(arguments.out, "--out")
    check_trackers(arguments.tracker)
    if arguments.out.is_file():
        raise ValueError(f"--out {arguments.out} is a file, expected the folder of a run")
    if arguments.tune.from_audio and method.build is None:
        raise ValueError(f"{name} trains no network, so that nothing can be tuned under it")
    return arguments.experiment(name), arguments.method, arguments


def _summary(run: Any) -> str:
    """The first paragraph of a recipe's docstring; its examples are for readers of the code."""
    return (run.__doc__ or "").split("\n\n")[0].strip()


def given(args: Sequence[str]) -> set[str]:
    """The settings that flags give, whatever their value.

    >>> sorted(given(["--rounds", "0", "--no_match-prior", "--training.epochs=3"]))
    ['match_prior', 'rounds', 'training.epochs']
    """
    flags = (word[2:].split("=")[0] for word in args if word.startswith("--"))
    return {flag.replace("-", "_").removeprefix("no_") for flag in flags}


def selects_unasked(
    experiment: Experiment, config: Any, arguments: Any, by_hand: Collection[str]
) -> bool:
    """Whether ``--select auto`` chooses settings by transfer: it can, and the flags leave something to choose."""
    sources = arguments.select_on or experiment.protocol.source
    if len(sources) < 2 or set(sources) & set(experiment.protocol.target):
        return False
    return leaves_a_choice(experiment, config, by_hand)


def leaves_a_choice(experiment: Experiment, config: Any, by_hand: Collection[str]) -> bool:
    """Whether the recipe has a grid of its own, of which flags leave more than one combination."""
    from cleser.experiments.selection import GRIDS, read_grid

    if "config" in by_hand or not (GRIDS / f"{experiment.recipe}.yaml").exists():
        return False
    left = read_grid(
        experiment.recipe, config, experiment.backbone,
        given=_kept(by_hand), protocol=experiment.protocol,
    )  # fmt: skip
    return len(left) > 1


def choices_of(
    experiment: Experiment, config: Any, arguments: Any, by_hand: Collection[str]
) -> Choices:
    """The settings to try: a grid that was asked for, or what flags and protocol leave of the recipe's own.

    Raises:
        ValueError: A flag gives a setting that the grid asked for is to choose.
    """
    from cleser.experiments.selection import grid_values, read_grid

    asked = arguments.grid
    if asked and (twice := _kept(by_hand) & grid_values(asked).keys()):
        raise ValueError(
            f"--grid {asked} has values of {', '.join(sorted(twice))}, which flags give as well, expected one of both"
        )
    return read_grid(
        asked or experiment.recipe, config, experiment.backbone,
        search=arguments.search, trials=arguments.trials, given=_kept(by_hand),
        protocol=None if asked else experiment.protocol,
    )  # fmt: skip


def _kept(by_hand: Collection[str]) -> set[str]:
    """Settings that flags give for good; a backbone that is given stands for those of a grid."""
    return {*by_hand} - {"backbone"}


def select(
    experiment: Experiment, config: Any, choices: Choices, arguments: Any, out: Path
) -> Selection:
    """Choose settings by transfer validation, and show what was found."""
    from cleser.experiments.selection import select_by_transfer

    if arguments.search == "grid":
        refuse_idle(
            {"--trials": arguments.trials != RunArguments.trials}, "--search random or optuna"
        )
    pool = arguments.select_on or experiment.protocol.source
    if shared := set(pool) & set(experiment.protocol.target):
        raise ValueError(
            f"select-on holds the target {', '.join(sorted(shared))}, expected other labelled corpora"
        )
    _check_first(experiment)
    found = select_by_transfer(
        experiment, config, choices, pool, out,
        seeds=arguments.selection_seeds, singly=len(experiment.protocol.source) == 1,
    )  # fmt: skip
    console.print(found.shown, highlight=False, soft_wrap=True)
    return found


def _check_first(experiment: Experiment) -> None:
    """Refuse what the run itself would refuse before settings are chosen for it, which may take hours."""
    from cleser.evaluation.run_files import RESULTS
    from cleser.experiments.experiment import admit

    if not (experiment.out / RESULTS).exists():
        admit(experiment)


def run_experiment(experiment: Experiment, config: Any) -> dict[str, Any]:
    """Run a recipe and print its result and report."""
    from cleser.experiments.methods import METHODS, check_task
    from cleser.speech import load_backbone

    check_task(experiment.recipe, experiment.protocol.task)
    results = METHODS[experiment.recipe].run(experiment, config, load_backbone(experiment.backbone))
    show_run(experiment, results)
    return results


def show_run(experiment: Experiment, results: dict[str, Any]) -> None:
    """Print a finished run's result, and write its report."""
    from cleser.evaluation import Run, report, show_results

    console.print(show_results(results))
    if not Run(experiment.out).scored:
        specs = " ".join(experiment.protocol.target)
        console.print(f"now: cleser predict {experiment.out} --corpus {specs} --csv emotions.csv")
        return
    page = report([experiment.out], experiment.out / "report.html")
    console.print(f"report: {page}")


def _saved(args: list[str], name: str, kind: type[Any]) -> tuple[Any, list[str]]:
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
