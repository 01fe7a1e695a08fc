"""CaFE, acted Canadian French (Gournay et al. 2018): ``Colère/Fort/01-C-2-1.wav``."""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

PATTERN = r"(?P<speaker>\d\d)-(?P<code>[CDJNPST])-(?P<strength>[12])-(?P<sentence>[1-6])"
EMOTIONS = {
    "C": "anger",
    "D": "disgust",
    "J": "happiness",
    "N": "neutral",
    "P": "fear",
    "S": "surprise",
    "T": "sadness",
}
TEXTS = {
    "1": "Un cheval fou dans mon jardin",
    "2": "Deux ânes aigris au pelage brun",
    "3": "Trois cygnes aveugles au bord du lac",
    "4": "Quatre vieilles truies éléphantesques",
    "5": "Cinq pumas fiers et passionnés",
    "6": "Six ours aimants domestiqués",
}


def read(argument: str) -> Listing:
    """Read CaFE from its folder; file names say speaker (odd: a man), emotion, intensity and sentence."""
    names, problems = named("cafe", argument, PATTERN, "01-C-2-1.wav")
    odd = names["speaker"].astype(int) % 2 == 1
    rows = names[["utterance", "path", "speaker"]].assign(
        language="fr",
        gender=odd.map({True: "male", False: "female"}),
        emotion=names["code"].map(EMOTIONS),
        text=names["sentence"].map(TEXTS),
        intensity=names["strength"].map({"1": "low", "2": "high"}),
    )
    return Listing(rows, problems)
