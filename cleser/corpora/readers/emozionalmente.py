"""Emozionalmente, acted Italian by 431 amateurs (Catania et al. 2025): ``metadata/samples.csv`` and ``audio/NAME.wav``.

The emotion is the one that the actor was to express, not what raters recognised.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cleser.corpora.folders import attach, existing, recordings, wrong_folder
from cleser.corpora.manifest import Gap, Listing
from cleser.corpora.tables import read_table
from cleser.corpora.terms import to_emotions, to_genders

SAMPLES, USERS = "samples.csv", "users.csv"
COLUMNS = ("file_name", "actor", "sentence", "emotion_expressed")


def read(argument: str) -> Listing:
    """Read Emozionalmente from the folder with ``metadata`` and ``audio``."""
    looked_for = f"metadata/{SAMPLES}"
    root = existing("emozionalmente", argument, looked_for)
    source = root / "metadata" / SAMPLES
    if not source.is_file():
        raise wrong_folder(
            "emozionalmente",
            root,
            looked_for,
            lambda folder: (folder / "metadata" / SAMPLES).is_file(),
        )
    table = read_table(source, *COLUMNS)
    genders, unknown = _genders(source.with_name(USERS))
    rows = pd.DataFrame(
        {
            "utterance": table["file_name"].map(lambda name: Path(name).stem),
            "language": "it",
            "speaker": table["actor"],
            "gender": to_genders(table["actor"].map(genders)),
            "emotion": to_emotions(table["emotion_expressed"]),
            "text": table["sentence"],
        }
    )
    found, unlisted = recordings(root)
    listing = attach(rows, found.rename(columns={"stem": "utterance"}), source)
    return Listing(listing.rows, [*unlisted, *unknown, *listing.problems])


def _genders(users: Path) -> tuple[dict[str, str], list[Gap]]:
    if not users.is_file():
        return {}, [Gap(str(users), "is missing: the genders are unknown")]
    table = read_table(users, "username", "gender")
    return dict(zip(table["username"], table["gender"], strict=True)), []
