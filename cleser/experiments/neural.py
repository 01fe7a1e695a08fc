"""Recipes that are networks, fitted for a seed by the training loop."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cleser.corpora.protocol import Protocol
from cleser.experiments.access import check_declared
from cleser.experiments.experiment import Experiment, Repeat, run_experiment
from cleser.experiments.methods import Method
from cleser.progress import track
from cleser.speech.backbones import Backbone
from cleser.speech.backbones.fine_tuning import FineTuning, tune
from cleser.training.audio import AudioEncoder
from cleser.training.dataset import Dataset
from cleser.training.learner import Learner
from cleser.training.loop import TrainingConfig, derive, train
from cleser.training.recipe import Recipe, Task
from cleser.training.recognition import embedded
from cleser.training.vocabulary import Vocabulary


def _recognise(member: Learner, dataset: Dataset, together: bool) -> list[Tensor]:
    recipe, seen = member.recipe.eval(), member.sees(dataset)
    if together:
        seen = recipe.prepare(seen)
        recipe = recipe.adapted_to(seen)
    return embedded(
        recipe, seen, ("logits", "utterances", *(["attributes"] * recipe.learns_attributes))
    )


class FittedRecipe:
    """The networks that one seed has trained: one, or several that began differently and are averaged."""

    def __init__(self, members: Sequence[Learner]) -> None:
        self.members = list(members)
        self._last: tuple[Callable[[], Dataset | None], bool, list[list[Tensor]]] | None = None

    def predict(self, dataset: Dataset, *, together: bool = True) -> tuple[Tensor, Tensor]:
        """Probabilities [N, K], of the members' mean logits, and the first member's utterance embeddings [N, D].

        Args:
            dataset: The utterances.
            together: Whether recipes may find out about utterances from the others, see :meth:`Recipe.prepare`.
        """
        logits, embeddings = self._logits(dataset, together)
        return logits.softmax(-1), embeddings

    @property
    def vote_threshold(self) -> float | None:
        """The share of votes from which an utterance has an emotion; None where one emotion is recognised."""
        return self.members[0].recipe.vote_threshold

    def sigmoids(self, dataset: Dataset, *, together: bool = True) -> Tensor:
        """Probabilities [N, K] of several emotions at once, of the members' mean logits."""
        return self._logits(dataset, together)[0].sigmoid()

    def _logits(self, dataset: Dataset, together: bool) -> tuple[Tensor, Tensor]:
        """The members' mean logits [N, K], and the first member's utterance embeddings [N, D]."""
        found = self._recognised(dataset, together)
        return mean_logits([logits for logits, *_ in found]), found[0][1]

    def attributes(self, dataset: Dataset, *, together: bool = True) -> Tensor:
        """Attributes [N, A], from −1 to 1, of the members' mean."""
        found = self._recognised(dataset, together)
        return mean_attributes([attributes for _, _, attributes in found])

    def _recognised(self, dataset: Dataset, together: bool) -> list[list[Tensor]]:
        """Each member's logits, embeddings and, where it learns them, attributes of the utterances.

        They are kept until other utterances are recognised: emotions and attributes are asked for one after the other.
        """
        if self._last is None or self._last[0]() is not dataset or self._last[1] != together:
            found = [_recognise(member, dataset, together) for member in self.members]
            self._last = weakref.ref(dataset), together, found
        return self._last[2]

    def tensors(self) -> dict[str, Tensor]:
        """The weights by name: of a backbone only those that were trained; of several members each under its number."""
        if len(self.members) == 1:
            return self.members[0].weights()
        return {
            f"{member_prefix(i)}{name}": tensor
            for i, member in enumerate(self.members)
            for name, tensor in member.weights().items()
        }

    def write(self, folder: Path) -> None:
        """Write what the first member has to show."""
        self.members[0].recipe.write(folder)


def mean_logits(members: list[Tensor]) -> Tensor:
    """The logits [N, K] of several members, averaged before probabilities are made of them."""
    return torch.stack(members).mean(0)


def mean_attributes(members: list[Tensor]) -> Tensor:
    """The attributes [N, A] of several members, of which the mean is clipped to the scale from −1 to 1."""
    return torch.stack(members).mean(0).clamp(-1, 1)


def member_prefix(number: int) -> str:
    """Prefix of the names of a member's weights."""
    return f"member{number}."


def encoder_for(
    backbone: Backbone, tuning: FineTuning, vocabulary: Vocabulary, protocol: Protocol
) -> AudioEncoder | None:
    """The encoder of one network's batches from audio; None where it learns from stored features."""
    if not tuning.from_audio:
        return None
    return AudioEncoder(
        tune(backbone, tuning),
        vocabulary.phonemes,
        by_utterance=protocol.normalisation == "utterance",
        precision=tuning.precision,
        whole_batch=tuning.shard,  # spread over processes, which have to take as many pieces each
    )


def fit_recipe(
    build: Callable[[Task], Recipe], training: TrainingConfig, repeat: Repeat
) -> FittedRecipe:
    """Build a recipe under the repeat's seed and train it, with as many members as are asked for.

    Args:
        build: Function that makes the recipe for a task.
        training: Settings of the training loop.
        repeat: The seed, the data that may be used, and where state is kept.

    Raises:
        ValueError: There are to be several members from audio, where each would need a backbone.
    """
    count = training.members
    if count > 1 and repeat.data.tuning.from_audio:
        raise ValueError(f"members is {count}, expected 1 from audio (--tune.mode)")
    history: list[dict[str, float]] = []
    members: list[Learner] = []
    with track(f"seed {repeat.seed}", training.epochs * count) as bar:
        for number in range(count):
            before = list(history)

            def on_epoch(
                lines: list[dict[str, float]], before: list[dict[str, float]] = before
            ) -> None:
                done = len(history)
                whose = {"seed": repeat.seed, "member": len(members)} if count > 1 else {}
                history[:] = [*before, *({**line, **whose} for line in lines)]
                repeat.report(history)
                bar(len(history) - done, _reached(history[-1]))

            members.append(_fit_member(build, training, repeat, number, on_epoch))
    return FittedRecipe(members)


def _reached(line: dict[str, float]) -> str:
    """Scores of an epoch on development utterances, for the progress bar."""
    said = [f"dev UAR {100 * line['dev_uar']:.1f} %"] if "dev_uar" in line else []
    return ", ".join([*said, *([f"dev CCC {line['dev_ccc']:.2f}"] if "dev_ccc" in line else [])])


def _fit_member(
    build: Callable[[Task], Recipe],
    training: TrainingConfig,
    repeat: Repeat,
    number: int,
    on_epoch: Callable[[list[dict[str, float]]], None],
) -> Learner:
    """Train one network; the first member is the one that a seed with a single member trains."""
    data, parts = repeat.data, repeat.parts
    seed = repeat.seed if number == 0 else derive(repeat.seed, number)
    checkpoint = repeat.checkpoint
    if number:
        checkpoint = checkpoint.with_stem(f"{checkpoint.stem}-member{number}")
    torch.manual_seed(seed)
    recipe = build(Task(*data.shape, data.vocabulary, data.backbone.mix, data.prior))
    encoder = encoder_for(data.backbone, data.tuning, data.vocabulary, data.protocol)
    train(
        recipe,
        training,
        source=data.learned(parts),
        dev=data.seen.subset(parts.dev),
        # Where there is nothing to adapt to, the target may be sealed: its recordings stay closed.
        target=data.target.subset(parts.adapt) if recipe.sees_target and len(parts.adapt) else None,
        seed=seed,
        checkpoint=checkpoint,
        encoder=encoder,
        tuning=data.tuning,
        workers=data.workers,
        on_epoch=on_epoch,
    )
    return Learner(recipe, encoder)


def runner(build: Callable[[Any, Task], Recipe]) -> Callable[..., dict[str, Any]]:
    """A function that runs an experiment with the networks that ``build`` makes of a config and a task."""

    def run(experiment: Experiment, config: Any, backbone: Backbone) -> dict[str, Any]:
        def fit(repeat: Repeat) -> FittedRecipe:
            return fit_recipe(build_checked, config.training, repeat)

        def build_checked(task: Task) -> Recipe:
            recipe = build(config, task)
            check_declared(recipe, config)
            return recipe

        return run_experiment(experiment, config, fit, backbone, auxiliary=config.all_languages)

    run.__doc__ = build.__doc__
    return run


def network(config: type[Any], build: Callable[..., Recipe]) -> Method:
    """A recipe that is a network, as an entry point of the group ``cleser.recipes`` may name it.

    Args:
        config: The class of its settings, :class:`cleser.recipes.ERMConfig` or a class that extends it.
        build: Makes the network from settings and a :class:`cleser.training.recipe.Task`, as a class of recipes does.
    """
    return Method(config, runner(build), build)
