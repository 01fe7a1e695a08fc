"""The corpora that come with the package: language, licence, who gives them out, and what their readers check."""

from __future__ import annotations

from typing import Final, NamedTuple

_NOT_STATED: Final = "not stated"
_ON_REQUEST: Final = "agreement with the owner"
_NAMES: Final = "names of files"
_TABLE: Final = "table of labels against files"


class Entry(NamedTuple):
    """A corpus that can be read, with its language, licence and owner.

    Attributes:
        name: Name of the corpus in a spec.
        language: Codes of ISO 639-1.
        licence: The licence that public lists of corpora give; the owner's word counts.
        owner: Whom to ask for it.
        checked: What the reader holds against what.
    """

    name: str
    language: str
    licence: str
    owner: str
    checked: str


CATALOGUE: Final = (
    Entry("aesdd", "el", _NOT_STATED, "M3C, Aristotle University of Thessaloniki", _NAMES),
    Entry("ased", "am", _NOT_STATED, "authors' repository ASED_V1", _NAMES),
    Entry("biic-podcast", "zh", _ON_REQUEST, "BIIC Lab, National Tsing Hua University", _TABLE),
    Entry("cafe", "fr", "CC BY-NC-SA 4.0", "Zenodo", _NAMES),
    Entry("casia", "zh", _ON_REQUEST, "Institute of Automation, Chinese Academy of Sciences", "folders and names"),
    Entry("crema-d", "en", "ODbL 1.0", "authors' repository CREMA-D", _NAMES),
    Entry("emodb", "de", "CC0 1.0", "Technical University of Berlin", _NAMES),
    Entry("emovo", "it", _NOT_STATED, "Fondazione Ugo Bordoni", _NAMES),
    Entry("emozionalmente", "it", "CC BY 4.0", "Zenodo", _TABLE),
    Entry("enterface", "en", "free for research", "eNTERFACE workshop 2005", _NAMES + " of extracted sound"),
    Entry("esd", "zh, en", _ON_REQUEST, "HLT Lab, National University of Singapore", "folders, names and texts"),
    Entry("iemocap", "en", _ON_REQUEST, "SAIL, University of Southern California", "labels of dialogues against files"),
    Entry("jl-corpus", "en", "CC0 1.0", "Kaggle, University of Auckland", _NAMES),
    Entry("m3ed", "zh", _NOT_STATED, "authors' repository RUCM3ED, Renmin University of China", _TABLE),
    Entry("mead", "en", "non-commercial research", "authors' page MEAD", "folders and names of converted sound"),
    Entry("meld", "en", "GPL 3.0", "authors' repository MELD", _TABLE),
    Entry("mesd", "es", "CC BY 4.0", "Mendeley Data", _NAMES + " (they name no speakers)"),
    Entry("msp-improv", "en", _ON_REQUEST, "MSP Lab, University of Texas at Dallas", _TABLE),
    Entry("msp-podcast", "en", _ON_REQUEST, "MSP Lab, University of Texas at Dallas", _TABLE),
    Entry("nemo", "pl", "CC BY-NC-SA 4.0", "author's repository nEMO", _TABLE),
    Entry("oreau", "fr", "CC BY 4.0", "Zenodo", _NAMES),
    Entry("ravdess", "en", "CC BY-NC-SA 4.0", "Zenodo", _NAMES),
    Entry("savee", "en", "free for research, after registration", "University of Surrey", "folders or names"),
    Entry("shemo", "fa", "free for academic use", "authors' repository ShEMO", _NAMES),
    Entry("subesco", "bn", "CC BY 4.0", "Zenodo", _NAMES),
    Entry("tess", "en", "CC BY-NC-ND 4.0", "University of Toronto", _NAMES),
    Entry("turev-db", "tr", "CC BY-NC-ND 4.0", "authors' repository TurEV-DB", "folders and names"),
    Entry("urdu", "ur", "free for research", "authors' repository URDU-Dataset", _NAMES),
)  # fmt: skip
