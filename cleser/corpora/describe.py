"""A corpus at a glance: classes, speakers, hours, texts, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cleser.console import plain_row
from cleser.corpora.attributes import describe_attributes
from cleser.corpora.left_out import gaps, without_numbers
from cleser.corpora.manifest import (
    HEADER_COLUMNS,
    Gap,
    Problem,
    Spare,
    problems,
    unused_columns,
)
from cleser.corpora.probe import is_probed
from cleser.corpora.probe import probe as read_headers
from cleser.corpora.votes import describe_votes

UNLABELLED = "(no label)"
_EXAMPLES = 3  # of each reason why recordings were left out


@dataclass(frozen=True)
class Description:
    """What :func:`describe` found; prints as tables with rich.

    Attributes:
        facts: Single values by name: utterances, speakers, hours and so on.
        classes: One row an emotion: ``utterances, share, speakers``, and ``hours`` if probed.
        languages: Utterances of each emotion (rows) in each language (columns).
        speakers: One row a speaker: ``gender, language, utterances``.
        attributes: One row an attribute and scale: ``known, missing, mean, sd, lowest, highest``, from −1 to 1.
        splits: One row an official split: ``utterances, speakers``.
        audio: One row a format: ``samplerate, channels, files``; empty if not probed.
        problems: What was left out, and what is not known of the others, and why.

    >>> from cleser.corpora import load
    >>> description = describe(load("synthetic:zh?speakers=2&sentences=1"), probe=False)
    >>> description.facts["Utterances"], description.classes.index.tolist()
    ('8', ['anger', 'happiness', 'neutral', 'sadness'])
    """

    facts: dict[str, str]
    classes: pd.DataFrame
    languages: pd.DataFrame
    speakers: pd.DataFrame
    attributes: pd.DataFrame
    splits: pd.DataFrame
    audio: pd.DataFrame
    problems: list[Problem] = field(repr=False)

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [_facts(self.facts)]
        parts += [_table("Classes", self.classes)] if len(self.classes) else []
        if self.languages.shape[1] > 1:
            parts.append(_table("Classes by language", self.languages))
        if len(self.attributes):
            parts.append(_table("Attributes (original scale), from −1 to 1", self.attributes))
        parts += [_table("Official splits", self.splits)] if len(self.splits) else []
        parts += [_table("Audio", self.audio, index=False)] if len(self.audio) else []
        parts.append(_problems(self.problems))
        return Group(*parts)


def describe(manifest: pd.DataFrame, probe: bool = True, *, progress: bool = False) -> Description:
    """Describe a corpus.

    Args:
        manifest: Utterances, as :func:`cleser.corpora.load` returns them.
        probe: Read the header of every recording too: hours, formats, and damaged files, which then count
            as problems and not as utterances. What :func:`cleser.corpora.probe` returned is not read again; a
            column ``duration`` of a table is not looked at.
        progress: Show a progress bar while headers are read.

    >>> rows = {"utterance": ["a", "b"], "path": ["a.wav", "b.wav"], "language": "de",
    ...         "speaker": "1", "emotion": ["anger", None]}
    >>> from cleser.corpora.manifest import Listing, assemble
    >>> manifest = assemble("mine", Listing(pd.DataFrame(rows), []))
    >>> describe(manifest, probe=False).classes
                utterances  share  speakers
    emotion
    anger                1    0.5         1
    (no label)           1    0.5         1
    """
    if not is_probed(manifest):
        # Columns that a table brought along may count milliseconds, and say nothing of files that are broken.
        manifest = manifest.drop(columns=list(HEADER_COLUMNS), errors="ignore")
        manifest = read_headers(manifest, progress=progress) if probe else manifest
    emotion = manifest["emotion"].fillna(UNLABELLED)
    return Description(
        facts={**_gather(manifest), **describe_votes(manifest)},
        classes=_classes(manifest, emotion),
        languages=pd.crosstab(emotion, manifest["language"]),
        speakers=_speakers(manifest),
        attributes=describe_attributes(manifest),
        splits=_splits(manifest),
        audio=_audio(manifest),
        problems=problems(manifest),
    )


def _gather(manifest: pd.DataFrame) -> dict[str, str]:
    per_speaker = manifest["speaker"].value_counts()
    genders = manifest.drop_duplicates("speaker").dropna(subset="speaker")["gender"]
    counted = genders.fillna("of unknown gender").value_counts()
    without = int(manifest["speaker"].isna().sum())
    texts = manifest["text"].dropna()
    facts = {
        "Corpus": ", ".join(manifest["corpus"].unique()) or "none",
        "Language": ", ".join(manifest["language"].unique()) or "none",
        "Utterances": f"{len(manifest):,}",
        "Speakers": f"{len(per_speaker):,}",
        "Texts": f"{texts.nunique():,} different in {len(texts):,} utterances"
        if len(texts)
        else "none",
    }
    if len(per_speaker):
        facts["Speakers"] += " (" + ", ".join(f"{n:,} {name}" for name, n in counted.items()) + ")"
        facts["Utterances per speaker"] = (
            f"{per_speaker.min():,} / {per_speaker.median():,.0f} / {per_speaker.max():,} "
            "(least / median / most)"
        )
    if without:
        facts["Without a speaker"] = f"{without:,} utterances"
    if unused := unused_columns(manifest):
        others = next(iter(unused.values()))
        facts["Columns not used"] = f"{', '.join(others)} ({' and '.join(unused)} not found)"
    if "duration" in manifest:
        lengths = manifest["duration"]
        facts["Hours"] = f"{lengths.sum() / 3600:.2f}"
        if len(lengths):
            facts["Seconds per utterance"] = (
                f"{lengths.min():.2f} / {lengths.median():.2f} / {lengths.max():.2f} "
                "(least / median / most)"
            )
    return facts


def _classes(manifest: pd.DataFrame, emotion: pd.Series[str]) -> pd.DataFrame:
    groups = manifest.groupby(emotion)
    count = groups.size()
    table = pd.DataFrame(
        {
            "utterances": count,
            "share": count / len(manifest),
            "speakers": groups["speaker"].nunique(),
        }
    )
    if "duration" in manifest:
        table["hours"] = groups["duration"].sum() / 3600
    last = table.index == UNLABELLED
    return pd.concat([table[~last].sort_values("utterances", ascending=False), table[last]])


def _speakers(manifest: pd.DataFrame) -> pd.DataFrame:
    groups = manifest.groupby("speaker")
    table = groups[["gender", "language"]].first()
    return table.assign(utterances=groups.size())


def _splits(manifest: pd.DataFrame) -> pd.DataFrame:
    if manifest["split"].isna().all():
        return pd.DataFrame(columns=["utterances", "speakers"])
    groups = manifest.groupby(manifest["split"].fillna("(none)"))
    return pd.DataFrame({"utterances": groups.size(), "speakers": groups["speaker"].nunique()})


def _audio(manifest: pd.DataFrame) -> pd.DataFrame:
    if "samplerate" not in manifest:
        return pd.DataFrame(columns=["samplerate", "channels", "files"])
    files = manifest.drop_duplicates("path")
    return files.groupby(["samplerate", "channels"]).size().rename("files").reset_index()


def _facts(facts: dict[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(Text(name, style="bold"), Text(value))
    return table


def _table(title: str, frame: pd.DataFrame, *, index: bool = True) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    if index:
        table.add_column(str(frame.index.name or ""))
    for name in frame.columns:
        table.add_column(Text(str(name)), justify="right")
    for key, row in zip(frame.index, frame.itertuples(index=False), strict=True):
        cells = [_cell(name, value) for name, value in zip(frame.columns, row, strict=True)]
        table.add_row(*plain_row(*([str(key)] if index else []), *cells))
    return table


def _cell(column: str, value: object) -> str:
    if column == "share":
        return f"{value:.1%}"
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _problems(found: list[Problem]) -> RenderableType:
    """What was left out, then copies and second rows, of which nothing is lost, and what is not known of the rest."""
    if not found:
        return Text("No problems", style="green")
    known_less = [problem for problem in found if isinstance(problem, Gap)]
    further = [problem for problem in found if isinstance(problem, Spare)]
    left_out = [problem for problem in found if not isinstance(problem, Gap | Spare)]
    lines: list[Text] = []
    if left_out:
        counted = "1 problem" if len(left_out) == 1 else f"{len(left_out):,} problems"
        lines += [Text(f"{counted} (left out)", style="bold red"), *_by_reason(left_out)]
    if further:
        counted = f"{len(further):,} further rows or copies of recordings that are used"
        lines += [Text(counted, style="bold yellow"), *_by_reason(further)]
    if known_less:
        lines += [Text(gaps(len(known_less)), style="bold yellow"), *_by_reason(known_less)]
    return Group(*lines)


def _by_reason(found: Sequence[Problem]) -> list[Text]:
    """Problems by reason, each with a few examples on lines of their own, whole.

    Reasons that differ only in their numbers are one, since times differ from recording to recording.
    """
    alike: dict[str, list[Problem]] = {}
    for problem in sorted(found, key=lambda one: one.reason):
        alike.setdefault(without_numbers(problem.reason), []).append(problem)
    lines: list[Text] = []
    for problems_alike in sorted(alike.values(), key=lambda alike: -len(alike)):
        first = problems_alike[0].reason
        same = all(problem.reason == first for problem in problems_alike)
        lines.append(
            Text(f"{len(problems_alike):,} × {first}{'' if same else ', or another number'}")
        )
        lines += [Text(f"    {problem.path}") for problem in problems_alike[:_EXAMPLES]]
    return lines
