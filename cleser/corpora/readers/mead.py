"""MEAD, acted English at three intensities (Wang et al. 2020): ``M003/audio/angry/level_1/001.wav``.

The release has its sound as ``.m4a``, which libsndfile does not read. It is expected as ``.wav`` in the same folders,
as it is made by ``ffmpeg -i 001.m4a -ac 1 -ar 16000 001.wav``.
"""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

PATTERN = (
    r"(?P<speaker>(?P<sex>[MW])\d{3})/audio"
    r"/(?P<code>angry|contempt|disgusted|fear|happy|neutral|sad|surprised)/level_(?P<level>[123])/(?P<number>\d+)"
)
EXAMPLE = "M003/audio/angry/level_1/001.wav"
EMOTIONS = {
    "angry": "anger",
    "contempt": "contempt",
    "disgusted": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprised": "surprise",
}


def read(argument: str) -> Listing:
    """Read MEAD from the folder of its speakers; folders say speaker, emotion and intensity."""
    names, problems = named("mead", argument, PATTERN, EXAMPLE, above=4, released=".m4a")
    rows = names[["path", "speaker"]].assign(
        utterance=names[["speaker", "code", "level", "number"]].agg("_".join, axis=1),
        language="en",
        gender=names["sex"].map({"M": "male", "W": "female"}),
        emotion=names["code"].map(EMOTIONS),
        intensity=names["level"],
    )
    return Listing(rows, problems)
