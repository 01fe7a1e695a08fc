"""The label table and folders of MSP-Podcast, which BIIC-Podcast shares."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cleser.corpora.folders import recordings
from cleser.corpora.manifest import Listing, Problem
from cleser.corpora.tables import read_table
from cleser.corpora.terms import to_emotions

TABLES = ("labels_consensus.csv", "labels_concensus.csv")  # releases 1.6 to 1.9 misspell it
EMOTIONS = {
    "A": "anger",
    "S": "sadness",
    "H": "happiness",
    "U": "surprise",
    "F": "fear",
    "D": "disgust",
    "C": "contempt",
    "N": "neutral",
    "O": "other",
}
NO_AGREEMENT = "X"
WITHHELD = "test3"
ATTRIBUTES = {"EmoAct": "arousal", "EmoVal": "valence", "EmoDom": "dominance"}
SCALE = "1..7"
SPLITS = {"development": "dev", "validation": "dev"}


def label_folders(root: Path) -> list[Path]:
    """Where label tables may lie; archives often unpack to a folder within one of its name."""
    return [root / "Labels", root / "Labels" / "Labels", root]


def find_table(root: Path) -> Path | None:
    """The consensus table of a corpus, if there is one."""
    paths = (folder / name for folder in label_folders(root) for name in TABLES)
    return next((path for path in paths if path.is_file()), None)


def read_consensus(path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Read a consensus table.

    Returns:
        Columns ``utterance, emotion, speaker, gender, split`` and the attributes that there are, as the table has
        them. Nothing stands for what is unknown, withheld, or (as an emotion) not agreed upon.

    Raises:
        ValueError: The table has no ``FileName`` or ``EmoClass``.
    """
    table = read_table(path, "FileName", "EmoClass")
    rows = pd.DataFrame({"utterance": stems(table["FileName"])})
    rows["emotion"] = table["EmoClass"].map(EMOTIONS)
    rows["speaker"] = _known(table, "SpkrID")
    rows["gender"] = _known(table, "Gender").str.lower()
    rows["split"] = splits(_known(table, "Split_Set"))
    for name, attribute in ATTRIBUTES.items():
        if name in table:
            rows[attribute] = table[name]
    strange = (
        rows["emotion"].isna() & (table["EmoClass"] != NO_AGREEMENT) & (rows["split"] != WITHHELD)
    )
    codes = [*EMOTIONS, NO_AGREEMENT]
    problems = [
        Problem(f"{path}: {name}", f"has the EmoClass {code}, expected one of {codes}")
        for name, code in zip(
            rows.loc[strange, "utterance"], table["EmoClass"][strange], strict=True
        )
    ]
    if (votes := read_votes(path)) is not None:
        rows = rows.merge(votes, on="utterance", how="left")
    return rows[~strange.to_numpy()], problems


DETAILED = "labels_detailed.csv"


def read_votes(consensus: Path) -> pd.DataFrame | None:
    """Votes for each emotion, from the table of annotators that lies beside a consensus table, if there is one.

    It has a row an annotator and turn: ``FileName``, and the chosen emotion by name in ``EmoClass_Major``, or second in
    ``EmoDetail`` (``WORKER00000049; Neutral; …``). What begins with *Other* counts as other.

    Returns:
        Columns ``utterance`` and ``votes.<emotion>``.

    Raises:
        ValueError: The table has neither column.
    """
    path = consensus.with_name(DETAILED)
    if not path.is_file():
        return None
    table = read_table(path, "FileName")
    if "EmoClass_Major" in table:
        chosen = table["EmoClass_Major"]
    elif "EmoDetail" in table:
        chosen = table["EmoDetail"].str.split(";").str[1].str.strip()
    else:
        raise ValueError(
            f"{path}: found the columns {list(table)}, expected EmoClass_Major or EmoDetail"
        )
    chosen = chosen.mask(chosen.str.lower().str.startswith("other", na=False), "other")
    emotion = to_emotions(chosen, {}, "msp-podcast")
    counts = pd.crosstab(stems(table["FileName"]), emotion)
    counts = counts[[name for name in counts if name in EMOTIONS.values()]].add_prefix("votes.")
    return counts.rename_axis("utterance").reset_index()


def stems(names: pd.Series[str]) -> pd.Series[str]:
    """File names without their ending."""
    return names.str.strip().str.replace(r"\.\w+$", "", regex=True)


def splits(names: pd.Series[str]) -> pd.Series[str]:
    """Names of splits as in a manifest; Development and, formerly, Validation are dev."""
    return names.str.strip().str.lower().replace(SPLITS)


def sounds(root: Path, refused: list[Problem]) -> Listing:
    """The recordings in ``Audios`` or ``Audio``, but for those whose row was refused.

    Raises:
        ValueError: There is no such folder.
    """
    places = (root / "Audios", root / "Audio")
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise ValueError(f"{root}: found no folder with recordings, expected Audios or Audio")
    found, unlisted = recordings(folder)
    found = found.rename(columns={"stem": "utterance"})
    kept = found[~found["utterance"].isin(rows_of(refused))] if refused else found
    return Listing(kept, unlisted)


def rows_of(refused: list[Problem]) -> list[str]:
    """The utterances of rows that were refused: what stands behind the table's name."""
    return [problem.path.rpartition(": ")[2] for problem in refused]


def _known(table: pd.DataFrame, name: str) -> pd.Series[str]:
    if name not in table:
        return pd.Series(pd.NA, index=table.index, dtype="str")
    return table[name].where(table[name] != "Unknown")
