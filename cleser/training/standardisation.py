"""How a protocol standardises features: whose statistics each utterance shares, and how far they are its own."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from cleser.corpora.protocol import Protocol
from cleser.features.moments import Moments
from cleser.features.normalisation import Shrinkage
from cleser.features.standards import Standards, measure
from cleser.features.view import FeatureView


def standards_of(
    stored: FeatureView,
    rows: pd.DataFrame,
    protocol: Protocol,
    reference: Moments | None = None,
    distrusted: Collection[str] = (),
) -> tuple[Standards, Moments]:
    """Statistics by which features are standardised under a protocol, see :func:`cleser.features.standards.measure`.

    Args:
        stored: The features of N utterances.
        rows: Their manifest, in order.
        protocol: Says whose statistics are taken, and whether what is said is taken out first.
        reference: Statistics of the source, for utterances that may not be standardised by their own.
        distrusted: Speakers whose statistics would be those of an emotion.

    Returns:
        The standards, and the utterances' own statistics [L, C].

    Raises:
        ValueError: The protocol's normalisation is not settled yet.
    """
    # Groups are None where nothing of the target may be known: the source measures everyone.
    return measure(
        stored,
        rows,
        groups_of(rows, protocol),
        lexical=protocol.removes_content,
        per_utterance=protocol.normalisation == "utterance",
        reference=reference,
        shrinkage=shrinkage_of(rows, protocol, distrusted),
    )


def groups_of(rows: pd.DataFrame, protocol: Protocol) -> pd.Series[str] | None:
    """The group that each utterance shares statistics with; None where only the source may have any.

    Raises:
        ValueError: The protocol's normalisation is "auto", which is settled when the corpora are known.
    """
    if protocol.normalisation == "utterance" or protocol.target_access == "nothing":
        return None
    if protocol.normalisation in ("speaker", "shrunk"):
        return rows["speaker"].fillna(rows["corpus"])
    if protocol.normalisation == "corpus":
        return rows["corpus"]
    raise ValueError(f"normalisation is {protocol.normalisation!r}, which nobody has settled yet")


def shrinkage_of(
    rows: pd.DataFrame, protocol: Protocol, distrusted: Collection[str]
) -> Shrinkage | None:
    """How speakers' statistics are drawn towards their corpus'; None where they are not.

    Raises:
        ValueError: The protocol's normalisation is not settled yet.
    """
    groups = groups_of(rows, protocol)
    if protocol.normalisation != "shrunk" or groups is None:
        return None
    return Shrinkage(groups, rows["corpus"], distrusted=distrusted)
