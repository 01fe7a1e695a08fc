"""``cleser run``: train and test a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import tyro
from tyro.conf import OmitArgPrefixes

from cleser.cli.console import console
from cleser.corpora.protocol import Adapt, Normalisation, Pool, Protocol, TargetAccess, Task
from cleser.recipe_names import with_current_name

if TYPE_CHECKING:
    from cleser.experiments.experiment import Experiment
    from cleser.experiments.selection import Selection

C = TypeVar("C")
T = TypeVar("T")


@dataclass(frozen=True)
class RunArguments(Generic[C, T]):
    """One recipe under one protocol.

    Attributes:
        source: Corpora to learn from, as NAME:FOLDER.
        target: Corpora to recognise.
        out: The run folder. An unfinished run in it is continued.
        method: Settings of the recipe.
        tune: Whether and how the backbone is trained too.
        auxiliary: Further labelled corpora, for recipes that use them.
        labels: The classes.
        map: Emotions to rename, as calm=neutral.
        normalisation: Whose unlabelled statistics standardise the features. auto uses those of each speaker, or those
            of the corpus if speakers seem to show one emotion each.
        lexical_normalisation: Remove from the features what is said: the mean of each phoneme if there are alignments,
            and on pretrained encoders the mean of each repeated sentence.
        target_access: What training may see of the target.
        adapt: Whether methods that use target audio adapt to the tested utterances (test) or to utterances of other
            speakers of the target (disjoint).
        pool: Whether these methods use all target audio, or only utterances with one of the labels.
        prior: Class shares assumed of the target: uniform, source, or a YAML file such as {neutral: 0.7, anger: 0.3}.
        split: "speakers" holds out source speakers, "official" uses the official splits; or folds of the target:
            FILE.csv, emobox:FOLDER, kfold:5, leave-one-speaker-out. To test within a corpus, name it as source and
            target.
        fold: One fold of the split; by default all folds, with their results together.
        task: Learn and test emotions (emotion); arousal, valence and dominance (avd); or both.
        attributes: Which of arousal, valence and dominance are learned.
        shared_speakers: Allow a split that trains on speakers it tests, as many published lists do; every result says
            so.
        test: Official test sets of the target, such as test1; test stands for all of them.
        dev: Share of the source speakers held out to choose the epoch.
        split_seed: Seed with which these speakers are drawn.
        seeds: Number of trainings, with seeds 0, 1, ….
        backbone: What turns recordings into frames.
        alignments: Folder of alignments, which say when each phone is spoken, as cleser align writes them.
        workers: Number of processes that decode recordings in advance when training from audio; 0 for none, by default
            one for each spare core, at most four. They do not change any number.
        select: transfer first chooses settings by recognising each labelled corpus from the others; auto does so if
            there are two source corpora or more, the recipe comes with a grid, and no setting of the grid was set by
            hand; none never does.
        grid: Values to choose from: a YAML file with a list of values for each setting, such as penalty: [3e-4, 1e-3]
            or training.epochs: [15, 30]; by default the recipe's own grid.
        select_on: The labelled corpora to choose by; the sources by default. None of them may be the target.
        search: Try all combinations of the grid (grid), some drawn at random (random), or some that Optuna suggests
            from the scores of earlier trials (optuna; pip install cleser[optuna]).
        trials: Number of combinations that are drawn or suggested.
        selection_seeds: Number of trainings of each trial.
        tracker: Show the training and the test's results in TensorBoard (its files are in the run folder) or Weights
            and Biases while it goes on.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    out: Path
    method: OmitArgPrefixes[C]
    tune: T
    auxiliary: tuple[str, ...] = ()
    labels: tuple[str, ...] = Protocol.labels
    map: tuple[str, ...] = ()
    normalisation: Normalisation = Protocol.normalisation
    lexical_normalisation: bool = Protocol.lexical_normalisation
    target_access: TargetAccess = Protocol.target_access
    adapt: Adapt = Protocol.adapt
    pool: Pool = Protocol.pool
    prior: str = "uniform"
    split: str = Protocol.split
    fold: str = Protocol.fold
    shared_speakers: bool = Protocol.shared_speakers
    task: Task = Protocol.task
    attributes: tuple[str, ...] = Protocol.attributes
    test: tuple[str, ...] = Protocol.test
    dev: float = 0.2
    split_seed: int = 0
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

    def protocol(self) -> Protocol:
        """The protocol that the flags describe."""
        return Protocol(
            self.source,
            self.target,
            self.auxiliary,
            self.labels,
            self.split,
            self.split_seed,
            map=parse_map(self.map),
            dev=self.dev,
            normalisation=self.normalisation,
            lexical_normalisation=self.lexical_normalisation,
            target_access=self.target_access,
            test=self.test,
            adapt=self.adapt,
            pool=self.pool,
            prior=parse_prior(self.prior),
            fold=self.fold,
            shared_speakers=self.shared_speakers,
            task=self.task,
            attributes=self.attributes,
        )

    def experiment(self, recipe: str) -> Experiment:
        """What the flags ask for."""
        from cleser.experiments.experiment import Experiment  # noqa: PLC0415
        from cleser.settings import to_plain  # noqa: PLC0415

        return Experiment(
            recipe,
            to_plain(self.method),
            self.protocol(),
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
        from cleser.training.loading import default_workers  # noqa: PLC0415
        from cleser.training.processes import local_processes  # noqa: PLC0415

        return default_workers(local_processes())


def parse_map(pairs: Sequence[str]) -> dict[str, str]:
    """Turn ``("calm=neutral",)`` into ``{"calm": "neutral"}``.

    >>> parse_map(["calm=neutral"])
    {'calm': 'neutral'}
    """
    for pair in pairs:
        if pair.count("=") != 1 or not all(pair.split("=")):
            raise ValueError(f"map holds {pair!r}, expected FROM=TO, as calm=neutral")
    return dict(pair.split("=") for pair in pairs)


def parse_prior(prior: str) -> str | dict[str, float]:
    """The name of a prior, or the class shares that a file holds.

    >>> parse_prior("uniform")
    'uniform'
    >>> parse_prior("{neutral: 0.7, anger: 0.3}")
    {'neutral': 0.7, 'anger': 0.3}
    """
    if prior in ("uniform", "source"):
        return prior
    from cleser.settings import parse_yaml, read_yaml  # noqa: PLC0415

    if prior.lstrip().startswith("{"):
        shares = parse_yaml(prior, "--prior")
    else:
        try:
            shares = read_yaml(prior)
        except ValueError as error:
            raise ValueError(
                f"--prior {error}, expected uniform, source or a file of shares"
            ) from error
    if not all(isinstance(v, int | float) for v in shares.values()):
        raise ValueError(
            f"--prior {prior} holds {shares!r}, expected shares by class, as neutral: 0.7"
        )
    return {str(name): float(share) for name, share in shares.items()}


def run(args: list[str]) -> None:
    """Train and test a recipe: cleser run RECIPE --source … --target … --out DIR."""
    found = asked_for("run", args)
    if found is None:
        return
    experiment, config, arguments = found
    asked = arguments.select == "transfer"
    if asked or (arguments.select == "auto" and selects_unasked(experiment, config, arguments)):
        try:
            selection = select(experiment, config, arguments, arguments.out / "selection")
        except ValueError as error:
            if asked:
                raise
            note = f"settings are not chosen by transfer but as given: {error}"
            experiment = replace(experiment, notes=(*experiment.notes, note))
        else:
            experiment, config = selection.apply(experiment, config)
    run_experiment(experiment, config)


def tune(args: list[str]) -> None:
    """Choose settings by transfer between labelled corpora: cleser tune RECIPE --source … --target … --out DIR."""
    from cleser.files import write_text  # noqa: PLC0415
    from cleser.settings import as_yaml  # noqa: PLC0415

    found = asked_for("tune", args)
    if found is None:
        return
    experiment, config, arguments = found
    selection = select(experiment, config, arguments, arguments.out)
    chosen, _ = selection.apply(experiment, config)
    path = arguments.out / "config.yaml"
    write_text(path, as_yaml(chosen.settings()))
    console.print(
        f"now: cleser run {experiment.recipe} --config {path} --out {arguments.out / 'run'}"
    )


def asked_for(command: str, args: list[str]) -> tuple[Experiment, Any, Any] | None:
    """The experiment, its recipe's config and all flags of a command line; None where only help was wanted."""
    from cleser.cli import show_usage  # noqa: PLC0415
    from cleser.experiments.methods import METHODS, unknown_recipe  # noqa: PLC0415  (starting up must not cost an import of torch)
    from cleser.experiments.trackers import check_trackers  # noqa: PLC0415
    from cleser.files import check_writable  # noqa: PLC0415
    from cleser.speech.backbones.fine_tuning import FineTuning  # noqa: PLC0415

    if not args or args[0] in ("--help", "-h"):
        names = [f"{command} {name}" for name in METHODS]
        show_usage(names, lambda name: METHODS[name.split()[1]].run)
        return None
    if args[0] not in METHODS:
        raise ValueError(unknown_recipe(args[0]))
    name, *rest = args
    method = METHODS[name]
    default, rest = _saved(rest, name, method.config)
    arguments = tyro.cli(
        RunArguments[method.config, FineTuning],  # type: ignore[name-defined]
        args=rest,
        prog=f"cleser {command} {name}",
        description=(method.run.__doc__ or "") + "\n--config FILE runs a saved config.yaml again.",
        **({"default": default} if default else {}),
    )
    check_writable(arguments.out, "--out")
    check_trackers(arguments.tracker)
    if arguments.out.is_file():
        raise ValueError(f"--out {arguments.out} is a file, expected the folder of a run")
    if arguments.tune.from_audio and method.build is None:
        raise ValueError(f"{name} trains no network, so that nothing can be tuned under it")
    return arguments.experiment(name), arguments.method, arguments


def selects_unasked(experiment: Experiment, config: Any, arguments: Any) -> bool:
    """Whether ``--select auto`` chooses settings by transfer."""
    from cleser.experiments.selection import GRIDS  # noqa: PLC0415
    from cleser.settings import read_yaml  # noqa: PLC0415

    sources = arguments.select_on or arguments.source
    if len(sources) < 2 or set(sources) & set(arguments.target):
        return False
    if arguments.grid:
        return True
    own = GRIDS / f"{experiment.recipe}.yaml"
    if not own.exists():
        return False
    usual = type(config)()
    # Whoever set one of these by hand has chosen.
    names = {name.split(".")[0] for name in read_yaml(own)} - {"backbone"}
    by_hand = any(getattr(config, name) != getattr(usual, name) for name in names)
    return not by_hand and "+" not in experiment.backbone


def select(experiment: Experiment, config: Any, arguments: Any, out: Path) -> Selection:
    """Choose settings by transfer validation, and show what was found."""
    from cleser.experiments.selection import read_grid, select_by_transfer  # noqa: PLC0415

    choices = read_grid(
        arguments.grid or experiment.recipe, config, experiment.backbone,
        search=arguments.search, trials=arguments.trials,
    )  # fmt: skip
    pool = arguments.select_on or arguments.source
    if shared := set(pool) & set(arguments.target):
        raise ValueError(
            f"select-on holds the target {', '.join(sorted(shared))}, expected other labelled corpora"
        )
    found = select_by_transfer(
        experiment, config, choices, pool, out, seeds=arguments.selection_seeds
    )
    console.print(found.shown, highlight=False, soft_wrap=True)
    return found


def run_experiment(experiment: Experiment, config: Any) -> dict[str, Any]:
    """Run a recipe and print its result and report."""
    from cleser.evaluation import report, show_results  # noqa: PLC0415
    from cleser.experiments.methods import METHODS, check_task  # noqa: PLC0415
    from cleser.speech import load_backbone  # noqa: PLC0415

    check_task(experiment.recipe, experiment.protocol.task)
    results = METHODS[experiment.recipe].run(experiment, config, load_backbone(experiment.backbone))
    page = report([experiment.out], experiment.out / "report.html")
    console.print(show_results(results))
    console.print(f"report: {page}")
    return results


def _saved(args: list[str], name: str, kind: type[Any]) -> tuple[Any, list[str]]:
    """Take ``--config FILE`` out of the flags and make its settings their defaults."""
    from cleser.settings import from_plain, read_yaml  # noqa: PLC0415
    from cleser.speech.backbones.fine_tuning import FineTuning  # noqa: PLC0415

    if "--config" not in args:
        return None, args
    at = args.index("--config")
    if at + 1 == len(args):
        raise ValueError("--config expects a file, as runs/de-en/config.yaml")
    path = Path(args[at + 1])
    saved = with_current_name(read_yaml(path))
    if missing := {"recipe", "protocol", "config", "seeds", "backbone"} - saved.keys():
        raise ValueError(f"{path} lacks {sorted(missing)}, expected the config.yaml of a run")
    if saved["recipe"] != name:
        raise ValueError(f"{path} holds a {saved['recipe']!r} run, expected {name!r}")
    terms = saved["protocol"]
    terms["split_seed"] = terms.pop("seed")
    terms["map"] = tuple(f"{old}={new}" for old, new in terms["map"].items())
    terms["prior"] = terms["prior"] if isinstance(terms["prior"], str) else str(terms["prior"])
    terms = {k: tuple(v) if isinstance(v, list) else v for k, v in terms.items()}
    default = RunArguments(
        out=tyro.MISSING,
        method=from_plain(kind, saved["config"]),
        seeds=saved["seeds"],
        select="none",  # what was chosen is what was saved
        backbone=saved["backbone"],
        tune=from_plain(FineTuning, saved.get("tuning", {})),
        alignments=Path(saved["alignments"]) if "alignments" in saved else None,
        **terms,
    )
    return default, args[:at] + args[at + 2 :]
