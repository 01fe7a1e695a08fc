"""MSP-IMPROV, English of twelve actors (Busso et al. 2017).

Expected: ``Evaluation.txt`` (older copies spell it ``Evalution.txt``) and
``session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav``.

Attributes are read on a scale from 1 to 5. ``Evaluation.txt`` does not say which it is; tables of its labels that
others have published reach from 1 to 5 in arousal and valence.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from cleser.corpora.attributes import ATTRIBUTES
from cleser.corpora.folders import attach, existing, recordings, wrong_folder
from cleser.corpora.manifest import Listing
from cleser.corpora.tables import read_text

TABLES = ("Evaluation.txt", "Evalution.txt")
NUMBER = r"\s*(\d+(?:\.\d+)?|NaN)\s*;"
LABEL = re.compile(
    rf"UTD-(IMPROV-S\d\d[A-Z]-[FM]\d\d-[A-Z]-[A-Z]{{2}}\d\d)\.avi;\s*([A-Z]);\s*A:{NUMBER}\s*V:{NUMBER}\s*D:{NUMBER}"
)
# X, which is no key here, stands for raters who did not agree.
EMOTIONS = {"A": "anger", "H": "happiness", "N": "neutral", "O": "other", "S": "sadness"}


def read(argument: str) -> Listing:
    """Read MSP-IMPROV from the folder with ``Evaluation.txt``; turns without agreement have no emotion."""
    root = existing("msp-improv", argument, TABLES[0])
    source = _table(root)
    if source is None:
        raise wrong_folder("msp-improv", root, TABLES[0], lambda folder: _table(folder) is not None)
    found = [match.groups() for match in LABEL.finditer(read_text(source))]
    rows = pd.DataFrame(found, columns=["name", "code", "arousal", "valence", "dominance"])
    speaker = rows["name"].str.split("-").str[2]
    rows = pd.DataFrame(
        {
            "utterance": "MSP-" + rows["name"],
            "language": "en",
            "speaker": speaker,
            "gender": speaker.str[0].map({"F": "female", "M": "male"}),
            "emotion": rows["code"].map(EMOTIONS),
            **{name: rows[name] for name in ATTRIBUTES},
        }
    )
    heard, unlisted = recordings(root)
    listing = attach(rows, heard.rename(columns={"stem": "utterance"}), source, scale="1..5")
    return Listing(listing.rows, [*unlisted, *listing.problems])


def _table(root: Path) -> Path | None:
    return next((root / name for name in TABLES if (root / name).is_file()), None)
