"""eNTERFACE'05, English by speakers of many languages (Martin et al. 2006): ``s19_an_4.wav``.

The release has videos, ``subject 19/anger/sentence 4/s19_an_4.avi``. Their sound is expected beside them or in another
tree, as it is made by ``ffmpeg -i s19_an_4.avi -ac 1 -ar 16000 s19_an_4.wav``.
"""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

# Subject 6 has one file an emotion, without a sentence.
PATTERN = r"s[ _]?(?P<speaker>\d+)_(?P<code>an|di|fe|ha|sa|su)(?:_(?P<sentence>[1-5]))?"
EMOTIONS = {
    "an": "anger",
    "di": "disgust",
    "fe": "fear",
    "ha": "happiness",
    "sa": "sadness",
    "su": "surprise",
}


def read(argument: str) -> Listing:
    """Read eNTERFACE'05 from the folder of its sound; names say speaker, emotion and sentence."""
    names, problems = named("enterface", argument, PATTERN, "s19_an_4.wav", released=".avi")
    rows = names[["utterance", "path", "speaker"]].assign(
        language="en", emotion=names["code"].map(EMOTIONS)
    )
    return Listing(rows, problems)
