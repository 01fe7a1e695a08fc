"""RAVDESS, acted North American English (Livingstone & Russo 2018): ``Actor_01/03-01-05-01-01-01-01.wav``."""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing, Problem

PATTERN = (
    r"(?P<modality>0[1-3])-(?P<channel>0[12])-(?P<code>0[1-8])-(?P<strength>0[12])"
    r"-(?P<statement>0[12])-0[12]-(?P<speaker>\d\d)"
)
EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
TEXTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
SONG = "02"


def read(argument: str) -> Listing:
    """Read RAVDESS from its folder; file names say all, and songs are left out as problems."""
    names, problems = named("ravdess", argument, PATTERN, "03-01-05-01-01-01-01.wav")
    sung = names["channel"] == SONG
    songs = [Problem(path, "is sung, expected speech") for path in names.loc[sung, "path"]]
    names = names[~sung]
    odd = names["speaker"].astype(int) % 2 == 1
    rows = names[["utterance", "path", "speaker"]].assign(
        language="en",
        gender=odd.map({True: "male", False: "female"}),
        emotion=names["code"].map(EMOTIONS),
        text=names["statement"].map(TEXTS),
        intensity=names["strength"].map({"01": "normal", "02": "strong"}),
    )
    return Listing(rows, [*problems, *songs])
