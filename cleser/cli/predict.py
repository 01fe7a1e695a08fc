"""``cleser predict`` and ``export``: recognise recordings with a finished run, and share the run."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional, arg

from cleser.cli.console import console
from cleser.cli.idle import refuse_idle
from cleser.files import write_text
from cleser.progress import stderr

if TYPE_CHECKING:
    import pandas as pd

_EMOTIONS: Final = ("emotion", "emotions")  # the likeliest, and all of several at once


def predict(
    run: Positional[Path],
    files: Positional[tuple[Path, ...]] = (),
    *,
    corpus: tuple[str, ...] = (),
    speakers: Path | None = None,
    language: str | None = None,
    alignments: Path | None = None,
    together: bool = False,
    alone: bool = False,
    window: float = 10.0,
    hop: float = 10.0,
    json: bool = False,
    json_file: Path | None = None,
    csv: Path | None = None,
) -> int:
    """Recognise the emotion of recordings, or arousal, valence and dominance, with a finished run.

    The exit status is 1 if a recording got no label, for example because it is silent or cannot be read.

    Args:
        run: A run folder, an exported one, or the name of one on the hub, as OWNER/NAME.
        files: Recordings, and folders of recordings.
        corpus: Corpora to recognise in place of files, each as NAME:FOLDER, as in the run's own test.
        speakers: CSV file with the columns path, speaker and, optionally, language. Recordings are then standardised by
            the statistics of their speakers, as the protocol says.
        language: Language of the recordings.
        alignments: Folder of alignments, for a run that was trained with alignments.
        together: Standardise the recordings by their own statistics, as one corpus.
        alone: Standardise them by the source's statistics, so that no label depends on the other recordings.
        window: Seconds of a window; recordings over 30 s are cut into windows.
        hop: Seconds from the beginning of one window to that of the next.
        json: Print JSON.
        json_file: Write a JSON file.
        csv: Write a CSV file.
    """
    import cleser

    if csv and json_file and csv.resolve() == json_file.resolve():
        raise ValueError(f"--csv and --json-file both name {csv}, expected two files")
    table = cleser.load_model(run).predict(
        files,
        corpora=corpus,
        speakers=speakers,
        language=language,
        alignments=alignments,
        together=together,
        alone=alone,
        window=window,
        hop=hop,
    )
    stderr.print(table.attrs["terms"])
    unlabelled = table[table["reason"].notna()]
    for row in unlabelled.to_dict("records"):
        print(f"no label: {row['path']}{_times(row)}: {row['reason']}", file=sys.stderr)
    for path, text in ((csv, table.to_csv(index=False)), (json_file, _as_json(table))):
        if path:
            _write(path, text)
            said = f"{len(table)} rows, {len(unlabelled)} of them without a label: {path}"
            print(said, file=sys.stderr if json else sys.stdout)
    if json:
        print(_as_json(table))
    elif not (csv or json_file):
        _show(_as_table(table))
    return 1 if len(unlabelled) else 0


def export(
    run: Positional[Path],
    *,
    out: Path,
    onnx: bool = False,
    takes: Annotated[Literal["features", "audio"], arg(name="from")] = "features",
    push: str | None = None,
    private: bool = False,
    dry_run: bool = False,
) -> None:
    """Make a folder from a run that you can share: weights, settings, model card.

    Args:
        run: The folder of a finished run.
        out: The folder to make.
        onnx: Add a model that gives probabilities in any ONNX runtime.
        takes: What that model takes: features as a store keeps them (classifier.onnx), or recordings
            (recordings.onnx), with the backbone, which must be a model of transformers, in the same graph.
        push: Upload it to the hub under this name, OWNER/NAME; the token is that of hf auth login.
        private: Make the repository private if push creates it.
        dry_run: Print what push would upload, and upload nothing.
    """
    from cleser.experiments.export import export as write
    from cleser.experiments.export import hub

    if takes != "features" and not onnx:
        raise ValueError(f"--from {takes} says what an ONNX model takes, expected --onnx beside it")
    if not push:
        refuse_idle({"--private": private, "--dry-run": dry_run}, "--push OWNER/NAME")
    if push and not hub.is_repository(push):
        raise ValueError(f"--push {push} is no name on the hub, expected OWNER/NAME")
    folder = write(run, out, onnx=takes if onnx else None)
    print(f"{folder}: {', '.join(sorted(p.name for p in folder.iterdir()))}")
    if push and dry_run:
        for path in hub.to_send(folder):
            print(f"would upload {path} ({(folder / path).stat().st_size} bytes) to {push}")
    elif push:
        print(hub.push(folder, push, private=private))


def _probabilities(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if name.startswith("p_")]


def _sigmoids(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if name.startswith("sigmoid_")]


def _attributes(table: pd.DataFrame) -> list[str]:
    from cleser.corpora.attributes import ATTRIBUTES

    return [name for name in ATTRIBUTES if name in table]


def _as_json(table: pd.DataFrame) -> str:
    """A list of objects; what is not known is null."""
    known = [name for name in ("utterance", "path", "start", "end", *_EMOTIONS) if name in table]
    rows = []
    for row in table.to_dict("records"):
        labelled = _known(row["reason"]) is None
        shares = {n.removeprefix("p_"): row[n] for n in _probabilities(table)}
        said: dict[str, Any] = {"probabilities": shares if labelled else None} if shares else {}
        if several := {n.removeprefix("sigmoid_"): row[n] for n in _sigmoids(table)}:
            said["sigmoids"] = several if labelled else None
        rows.append(
            {
                **{name: _known(row[name]) for name in known},
                **said,
                **{name: _known(row[name]) for name in _attributes(table)},
                "reason": _known(row["reason"]),
            }
        )
    return json.dumps(rows, indent=2, ensure_ascii=False)


def _known(value: Any) -> Any:
    """The value, None for a missing one."""
    return None if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _times(row: dict[Hashable, Any]) -> str:
    """Which part of the recording it is, nothing where that is not known."""
    return f", {row['start']:.2f} to {row['end']:.2f} s" if _known(row["end"]) else ""


def _as_table(table: pd.DataFrame) -> Table:
    shown = Table()
    names = [*_probabilities(table), *_attributes(table)]
    emotions = [name for name in _EMOTIONS if name in table]
    for heading in (
        "recording",
        "seconds",
        *emotions,
        *(n.removeprefix("p_") for n in names),
    ):
        shown.add_column(heading, no_wrap=True)
    for row in table.to_dict("records"):
        times = f"{row['start']:.2f}–{row['end']:.2f}" if _known(row["end"]) else "–"
        said = [str(_known(row[name]) or "–") for name in emotions]
        labelled = _known(row["reason"]) is None
        shares = [f"{row[n]:.2f}" if labelled else "–" for n in names]
        # A name may look like markup: take[final].wav
        shown.add_row(Text(row["path"]), times, *said, *shares)
    return shown


def _show(table: Table) -> None:
    """Print a table as wide as it has to be: a path that is cut off names no file."""
    endless = console.options.update(width=1_000_000)
    width = console.measure(table, options=endless).maximum
    Console(width=max(console.width, width)).print(table, highlight=False)


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror})") from error
