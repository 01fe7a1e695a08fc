"""ASED, acted Amharic (Retta et al. 2023): ``05Angry/a5-02-01-01-33.wav``; the last number is the speaker's."""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

PATTERN = r"[A-Za-z](?P<code>[1-5])-(?P<sentence>\d\d)-\d\d-\d\d-(?P<speaker>\d\d)"
EMOTIONS = {"1": "neutral", "2": "fear", "3": "happiness", "4": "sadness", "5": "anger"}


def read(argument: str) -> Listing:
    """Read ASED from its folder; names say emotion, sentence and speaker."""
    names, problems = named("ased", argument, PATTERN, "a5-02-01-01-33.wav")
    rows = names[["utterance", "path", "speaker"]].assign(
        language="am", emotion=names["code"].map(EMOTIONS)
    )
    return Listing(rows, problems)
