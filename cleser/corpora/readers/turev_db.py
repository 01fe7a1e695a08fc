"""TurEV-DB, acted Turkish words (Canpolat et al. 2020): ``Sound Source/Calm/1234_sk_pamuk.wav``.

The folder gives the emotion. Calm is a class of its own here, and there is no neutral one. File names fold
Turkish letters to ASCII, which changes how words are read: ``acik`` is *açık*.
"""

from __future__ import annotations

from cleser.corpora.folders import named
from cleser.corpora.manifest import Listing, Problem

PATTERN = r"(?P<speaker>\d{4})_[a-z]+_(?P<word>.+)"
EMOTIONS = {"angry": "anger", "calm": "calm", "happy": "happiness", "sad": "sadness"}
_SPELLINGS = """\
açık algı buğu çay çekirge çene çilek düğün eğer elmacık fırıldak gıcık göz güneş gürbüz iğde ısırgan kağıt kırgın köy
kulaç kuşluk küstah lüfer müjde nasıl niçin ödenek oğul ölçüt ördek örgü pıhtı rıhtım şarap şarj satır şenlik tırtıl
türev ünlü utanç yankı yazım yığılmak yığın"""
_ASCII = str.maketrans("çğışöü", "cgisou")
SPELLINGS = {word.translate(_ASCII): word for word in _SPELLINGS.split()}


def read(argument: str) -> Listing:
    """Read TurEV-DB from its folder; ``text`` is the spoken word, with its Turkish letters where they are known."""
    names, problems = named("turev-db", argument, PATTERN, "1234_sk_pamuk.wav")
    emotion = names["folder"].str.lower().map(EMOTIONS)
    unlabelled = [
        Problem(path, f"is in the folder {folder}, expected Angry, Calm, Happy or Sad")
        for path, folder in names.loc[emotion.isna(), ["path", "folder"]].to_numpy()
    ]
    rows = names[["utterance", "path", "speaker"]].assign(
        language="tr",
        emotion=emotion,
        text=names["word"].map(lambda word: SPELLINGS.get(word, word)),
    )
    return Listing(rows[emotion.notna()], [*problems, *unlabelled])
