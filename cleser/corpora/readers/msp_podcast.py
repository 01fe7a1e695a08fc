"""MSP-Podcast, natural English from podcasts (Lotfian & Busso 2019), releases 1.6 to 2.0.

Expected: ``Labels/labels_consensus.csv`` and ``Audios/MSP-PODCAST_0001_0008.wav``; ``Partition.txt`` and
``Transcripts/MSP-PODCAST_0001_0008.txt`` are used where they are.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from cleser.corpora.consensus import (
    SCALE,
    TABLES,
    WITHHELD,
    find_table,
    read_consensus,
    rows_of,
    sounds,
    splits,
    stems,
)
from cleser.corpora.folders import attach, existing, wrong_folder
from cleser.corpora.manifest import Gap, Listing, Problem
from cleser.corpora.tables import read_table, read_text

PARTITIONS = ("Partition.txt", "Partitions.txt")


def read(argument: str) -> Listing:
    """Read MSP-Podcast from its folder.

    Turns without agreement, and those of Test3, whose labels are withheld, have no emotion. Texts are not
    read (that would open every transcript): see :func:`transcripts`.
    """
    root = existing("msp-podcast", argument, f"Labels/{TABLES[0]}")
    source = find_table(root)
    if source is None:
        looked_for = f"Labels/{TABLES[0]} (or {TABLES[1]})"
        raise wrong_folder("msp-podcast", root, looked_for, lambda f: find_table(f) is not None)
    rows, problems = read_consensus(source)
    partition, path = _partition(root)
    other = partition.reindex(rows["utterance"]).set_axis(rows.index)
    contradictions = [
        Gap(f"{path}: {name}", f"stands in {also}, where {source.name} says {split}, which counts")
        for name, also, split in zip(rows["utterance"], other, rows["split"], strict=True)
        if isinstance(also, str) and isinstance(split, str) and also != split
    ]
    rows["split"] = rows["split"].fillna(other)
    known = {*rows["utterance"].to_numpy(object), *rows_of(problems)}
    extra = partition[[name not in known for name in partition.index.to_numpy(object)]]
    withheld = pd.DataFrame({"utterance": extra.index[extra == WITHHELD], "split": WITHHELD})
    problems += [
        Problem(f"{path}: {name}", f"has no row in {source.name}")
        for name in extra.index[extra != WITHHELD]
    ]
    rows = pd.concat([rows, withheld], ignore_index=True).assign(language="en")
    heard, unlisted = sounds(root, problems)
    listing = attach(rows, heard, source, scale=SCALE)
    # What the file of partitions alone names is missing there, not in the table.
    places = {f"{source}: {name}": f"{path}: {name}" for name in withheld["utterance"]}
    found = [
        problem._replace(path=places.get(problem.path, problem.path))
        for problem in listing.problems
    ]
    return Listing(listing.rows, [*contradictions, *problems, *unlisted, *found])


def transcripts(manifest: pd.DataFrame) -> pd.DataFrame:
    """The manifest with its texts, read from ``Transcripts/<stem>.txt``; opens a file for each utterance.

    Args:
        manifest: MSP-Podcast, or a part of it.

    Raises:
        ValueError: There is no folder Transcripts beside that of the recordings.
    """
    paths = [Path(path) for path in manifest["path"]]
    above = paths[0].parents
    folder = next((a / "Transcripts" for a in above if (a / "Transcripts").is_dir()), None)
    if folder is None:
        raise ValueError(f"{paths[0]}: found no folder Transcripts beside that of the recordings")
    nested = folder / folder.name
    folder = nested if nested.is_dir() else folder
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        texts = list(pool.map(lambda path: _text(folder / f"{path.stem}.txt"), paths))
    return manifest.assign(text=pd.Series(texts, index=manifest.index, dtype="str"))


def _text(path: Path) -> str | None:
    return read_text(path).strip() if path.is_file() else None


def _partition(root: Path) -> tuple[pd.Series[str], Path | None]:
    """The split of each utterance by the file of partitions: lines as ``Train; file.wav``."""
    places = (folder / name for folder in (root, root / "Labels") for name in PARTITIONS)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return pd.Series(dtype="str"), None
    table = read_table(path, sep=";", names=["split", "file"]).dropna()
    split = splits(table["split"]).set_axis(stems(table["file"]))
    return split[~split.index.duplicated()], path
