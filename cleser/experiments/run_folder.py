"""The folder of a run: whether it holds the run that is asked for, and what is written there from begin to finish.

A run folder is complete when it contains ``results.json``. Until then, the same command continues from the last
finished epoch.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Final

import pandas as pd
from safetensors.torch import save_file
from torch import Tensor

from cleser.corpora.left_out import lost
from cleser.corpora.protocol import Cast, Protocol, Uses
from cleser.corpora.protocol.protocol import divided
from cleser.evaluation import Run, write_results
from cleser.evaluation.run_files import (
    CHECKPOINTS,
    CONFIG,
    DEVELOPMENT,
    EMBEDDINGS,
    HISTORY,
    PREDICTIONS,
    PROTOCOL,
    RESULTS,
    SELECTION,
    SOURCE,
)
from cleser.experiments.methods import METHODS
from cleser.files import replacing, write_text
from cleser.recipe_names import with_current_name
from cleser.settings import as_yaml, completed, differences, read_yaml
from cleser.speech.backbones.fine_tuning import FineTuning
from cleser.speech.backbones.open import located
from cleser.speech.backbones.spec import BackboneSpec
from cleser.training.dataset import Dataset
from cleser.training.processes import processes

FOLDS: Final = "folds"
"""Folder of the runs of a run's folds, each a run folder."""


class RunFolderError(ValueError):
    """A run folder that holds something else than this run."""


def holds_finished(out: Path, settings: dict[str, Any], *, chosen: Collection[str] = ()) -> bool:
    """Whether a folder already holds a run with these settings, finished; nothing is written.

    Args:
        out: The folder.
        settings: Settings of the run, as ``config.yaml`` holds them.
        chosen: Settings that may differ, as ``"config.penalty"``: the run chose them, or they are given anew.

    Raises:
        RunFolderError: The folder holds another run, or something that is no run.
    """
    path = out / CONFIG
    if path.exists():
        found, wanted = _completed(with_current_name(read_yaml(path))), _completed(settings)
        apart = differences(_spelt_as(found, wanted), wanted)
        if apart := [said for said in apart if not _begins(said, chosen)]:
            raise RunFolderError(
                f"{out} holds a run with other settings ({'; '.join(apart)}); choose another folder or remove it"
                + _of_more_seeds(apart, found.get("seeds"), settings["seeds"])
            )
        return (out / RESULTS).exists()
    if out.exists() and not (out.is_dir() and _others(out) <= {SELECTION}):
        raise RunFolderError(f"{out} is not empty and holds no run; choose another folder")
    return False


def check_corpora(out: Path, cast: Cast) -> None:
    """Refuse a folder whose run has begun with corpora that say something else now: it would mix the two.

    Args:
        out: The folder of a run that has begun; one that an earlier version began is taken as it is.
        cast: The utterances that would take part now.

    Raises:
        RunFolderError: Utterances, labels, texts or anything else in the corpora's tables have changed since.
    """
    begun = Run(out).protocol
    if begun.get("rows", cast.rows) == cast.rows:
        return
    now = cast.describe()["utterances"]
    counts = [
        f"{role} {then} utterances then and {now[role]} now"
        for role, then in begun["utterances"].items()
        if then != now[role]
    ]
    said = ", ".join(counts) or "as many utterances, but other labels, speakers, texts or times"
    raise RunFolderError(
        f"{out} holds a run that was begun before its corpora changed ({said}), and what it has learned is of what "
        "they said then: choose another folder or remove it"
    )


def _begins(said: str, names: Collection[str]) -> bool:
    """Whether a difference is in one of these settings, or in a part of it."""
    return any(said.startswith((f"{name} ", f"{name}.")) for name in names)


def _of_more_seeds(apart: list[str], there: Any, here: int) -> str:
    """What to add where nothing but more seeds is asked for: a finished run is not extended."""
    if len(apart) > 1 or not _begins(apart[0], ["seeds"]):
        return ""
    if not isinstance(there, int) or there >= here:
        return ""
    return f". In a new folder, the first {there} seeds give the same numbers again"


def _others(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _completed(settings: dict[str, Any]) -> dict[str, Any]:
    """A run's settings with what the version that wrote them did not know yet."""
    name = str(settings.get("recipe"))
    kinds: dict[str, type[Any]] = {"protocol": Protocol, "tuning": FineTuning}
    if name in METHODS:
        kinds["config"] = METHODS[name].config
    parts: dict[str, Any] = {
        k: completed(kind, settings[k])
        for k, kind in kinds.items()
        if isinstance(settings.get(k), dict)
    }
    prior = parts.get("protocol", {}).get("prior")
    if isinstance(prior, dict):  # which older versions kept as it was given
        parts["protocol"]["prior"] = divided(prior)
    if isinstance(settings.get("backbone"), str):  # older versions wrote a folder as it was given
        parts["backbone"] = located(settings["backbone"])
    return {**settings, **parts}


def _spelt_as(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Settings that were found, with each existing file or folder spelt as in those wanted, where it is the same."""
    same = {
        name: wanted[name]
        for name, placed in _PLACED.items()
        if name in found
        and name in wanted
        and _all_placed(found[name], placed) == _all_placed(wanted[name], placed)
    }
    there, here = found.get("protocol"), wanted.get("protocol")
    if isinstance(there, dict) and isinstance(here, dict):
        same["protocol"] = _spelt_as(there, here)
    return {**found, **same}


def _all_placed(value: Any, placed: Callable[[str], str]) -> Any:
    """A setting, or each of a list, with whole paths; what is no text, as somebody may have edited it, stays."""
    if isinstance(value, (list, tuple)):
        return [_all_placed(one, placed) for one in value]
    return placed(value) if isinstance(value, str) else value


def _placed_path(path: str) -> str:
    where = Path(path).expanduser()
    return str(where.resolve()) if where.exists() else path


def placed_corpus(spec: str) -> str:
    """A spec, as NAME:FOLDER or NAME:FILE?SETTINGS, with the whole path of what exists: one for all its spellings."""
    name, _, argument = spec.partition(":")
    if (whole := _placed_path(argument)) != argument:
        return f"{name}:{whole}"
    path, mark, settings = argument.rpartition("?")
    return f"{name}:{_placed_path(path)}{mark}{settings}" if mark else spec


def _placed_backbone(name: str) -> str:
    spec = BackboneSpec.parse(name)
    return name if spec.folder is None else str(spec.at(spec.folder.resolve()))


_PLACED: Final[dict[str, Callable[[str], str]]] = {
    "source": placed_corpus,
    "target": placed_corpus,
    "auxiliary": placed_corpus,
    "alignments": _placed_path,
    "backbone": _placed_backbone,
}


def begin(
    out: Path,
    settings: dict[str, Any],
    cast: Cast,
    notes: list[str],
    uses: Uses,
    settled: str = "",
) -> None:
    """Begin the run folder, once features are there: a run that fails on its inputs leaves none behind.

    Args:
        out: The folder.
        settings: Settings of the run, enough to run the same again.
        cast: The utterances that take part.
        notes: Sentences that a reader of the results has to know.
        uses: What the method uses of the target.
        settled: The normalisation that is used, also where the protocol says ``"auto"``; empty where each fold has its
            own.
    """
    if not processes().is_main_process:
        return
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / CONFIG, as_yaml(settings))
    described = {**cast.describe(uses), "notes": notes}
    if settled:
        described["settled_normalisation"] = settled
    write_text(out / PROTOCOL, json.dumps(described, indent=2) + "\n")


def withdraw(out: Path, *, trained: bool = False) -> None:
    """Remove a run folder in which nothing has been learned, after an error in what the run was asked to do.

    Args:
        out: The folder; whatever else it holds stays.
        trained: Remove what has been learned too, since it must not be used.
    """
    begun = {out / CONFIG, out / PROTOCOL}
    if trained:
        begun |= {out / CHECKPOINTS, out / HISTORY}
    if (out / FOLDS).is_dir() and not any((out / FOLDS).iterdir()):
        begun.add(out / FOLDS)
    if not processes().is_main_process or not out.is_dir():
        return
    found = set(out.iterdir())
    if found <= begun | {out / SELECTION}:
        for path in found & begun:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not found - begun:
            out.rmdir()


def write_history(out: Path, history: Sequence[dict[str, float]]) -> None:
    """Write a line of numbers for each epoch so far."""
    write_text(out / HISTORY, "".join(json.dumps(line) + "\n" for line in history))


def write_embeddings(out: Path, target: Tensor, source: Dataset, embedded: Tensor) -> None:
    """Write where the first seed puts target and source utterances, for the report's map."""
    found = {"embeddings": target.contiguous(), "source_embeddings": embedded.contiguous()}
    with replacing(out / EMBEDDINGS) as part:
        save_file(found, part)
    columns = ["utterance", "corpus", "language", "speaker", "emotion"]
    with replacing(out / SOURCE) as part:
        source.manifest[columns].to_parquet(part)


def finish(
    out: Path,
    predictions: pd.DataFrame,
    left_out: list[dict[str, str]],
    *,
    development: pd.DataFrame | None = None,
    temperatures: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Write predictions, then results: whoever finds results finds all that stands behind them.

    Args:
        out: The folder.
        predictions: Predictions of the tested utterances.
        left_out: Recordings that could not be used.
        development: Predictions of the source's development speakers, to which temperatures are fitted.
        temperatures: Temperatures that an earlier run has fitted, see :func:`cleser.evaluation.write_results`.
    """
    together = processes()
    if together.is_main_process:
        for name, rows in ((PREDICTIONS, predictions), (DEVELOPMENT, development)):
            if rows is not None:
                with replacing(out / name) as part:
                    rows.to_parquet(part)
        write_results(out, left_out=lost(left_out), temperatures=temperatures)
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    together.wait_for_everyone()
    return Run(out).results
