"""nEMO, acted Polish (Christop 2024): ``data.tsv`` and ``samples/{speaker}_{emotion}_{sentence}.wav``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cleser.corpora.folders import attach, existing, recordings, wrong_folder
from cleser.corpora.manifest import Listing
from cleser.corpora.tables import read_table

TABLE = "data.tsv"
COLUMNS = ("file_id", "emotion", "raw_text", "speaker_id", "gender")


def read(argument: str) -> Listing:
    """Read nEMO from the folder with ``data.tsv`` and ``samples``."""
    root = existing("nemo", argument, TABLE)
    source = root / TABLE
    if not source.is_file():
        looked_for = f"{TABLE} and samples/"
        raise wrong_folder("nemo", root, looked_for, lambda folder: (folder / TABLE).is_file())
    table = read_table(source, *COLUMNS)
    rows = pd.DataFrame(
        {
            "utterance": table["file_id"].map(lambda name: Path(name).stem),
            "language": "pl",
            "speaker": table["speaker_id"],
            "gender": table["gender"].str.lower(),
            "emotion": table["emotion"].replace("surprised", "surprise"),
            "text": table["raw_text"],
        }
    )
    found, unlisted = recordings(root)
    listing = attach(rows, found.rename(columns={"stem": "utterance"}), source)
    return Listing(listing.rows, [*unlisted, *listing.problems])
