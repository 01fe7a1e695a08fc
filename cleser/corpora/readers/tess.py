"""TESS, acted English of two women of Toronto (Pichora-Fuller & Dupuis 2020): ``OAF_back_angry.wav``."""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

# One file of the release says OA for OAF.
PATTERN = r"(?P<speaker>OA|YA)F?_(?P<word>[a-z]+)_(?P<code>angry|disgust|fear|happy|neutral|ps|sad)"
EMOTIONS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "ps": "surprise",  # pleasant surprise
    "sad": "sadness",
}


def read(argument: str) -> Listing:
    """Read TESS from its folder; names say speaker, word and emotion."""
    names, problems = named("tess", argument, PATTERN, "OAF_back_angry.wav")
    rows = names[["utterance", "path"]].assign(
        speaker=names["speaker"] + "F",
        language="en",
        gender="female",
        emotion=names["code"].map(EMOTIONS),
        text="Say the word " + names["word"] + ".",
    )
    return Listing(rows, problems)
