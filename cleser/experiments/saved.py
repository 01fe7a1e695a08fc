"""A finished run opened again, from its own folder or from an exported one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd
from torch import Tensor

from cleser.alignment import Alignment
from cleser.corpora.protocol import Protocol
from cleser.evaluation import Run
from cleser.evaluation.run_files import CONFIG, EXPORTED, MODEL, PROTOCOL
from cleser.experiments.declared import declared
from cleser.experiments.fitted import Fitted, multi_label
from cleser.experiments.methods import METHODS, Method, unknown_recipe
from cleser.experiments.model_file import of_seed, read_task, read_tensors
from cleser.experiments.neural import FittedRecipe, encoder_for, member_prefix
from cleser.experiments.one_sided import OneSidedness
from cleser.experiments.run_folder import FOLDS
from cleser.experiments.sentence_check import SentenceCheck, remove_target_content
from cleser.features.moments import Moments
from cleser.features.pooled import Record
from cleser.recipe_names import with_current_name
from cleser.settings import check_kind, read_yaml, restored
from cleser.speech.backbones import Backbone, load_backbone
from cleser.speech.backbones.fine_tuning import FineTuning
from cleser.speech.backbones.spec import BackboneSpec
from cleser.suggestions import did_you_mean
from cleser.training.audio import AudioEncoder
from cleser.training.dataset import Dataset
from cleser.training.from_manifest import load_dataset, record_for
from cleser.training.learner import Learner
from cleser.training.recipe import Task
from cleser.training.vocabulary import Vocabulary

BACKBONE_FOLDER: Final = "backbone"  # within an exported model, where the run's came from a folder

_EXPECTED: Final = "the folder of a run or of an exported model"
_SHOWN: Final = 5  # runs that a message lists
_NEEDED: Final = {"recipe": str, "backbone": str, "config": dict, "protocol": dict}


class SavedRun(NamedTuple):
    """What a finished run keeps.

    Attributes:
        settings: Its ``config.yaml``, the backbone's folder being where it lies now.
        config: The recipe's settings in it.
        protocol: The terms that it was trained on.
        networks: What each seed has fitted, networks in eval mode.
        backbone: What turns recordings into frames, as it was before training.
        tuning: Whether and how it was trained too.
        vocabulary: Names behind the integers.
        moments: Statistics of the source's features, for recordings that cannot bring their own.
        one_sided: What decides ``normalisation="auto"`` for a target; None where nothing has to.
        sentences: What decides whether sentences' means are taken off a target; None where none are.
        tokens: Whether its batches hold tokens.
        settled: The normalisation that its test had, of ``"auto"`` what that came to; empty where nobody wrote it down.
    """

    settings: dict[str, Any]
    config: Any
    protocol: Protocol
    networks: list[Fitted]
    backbone: Backbone
    tuning: FineTuning
    vocabulary: Vocabulary
    moments: Moments
    one_sided: OneSidedness | None
    tokens: bool
    sentences: SentenceCheck | None
    settled: str = ""

    @property
    def recognises_several(self) -> bool:
        """Whether the networks recognise several emotions of an utterance at once."""
        return multi_label(self.networks[0]) is not None

    def record(self, protocol: Protocol, phones: Sequence[Alignment | None]) -> Record:
        """What the store has to keep of utterances that are recognised."""
        known = any(phone is not None for phone in phones)
        needed = self.tokens or self.tuning.from_audio
        return record_for(protocol, tokens=needed, phones=known)

    def dataset(
        self,
        rows: pd.DataFrame,
        protocol: Protocol,
        phones: Sequence[Alignment | None],
        *,
        title: str,
        together: bool = True,
    ) -> Dataset:
        """Utterances to recognise, prepared as a protocol says and as the run's own test was.

        Args:
            rows: Their manifest.
            protocol: The terms.
            phones: When each one's phones sound, where that is known.
            title: What the progress bar says.
            together: Whether one may tell something about another: the means of repeated sentences are then subtracted,
                if the run did so.
        """
        dataset, _ = load_dataset(
            rows, protocol, self.vocabulary, self.backbone,
            title=title, alignments=phones, reference=self.moments,
            record=self.record(protocol, phones), tokens=self.tokens, from_audio=self.tuning.from_audio,
        )  # fmt: skip
        if together and protocol.removes_content and self.sentences is not None:
            dataset, _ = remove_target_content(dataset, self.sentences, self.backbone)
        return dataset


def no_folder(folder: Path) -> str:
    """What to say of a folder that is not there: which runs lie where it was looked for, and the likeliest of them."""
    beside = folder.parent.iterdir() if folder.parent.is_dir() else ()
    runs = sorted(p.name for p in beside if any((p / name).exists() for name in (CONFIG, EXPORTED)))
    said = f"{folder}: there is no such folder"
    if near := did_you_mean(folder.name, runs):
        return said + near
    rest = " …" * (len(runs) > _SHOWN)
    return (
        f"{said}; {folder.parent} holds the runs {', '.join(runs[:_SHOWN])}{rest}" if runs else said
    )


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings of a run (``config.yaml``) or of an exported model (``config.json``).

    Raises:
        ValueError: There is no such folder, or it holds neither, or one that lacks some of them.
    """
    if not folder.exists():
        raise ValueError(no_folder(folder))
    path = next((folder / n for n in (CONFIG, EXPORTED) if (folder / n).exists()), None)
    if path is None:
        raise ValueError(f"{folder}: found neither {CONFIG} nor {EXPORTED}, expected {_EXPECTED}")
    settings = read_yaml(path)  # reads JSON too
    missing = [name for name in _NEEDED if name not in settings]
    if missing and "model_type" in settings:
        raise ValueError(
            f"{folder} holds a model of transformers ({settings['model_type']}), expected {_EXPECTED}; to learn with "
            f"it: cleser run RECIPE --backbone {folder}"
        )
    if missing:
        raise ValueError(
            f"{path} lacks {missing}, expected all settings of a run: if it is cut off, copy or fetch the folder anew"
        )
    for name, kind in _NEEDED.items():
        check_kind(settings[name], kind, f"{path}: {name}")
    return with_current_name(settings)


def open_run(folder: Path) -> SavedRun:
    """What every seed of a finished run has fitted, with what it takes to use it.

    Raises:
        ValueError: The folder holds no finished run.
    """
    settings = _with_own_backbone(read_settings(folder), folder)
    name = settings["recipe"]
    if name not in METHODS:
        raise ValueError(f"{folder}: {unknown_recipe(name, settings.get('package'))}")
    method = METHODS[name]
    task, tensors = _read_model(folder)
    vocabulary = Vocabulary(**{name: tuple(names) for name, names in task["vocabulary"].items()})
    config = restored(method.config, settings["config"], f"{folder}: config")
    protocol = restored(Protocol, settings["protocol"], f"{folder}: protocol")
    tuning = restored(FineTuning, settings.get("tuning", {}), f"{folder}: tuning")
    backbone = load_backbone(settings["backbone"])

    def new_encoder() -> AudioEncoder | None:
        return encoder_for(backbone, tuning, vocabulary, protocol)

    networks: list[Fitted] = []
    while seed := _below(tensors, of_seed(len(networks))):
        networks.append(_restored_seed(method, config, seed, task, vocabulary, new_encoder))
    one_sided, sentences = _below(tensors, "one_sided."), _below(tensors, "sentences.")
    return SavedRun(
        settings=settings,
        config=config,
        protocol=protocol,
        networks=networks,
        backbone=backbone,
        tuning=tuning,
        vocabulary=vocabulary,
        moments=Moments(**_below(tensors, "reference.")),
        one_sided=OneSidedness.restore(one_sided) if one_sided else None,
        tokens=declared(config).uses_tokens,
        sentences=SentenceCheck.restore(sentences) if sentences else None,
        settled=_settled(folder, protocol),
    )


def _restored_seed(
    method: Method,
    config: Any,
    tensors: dict[str, Tensor],
    task: dict[str, Any],
    vocabulary: Vocabulary,
    new_encoder: Callable[[], AudioEncoder | None],
) -> Fitted:
    """What one seed has fitted, from its tensors.

    Args:
        method: The recipe.
        config: Its settings.
        tensors: The seed's tensors by name.
        task: What its networks, if it has any, were built for, as :func:`read_task` gives it.
        vocabulary: Names behind the integers.
        new_encoder: Makes the encoder of a network that learned from audio, and None where it did not.
    """
    if method.restore is not None:
        return method.restore(config, tensors, len(vocabulary.emotions))
    assert method.build is not None  # a method is a network or is restored
    built_for = Task(
        task["layers"], task["channels"], vocabulary, task["mix"], tuple(task["prior"])
    )
    members = []
    for number in range(config.training.members):
        learner = Learner(method.build(config, built_for), new_encoder())
        learner.load_weights(_of_member(tensors, number, config.training.members))
        members.append(learner.eval())
    return FittedRecipe(members)


def _settled(folder: Path, protocol: Protocol) -> str:
    """The normalisation of the run's test; an exported model does not know what "auto" came to."""
    path = folder / PROTOCOL
    if protocol.normalisation != "auto":
        return protocol.normalisation
    return str(Run(folder).protocol.get("settled_normalisation", "")) if path.exists() else ""


def _with_own_backbone(settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    """An exported model may bring its backbone along."""
    spec = BackboneSpec.parse(settings["backbone"])
    if spec.source != BACKBONE_FOLDER or not (folder / BACKBONE_FOLDER).is_dir():
        return settings
    return {**settings, "backbone": str(spec.at(folder / BACKBONE_FOLDER))}


def _of_member(tensors: dict[str, Tensor], number: int, members: int) -> dict[str, Tensor]:
    return _below(tensors, member_prefix(number)) if members > 1 else tensors


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _read_model(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    path = folder / MODEL
    folds = sorted(p.name for p in (folder / FOLDS).iterdir()) if (folder / FOLDS).is_dir() else []
    if not path.exists() and folds:
        raise ValueError(
            f"{folder} holds {len(folds)} folds, each with networks of its own: name one of them, as "
            f"{folder / FOLDS / folds[0]}"
        )
    if not path.exists():
        raise ValueError(f"{folder}: found no {MODEL}, expected the folder of a finished run")
    return read_task(path), read_tensors(path)
