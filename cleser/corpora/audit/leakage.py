"""Leakage: what a test must not have seen in training, looked for rather than trusted.

Three things are refused: a tested speaker that was learned from or selected on, a tested recording that was (known by
its sound, not by its name, and also when re-encoded), and target audio or labels that the protocol does not let be
seen. What cannot be checked, and what overlaps without being leakage (sentences, say), is reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cleser.corpora.attributes import attributes_of
from cleser.corpora.audit.copies import Copies, find_copies
from cleser.corpora.audit.people import shared_people
from cleser.corpora.folds import without_folders
from cleser.corpora.manifest import Problem
from cleser.corpora.protocol import Cast, Parts
from cleser.corpora.protocol.holding_out import lone_speakers
from cleser.corpora.protocol.normalisations import STATISTICS_OF

SHARED: Final = "shared speakers"
"""Begins the note that a protocol lets speakers train and be tested."""


class LeakageError(ValueError):
    """The protocol would test on what was seen in training; the message lists every case."""


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        refused: Leakage; empty for a protocol that may run.
        notes: What overlaps without being leakage, and what could not be checked.
        duplicates: Groups of utterances that are one recording: columns ``group, utterance, role, emotion, kind``; an
            utterance is ``exact`` if another one has its very samples, and else ``near``.
        pairs: The same two by two, with files, similarity and lag: see :data:`cleser.corpora.audit.copies.COLUMNS`.
        problems: Recordings that could not be read, and so could not be compared.
    """

    refused: list[str]
    notes: list[str]
    duplicates: pd.DataFrame = field(repr=False)
    pairs: pd.DataFrame = field(repr=False)
    problems: list[Problem] = field(repr=False)

    def check(self) -> None:
        """Stop if anything was refused.

        Raises:
            LeakageError: Something was; the message has a line for each reason.
        """
        if self.refused:
            raise LeakageError("the protocol leaks:\n" + "\n".join(f"- {r}" for r in self.refused))


def audit(
    cast: Cast,
    *,
    repeats: int = 1,
    content: bool = True,
    alignments: bool = False,
    sealed: bool = False,
    advance: Callable[[], object] | None = None,
) -> Audit:
    """Check a cast for leakage.

    Args:
        cast: The loaded protocol.
        repeats: Training seeds whose divisions into train and dev are checked.
        content: Whether to compare recordings by their sound too, which reads every file once.
        alignments: Whether anybody says when phones sound.
        sealed: Leave the target's recordings closed: what their sound would tell is for another audit, before the test.
        advance: Called after each recording read, for progress.

    Of a cast with several folds each is checked. Speakers that a split trains on and tests are no leakage where the
    protocol says so (``shared_speakers``): the first note then counts them.

    Raises:
        LeakageError: Anything was refused.
    """
    roles = {"target": cast.heard, "source": cast.source, "auxiliary": cast.auxiliary}
    everyone = _together(roles).drop_duplicates("utterance", ignore_index=True)
    opened = everyone[everyone["part"] != "target"] if sealed else everyone
    copies = find_copies(opened, advance) if content else Copies({}, [], [])
    refused: dict[str, None] = {}
    for fold, repeat in product(cast.folds, range(repeats)):
        refused.update(dict.fromkeys(_leaks(fold, fold.parts(repeat), copies)))
        if refused:  # another division of the same cast would only say it again
            break
    pairs, first = copies.pairs(everyone), cast.folds[0]
    parts = first.parts()
    undivided = [note for fold in cast.folds for note in _undivided(fold, fold.parts())]
    notes = [
        *_shared(cast),
        *_lists(cast),
        *_unknown(cast),
        *dict.fromkeys(undivided),
        *_classes_not_in_dev(cast, repeats),
        *_texts("source", _seen_texts(first), "target", first.target),
        *_texts("train", parts.train, "dev", parts.dev),
        *_statistics(cast, alignments),
        *_repeated(pairs),
        *shared_people(everyone),
        *_unreadable(copies.problems),
    ]
    duplicates = _duplicates(everyone, pairs)
    result = Audit(list(refused), notes, duplicates, pairs, copies.problems)
    result.check()
    return result


def audit_parts(
    parts: dict[str, pd.DataFrame],
    *,
    voices: pd.DataFrame | None = None,
    advance: Callable[[], object] | None = None,
) -> Audit:
    """Look for what parts share that should have nothing in common: train, dev and test of anyone's, or whole corpora.

    Args:
        parts: Utterances of each part, by its name.
        voices: Speakers of different corpora whose voices are alike, from
            :func:`cleser.corpora.audit.people.alike_voices`.
        advance: Called after each recording read, for progress.

    Returns:
        The audit; nothing is raised.
    """
    everyone = _together(parts)
    copies = find_copies(everyone, advance)
    pairs = copies.pairs(everyone)
    apart = list(combinations(parts, 2))
    notes = [
        *_without_speakers(parts),
        *(note for one, other in apart for note in _texts(one, parts[one], other, parts[other])),
        *_repeated(pairs[pairs["part"] == pairs["other_part"]]),
        *shared_people(everyone, voices),
        *_unreadable(copies.problems),
    ]
    refused = [*_speakers(parts, apart), *_recordings(pairs, apart)]
    return Audit(refused, notes, _duplicates(everyone, pairs), pairs, copies.problems)


def _together(parts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat([frame.assign(part=name) for name, frame in parts.items()], ignore_index=True)


def _seen(parts: Parts) -> dict[str, pd.DataFrame]:
    return {"train": parts.train, "dev": parts.dev, "auxiliary": parts.auxiliary}


def _leaks(cast: Cast, parts: Parts, copies: Copies) -> list[str]:
    """What one seed of one fold must not share."""
    named = {**_seen(parts), "test": parts.test}
    apart = [pair for pair in combinations(named, 2) if pair != ("train", "auxiliary")]
    speakers = [] if cast.protocol.shared_speakers else _speakers(named, apart, _drawn(cast, parts))
    if speakers and cast.protocol.split != "speakers":
        speakers.append(
            f"{_share(cast)} of the utterances that {without_folders(cast.protocol.split)} tests are of speakers it "
            "trains on; --shared-speakers runs it all the same, and says so in every result"
        )
    found = [
        *speakers,
        *_utterances(cast, parts),
        *_recordings(copies.pairs(_together(named)), apart),
    ]
    both = sorted(set(cast.protocol.source) & set(cast.protocol.target))
    if found and both and cast.protocol.split == "speakers":
        found.append(
            f"{', '.join(both)} is source and target: to test within a corpus, divide it into folds "
            "(--split kfold:5 or leave-one-speaker-out)"
        )
    where = f"fold {cast.fold.name}: " if cast.fold and cast.protocol.fold else ""
    return [where + finding for finding in found]


def _share(cast: Cast) -> str:
    return f"{100 * cast.tested_of_shared:.0f} %"


def _shared(cast: Cast) -> list[str]:
    """Speakers who train and are tested because the protocol lets them."""
    shared = set[str]().union(*(fold.shared for fold in cast.folds))
    if not shared:
        return []
    tested = cast.target["speaker"].nunique()
    return [
        f"{SHARED}: {len(shared)} of {tested} tested speakers are also trained or selected on, {_share(cast)} of the "
        "tested utterances: this does not measure how well strangers are recognised"
    ]


def _lists(cast: Cast) -> list[str]:
    """What the lists of a split name that the corpora lack, and the other way round."""
    unmatched = {name: None for fold in cast.folds if fold.fold for name in fold.fold.unmatched}
    lacking = [
        f"{len(unmatched)} names of the split's lists stand for no utterance: {_some([*unmatched])}"
    ]
    left = [int(fold.fold.roles.isna().sum()) for fold in cast.folds if fold.fold]
    most = max(left, default=0)
    unlisted = [f"up to {most} utterances of the target stand in no part of a fold"]
    return lacking * bool(unmatched) + unlisted * bool(most)


def _drawn(cast: Cast, parts: Parts) -> frozenset[str]:
    """Speakers who have a source to themselves, and of whom utterances were held out since nobody else could be."""
    given = cast.protocol.split != "speakers"
    drawn = parts.dev[~(given & parts.dev["split"].eq("dev"))]
    return frozenset(drawn["speaker"].dropna()) & frozenset(lone_speakers(cast.source).values())


def _speakers(
    parts: dict[str, pd.DataFrame],
    apart: list[tuple[str, str]],
    drawn: frozenset[str] = frozenset(),
) -> list[str]:
    """Who stands in two parts, but in train and dev of those whose utterances were drawn."""
    speakers = {name: set(frame["speaker"].dropna()) for name, frame in parts.items()}
    found = [
        (
            one,
            other,
            sorted((speakers[one] & speakers[other]) - (drawn if other == "dev" else frozenset())),
        )
        for one, other in apart
    ]
    return [
        f"{len(shared)} speakers stand in {one} and {other}: {_some(shared)}"
        for one, other, shared in found
        if shared
    ]


def _utterances(cast: Cast, parts: Parts) -> list[str]:
    findings = []
    # A corpus may be named as source and target: what is learned of it is then the source's by agreement.
    ours = {*cast.protocol.source, *cast.protocol.auxiliary}
    declared = cast.protocol.split != "speakers" and ours & set(cast.protocol.target)
    target = set((cast.target if declared else cast.heard)["utterance"])
    for role, frame in _seen(parts).items():
        shared = sorted(target & set(frame["utterance"]))
        if shared and cast.protocol.target_access != "labels":
            findings.append(
                f"{len(shared)} target utterances stand with their labels in {role}, which "
                f"target_access={cast.protocol.target_access!r} forbids: {_some(shared)}"
            )
        tested = sorted(set(parts.test["utterance"]) & set(frame["utterance"]))
        if tested and cast.protocol.target_access == "labels":
            findings.append(f"{len(tested)} tested utterances stand in {role}: {_some(tested)}")
    if len(parts.adapt) and cast.protocol.target_access == "nothing":
        findings.append("target audio would be adapted to, which target_access='nothing' forbids")
    unlabelled = parts.adapt["emotion"].isna().all() and np.isnan(attributes_of(parts.adapt)).all()
    if not unlabelled:
        findings.append("target utterances to adapt to still carry their labels")
    return findings


def _recordings(pairs: pd.DataFrame, apart: list[tuple[str, str]]) -> list[str]:
    """Recordings that two parts share which should share none."""
    said = {
        "exact": "a recording with identical sound stands",
        "near": "the same recording, re-encoded, stands",
    }
    return [
        f"{_times(len(shared))} {said[str(kind)]} in {one} and {other}: {_some(_described(shared, files=True))}"
        for one, other in apart
        for kind, shared in pairs[(pairs["part"] == one) & (pairs["other_part"] == other)].groupby(
            "kind"
        )
    ]


def _repeated(pairs: pd.DataFrame) -> list[str]:
    said = {
        "exact": "identical sound under several names",
        "near": "the same recording, re-encoded, under several names",
    }
    return [
        f"{said[str(kind)]}, {_times(len(found))}: {_some(_described(found, files=False))}"
        for kind, found in pairs.groupby("kind")
    ]


def _times(count: int) -> str:
    """A number of times in words.

    >>> _times(1), _times(2)
    ('once', '2 times')
    """
    return "once" if count == 1 else f"{count} times"


def _described(pairs: pd.DataFrame, *, files: bool) -> list[str]:
    """What is the same and how; notes go into run folders, which name no files of a machine."""
    described = []
    for pair in pairs.to_dict("records"):
        more = [f"{pair['path']} and {pair['other_path']}"] if files else []
        if pair["kind"] == "near":
            lag = 1000 * pair["lag"]
            more.append(f"similarity {pair['similarity']:.2f} at a lag of {lag:.1f} ms")
        names = f"{pair['utterance']} = {pair['other_utterance']}"
        described.append(f"{names} ({', '.join(more)})" if more else names)
    return described


def _duplicates(everyone: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    rows = everyone.reset_index().set_index(["part", "utterance"])["index"]
    one = rows.loc[list(zip(pairs["part"], pairs["utterance"], strict=True))].to_numpy()
    other = rows.loc[
        list(zip(pairs["other_part"], pairs["other_utterance"], strict=True))
    ].to_numpy()
    links = coo_array((np.ones(len(pairs)), (one, other)), shape=(len(everyone),) * 2)
    _, group = connected_components(links, directed=False)
    exact = (pairs["kind"] == "exact").to_numpy()
    identical = np.isin(np.arange(len(everyone)), np.concatenate([one[exact], other[exact]]))
    kind = np.where(identical, "exact", "near")
    frame = everyone.assign(group=group, kind=kind).rename(columns={"part": "role"})
    frame = frame.loc[np.unique(np.concatenate([one, other]))]
    frame = frame.assign(group=frame["group"].rank(method="dense").astype(int) - 1)
    columns = ["group", "utterance", "role", "emotion", "kind"]
    return frame.sort_values(["group", "utterance"])[columns].reset_index(drop=True)


def _unreadable(problems: list[Problem]) -> list[str]:
    if not problems:
        return []
    found = [f"{Path(problem.path).name} {problem.reason}" for problem in problems]
    return [f"{len(found)} recordings could not be compared: {_some(found)}"]


def _unknown(cast: Cast) -> list[str]:
    return [
        f"{role}: {missing} of {len(frame)} utterances have no speaker, so that an overlap of "
        "speakers cannot be excluded"
        for role in ("source", "auxiliary", "target")
        if (missing := int((frame := getattr(cast, role))["speaker"].isna().sum()))
    ]


def _without_speakers(parts: dict[str, pd.DataFrame]) -> list[str]:
    return [
        f"{name}: {missing} of {len(frame)} utterances have no speaker: whether the same people speak in "
        "other parts cannot be checked"
        for name, frame in parts.items()
        if (missing := int(frame["speaker"].isna().sum()))
    ]


def _undivided(cast: Cast, parts: Parts) -> list[str]:
    """Corpora without speakers or with one, whose development part was drawn by utterances, or which have none."""
    given = cast.protocol.split != "speakers"
    unknown = parts.dev[parts.dev["speaker"].isna() & ~(given & parts.dev["split"].eq("dev"))]
    named = set(cast.source["corpus"][cast.source["speaker"].notna()])
    by_utterance = {
        corpus: (
            f"{corpus} names no speakers of {count} utterances in dev, which were held out one by one"
            if corpus in named
            else f"{corpus} names no speakers, so that single utterances were held out for development"
        )
        + ": the same people may speak in train and dev"
        for corpus, count in sorted(unknown["corpus"].value_counts().items())
    }
    drawn = _drawn(cast, parts)
    whole = []
    for corpus, name in lone_speakers(cast.source).items():
        if name in drawn:
            by_utterance[corpus] = (
                f"{corpus} has one speaker, of whom single utterances were held out for development"
            )
        elif name not in set(parts.dev["speaker"]):
            whole.append(
                f"{corpus} has one speaker, who is learned from and not held out for development"
            )
    optimistic = ", and what is selected there may look better than it is"
    return [*(said + optimistic for said in by_utterance.values()), *whole]


def _classes_not_in_dev(cast: Cast, repeats: int) -> list[str]:
    """The classes that nobody who is held out shows: what is selected, is selected without them."""
    divisions = [fold.parts(seed).dev for fold in cast.folds for seed in range(repeats)]
    shown = [set(dev["emotion"]) for dev in divisions if len(dev)]
    without = {name: sum(name not in one for one in shown) for name in cast.protocol.classes}
    return [
        f"dev has no utterance of {name}"
        + (f" in {count} of {len(shown)} divisions" if count < len(shown) else "")
        + ": epochs and temperatures are chosen without it"
        for name, count in without.items()
        if count
    ]


def _seen_texts(cast: Cast) -> pd.DataFrame:
    return pd.concat([cast.source, cast.auxiliary])


def _texts(one: str, a: pd.DataFrame, other: str, b: pd.DataFrame) -> list[str]:
    columns = ["language", "text"]
    first, second = ({*frame[columns].dropna().itertuples(index=False)} for frame in (a, b))
    shared = sorted(first & second)
    if not shared:
        return []
    return [
        f"{len(shared)} texts are spoken in {one} and {other}, of {len(second)} in {other}: "
        f"{_some([text for _, text in shared])}"
    ]


def _statistics(cast: Cast, alignments: bool) -> list[str]:
    if not cast.protocol.transductive:
        return ["no statistics of the target enter its normalisation"]
    phones = " and of its phones" if alignments and cast.protocol.removes_content else ""
    whose = STATISTICS_OF[cast.protocol.normalisation]
    return [f"transductive: unlabelled statistics of {whose}{phones} enter its normalisation"]


def _some(items: list[str], most: int = 3) -> str:
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")
