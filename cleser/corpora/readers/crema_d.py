"""CREMA-D, acted American English (Cao et al. 2014): ``AudioWAV/1001_DFA_ANG_XX.wav``."""

from __future__ import annotations

import os
from pathlib import Path

from cleser.corpora.folders import named
from cleser.corpora.manifest import Gap, Listing
from cleser.corpora.tables import read_table

# One file of the release ends in a single X.
PATTERN = (
    r"(?P<speaker>\d{4})_(?P<sentence>[A-Z]{3})_(?P<code>ANG|DIS|FEA|HAP|NEU|SAD)"
    r"_(?P<level>LO|MD|HI|XX?)"
)
EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
TEXTS = {
    "DFA": "Don't forget a jacket.",
    "IEO": "It's eleven o'clock.",
    "IOM": "I'm on my way to the meeting.",
    "ITH": "I think I have a doctor's appointment.",
    "ITS": "I think I've seen this before.",
    "IWL": "I would like a new alarm clock.",
    "IWW": "I wonder what this is about.",
    "MTI": "Maybe tomorrow it will be cold.",
    "TAI": "The airplane is almost full.",
    "TIE": "That is exactly what happened.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
DEMOGRAPHICS = "VideoDemographics.csv"


def read(argument: str) -> Listing:
    """Read CREMA-D from its folder; ``VideoDemographics.csv`` beside or above the recordings gives the actors' sex."""
    names, problems = named("crema-d", argument, PATTERN, "1001_DFA_ANG_XX.wav")
    root = Path(argument).expanduser().absolute()
    sexes, unknown = _sexes(root, names["path"].tolist())
    rows = names[["utterance", "path", "speaker"]].assign(
        language="en",
        gender=names["speaker"].map(sexes),
        emotion=names["code"].map(EMOTIONS),
        text=names["sentence"].map(TEXTS),
        intensity=names["level"].map({"LO": "low", "MD": "medium", "HI": "high"}),
    )
    return Listing(rows, [*problems, *unknown])


def _sexes(root: Path, paths: list[str]) -> tuple[dict[str, str], list[Gap]]:
    """Sex of each actor, if the table lies in the folder that was named, in that of the recordings, or above one."""
    # A folder above the usual one may be named: the table is beside AudioWAV, wherever that is.
    common = Path(os.path.commonpath([Path(path).parent for path in paths])) if paths else root
    for folder in (root, root.parent, common, common.parent):
        path = folder / DEMOGRAPHICS
        if path.is_file():
            table = read_table(path, "ActorID", "Sex")
            return dict(zip(table["ActorID"], table["Sex"].str.lower(), strict=True)), []
    reason = "is missing here, and above, and beside the recordings: the genders are unknown"
    return {}, [Gap(str(root / DEMOGRAPHICS), reason)]
