"""Manifests for other programs: audformat's tables and EmoBox's lists, beside our own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final, Literal

import pandas as pd
from pyarrow.csv import ConvertOptions

from cleser.corpora.attributes import ATTRIBUTES, ORIGINAL_SCALE
from cleser.corpora.audformat_database import write_database
from cleser.corpora.manifest import COLUMNS, HEADER_COLUMNS, NAMED_AFTER
from cleser.corpora.probe import probe
from cleser.corpora.votes import VOTES, vote_columns
from cleser.files import replacing

_INDEX: Final = ["file", "start", "end"]
# What EmoBox's lists and audformat's databases hold beside votes; the former say headers in words of their own.
_HELD: Final = (*COLUMNS, *ATTRIBUTES, ORIGINAL_SCALE, *HEADER_COLUMNS)
_FURTHER: Final = ("speaker", "gender", "split", "text", *ATTRIBUTES, ORIGINAL_SCALE)
Layout = Literal["cleser", "audformat", "emobox"]


def write_manifest(manifest: pd.DataFrame, path: str | Path, layout: Layout = "cleser") -> None:
    """Write a manifest; paths below its folder are relative to it, so that both can be moved.

    Args:
        manifest: Utterances, as :func:`cleser.corpora.load` returns them.
        path: The file: ``.csv``, ``.tsv`` or ``.parquet``, and ``.jsonl`` for EmoBox; for audformat also a folder, a
            name without an ending.
        layout: ``"cleser"``, ours; ``"audformat"``, a table of ``file, start, end`` and labels, or in a folder a whole
            database, see :mod:`cleser.corpora.audformat_database`; ``"emobox"``, an object a line, for which every
            header is read. What a database or a list of EmoBox has no place for is left out, see :func:`not_held`.

    Raises:
        ValueError: The ending does not fit the layout.

    What is written is read again by ``manifest:FILE``, or ``manifest:FOLDER``.
    """
    path = Path(path)
    if layout == "audformat" and not path.suffix:
        write_database(manifest, path)
        return
    endings = (".jsonl",) if layout == "emobox" else (".csv", ".tsv", ".parquet")
    if path.suffix.lower() not in endings:
        raise ValueError(f"{path}: found the ending {path.suffix!r}, expected one of {endings}")
    table = manifest.assign(path=[_relative(name, path) for name in manifest["path"]])
    table.attrs.pop(NAMED_AFTER, None)  # a file of this machine, which Parquet would keep
    with replacing(path) as part:
        if layout == "emobox":
            part.write_text(_emobox(manifest, table["path"]), encoding="utf-8", newline="\n")
            return
        rows = _audformat(table) if layout == "audformat" else table
        if path.suffix.lower() == ".parquet":
            rows.to_parquet(part, index=layout == "audformat")
        else:
            separator = "\t" if path.suffix.lower() == ".tsv" else ","
            rows.to_csv(part, index=layout == "audformat", sep=separator)


def not_held(manifest: pd.DataFrame, path: str | Path, layout: Layout) -> list[str]:
    """What of a manifest its layout has no place for, in words; empty where it holds all.

    Args:
        manifest: Utterances, as :func:`write_manifest` takes them.
        path: The file or folder.
        layout: Its layout.
    """
    database = layout == "audformat" and not Path(path).suffix
    if layout != "emobox" and not database:
        return []
    lost = [
        f"column {name}"
        for name in manifest
        if not (name in _HELD or str(name).startswith(VOTES)) and manifest[name].notna().any()
    ]
    # audformat reads its tables by Arrow, for which these words are no text.
    blank = manifest["text"].dropna()
    blank = blank[blank.isin(ConvertOptions().null_values)]
    if database and len(blank):
        words = ", ".join(map(repr, blank.unique()))
        lost.append(f"text of {len(blank)} utterance{'s' * (len(blank) > 1)} ({words})")
    return lost


def _relative(name: str, path: Path) -> str:
    folder = path.parent.resolve()
    return os.path.relpath(name, folder) if Path(name).is_relative_to(folder) else name


def _audformat(table: pd.DataFrame) -> pd.DataFrame:
    times = {name: pd.to_timedelta(table[name], unit="s") for name in ("start", "end")}
    return table.assign(file=table["path"], **times).drop(columns="path").set_index(_INDEX)


def _emobox(manifest: pd.DataFrame, paths: pd.Series[str]) -> str:
    probed = probe(manifest)
    further = [*(name for name in _FURTHER if name in manifest), *vote_columns(manifest)]
    relative = dict(zip(manifest["path"], paths, strict=True))
    lines = []
    for row in probed.to_dict("records"):
        entry = {
            "key": row["utterance"],
            "dataset": row["corpus"],
            "wav": relative[row["path"]],
            "type": "raw",
            "sample_rate": row["samplerate"],
            "num_frame": round(row["duration"] * row["samplerate"]),
            "task": "category",
            "length": row["duration"],
            "emo": row["emotion"] if isinstance(row["emotion"], str) else None,
            "channel": row["channels"],
            "language": row["language"],
        }
        if row["start"] > 0 or row["end"] == row["end"]:
            entry |= {"start_time": row["start"], "end_time": row["start"] + row["duration"]}
        entry |= {name: row[name] for name in further if pd.notna(row[name])}
        lines.append(json.dumps(entry, ensure_ascii=False))
    return "\n".join(lines) + "\n"
