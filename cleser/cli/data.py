"""``cleser data``: describe, audit, list and convert corpora."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from cleser.cli.console import console

if TYPE_CHECKING:
    import pandas as pd

    from cleser.corpora.audit import Audit


def data_describe(spec: Positional[str], *, map: tuple[str, ...] = (), probe: bool = True) -> None:
    """Show a corpus: classes, speakers, hours and problems.

    Args:
        spec: The corpus, as NAME:FOLDER.
        map: Emotions to rename, as calm=neutral.
        probe: Open every recording for its length and sampling rate.
    """
    from cleser.cli.pairs import parse_map
    from cleser.corpora import describe, load

    console.print(describe(load(spec, parse_map(map)), probe=probe))


def data_audit(
    corpora: Positional[tuple[str, ...]] = (),
    *,
    train: Path | None = None,
    dev: Path | None = None,
    test: Path | None = None,
    split: Path | None = None,
    voices: str | None = None,
    out: Path | None = None,
) -> int:
    """Find speakers, recordings and texts that corpora, or the parts of a split, share; exit status 1 for leakage.

    Args:
        corpora: Corpora, each as NAME:FOLDER; anything that two of them share would leak from one to the other.
        train: A table of the training part in place of corpora: a .csv or .parquet with the columns path and language
            and, where known, speaker, text, start and end.
        dev: Table of the development part.
        test: Table of the test part.
        split: One table in place of train, dev and test, with a column split that says train, dev or test.
        voices: Also compare the voices of the speakers of different corpora, by acoustic (needs no model),
            resemblyzer or a speaker-verification model of transformers.
        out: Write the pairs of equal recordings to this .csv.
    """
    from cleser.corpora.audit import audit_parts
    from cleser.corpora.manifest import problems
    from cleser.files import write_text
    from cleser.progress import track

    tables = {"train": train, "dev": dev, "test": test, "split": split}
    parts = _parts(corpora, {name: file for name, file in tables.items() if file is not None})
    for name, part in parts.items():
        for problem in problems(part):
            console.print(f"{name}: {problem.path} {problem.reason}", highlight=False, markup=False)
    alike = None if voices is None else _voices(parts, voices)
    with track("audit", sum(map(len, parts.values()))) as advance:
        found = audit_parts(parts, voices=alike, advance=lambda: advance(1))
    _show(parts, found)
    if out is not None:
        write_text(out, found.pairs.to_csv(index=False))
        console.print(f"{len(found.pairs)} pairs: {out}", highlight=False, soft_wrap=True)
    return 1 if found.refused else 0


def _parts(corpora: tuple[str, ...], files: dict[str, Path]) -> dict[str, pd.DataFrame]:
    from cleser.corpora.readers.manifest_file import read_parts
    from cleser.corpora.registry import check_distinct, load

    tables = "split" in files if len(files) == 1 else len(files) > 1 and "split" not in files
    if bool(corpora) == bool(files) or (files and not tables):
        given = [*corpora, *(f"--{name}" for name in files)]
        raise ValueError(
            f"found {given or 'nothing'} to audit, expected corpora as emodb:PATH, or two or more of --train, --dev "
            "and --test, or --split alone"
        )
    if files:
        return read_parts(files)
    if twice := [spec for spec in dict.fromkeys(corpora) if corpora.count(spec) > 1]:
        raise ValueError(
            f"found {', '.join(twice)} several times, expected each corpus once: it shares all with itself"
        )
    read = {spec: load(spec, labels=False) for spec in corpora}
    check_distinct(read)
    return _named(read)


def _named(read: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The tables by the names of their corpora, or by their specs where those names are not unique."""
    names = ["+".join(frame["corpus"].unique()) for frame in read.values()]
    return dict(zip(names, read.values(), strict=True)) if len(set(names)) == len(names) else read


def _show(parts: dict[str, pd.DataFrame], found: Audit) -> None:
    lines = [
        *(
            f"{name}: {len(part):,} utterances, {part['speaker'].nunique():,} speakers"
            for name, part in parts.items()
        ),
        *(f"{problem.path} {problem.reason}" for problem in found.problems),
        *(f"note: {note}" for note in found.notes),
        *(f"refused: {finding}" for finding in found.refused),
    ]
    if len(parts) == 1:
        lines.append("one corpus alone has nothing to be compared with")
    elif not found.refused:
        lines.append("nothing is shared that would be refused")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _voices(parts: dict[str, pd.DataFrame], encoder: str) -> pd.DataFrame:
    import pandas as pd

    from cleser.corpora.audit.people import alike_voices
    from cleser.progress import track
    from cleser.speech.speakers import embed_speakers, load_speaker_encoder

    rows = pd.concat(parts.values(), ignore_index=True).dropna(subset="speaker")
    rows = rows.drop_duplicates("utterance", ignore_index=True)
    with track("voices", len(rows)) as advance:
        embedded = embed_speakers(rows, load_speaker_encoder(encoder), advance=advance)
    known = rows.set_index("utterance").loc[embedded.utterances].reset_index()
    return alike_voices(known, embedded.values.numpy())


def data_list() -> None:
    """Show the corpora that can be read: language, licence, where to get them, what is checked."""
    from rich.table import Table

    from cleser.corpora.catalogue import CATALOGUE, Entry

    table = Table.grid(padding=(0, 2))
    table.add_row(*(name.capitalize() for name in Entry._fields))
    for entry in CATALOGUE:
        table.add_row(*entry)
    console.print(table)


def data_convert(
    spec: Positional[str],
    out: Positional[Path],
    *,
    to: Literal["cleser", "audformat", "emobox"] = "cleser",
    map: tuple[str, ...] = (),
) -> None:
    """Write a corpus as a manifest, in the layout of cleser, audformat or EmoBox.

    Args:
        spec: The corpus, as NAME:FOLDER, or a manifest of any layout, as manifest:FILE.
        out: The file: .csv, .tsv or .parquet; .jsonl for EmoBox; for audformat also a folder, which becomes a database.
        to: The layout of the manifest.
        map: Emotions to rename, as calm=neutral.
    """
    from cleser.cli.pairs import parse_map
    from cleser.corpora import load, problems
    from cleser.corpora.convert import not_held, write_manifest
    from cleser.corpora.left_out import gaps
    from cleser.corpora.manifest import Gap

    manifest = load(spec, parse_map(map))
    write_manifest(manifest, out, to)
    found = problems(manifest)
    known_less = [problem for problem in found if isinstance(problem, Gap)]
    left = [problem for problem in found if not isinstance(problem, Gap)]
    said = f", {gaps(len(known_less))}" if known_less else ""
    console.print(f"{out}: {len(manifest)} utterances, {len(left)} left out{said}")
    if lost := not_held(manifest, out, to):
        console.print(f"not held by this layout: {'; '.join(lost)}", highlight=False, markup=False)
    for name, some in (("left out", left), ("gap", known_less)):
        for problem in some[:5]:
            console.print(f"{name}: {problem.path}: {problem.reason}")


def data_folds(spec: Positional[str], *, split: str) -> None:
    """Count the speakers that training and test share in each fold of a corpus.

    Args:
        spec: The corpus, as NAME:FOLDER.
        split: FILE.csv, emobox:FOLDER, kfold:NUMBER or leave-one-speaker-out.
    """
    from cleser.corpora import load
    from cleser.corpora.folds import audit_folds, make_folds

    manifest = load(spec, labels=False)
    table = audit_folds(manifest, make_folds(manifest, split))
    console.print(table.to_string(index=False, float_format="{:.2f}".format))
    leaking = int((table["shared"] > 0).sum())
    console.print(f"{leaking} of {len(table)} folds test speakers who trained")
