"""MESD, acted Mexican Spanish words (Duville et al. 2021): ``Anger_F_A_tarde.wav``.

Names say whether a woman, a man or a child speaks, but not who.
"""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

PATTERN = (
    r"(?P<code>Anger|Disgust|Fear|Happiness|Neutral|Sadness)_(?P<voice>[FMC])_[AB]_(?P<word>.+)"
)


def read(argument: str) -> Listing:
    """Read MESD from its folder; names say emotion, kind of voice and word."""
    names, problems = named("mesd", argument, PATTERN, "Anger_F_A_tarde.wav")
    rows = names[["utterance", "path"]].assign(
        language="es",
        gender=names["voice"].map({"F": "female", "M": "male"}),
        emotion=names["code"].str.lower(),
        text=names["word"],
    )
    return Listing(rows, problems)
