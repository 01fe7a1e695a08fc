"""Notes: what a reader of the results has to know of data and settings, found before anything is learned."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from cleser.corpora.audit.leakage import SHARED
from cleser.corpora.left_out import reasons
from cleser.corpora.protocol import Cast, Protocol
from cleser.experiments.access import sealed
from cleser.experiments.data import Data
from cleser.experiments.declared import declared
from cleser.progress import stderr
from cleser.training.from_manifest import NothingUsableError
from cleser.training.processes import leads


@cache
def tell(note: str, style: str = "dim") -> None:
    """Print a note once, since the cells of a bench, and processes that train together, would all print the same."""
    if leads():
        stderr.print(note, style=style, highlight=False)


def style_of(note: str) -> str:
    """Style of a note in a terminal: what may spoil the results stands out."""
    return "bold yellow" if note.startswith((SHARED, "warning")) else "dim"


def tell_left_out(left_out: Sequence[dict[str, str]]) -> None:
    """Say why recordings cannot be used, before anything is learned without them."""
    for said in reasons(left_out):
        tell(said)


def sample_note(config: Any, data: Data) -> list[str]:
    """A note if a method learns from a sample of the source."""
    most_of, found = declared(config).limit, len(data.seen)
    if most_of is None or found <= (limit := most_of(data.shape)):
        return []
    return [
        f"the source has {found:,} utterances, of which this method learns from a random sample of {limit:,} at most "
        "(its setting 'most', and half a gigabyte of statistics); all tested utterances are recognised"
    ]


def prior_note(config: Any, protocol: Protocol) -> list[str]:
    """A note if all classes are assumed to be equally frequent, or if no prior can be matched."""
    if not declared(config).match_prior:
        return []
    if sealed(protocol):
        return [
            "prior: not matched, since target_access 'nothing' shows no recording to match it on"
        ]
    if protocol.prior != "uniform":
        return []
    return [
        "prior: every class is taken to be as frequent in the target as any other; if they are not, give their shares "
        "(--prior), or leave the prior out where there are several sources (--no-match-prior)"
    ]


def shares_note(data: Data) -> list[str]:
    """A note if statistics of the whole target make its class shares look like the source's."""
    by_group = data.protocol.transductive and data.cast.protocol.classes
    if not by_group or data.cast.heard["speaker"].notna().any():
        return []
    return [
        "normalisation: no speakers of the target are known, so that all of its utterances are standardised together: "
        "that takes its class shares to be like the source's, and costs accuracy where they are not"
    ]


def lost_classes(cast: Cast, data: Data) -> list[str]:
    """Notes on source corpora that have lost a class because no recording of it can be used.

    Raises:
        NothingUsableError: A class is gone from all of them.
    """
    used = cast.source["utterance"].isin(data.seen.manifest["utterance"])
    left, gone = cast.source[used], cast.source[~used]
    if missing := [name for name in cast.protocol.classes if name not in set(left["emotion"])]:
        raise NothingUsableError(
            f"the source {list(cast.protocol.source)} holds no usable recording of {missing}, expected all of "
            f"{list(cast.protocol.classes)}; {'; '.join(reasons(data.seen.left_out))}",
            data.seen.left_out,
        )
    notes = []
    for corpus, rows in gone.groupby("corpus"):
        kept = set(left["emotion"][left["corpus"] == corpus])
        if lost := sorted(set(rows["emotion"]) - kept) if cast.protocol.classes else []:
            notes.append(
                f"warning: of {corpus} no {' and no '.join(lost)} is learned, since none of these recordings can be "
                "used"
            )
    return notes
