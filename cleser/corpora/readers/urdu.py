"""URDU, clips from Urdu talk shows (Latif et al. 2018): ``Angry/SM1_F10_A010.wav``."""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

PATTERN = r"(?P<speaker>S(?P<sex>[MF])\d+)_F\d+_(?P<code>[AHNS])\d+"
EMOTIONS = {"A": "anger", "H": "happiness", "N": "neutral", "S": "sadness"}


def read(argument: str) -> Listing:
    """Read URDU from its folder; file names say speaker, sex and emotion."""
    names, problems = named("urdu", argument, PATTERN, "SM1_F10_A010.wav")
    rows = names[["utterance", "path", "speaker"]].assign(
        language="ur",
        gender=names["sex"].map({"M": "male", "F": "female"}),
        emotion=names["code"].map(EMOTIONS),
    )
    return Listing(rows, problems)
