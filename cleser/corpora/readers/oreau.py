"""Oréau, acted French (Kerkeni et al. 2020): ``f/sessj/10a02Ja.wav``; the first number is the speaker's."""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

PATTERN = r"(?P<speaker>\d\d)(?P<sentence>[a-z]\d\d)(?P<code>[CDJNPST])[a-z]*"
EMOTIONS = {
    "C": "anger",
    "D": "disgust",
    "J": "happiness",
    "N": "neutral",
    "P": "fear",
    "S": "surprise",
    "T": "sadness",
}


def read(argument: str) -> Listing:
    """Read Oréau from its folder; names say speaker, sentence and emotion."""
    names, problems = named("oreau", argument, PATTERN, "10a02Ja.wav")
    rows = names[["utterance", "path", "speaker"]].assign(
        language="fr", emotion=names["code"].map(EMOTIONS)
    )
    return Listing(rows, problems)
