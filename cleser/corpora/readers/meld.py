"""MELD, English dialogues from a series (Poria et al. 2019): ``train_sent_emo.csv``, ``dia0_utt0.wav``.

The release has videos, ``train_splits/dia0_utt0.mp4`` and so on. Their sound is expected beside them (or in
another tree with ``train``, ``dev`` and ``test`` in the names of its folders or files), as it is made by
``ffmpeg -i dia0_utt0.mp4 -ac 1 -ar 16000 dia0_utt0.wav``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from cleser.corpora.folders import attach, existing, recordings, wrong_folder
from cleser.corpora.manifest import Listing, Problem
from cleser.corpora.tables import read_table

TABLES = {split: f"{split}_sent_emo.csv" for split in ("train", "dev", "test")}
COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
NAME = r"(?:(?:train|dev|test)[_-]?)?(dia\d+_utt\d+)"
SPLIT = re.compile(r"(?:^|_)(train|dev|test)(?:_|-|$)")
LEADS = {
    "Chandler": "male",
    "Joey": "male",
    "Monica": "female",
    "Phoebe": "female",
    "Rachel": "female",
    "Ross": "male",
}
# Quotation marks and dashes of Windows-1252 were taken for Latin-1 in the release.
MISREAD = {code: bytes([code]).decode("cp1252") for code in (0x85, *range(0x91, 0x98))}


def read(argument: str) -> Listing:
    """Read MELD from the folder with its tables; every row needs its extracted sound."""
    expected = " or ".join(TABLES.values())
    root = existing("meld", argument, expected)
    tables = _tables(root)
    if not tables:
        raise wrong_folder("meld", root, expected, lambda folder: bool(_tables(folder)))
    found, unlisted = recordings(root)
    if found.empty:
        videos = len(recordings(root, suffixes=(".mp4",)).rows)
        raise ValueError(
            f"meld: {root} holds {videos} videos and no recording, expected their sound beside them; "
            "extract it with ffmpeg -i dia0_utt0.mp4 -ac 1 -ar 16000 dia0_utt0.wav"
        )
    stem = found["stem"].str.extract(f"^{NAME}$")[0]
    split = found["path"].map(lambda path: _split(path, root))
    if len(tables) == 1:
        split = split.fillna(next(iter(tables)))  # the only table is that of all recordings
    strange = stem.isna() | split.isna()
    reason = "is not named as train_splits/dia0_utt0.wav"
    problems = [*unlisted, *(Problem(path, reason) for path in found.loc[strange, "path"])]
    found = found.assign(utterance=split + "/" + stem)[~strange]
    parts = []
    for name, source in tables.items():
        own = found[found["utterance"].str.startswith(f"{name}/")]
        part = attach(_rows(source, name), own, source)
        parts.append(part.rows)
        problems += part.problems
    unknown = ~found["utterance"].str.partition("/")[0].isin(tables)
    problems += [Problem(p, "is of a split without a table") for p in found.loc[unknown, "path"]]
    return Listing(pd.concat(parts, ignore_index=True), problems)


def _tables(root: Path) -> dict[str, Path]:
    places = (root, root / "data" / "MELD", root / "MELD.Raw")
    for folder in places:
        found = {s: folder / name for s, name in TABLES.items() if (folder / name).is_file()}
        if found:
            return found
    return {}


def _split(path: str, root: Path) -> str | None:
    """The split that the file's folders, or its name, tell: the innermost one that does."""
    for part in reversed(Path(path).relative_to(root).parts):
        match = SPLIT.search(part.lower())
        if match:
            return match[1]
    return None


def _rows(source: Path, split: str) -> pd.DataFrame:
    table = read_table(source, *COLUMNS)
    number = "dia" + table["Dialogue_ID"] + "_utt" + table["Utterance_ID"]
    return pd.DataFrame(
        {
            "utterance": f"{split}/" + number,
            "language": "en",
            "speaker": table["Speaker"],
            "gender": table["Speaker"].map(LEADS),
            "emotion": table["Emotion"].str.lower().replace("joy", "happiness"),
            "split": split,
            "text": table["Utterance"].map(
                lambda text: text.translate(MISREAD), na_action="ignore"
            ),
        }
    )
