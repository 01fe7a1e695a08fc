"""From a protocol to its cast: its corpora are read, and their utterances get their roles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cleser.corpora.attributes import ATTRIBUTES, attributes_of
from cleser.corpora.folds import without_folders
from cleser.corpora.left_out import lost_classes, reasons
from cleser.corpora.manifest import unused_columns
from cleser.corpora.protocol.cast import ROLES, Cast
from cleser.corpora.protocol.splitting import by_folds, by_official_parts
from cleser.corpora.registry import check_distinct, load
from cleser.suggestions import did_you_mean

if TYPE_CHECKING:  # a protocol loads a cast
    from cleser.corpora.protocol.protocol import Protocol


def load_cast(protocol: Protocol) -> Cast:
    """The utterances of a protocol's corpora in their roles, as :meth:`cleser.corpora.Protocol.load` says."""
    specs = (*protocol.source, *protocol.auxiliary, *protocol.target)
    renamed = {spec: load(spec, protocol.map) for spec in specs}
    check_distinct(renamed)
    for role in ROLES:
        _check_given_once(role, getattr(protocol, role), renamed)
    source, auxiliary = (
        _concatenated([_labelled(protocol, spec, renamed[spec]) for spec in specs])
        for specs in (protocol.source, protocol.auxiliary)
    )
    target = _concatenated(_tested(protocol, renamed))
    everything = _concatenated([renamed[spec] for spec in protocol.target])
    cast = Cast(
        protocol,
        source=source,
        auxiliary=source.iloc[:0] if auxiliary.empty else auxiliary,
        target=target,
        pool=everything if protocol.pool == "all" else target,
        left_out=_left_out(renamed.values()),
        notes=_notes(protocol, renamed),
    )
    if protocol.split == "official":
        cast = by_official_parts(cast)
    elif protocol.by_folds:
        cast = by_folds(cast, everything)
    for one in cast.folds:
        role = f"source of fold {one.fold.name}" if one.fold and cast.several else "source"
        _check_classes(protocol, role, protocol.source, one.source, renamed)
        _check_attributes(protocol, role, protocol.source, one.source)
    if cast.scored:
        _check_classes(protocol, "target", protocol.target, cast.target, renamed)
        _check_attributes(protocol, "target", protocol.target, cast.target)
        if protocol.split == "official":
            _check_test_sets(protocol, cast.target, everything)
    return cast


def _check_given_once(role: str, specs: tuple[str, ...], renamed: dict[str, pd.DataFrame]) -> None:
    """Raise a ValueError where two specs of a role hold the same recordings, which would count twice."""
    first: dict[str, str] = {}
    for spec in specs:
        twice = [name for name in renamed[spec]["utterance"] if name in first]
        if twice:
            raise ValueError(
                f"{role} names {len(twice)} recordings twice, in {first[twice[0]]} and in {spec}, as {twice[0]}; "
                "expected each corpus once"
            )
        first.update(dict.fromkeys(renamed[spec]["utterance"], spec))


def _tested(protocol: Protocol, renamed: dict[str, pd.DataFrame]) -> list[pd.DataFrame]:
    """The rows of the target's corpora that are recognised: those of a class, or all where nobody labelled any."""
    bare = [spec for spec in protocol.target if renamed[spec]["emotion"].isna().all()]
    if protocol.task != "emotion" or not bare:
        return [_labelled(protocol, spec, renamed[spec]) for spec in protocol.target]
    if len(bare) < len(protocol.target):
        raise ValueError(
            f"the target {bare} has no emotion, but {[s for s in protocol.target if s not in bare]} has, expected "
            "emotions in all of them or in none: recognise the corpora in runs of their own"
        )
    asked = {
        "split": protocol.split,
        "adapt": protocol.adapt,
        "target_access": protocol.target_access,
    }
    usual = {"split": "speakers", "adapt": "test"}
    for name, value in asked.items():
        if usual.get(name, value) != value or value == "labels":
            raise ValueError(
                f"{name} is {value!r}, which needs emotions of the target, and {bare} has none: leave it out"
            )
    return [renamed[spec] for spec in bare]


def _labelled(protocol: Protocol, spec: str, renamed: pd.DataFrame) -> pd.DataFrame:
    """The rows of a corpus with a label that the task asks for."""
    if protocol.task == "avd":
        known = pd.DataFrame(attributes_of(renamed), renamed.index).notna().any(axis=1)
        if not known.any():
            raise ValueError(
                f"{spec}: no utterance has any of {list(ATTRIBUTES)}, expected numbers in these columns"
            )
        return renamed[known].reset_index(drop=True)
    kept = renamed[renamed["emotion"].isin(protocol.labels)]
    if kept.empty:
        found = sorted(renamed["emotion"].dropna().unique())
        if not found:
            way = (
                f"task {protocol.task!r} needs them; a target without labels takes the task 'emotion'"
                if spec in protocol.target and spec not in protocol.source
                else "a corpus without labels can be a target, to be recognised"
            )
            raise ValueError(
                f"{spec}: no utterance has an emotion, expected some of {list(protocol.labels)} in a column "
                f"emotion, or votes, as votes.{protocol.labels[0]}; {way}"
            )
        raise ValueError(
            f"{spec}: found the emotions {found}, expected some of {list(protocol.labels)}; "
            f"map names with map={{'calm': 'neutral'}} (--map calm=neutral)"
        )
    return kept.reset_index(drop=True)


def _notes(protocol: Protocol, renamed: dict[str, pd.DataFrame]) -> tuple[str, ...]:
    """Sentences on what was asked for and not found, and on what the corpora hold beside the classes."""
    used = {name for rows in renamed.values() for name in rows.attrs.get("renamed", [])}
    found = sorted({e for rows in renamed.values() for e in rows["emotion"].dropna().unique()})
    notes = [
        f"map: no corpus has the emotion {name!r}, so that nothing is renamed{did_you_mean(name, found)}"
        for name in protocol.map
        if name not in used
    ]
    notes += [
        f"{spec}: no {name} was found, and the columns {', '.join(others)} are not used"
        for spec, rows in renamed.items()
        for name, others in unused_columns(rows).items()
        if name == "speaker" or protocol.classes
    ]
    for role in ROLES if protocol.classes else ():
        emotions = [renamed[spec]["emotion"] for spec in getattr(protocol, role)]
        if emotions:
            verb = "tested" if role == "target" else "learned from"
            notes += _without_class(role, pd.concat(emotions), protocol.labels, verb)
    learned = (*protocol.source, *protocol.auxiliary)
    lost = [said for spec in learned for said in lost_classes(protocol.classes, renamed[spec])]
    return (*notes, *lost)


def _without_class(
    role: str, emotions: pd.Series[str], classes: Sequence[str], verb: str
) -> list[str]:
    """Sentences on the utterances of a role that express something else, or of which nobody knows what they express."""
    counts = emotions.value_counts()
    others = counts[~counts.index.isin(classes)]
    blank = int(emotions.isna().sum())
    notes = []
    if len(others):
        listed = ", ".join(f"{name} {count}" for name, count in others.items())
        notes.append(
            f"{role}: {others.sum()} of {counts.sum()} labelled utterances express other emotions and are not {verb}: "
            f"{listed}"
        )
    if 0 < blank < len(emotions):  # a target without any label is recognised, and scored nowhere
        notes.append(
            f"{role}: {blank} of {len(emotions)} utterances have no emotion and are not {verb}"
        )
    return notes


def _check_classes(
    protocol: Protocol,
    role: str,
    specs: tuple[str, ...],
    rows: pd.DataFrame,
    renamed: dict[str, pd.DataFrame],
) -> None:
    """Refuse a class that cannot be learned, or whose recall cannot be computed."""
    if missing := _missing_classes(protocol, rows):
        by_speakers = protocol.split == "speakers"
        of = _concatenated([renamed[spec] for spec in specs]) if by_speakers else rows
        part = "" if by_speakers else f" part of {without_folders(protocol.split)}"
        unused = "".join(f"; {said}" for said in reasons(_left_out(renamed[s] for s in specs)))
        raise ValueError(
            f"the {role}{part} {list(specs)} holds no utterance of {missing}, expected all of {list(protocol.labels)}; "
            f"found {_counts(of['emotion'])}: map one of them (--map calm=neutral), or train on fewer classes "
            f"(cleser run --labels){unused}"
        )


def _check_attributes(
    protocol: Protocol, role: str, specs: tuple[str, ...], rows: pd.DataFrame
) -> None:
    """Refuse an attribute with fewer than two values, which can be neither learned nor tested."""
    if missing := _missing_attributes(protocol, rows):
        raise ValueError(
            f"the {role} {list(specs)} has no {' and no '.join(missing)}, expected all of {list(protocol.attributes)}; "
            "narrow them on purpose (--attributes)"
        )


def _check_test_sets(protocol: Protocol, tested: pd.DataFrame, everything: pd.DataFrame) -> None:
    """Refuse an official test set that lacks what another one has: each is also scored by itself, on all classes."""
    lacks = {
        str(name): [*_missing_classes(protocol, rows), *_missing_attributes(protocol, rows)]
        for name, rows in tested.groupby("split")
    }
    lacking = [name for name, missing in lacks.items() if missing]
    if not lacking:
        return
    said = []
    for name in lacking:
        counts = _counts(everything[everything["split"] == name]["emotion"])
        found = f" (found {counts})" if protocol.classes else ""
        said.append(f"{name} holds no {' and no '.join(lacks[name])}{found}")
    # --test takes all sets whose names begin with what it is given.
    whole = [n for n in lacks if not any(other.startswith(n) for other in lacking)]
    others = f"test the others (cleser run --test {' '.join(whole)}), " if whole else ""
    mapped = "map an emotion (--map calm=neutral), " if protocol.classes else ""
    raise ValueError(
        f"the official test sets {list(lacks)} of the target {list(protocol.target)} are also scored one by one, and "
        f"{'; '.join(said)}, expected all of {[*protocol.classes, *protocol.regressed]} in each: {others}{mapped}or "
        f"train on fewer (cleser run {'--labels' if protocol.classes else '--attributes'})"
    )


def _counts(emotions: pd.Series[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(emotions.value_counts().items()))


def _missing_classes(protocol: Protocol, rows: pd.DataFrame) -> list[str]:
    return [name for name in protocol.classes if name not in set(rows["emotion"])]


def _missing_attributes(protocol: Protocol, rows: pd.DataFrame) -> list[str]:
    """The attributes of which there are fewer than two values."""
    known = dict(zip(ATTRIBUTES, (~np.isnan(attributes_of(rows))).sum(0).tolist(), strict=True))
    return [name for name in protocol.regressed if known[name] < 2]


def _left_out(manifests: Iterable[pd.DataFrame]) -> list[dict[str, str]]:
    """Recordings that the readers of corpora could not use."""
    return [problem for rows in manifests for problem in rows.attrs.get("problems", [])]


def _concatenated(frames: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
