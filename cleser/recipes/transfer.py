"""A finished run tried on further corpora, under the terms that it was trained on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from cleser.corpora.protocol import Protocol
from cleser.recipes import METHODS
from cleser.recipes.data import load_dataset, phones_of
from cleser.recipes.experiment import Experiment, admit, finish, predictions_of
from cleser.recipes.neural import open_recipes
from cleser.recipes.settings import from_plain
from cleser.speech.backbones import load_backbone


def evaluate(
    run: Path,
    on: tuple[str, ...],
    *,
    renamed: dict[str, str] | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Recognise other corpora with every seed's network of a finished run.

    Args:
        run: The run folder.
        on: Specs of the corpora.
        renamed: Further emotions to rename, as ``{"calm": "neutral"}``.
        out: Folder for the results; by default ``on-<corpora>`` within the run.

    Returns:
        What ``results.json`` holds.

    Raises:
        ValueError: The folder holds no finished neural run.
        LeakageError: The corpora overlap with what the run has learned from.
    """
    path = run / "config.yaml"
    if not path.exists():
        raise ValueError(f"{run}: found no config.yaml, expected the folder of a run")
    settings = yaml.safe_load(path.read_text())
    method = METHODS[settings["recipe"]]
    if method.build is None:
        raise ValueError(
            f"a {settings['recipe']} run keeps no model; run it again with the new target"
        )
    config = from_plain(method.config, settings["config"])
    fitted, vocabulary, moments = open_recipes(run, lambda task: method.build(config, task))  # type: ignore[misc]

    trained = from_plain(Protocol, settings["protocol"])
    # What was an oracle for its own target sees no label of another.
    access = "audio" if trained.target_access == "labels" else trained.target_access
    protocol = replace(
        trained, target=on, map={**trained.map, **(renamed or {})}, target_access=access
    )
    names = "+".join(spec.split(":", 1)[0] for spec in on)
    experiment = Experiment(
        settings["recipe"], settings["config"], protocol, len(fitted), out or run / f"on-{names}",
        settings["backbone"],
    )  # fmt: skip
    experiment.finished(overwrite=True)
    cast = admit(experiment)
    dataset, _ = load_dataset(
        cast.target, protocol, vocabulary, load_backbone(settings["backbone"]),
        title=names, alignments=phones_of(cast.target), reference=moments,
    )  # fmt: skip
    rows = []
    for seed, network in enumerate(fitted):
        test = dataset.subset(cast.parts(seed).test)
        rows.append(predictions_of(test, network.predict(test)[0], protocol.labels, seed))
    left_out = [*cast.left_out, *dataset.left_out]
    return finish(experiment, pd.concat(rows, ignore_index=True), left_out)
