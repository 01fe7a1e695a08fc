"""SAVEE, acted British English of four men (Haq & Jackson 2009): ``DC/a01.wav``, or ``DC_a01.wav``."""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

PATTERN = r"(?:.*/)?(?P<speaker>DC|JE|JK|KL)[/_](?P<code>sa|su|[adfhn])(?P<sentence>\d\d)"
EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}


def read(argument: str) -> Listing:
    """Read SAVEE from its folder; folder or name say the speaker, the name says emotion and sentence."""
    names, problems = named("savee", argument, PATTERN, "DC/a01.wav", above=1)
    rows = names[["path", "speaker"]].assign(
        utterance=names["speaker"] + "_" + names["code"] + names["sentence"],
        language="en",
        gender="male",
        emotion=names["code"].map(EMOTIONS),
    )
    return Listing(rows, problems)
