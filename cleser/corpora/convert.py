"""Manifests for other programs: audformat's tables and EmoBox's lists, beside our own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from cleser.corpora.audformat_database import write_database
from cleser.corpora.manifest import NAMED_AFTER
from cleser.corpora.probe import probe
from cleser.files import replacing

_INDEX: Final = ["file", "start", "end"]
Layout = Literal["cleser", "audformat", "emobox"]


def write_manifest(manifest: pd.DataFrame, path: str | Path, layout: Layout = "cleser") -> None:
    """Write a manifest; paths below its folder are relative to it, so that both can be moved.

    Args:
        manifest: Utterances, as :func:`cleser.corpora.load` returns them.
        path: The file: ``.csv``, ``.tsv`` or ``.parquet``, and ``.jsonl`` for EmoBox; for audformat also a folder, a
            name without an ending.
        layout: ``"cleser"``, ours; ``"audformat"``, a table of ``file, start, end`` and labels, or in a folder a whole
            database, see :mod:`cleser.corpora.audformat_database`; ``"emobox"``, an object a line, for which every
            header is read.

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


def _relative(name: str, path: Path) -> str:
    folder = path.parent.resolve()
    return os.path.relpath(name, folder) if Path(name).is_relative_to(folder) else name


def _audformat(table: pd.DataFrame) -> pd.DataFrame:
    times = {name: pd.to_timedelta(table[name], unit="s") for name in ("start", "end")}
    return table.assign(file=table["path"], **times).drop(columns="path").set_index(_INDEX)


def _emobox(manifest: pd.DataFrame, paths: pd.Series[str]) -> str:
    probed = probe(manifest)
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
        entry |= {name: row[name] for name in ("speaker", "gender") if isinstance(row[name], str)}
        lines.append(json.dumps(entry, ensure_ascii=False))
    return "\n".join(lines) + "\n"
