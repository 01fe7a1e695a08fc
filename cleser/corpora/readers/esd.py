"""ESD, acted Mandarin and English (Zhou et al. 2021): ``0011/Angry/0011_000351.wav`` with ``0011/0011.txt``.

Speakers 0001 to 0010 speak Mandarin, 0011 to 0020 English. Some copies divide each emotion's folder into
``train``, ``evaluation`` and ``test``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from cleser.corpora.folders import named
from cleser.corpora.manifest import Gap, Listing, Problem
from cleser.corpora.tables import read_text

PATTERN = r"(?P<speaker>00(?:0[1-9]|1\d|20))_\d{6}"
EMOTIONS = {
    "Angry": "anger",
    "Happy": "happiness",
    "Neutral": "neutral",
    "Sad": "sadness",
    "Surprise": "surprise",
}
SPLITS = {"train": "train", "evaluation": "dev", "test": "test"}
MEN = ("0004", "0005", "0006", "0008", "0010", "0011", "0012", "0013", "0014", "0020")
LINE = re.compile(r"(\d{4}_\d{6})\s+(.*\S)\s+\S+")


def read(argument: str) -> Listing:
    """Read ESD from its folder; the language stands in each row, texts come from the speakers' files."""
    names, problems = named("esd", argument, PATTERN, "0011_000351.wav")
    split = names["folder"].map(SPLITS)
    above = names["path"].map(lambda path: Path(path).parts[-3])
    folder = names["folder"].where(split.isna(), above)
    emotion = folder.map(EMOTIONS)
    unlabelled = [
        Problem(path, f"is in the folder {name}, expected one of {list(EMOTIONS)}")
        for path, name in zip(names["path"], folder, strict=True)
        if name not in EMOTIONS
    ]
    texts, unreadable = _texts(names["path"], split.notna())
    rows = names[["utterance", "path", "speaker"]].assign(
        language=(names["speaker"] <= "0010").map({True: "zh", False: "en"}),
        gender=names["speaker"].isin(MEN).map({True: "male", False: "female"}),
        emotion=emotion,
        split=split,
        text=names["utterance"].map(texts),
    )
    seen = {*names["utterance"], *(Path(problem.path).stem for problem in problems)}
    absent = [Problem(name, "has a text, but no recording") for name in texts if name not in seen]
    return Listing(rows[emotion.notna()], [*problems, *unlabelled, *unreadable, *absent])


def _texts(paths: pd.Series[str], divided: pd.Series[bool]) -> tuple[dict[str, str], list[Problem]]:
    """What is said in each utterance, from ``0011.txt`` in the folder of each speaker."""
    # Up from the file: (split,) emotion, speaker.
    speakers = {Path(p).parents[2 if d else 1] for p, d in zip(paths, divided, strict=True)}
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    for folder in sorted(speakers):
        path = folder / f"{folder.name}.txt"
        if not path.is_file():
            problems.append(Gap(str(path), "is missing: the texts are unknown"))
            continue
        fallback = "gb18030" if folder.name <= "0010" else "cp1252"  # Mandarin or English
        for line in filter(None, map(str.strip, read_text(path, fallback).splitlines())):
            match = LINE.fullmatch(line)
            if match and "\ufffd" not in line:
                texts[match[1]] = match[2]
            else:
                problems.append(
                    Gap(str(path), f"has a line that is no id, text, emotion: {line!r}")
                )
    return texts, problems
