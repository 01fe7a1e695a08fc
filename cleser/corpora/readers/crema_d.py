"""CREMA-D, acted American English (Cao et al. 2014): ``AudioWAV/1001_DFA_ANG_XX.wav``."""

from __future__ import annotations

from pathlib import Path

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing
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
    """Read CREMA-D from its folder; ``VideoDemographics.csv`` in it or above gives the actors' sex."""
    names, problems = named("crema-d", argument, PATTERN, "1001_DFA_ANG_XX.wav")
    rows = names[["utterance", "path", "speaker"]].assign(
        language="en",
        gender=names["speaker"].map(_sexes(Path(argument).expanduser())),
        emotion=names["code"].map(EMOTIONS),
        text=names["sentence"].map(TEXTS),
        intensity=names["level"].map({"LO": "low", "MD": "medium", "HI": "high"}),
    )
    return Listing(rows, problems)


def _sexes(root: Path) -> dict[str, str]:
    """Sex of each actor, as far as the table lies beside the recordings."""
    for folder in (root, root.absolute().parent):
        path = folder / DEMOGRAPHICS
        if path.is_file():
            table = read_table(path, "ActorID", "Sex")
            return dict(zip(table["ActorID"], table["Sex"].str.lower(), strict=True))
    return {}
