"""What a method may use of the target under a protocol, and what it does use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from cleser.alignment import Alignment
from cleser.alignment.packed import PackedAlignments
from cleser.corpora.protocol import Cast, Protocol, Uses
from cleser.experiments.declared import declared
from cleser.features.pooled import Record
from cleser.training.recipe import Recipe


def sealed(protocol: Protocol) -> bool:
    """Whether no recording of the target may be opened before the test."""
    return protocol.target_access == "nothing"


def check_access(config: Any, protocol: Protocol) -> None:
    """Refuse a method that needs more of the target than a protocol lets it have.

    Raises:
        ValueError: The method learns from the target's recordings, or from those that it is tested on, and may not.
    """
    method = declared(config)
    terms = (protocol.target_access, protocol.adapt, protocol.split)
    if method.adapts_to_test and terms != ("audio", "test", "speakers"):
        raise ValueError(
            f"test_time {method.test_time!r} learns from the utterances that are tested, but the protocol has "
            f"target_access {terms[0]!r}, adapt {terms[1]!r} and split {terms[2]!r}, expected 'audio', 'test' and "
            "'speakers'"
        )
    if method.adapts and sealed(protocol):
        raise ValueError(
            "a recipe with these settings learns from unlabelled recordings of the target, but the protocol has "
            "target_access 'nothing': give --target-access audio, or take a recipe that needs none of them, as erm, "
            "zero-shot or the plain probe"
        )


def check_declared(recipe: Recipe, config: Any) -> None:
    """Refuse a recipe that is given the target's recordings while its settings do not say so.

    The protocol's terms, and with them the hash and the report, follow the settings.

    Raises:
        ValueError: ``recipe.sees_target`` is true, and neither ``config.adapts`` nor ``config.match_prior`` is.
    """
    method = declared(config)
    if recipe.sees_target and not (method.adapts or method.match_prior):
        names = type(recipe).__name__, type(config).__name__
        raise ValueError(
            f"{names[0]} has sees_target=True, but its settings {names[1]} do not say that it learns from the target's "
            f"unlabelled recordings, and the terms of the run would be wrong: give {names[1]} the class attribute "
            "adapts = True"
        )


def uses_of(
    config: Any,
    cast: Cast,
    *,
    alignments: bool | str = False,
    sentences: str = "none",
    settled: str = "",
) -> Uses:
    """What a method with these settings uses of the target's unlabelled recordings under a protocol.

    Args:
        config: The settings.
        cast: The utterances that take part.
        alignments: Which alignments of the target are used, as :func:`alignments_used` says it.
        sentences: How the sentences are known whose means were taken off the target, as
            :func:`cleser.experiments.sentence_check.sentences_taken_off` says it.
        settled: The normalisation that is used, of ``"auto"`` what that came to.

    Raises:
        ValueError: The method learns from recordings that the protocol does not let it hear.
    """
    protocol = cast.protocol
    check_access(config, protocol)
    normalisation = settled if protocol.normalisation == "auto" else ""
    if sealed(protocol):
        return Uses(alignments=alignments, normalisation=normalisation)
    method = declared(config)
    hears = method.adapts or method.adapts_to_test or method.match_prior
    prior = protocol.prior if method.match_prior else "none"
    return Uses(hears, prior, alignments, sentences, normalisation)


def alignments_used(
    phones: Sequence[Alignment | None], heard: pd.DataFrame, record: Record
) -> bool | str:
    """Which alignments of the target are used, for :class:`cleser.corpora.protocol.Uses`.

    Args:
        phones: The alignment of each utterance of the target, None where there is none.
        heard: The utterances.
        record: What is kept of them: without tokens, alignments that were given play no part.
    """
    packed = phones if isinstance(phones, PackedAlignments) else PackedAlignments(phones)
    if not packed.known or record.tokens == "none":
        return False
    return f"{packed.summary()}, {packed.digest(heard['utterance'].tolist())[:8]}"
