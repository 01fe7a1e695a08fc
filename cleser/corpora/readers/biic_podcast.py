"""BIIC-Podcast, natural Taiwanese Mandarin from podcasts (Upadhyay et al. 2023), release 1.01.

Expected: ``Audios/BIIC-PODCAST_1000_0321_0003.wav`` and in ``Labels`` either a consensus table as
MSP-Podcast's, or tables with a distribution over emotions: the file first, a column each for angry, sad,
disgust, contempt, fear, neutral, surprise and happy, the split last. The corpus names no speakers and no
genders.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cleser.corpora.consensus import (
    SCALE,
    TABLES,
    find_table,
    label_folders,
    read_consensus,
    sounds,
    splits,
    stems,
)
from cleser.corpora.folders import attach, existing, wrong_folder
from cleser.corpora.manifest import Listing, Problem
from cleser.corpora.tables import read_table

EMOTIONS = {
    "angry": "anger",
    "sad": "sadness",
    "disgust": "disgust",
    "contempt": "contempt",
    "fear": "fear",
    "neutral": "neutral",
    "surprise": "surprise",
    "happy": "happiness",
}


def read(argument: str) -> Listing:
    """Read BIIC-Podcast from its folder; where no emotion has most votes, there is none."""
    looked_for = f"Labels/{TABLES[0]}, or a table with the columns {', '.join(EMOTIONS)}"
    root = existing("biic-podcast", argument, looked_for)
    consensus = find_table(root)
    distributions = [] if consensus else _distributions(root)
    if consensus:
        source, (rows, problems) = consensus, read_consensus(consensus)
    elif distributions:
        source = distributions[0]
        tables = [_read_distribution(path) for path in distributions]
        rows = pd.concat([table for table, _ in tables], ignore_index=True)
        problems = [problem for _, listed in tables for problem in listed]
    else:
        raise wrong_folder("biic-podcast", root, looked_for, _fits)
    heard, unlisted = sounds(root, problems)
    listing = attach(rows.assign(language="zh"), heard, source, scale=SCALE)
    return Listing(listing.rows, [*problems, *unlisted, *listing.problems])


def _fits(folder: Path) -> bool:
    return find_table(folder) is not None or bool(_distributions(folder))


def _distributions(root: Path) -> list[Path]:
    """Tables with a column for every emotion."""
    folders = (folder for folder in label_folders(root) if folder.is_dir())
    paths = [path for folder in folders for path in sorted(folder.glob("*.csv"))]
    return [path for path in paths if set(EMOTIONS) <= set(_header(path))]


def _header(path: Path) -> list[str]:
    return [name.lower() for name in read_table(path, nrows=0).columns]


def _read_distribution(path: Path) -> tuple[pd.DataFrame, list[Problem]]:
    table = read_table(path)
    table.columns = table.columns.str.strip().str.lower()
    votes = table[list(EMOTIONS)].apply(pd.to_numeric, errors="coerce")
    most = votes.max(axis=1)
    agreed = votes.eq(most, axis=0).sum(axis=1) == 1
    rows = pd.DataFrame(
        {
            "utterance": stems(table.iloc[:, 0]),
            "emotion": votes.fillna(0).idxmax(axis=1).map(EMOTIONS).where(agreed),
            "split": splits(table.iloc[:, -1]),
        }
    )
    for name, emotion in EMOTIONS.items():
        rows[f"votes.{emotion}"] = votes[name]
    empty = ~(most > 0) | votes.isna().any(axis=1)
    reason = "has no votes, expected a number for every emotion and one above 0"
    problems = [Problem(f"{path}: {name}", reason) for name in rows.loc[empty, "utterance"]]
    return rows[~empty], problems
