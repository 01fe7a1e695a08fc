"""TurEV-DB, acted Turkish words (Canpolat et al. 2020): ``Sound Source/Calm/1234_sk_pamuk.wav``.

The folder gives the emotion. Calm is a class of its own here, and there is no neutral one.
"""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing, Problem

PATTERN = r"(?P<speaker>\d{4})_[a-z]+_(?P<word>.+)"
EMOTIONS = {"angry": "anger", "calm": "calm", "happy": "happiness", "sad": "sadness"}


def read(argument: str) -> Listing:
    """Read TurEV-DB from its folder; ``text`` is the spoken word as written in the file's name."""
    names, problems = named("turev-db", argument, PATTERN, "1234_sk_pamuk.wav")
    emotion = names["folder"].str.lower().map(EMOTIONS)
    unlabelled = [
        Problem(path, f"is in the folder {folder}, expected Angry, Calm, Happy or Sad")
        for path, folder in names.loc[emotion.isna(), ["path", "folder"]].to_numpy()
    ]
    rows = names[["utterance", "path", "speaker"]].assign(
        language="tr", emotion=emotion, text=names["word"]
    )
    return Listing(rows[emotion.notna()], [*problems, *unlabelled])
