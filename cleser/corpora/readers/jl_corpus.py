"""JL-Corpus, acted New Zealand English (James et al. 2018): ``female1_angry_10a_1.wav``.

Of its secondary emotions *anxious* is ``anxiety``. The others have no name in a manifest: *apologetic, assertive,
concerned, encouraging* are ``other``. The column ``style`` says which.
"""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

PATTERN = r"(?P<speaker>(?P<sex>female|male)[12])_(?P<code>[a-z]+)_(?P<sentence>\d+[ab])_[12]"
EMOTIONS = {
    "angry": "anger",
    "sad": "sadness",
    "neutral": "neutral",
    "happy": "happiness",
    "excited": "excitement",
    "anxious": "anxiety",
}


def read(argument: str) -> Listing:
    """Read JL-Corpus from its folder; names say speaker, emotion and sentence."""
    names, problems = named("jl-corpus", argument, PATTERN, "female1_angry_10a_1.wav")
    rows = names[["utterance", "path", "speaker"]].assign(
        language="en",
        gender=names["sex"],
        emotion=names["code"].map(EMOTIONS).fillna("other"),
        style=names["code"],
    )
    return Listing(rows, problems)
