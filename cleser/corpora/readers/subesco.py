"""SUBESCO, acted Bangla (Sultana et al. 2021): ``F_10_FAHMEE_S_6_FEAR_5.wav``."""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

PATTERN = (
    r"(?P<speaker>(?P<sex>[FM])_\d+)_[A-Z]+_S_(?P<sentence>\d+)"
    r"_(?P<code>ANGRY|DISGUST|FEAR|HAPPY|NEUTRAL|SAD|SURPRISE)_\d\]?"
)
EMOTIONS = {
    "ANGRY": "anger",
    "DISGUST": "disgust",
    "FEAR": "fear",
    "HAPPY": "happiness",
    "NEUTRAL": "neutral",
    "SAD": "sadness",
    "SURPRISE": "surprise",
}


def read(argument: str) -> Listing:
    """Read SUBESCO from its folder; names say speaker, sentence and emotion (one ends in a stray bracket)."""
    names, problems = named("subesco", argument, PATTERN, "F_10_FAHMEE_S_6_FEAR_5.wav")
    rows = names[["utterance", "path", "speaker"]].assign(
        language="bn",
        gender=names["sex"].map({"F": "female", "M": "male"}),
        emotion=names["code"].map(EMOTIONS),
    )
    return Listing(rows, problems)
