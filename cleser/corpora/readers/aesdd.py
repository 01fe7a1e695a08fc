"""AESDD, acted Greek (Vryzas et al. 2018): ``anger/a03 (3).wav``; the number in brackets is the speaker's."""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

PATTERN = r"(?P<code>[adfhs])(?P<sentence>\d\d) ?\(0?(?P<speaker>\d)\)[a-z]?"
EMOTIONS = {"a": "anger", "d": "disgust", "f": "fear", "h": "happiness", "s": "sadness"}


def read(argument: str) -> Listing:
    """Read AESDD from its folder; names say emotion, sentence and speaker."""
    names, problems = named("aesdd", argument, PATTERN, "a03 (3).wav")
    rows = names[["utterance", "path", "speaker"]].assign(
        language="el", emotion=names["code"].map(EMOTIONS)
    )
    return Listing(rows, problems)
