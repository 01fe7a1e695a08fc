"""``cleser align``: find when each phone of a corpus is spoken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from cleser.cli.console import console
from cleser.cli.pairs import parse_voices

if TYPE_CHECKING:
    import pandas as pd


def align(
    corpus: Positional[str],
    *,
    out: Path,
    aligner: str = "synthesis",
    voice: tuple[str, ...] = (),
    segment: float = 0.1,
    workers: int = os.cpu_count() or 1,
) -> None:
    """Find when each phone of every utterance is spoken, and write TextGrids; continues if it was interrupted.

    An utterance whose recording, times, text or language has changed since is aligned anew.

    Args:
        corpus: The corpus, as NAME:FOLDER.
        out: Folder for the TextGrids.
        aligner: synthesis (espeak-ng speaks the text, and the recording is compared with its speech), or the name or
            folder of a CTC phone model.
        voice: Voices of espeak-ng for languages, as en=en-gb-scotland.
        segment: Length of segments of utterances without a text, in seconds.
        workers: Number of processes.
    """
    from cleser.alignment.corpus import AlignmentSettings, align_corpus
    from cleser.corpora import load
    from cleser.progress import track

    settings = AlignmentSettings(aligner, parse_voices(voice), segment)
    manifest = load(corpus, labels=False)
    with track(corpus.partition(":")[0], len(manifest)) as advance:
        table = align_corpus(manifest, out, settings, workers=workers, advance=advance)
    console.print(_summary(table), highlight=False, soft_wrap=True)
    console.print(f"alignments: {out}", highlight=False, soft_wrap=True)


def _summary(table: pd.DataFrame) -> str:
    counts = table["kind"].value_counts()
    phones, uniform, failed = (int(counts.get(k, 0)) for k in ("phones", "uniform", "failed"))
    lines = [f"{phones} aligned, {uniform} without a text (uniform segments), {failed} failed"]
    if kept := table.attrs["kept"]:
        lines.append(
            f"{len(kept)} of them were there before, and nothing says what they were made from, as {kept[0]}: they are "
            "as they were; remove their TextGrids to have them made from this corpus"
        )
    quality = table["quality"].astype(float).dropna()
    if len(quality):
        low, middle = quality.quantile(0.05), quality.median()
        lines.append(f"quality: median {middle:.2f}, 5 % are under {low:.2f}")
    for row in table[table["kind"] == "failed"].head(5).itertuples():
        lines.append(f"failed: {row.utterance}: {row.reason}")
    return "\n".join(lines)
