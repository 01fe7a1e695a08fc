"""CASIA, acted Mandarin (Institute of Automation, Chinese Academy of Sciences): ``wangzhe/neutral/239.wav``."""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

PATTERN = (
    r"(?P<speaker>[A-Za-z]+)/(?P<code>angry|fear|happy|neutral|sad|surprise)/(?P<sentence>\d+)"
)
EMOTIONS = {
    "angry": "anger",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
}


def read(argument: str) -> Listing:
    """Read CASIA from its folder; folders say speaker and emotion, the name says the sentence."""
    names, problems = named("casia", argument, PATTERN, "wangzhe/neutral/239.wav", above=2)
    rows = names[["utterance", "path", "speaker"]].assign(
        language="zh", emotion=names["code"].map(EMOTIONS)
    )
    return Listing(rows, problems)
