"""``cleser run``: train and test a recipe; ``cleser tune``: choose its settings alone."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import tyro

from cleser.cli.console import console
from cleser.cli.idle import refuse_idle
from cleser.cli.lists import list_flags, merged
from cleser.cli.run_flags import ProtocolFlags, RunArguments, given, saved_defaults
from cleser.cli.run_request import RunRequest

if TYPE_CHECKING:
    from cleser.experiments.experiment import Experiment


def run(args: list[str]) -> None:
    """Train and test a recipe: cleser run RECIPE --source … --target … --out DIR."""
    asked = asked_for("run", args)
    if asked is None:
        return
    if asked.arguments.grid and asked.arguments.select == "none":
        raise ValueError(
            f"--grid {asked.arguments.grid} says what to choose among, but --select is none, expected auto or transfer"
        )
    if asked.chooses:
        _choose_and_run(asked)
    else:
        _run_as_given(asked)


def tune(args: list[str]) -> None:
    """Choose settings by transfer between labelled corpora: cleser tune RECIPE --source … --target … --out DIR."""
    asked = asked_for("tune", args)
    if asked is None:
        return
    from cleser.evaluation.run_files import CONFIG
    from cleser.files import write_text
    from cleser.settings import as_yaml
    from cleser.training.processes import leads

    out = asked.arguments.out
    selection = asked.select(asked.choices(), out)
    chosen, _ = selection.apply(asked.experiment, asked.config)
    if not leads():
        return
    write_text(out / CONFIG, as_yaml(chosen.settings()))
    again = ["--config", str(out / CONFIG), "--out", str(out / "run")]
    console.print("now: " + shlex.join(["cleser", "run", asked.experiment.recipe, *again]))


def asked_for(command: str, args: list[str]) -> RunRequest | None:
    """What a command line asks for; None where only help was wanted."""
    from cleser.cli import show_usage, summary
    from cleser.experiments.methods import METHODS, unknown_recipe

    if not args or args[0] in ("--help", "-h"):
        names = [f"{command} {name}" for name in METHODS]
        show_usage(names, lambda name: _described(name.split()[1]))
        return None
    if args[0] not in METHODS:
        raise ValueError(unknown_recipe(args[0]))
    from cleser.experiments.trackers import check_trackers
    from cleser.files import check_writable
    from cleser.speech.backbones.fine_tuning import FineTuning

    name, *rest = args
    method = METHODS[name]
    flags = list_flags(RunArguments) | list_flags(ProtocolFlags) | list_flags(method.config)
    default, rest = saved_defaults(
        merged(rest, flags | list_flags(FineTuning, "tune.")), name, method.config
    )
    arguments = tyro.cli(
        RunArguments[method.config, FineTuning],  # type: ignore[name-defined]
        args=rest,
        prog=f"cleser {command} {name}",
        description=summary(method.run) + "\n--config FILE runs a saved config.yaml again.",
        **({"default": default} if default else {}),
    )
    check_writable(arguments.out, "--out")
    check_trackers(arguments.tracker)
    if arguments.out.is_file():
        raise ValueError(f"--out {arguments.out} is a file, expected the folder of a run")
    if arguments.tune.from_audio and method.build is None:
        raise ValueError(f"{name} trains no network, so that nothing can be tuned under it")
    return RunRequest(
        experiment=arguments.experiment(name),
        config=arguments.method,
        arguments=arguments,
        given=given(args[1:]),
    )


def _described(recipe: str) -> str:
    """What a recipe does; of one whose package is broken, how: the others can be used all the same."""
    from cleser.cli import summary
    from cleser.experiments.methods import METHODS
    from cleser.plugins import PluginError

    try:
        return summary(METHODS[recipe].run)
    except PluginError as error:
        return str(error)


def _run_as_given(asked: RunRequest) -> None:
    """Run with the settings that the flags and the recipe's defaults give."""
    refuse_idle(asked.details, "--select transfer")
    experiment = asked.experiment
    if asked.arguments.select == "auto" and asked.leaves_a_choice():
        experiment = asked.noted(
            "settings are the usual ones: to choose them by transfer takes two source corpora or more, or other "
            f"labelled ones (--select-on); docs/recipes/{experiment.recipe} says which are best from one"
        )
    run_and_show(experiment, asked.config)


def _choose_and_run(asked: RunRequest) -> None:
    """Choose settings by transfer, and run with them; with those given where the corpora do not allow a choice."""
    from cleser.evaluation import Run
    from cleser.evaluation.run_files import SELECTION
    from cleser.experiments.selection import NoTransferError, chosen_already
    from cleser.progress import stderr

    experiment, config, choices = asked.experiment, asked.config, asked.choices()
    if chosen_already(experiment, choices):
        stderr.print(f"{experiment.out} is finished; nothing to do")
        show_run(experiment, Run(experiment.out).results)
        return
    try:
        selection = asked.select(choices, experiment.out / SELECTION)
    except NoTransferError as error:  # and no other: what fails after hours would be lost in a note
        if asked.asks_to_choose or any(asked.details.values()):
            raise
        experiment = asked.noted(f"settings are not chosen by transfer but as given: {error}")
    else:
        experiment, config = selection.apply(experiment, config)
    run_and_show(experiment, config)


def run_and_show(experiment: Experiment, config: Any) -> None:
    """Run a recipe and print its result and report."""
    from cleser.experiments.methods import METHODS, check_task
    from cleser.speech import load_backbone

    check_task(experiment.recipe, experiment.protocol.task)
    results = METHODS[experiment.recipe].run(experiment, config, load_backbone(experiment.backbone))
    show_run(experiment, results)


def show_run(experiment: Experiment, results: dict[str, Any]) -> None:
    """Print a finished run's result, and write its report; of several processes the main one does."""
    from cleser.evaluation import Run, report, show_results
    from cleser.training.processes import leads

    if not leads():
        return
    console.print(show_results(results))
    if not Run(experiment.out).scored:
        listed = ["--corpus", *experiment.protocol.target, "--csv", "emotions.csv"]
        console.print("now: " + shlex.join(["cleser", "predict", str(experiment.out), *listed]))
        return
    page = report([experiment.out], experiment.out / "report.html")
    console.print(f"report: {page}")
