"""Emotions of single recordings, by the networks of a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from cleser.corpora.manifest import COLUMNS
from cleser.corpora.protocol import Protocol
from cleser.recipes.experiment import loader
from cleser.recipes.saved import SavedRun, open_run


class Recogniser:
    """Labels recordings with emotions and probabilities, the mean over the run's seeds.

    Corpora are standardised by their speakers' own statistics where a protocol says so; a recording that
    comes alone has none. It is measured by those of the source instead: by the mean of the source's speakers
    and the spread within them. Recordings known to be of one speaker (a dozen or more) may be standardised
    together, which is closer to what the networks were trained on.

    Args:
        run: A finished run, see :func:`load_model`.

    Attributes:
        labels: The emotions, in the order of the networks' outputs.
    """

    def __init__(self, run: SavedRun) -> None:
        self.run = run
        self.labels = run.protocol.labels

    def predict(
        self, paths: Sequence[str | Path], *, together: bool = False, title: str = "recordings"
    ) -> pd.DataFrame:
        """Recognise recordings.

        Args:
            paths: Audio files.
            together: Standardise them by their own statistics, as of one speaker.
            title: What the progress bar says.

        Returns:
            One row a readable file: ``path, emotion`` and a probability ``p_<emotion>`` of each. The others
            stand in ``attrs["problems"]``, each with its reason.

        Raises:
            ValueError: There is no file, none can be used, or a single one has nothing to be together with.
        """
        if not paths:
            raise ValueError("there are no recordings, expected at least one")
        if together and len(paths) < 2:
            raise ValueError("found one recording, expected two or more to standardise together")
        manifest = _manifest([str(path) for path in paths])
        dataset, _ = loader(self.run.tuning)(
            manifest,
            _terms(self.run.protocol, together=together),
            self.run.vocabulary,
            self.run.backbone,
            title=title,
            reference=self.run.moments,
        )
        shares = torch.stack([network.predict(dataset)[0] for network in self.run.networks]).mean(0)
        table = pd.DataFrame(
            {
                "path": dataset.manifest["path"],
                "emotion": [self.labels[i] for i in shares.argmax(-1).tolist()],
                **{f"p_{name}": shares[:, k].tolist() for k, name in enumerate(self.labels)},
            }
        )
        table.attrs["problems"] = dataset.left_out
        return table


def load_model(folder: str | Path) -> Recogniser:
    """Open a finished run, or what ``cleser export`` made of it.

    Args:
        folder: The run's folder or the exported one.

    Raises:
        ValueError: The folder holds no finished run.
    """
    return Recogniser(open_run(Path(folder)))


def _manifest(paths: list[str]) -> pd.DataFrame:
    """The recordings as utterances of which nothing is known; they are numbered, since files may recur."""
    rows = pd.DataFrame({name: pd.Series([None] * len(paths), dtype="str") for name in COLUMNS})
    return rows.assign(
        utterance=[str(i) for i in range(len(paths))],
        path=paths,
        start=0.0,
        end=float("nan"),
        corpus="recordings",
    )


def _terms(trained: Protocol, *, together: bool) -> Protocol:
    """The protocol's way to standardise, as far as recordings that nobody knows can follow it."""
    if trained.normalisation == "utterance":
        return trained
    return replace(
        trained, normalisation="corpus", target_access="audio" if together else "nothing"
    )
