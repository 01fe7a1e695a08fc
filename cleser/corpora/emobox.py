"""Lists of EmoBox (Ma et al. 2024): JSON lines with ``key, dataset, wav, emo``, and a map of labels beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pandas as pd

from cleser.corpora.readers.emovo import EMOTIONS as EMOVO
from cleser.corpora.tables import read_text

LABELS: Final = "label_map.json"
LANGUAGES: Final = {
    "aesdd": "el", "ased": "am", "cafe": "fr", "casia": "zh", "cremad": "en", "emns": "en", "emodb": "de",
    "emovdb": "en", "emovo": "it", "emozionalmente": "it", "enterface": "en", "iemocap": "en", "jlcorpus": "en",
    "m3ed": "zh", "mead": "en", "meld": "en", "mer2023": "zh", "mesd": "es", "msppodcast": "en", "oreau": "fr",
    "pavoque": "de", "polish": "pl", "ravdess": "en", "resd": "ru", "savee": "en", "shemo": "fa", "subesco": "bn",
    "tess": "en", "turevdb": "tr", "urdu": "ur",
}  # fmt: skip
"""Language of each data set that has one; ESD has two, ASVP-ESD more."""


def decode_emotions(
    codes: pd.Series[str], datasets: pd.Series[str], source: Path
) -> pd.Series[str]:
    """Labels in words, by the map of labels beside the list or in a folder above; others stay.

    Args:
        codes: The list's codes of emotions.
        datasets: The data set that each row is of.
        source: The list.

    Raises:
        ValueError: The map is no object of texts.
    """
    path = next((p / LABELS for p in list(source.parents)[:2] if (p / LABELS).is_file()), None)
    if path is None:
        # The list of EMOVO has the codes of its file names, and no map.
        return codes.where(datasets != "emovo", codes.replace(EMOVO))
    try:
        names = json.loads(read_text(path))
        table = {str(code): str(name) for code, name in names.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: {error}, expected an object of labels in JSON") from error
    return codes.map(lambda code: table.get(code, code), na_action="ignore").astype("str")
