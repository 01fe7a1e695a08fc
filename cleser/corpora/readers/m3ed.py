"""M3ED, Mandarin dialogues of television series (ACL 2022): ``annotation.json``, ``A_anjia_1_1.wav``.

The emotion is the main one that annotators agreed on. Series are train, dev or test as a whole, as
``splitInfo/movie_list_train.txt`` (``_val``, ``_test``) lists them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from cleser.corpora.folders import attach, existing, recordings, wrong_folder
from cleser.corpora.manifest import Listing
from cleser.corpora.tables import read_text
from cleser.corpora.terms import to_emotions, to_genders

TABLE = "annotation.json"
SPLITS = {"train": "train", "val": "dev", "test": "test"}


def read(argument: str) -> Listing:
    """Read M3ED from the folder with ``annotation.json``; recordings lie anywhere below."""
    root = existing("m3ed", argument, TABLE)
    source = root / TABLE
    if not source.is_file():
        raise wrong_folder("m3ed", root, TABLE, lambda folder: (folder / TABLE).is_file())
    try:
        table = pd.DataFrame(_utterances(json.loads(read_text(source)), _splits(root)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{source}: expected series with dialogues of SpeakerInfo and Dialog ({error})"
        ) from error
    rows = table.assign(
        language="zh", gender=to_genders(table["gender"]), emotion=to_emotions(table["emotion"])
    )
    found, unlisted = recordings(root)
    listing = attach(rows, found.rename(columns={"stem": "utterance"}), source)
    return Listing(listing.rows, [*unlisted, *listing.problems])


def _utterances(series: dict[str, Any], splits: dict[str, str]) -> Iterator[dict[str, str | None]]:
    for title, dialogues in series.items():
        for dialogue in dialogues.values():
            for name, said in dialogue["Dialog"].items():
                who = dialogue["SpeakerInfo"].get(said["Speaker"], {})
                known = who.get("Name")
                yield {
                    "utterance": f"{said['Speaker']}_{name}",
                    "speaker": f"{title}_{known}" if known else None,
                    "gender": who.get("Gender"),
                    "emotion": said["EmoAnnotation"]["final_main_emo"],
                    "split": splits.get(title),
                    "text": said.get("Text"),
                }


def _splits(root: Path) -> dict[str, str]:
    lists = {root / "splitInfo" / f"movie_list_{name}.txt": split for name, split in SPLITS.items()}
    return {
        line.strip(): split
        for path, split in lists.items()
        if path.is_file()
        for line in read_text(path).splitlines()
        if line.strip()
    }
