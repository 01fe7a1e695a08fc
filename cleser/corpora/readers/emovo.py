"""EMOVO, acted Italian (Costantini et al. 2014): ``f2/gio-f2-b2.wav``."""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

PATTERN = (
    r"(?P<code>dis|gio|neu|pau|rab|sor|tri)-(?P<speaker>(?P<sex>[fm])[1-3])-(?P<sentence>[a-z0-9]+)"
)
EMOTIONS = {
    "dis": "disgust",
    "gio": "happiness",
    "neu": "neutral",
    "pau": "fear",
    "rab": "anger",
    "sor": "surprise",
    "tri": "sadness",
}


def read(argument: str) -> Listing:
    """Read EMOVO from its folder; names say emotion, speaker and sentence."""
    names, problems = named("emovo", argument, PATTERN, "gio-f2-b2.wav")
    rows = names[["utterance", "path", "speaker"]].assign(
        language="it",
        gender=names["sex"].map({"f": "female", "m": "male"}),
        emotion=names["code"].map(EMOTIONS),
    )
    return Listing(rows, problems)
