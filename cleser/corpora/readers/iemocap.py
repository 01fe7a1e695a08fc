"""IEMOCAP, English dialogues of ten actors (Busso et al. 2008).

Expected, for each session: ``Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav``, its label in
``Session1/dialog/EmoEvaluation/Ses01F_impro01.txt``, and its text in ``Session1/dialog/transcriptions``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from cleser.corpora.folders import attach, existing, recordings, wrong_folder
from cleser.corpora.manifest import Gap, Listing
from cleser.corpora.tables import read_text

NAME = r"Ses0[1-5][FM]_(?:impro|script)\w*_[FM](?:[A-Z]{2})?\d+"
LABEL = re.compile(rf"\[[\d.]+ - [\d.]+\]\s+({NAME})\s+([a-z]{{3}})\s+\[([^\]]*)\]")
TEXT = re.compile(rf"({NAME})\s+\[[^\]]*\]:\s*(.*)")
# xxx, which is no key here, stands for raters who did not agree.
EMOTIONS = {
    "ang": "anger",
    "hap": "happiness",
    "exc": "excitement",
    "sad": "sadness",
    "fru": "frustration",
    "fea": "fear",
    "sur": "surprise",
    "dis": "disgust",
    "neu": "neutral",
    "oth": "other",
}
ATTRIBUTES = ("valence", "arousal", "dominance")  # each from 1 to 5


def read(argument: str) -> Listing:
    """Read IEMOCAP from the folder with ``Session1`` to ``Session5``; turns without agreement have no emotion."""
    root = existing("iemocap", argument, "Session1/dialog/EmoEvaluation")
    tables = _files(root, "EmoEvaluation")
    if not tables:
        looked_for = "Session1/dialog/EmoEvaluation/*.txt"
        raise wrong_folder(
            "iemocap", root, looked_for, lambda folder: bool(_files(folder, "EmoEvaluation"))
        )
    rows = pd.DataFrame(
        [match.groups() for path in tables for match in LABEL.finditer(read_text(path))],
        columns=["utterance", "code", "values"],
    )
    texts = {
        match[1]: match[2].strip()
        for path in _files(root, "transcriptions")
        for match in TEXT.finditer(read_text(path))
    }
    values = rows["values"].str.split(",", expand=True)
    sex = rows["utterance"].str.extract(r"_([FM])[A-Z0-9]*$")[0]
    rows = rows[["utterance"]].assign(
        language="en",
        speaker=rows["utterance"].str.slice(0, 5) + sex,
        gender=sex.map({"F": "female", "M": "male"}),
        emotion=rows["code"].map(EMOTIONS),
        text=rows["utterance"].map(texts),
        **{name: values.get(place) for place, name in enumerate(ATTRIBUTES)},
    )
    found, unlisted = recordings(root)
    turns = found["stem"].str.fullmatch(NAME)  # dialog/wav holds whole dialogues beside
    heard = found[turns].rename(columns={"stem": "utterance"})
    listing = attach(rows, heard, tables[0].parent, scale="1..5")
    gaps = _without_texts(root, tables)
    return Listing(listing.rows, [*unlisted, *gaps, *listing.problems])


def _without_texts(root: Path, tables: list[Path]) -> list[Gap]:
    """Sessions that have labels and no transcriptions."""
    told = {path.parent for path in _files(root, "transcriptions")}
    folders = {path.parents[1] / "transcriptions" for path in tables}
    return [Gap(str(f), "holds no .txt: the texts are unknown") for f in sorted(folders - told)]


def _files(root: Path, kind: str) -> list[Path]:
    return sorted(
        path for path in root.glob(f"Session*/dialog/{kind}/*.txt") if path.name[0] not in "._"
    )
