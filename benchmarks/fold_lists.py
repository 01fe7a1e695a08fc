"""What EmoBox's lists of folds share: speakers and tested utterances, where file names say who speaks.

    python benchmarks/fold_lists.py EmoBox/data [--quick]

Only the lists are needed, not the corpora: a short recording stands under each name that a list has, the corpus' own
reader says who speaks there, and the folds are audited as by ``cleser data folds``. ``--quick`` writes a list of two
folds itself.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from cleser.corpora import corpora, load
from cleser.corpora.folds import audit_folds, make_folds
from cleser.corpora.readers.manifest_file import read_rows

# What EmoBox calls a corpus of ours, where it has another name.
OURS = {"cremad": "crema-d", "jlcorpus": "jl-corpus", "turevdb": "turev-db"}


def main() -> None:
    """Print a row a corpus."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lists", type=Path, nargs="?", help="EmoBox/data")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        lists = planted(Path(work) / "data") if options.quick else options.lists
        if lists is None or not lists.is_dir():
            parser.error(f"found {lists}, expected the folder EmoBox/data")
        print(
            "| corpus | utterances | folds | speakers in a test part | also in train | their share |"
        )
        print("|---|---|---|---|---|---|")
        left = []
        for folder in sorted(path for path in lists.iterdir() if path.is_dir()):
            name = OURS.get(folder.name, folder.name)
            if name not in corpora():
                continue
            try:
                print(row(name, audited(name, folder, Path(work) / "recordings" / name)))
            except ValueError as error:
                left.append(f"{name}: {str(error).replace(work, '')}")
        print("", *left, sep="\n")


def audited(name: str, folder: Path, tree: Path) -> pd.DataFrame:
    """The audit of a corpus' folds, by the names in its lists.

    Raises:
        ValueError: The reader needs more than the names, or they do not say who speaks.
    """
    for path in paths(folder):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(SOUND)
    manifest = load(f"{name}:{tree}")
    if manifest["speaker"].isna().all():
        raise ValueError("the names of its recordings do not say who speaks")
    return audit_folds(manifest, make_folds(manifest, f"emobox:{folder}"))


def paths(folder: Path) -> set[str]:
    """Recordings that the folds of a corpus name."""
    lists = [read_rows(file) for file in folder.rglob("fold_*/*.jsonl")]
    return {path for rows in lists for path in rows["wav" if "wav" in rows else "audio"]}


def row(name: str, table: pd.DataFrame) -> str:
    """A corpus' folds in one row."""
    utterances = int((table["train"] + table["dev"] + table["test"]).max())
    cells = [name, f"{utterances:,}", len(table), between(table["speakers_test"])]
    shares = 100 * table["tested_of_shared"]
    return (
        "| "
        + " | ".join(map(str, [*cells, between(table["shared"]), f"{between(shares)} %"]))
        + " |"
    )


def between(values: pd.Series[float]) -> str:
    """Least and greatest."""
    least, greatest = f"{values.min():.0f}", f"{values.max():.0f}"
    return least if least == greatest else f"{least} to {greatest}"


def planted(folder: Path) -> Path:
    """Lists of four utterances of two speakers, once divided between them and once across."""
    names = [f"{speaker}a0{i}Wa.wav" for speaker in ("03", "08") for i in (1, 2)]
    for fold, tested in (("fold_1", names[:2]), ("fold_2", names[1:3])):
        (folder / "emodb" / fold).mkdir(parents=True)
        for part in ("train", "test"):
            chosen = tested if part == "test" else [n for n in names if n not in tested]
            lines = [
                json.dumps({"key": n, "dataset": "emodb", "wav": f"downloads/emodb/wav/{n}"})
                for n in chosen
            ]
            file = folder / "emodb" / fold / f"emodb_{part}_{fold}.jsonl"
            file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def _sound() -> bytes:
    buffer = io.BytesIO()
    noise = 0.1 * np.random.default_rng(0).standard_normal(4800)
    soundfile.write(buffer, noise, 16000, format="WAV")
    return buffer.getvalue()


SOUND = _sound()


if __name__ == "__main__":
    main()
