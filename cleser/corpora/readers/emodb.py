"""EMO-DB, the Berlin database of acted German (Burkhardt et al. 2005): ``wav/03a01Fa.wav``."""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing

PATTERN = r"(?P<speaker>\d\d)(?P<sentence>[ab]\d\d)(?P<code>[WLEAFTN])[a-z]"
EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
MEN = ("03", "10", "11", "12", "15")
TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}


def read(argument: str) -> Listing:
    """Read EMO-DB from its folder; file names say speaker, sentence and emotion."""
    names, problems = named("emodb", argument, PATTERN, "03a01Fa.wav")
    rows = names[["utterance", "path", "speaker"]].assign(
        language="de",
        gender=names["speaker"].isin(MEN).map({True: "male", False: "female"}),
        emotion=names["code"].map(EMOTIONS),
        text=names["sentence"].map(TEXTS),
    )
    return Listing(rows, problems)
