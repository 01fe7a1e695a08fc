"""ShEMO, Persian from radio plays (Mohamad Nezami et al. 2019): ``female/F21N05.wav``."""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

PATTERN = r"(?P<speaker>(?P<sex>[FM])\d\d)(?P<code>[AFHNSW])\d\d"
EMOTIONS = {
    "A": "anger",
    "F": "fear",
    "H": "happiness",
    "N": "neutral",
    "S": "sadness",
    "W": "surprise",
}


def read(argument: str) -> Listing:
    """Read ShEMO from its folder; names say speaker, sex and emotion."""
    names, problems = named("shemo", argument, PATTERN, "F21N05.wav")
    rows = names[["utterance", "path", "speaker"]].assign(
        language="fa",
        gender=names["sex"].map({"F": "female", "M": "male"}),
        emotion=names["code"].map(EMOTIONS),
    )
    return Listing(rows, problems)
